"""Every command and every option that README.md and docs/ tell is one that the program takes."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override

from automl.errors import UserError
from experiments.compose import composed
from experiments.configuration import CONF
from experiments.settings import check, refuse_unread

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUPS = {f.stem for f in CONF.iterdir()} | {"seed", "resume", "portfolio", "progress", "artifacts"}
START = re.compile(r"(?:\w+=\S* )*(?:level4|python run\.py) (?=\+|--|'|[a-z][\w./@]*=)")
OPTIONS = re.compile(rf"'?(?:[+~]?(?:{'|'.join(sorted(GROUPS))})\b|--multirun |\+experiment=)")
WORD = re.compile(r"[+~]?[a-z][\w./@]*=.*", re.DOTALL)
STAND_IN = re.compile(
    r"\b(?:NAME|OPTION|GROUP|FIELD|COLUMN)\b.*=|/NAME|=\.\.\.$|\.\.\.[]}]"
)  # for what the reader puts there
OWN = ("--config-dir", "hydra.searchpath")  # with yamls of the reader's


def told(text: str) -> Iterator[str]:
    """Lines of code blocks and spans of code, a line that goes on joined."""
    text = text.replace("\\\n", " ")
    prose, blocks = (
        re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE),
        re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE),
    )
    for block in blocks:
        yield from block.splitlines()
    yield from (line for line in prose.splitlines() if line.startswith("    "))
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))


def words_of(code: str) -> list[str] | None:
    """What stands behind level4 in a line, or the options that a span is; None for anything else."""
    code = re.split(r" \|\| | \| | && | > |; ", code.strip())[0]
    code = re.sub(r"(?<=\s)\[([\w.]+=[\w.]+)\]", r"\1", code)  # what may be left out
    code = code.replace(" --cfg job", "")
    found = START.match(code)
    if found is None and not OPTIONS.match(code):
        return None
    try:
        words = shlex.split(code[found.end() if found else 0 :], comments=True)
    except ValueError:  # an apostrophe: no command
        return None
    words = [w for w in words if w != "..." and not STAND_IN.search(w)]
    plain = [w for w in words if not w.startswith("--")]
    return words if found or (plain and all(map(WORD.fullmatch, plain))) else None


def first_of(words: list[str]) -> list[str]:
    """Overrides of one run: of what is swept over the first value; without those for the sweep itself."""
    taken = [w for w in words if not w.startswith(("--", "hydra/", "hydra."))]
    if "--multirun" not in words:
        return taken
    parsed = OverridesParser.create().parse_overrides(taken)
    return [o.input_line if not o.is_sweep_override() else f"{o.get_key_element()}={first(o)}" for o in parsed]


def first(override: Override) -> object:
    swept = override.value()
    return swept.start if isinstance(swept, IntervalSweep) else next(override.sweep_string_iterator())


@functools.cache
def fault_of(*words: str) -> str:
    """What the program says against these words; an empty text where it takes them, or needs more than a page tells."""
    try:
        run = first_of([*words])
        more = [] if any(w.lstrip("~").startswith("family") for w in run) else ["family=[mlp]"]  # fewer files to read
        more += [] if any(w.lstrip("+").startswith(("data", "experiment")) for w in run) else ["data.path=my.csv"]
        cfg = composed([*more, *run])
        refuse_unread(cfg, run)
        check(cfg)
    except UserError as error:
        elsewhere = ("is missing. Set", "needs a package that is not installed")
        return "" if any(text in str(error) for text in elsewhere) else str(error)
    return ""


@pytest.fixture(autouse=True)
def files_of_readers(monkeypatch):
    monkeypatch.setattr("experiments.settings.existing", lambda *_, **__: None)


def faults_in(text: str) -> dict[str, str]:
    """What is wrong with each command and option of a page. An option may belong to a recipe that the page names."""
    found = {code: words for code in dict.fromkeys(told(text)) if (words := words_of(code))}
    found = {code: words for code, words in found.items() if not any(own in code for own in OWN)}
    written = {f"{group}={name}" for group, name in re.findall(r"`mine/conf/(\w+)/(\w+)\.yaml`", text)}  # on the page
    found = {code: words for code, words in found.items() if not written & {*words}}
    options = {code: words for code, words in found.items() if not START.match(code.strip()) and is_plain(words)}
    recipes = {w for words in found.values() for w in words if w.startswith("+experiment=")}
    faults = {code: fault for code, words in found.items() if code not in options and (fault := fault_of(*words))}
    for together in batches(list(options)):  # composing takes a moment each time
        if fault_of(*(w for code in together for w in options[code])):
            faults |= {code: fault for code in together if (fault := fault_of(*options[code]))}
    return {c: f for c, f in faults.items() if c not in options or all(fault_of(r, *options[c]) for r in recipes)}


def is_plain(words: list[str]) -> bool:
    return not any(w.startswith(("--", "+")) for w in words)


def batches(codes: list[str]) -> Iterator[list[str]]:
    """So that no batch sets an option twice, or something in a group and the group."""
    while codes:
        taken, rest, roots = [], [], set()
        for code in codes:
            own = set(re.findall(r"(?:^|\s)'?([a-z]\w*)[\w.@/]*=", code))
            (rest if own & roots else taken).append(code)
            roots |= own
        yield taken
        codes = rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_composes(page):
    assert faults_in(page.read_text(encoding="utf-8")) == {}


def test_every_target_of_make_is_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {m for page in PAGES for code in told(page.read_text()) for m in re.findall(r"^ *make ([\w-]+)", code)}
    assert named and named <= targets


def test_commands_are_found_in_every_form():
    text = """Write `level4 data.path=my.csv
data.target=y` or `task.folds=3`, not `automl.types` or `a = b`.

    OMP_NUM_THREADS=1 level4 +experiment=runs \\
        runs.last=3 [runs.data=x]  # of outputs/

```sh
python run.py 'task.goal="accuracy >= 0.9"' || true
```
"""
    found = [words for code in told(text) if (words := words_of(code))]
    assert found == [
        ['task.goal="accuracy >= 0.9"'],
        ["+experiment=runs", "runs.last=3", "runs.data=x"],
        ["data.path=my.csv", "data.target=y"],
        ["task.folds=3"],
    ]


def test_faults_are_seen():
    page = "`task.fold=3`, `task.folds=3`, `seed=-1` `runs.last=2` `level4 +experiment=runs`, `level4 seeds=1`"
    assert list(faults_in(page)) == ["level4 seeds=1", "task.fold=3", "seed=-1"]
    assert "no option 'task.fold'" in fault_of(*["task.fold=3"])
    assert "does nothing here" in fault_of(*["+experiment=runs", "seed=3"])
    assert fault_of(*["--multirun", "seed=1,2", "hydra/sweeper=optuna"]) == ""
    assert fault_of(*["seed=1,2"]) != ""
