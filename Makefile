# `make demo` and `make test` work on a fresh machine: they make .venv first when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install demo test test-all check runtime-check format lock api picture clean
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 13) else f"Level 4 needs Python 3.11 or 3.12; {sys.executable} is {v[0]}.{v[1]}. Set PYTHON=/path/to/python3.11.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "python3 cannot make a virtual environment. On Debian: apt-get install python3-venv"; rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	$(BIN)/python run.py +experiment=quickstart

test: install
	$(BIN)/python -m pytest -n auto --dist worksteal

# With those of the whole program too: what CI runs.
test-all: install
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow and not gpu'

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# A bundle of every kind in a new environment that holds its own wheel and what that needs.
runtime-check: install
	$(BIN)/python run.py +experiment=bench/runtime

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Resolves pyproject.toml anew in an empty environment and freezes what came out.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet '.[dev,ray,serve,sweep,trackers]'
	.venv-lock/bin/python -m pip freeze --all --exclude level4 --exclude pip > requirements.lock
	rm -rf .venv-lock build

# From the docstrings of what may be built upon, to build/api; `pip install .[docs] brings pdoc.
api: install
	$(BIN)/python -m pdoc -d numpy -o build/api level4 automl.types automl.data.dataset automl.deploy.bundle \
		experiments.solve.python experiments.solve.solution experiments.events nas.family nas.strategies.parts.stepwise

# docs/report.png: `make picture REPORT=outputs/.../report.html`, of a demo. Needs chromium.
picture: install
	chromium --headless --no-sandbox --hide-scrollbars --virtual-time-budget=9000 --window-size=1200,900 \
		--screenshot=docs/report.png "file://$(abspath $(REPORT))"
	$(BIN)/python -c "from PIL import Image; Image.open('docs/report.png').convert('RGB').quantize(64).save('docs/report.png', optimize=True)"

# What can be made again. Not outputs/ and multirun/, the models, nor ~/.local/share/level4, the past runs.
clean:
	rm -rf .venv build *.egg-info
