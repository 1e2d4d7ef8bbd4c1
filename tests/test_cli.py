"""The door, as a person meets it: real processes, and the same in this one where many are wrong in the same way."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from automl.errors import UserError
from experiments.cli import main, one_line_errors
from experiments.compose import composed
from experiments.explain import explain

ROOT = Path(__file__).resolve().parents[1]


def call(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments], capture_output=True, text=True, cwd=cwd, timeout=100
    )


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys) -> Iterator[Callable[..., str]]:
    """What the program says, in this process, against a command that it refuses."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level  # Hydra sets its own
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.cli.end", lambda: None)  # of this process

    def refused(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["level4", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        assert (caught.value.code, out) == (2, "") and len(err.strip().splitlines()) == 1, err
        return err

    yield refused
    root.handlers[:], root.level = handlers, level
    HydraConfig.instance().cfg = None


HEAVY = ("torch", "lightning", "nni", "ray", "pandas", "sklearn", "wandb")
WRONG = [
    (["data=sklearn", "strategy=evolutoin"], "strategy=evolutoin is not there. Did you mean 'evolution'?"),
    (["data=sklearn", "family=[mlp,nope]"], "family=nope is not there."),
    (["data=sklearn", "buget.seconds=3"], "no option 'buget'. Did you mean 'budget'?"),
    (["data=sklearn", "budget.second=3"], "no option 'budget.second'. Did you mean 'seconds'?"),
    (["+experiment=quickstrat"], "experiment=quickstrat is not there. Did you mean 'quickstart'?"),
    (["+experiment=bench/nothing"], "experiment=bench/nothing is not there."),
    (["+experiment=bench/ensemble"], "bench.runs is missing. Set bench.runs=..."),
    (["+experiment=bench/ensemble", "bench.runs=[x]", "seed=1"], "seed=1 does nothing here: the recipe reads bench"),
    (["+experiment=bench/data", "bench.rot=x"], "no option 'bench.rot'. Did you mean 'root'?"),
    (["+experiment=bench/data", "bench.root=none"], "none does not exist"),
    (["bench.sets=[a=b,c]"], """Write 'bench.sets=["a=b","c"]'"""),
    ([], "data.path is missing. Set data.path=..."),
    (["data.path=my data (1).csv"], """Write 'data.path="my data (1).csv"'"""),
    (["data.path=x.csv", "data.delimiter=;"], """Write 'data.delimiter=";"'"""),
    (["data.path=a,b.csv"], """Write 'data.path=[a,b.csv]', 'data.path="a,b.csv"', or add --multirun."""),
    (["+experiment=inspect", "data=sklearn", "budget.trials=3"], "budget.trials=3 does nothing here"),
    (["data.path=none.csv"], "none.csv does not exist"),
    (["data=sklearn", "data.options.x=3"], "no option 'data.options'"),
    (["data=torchvision", "data.options.x=3"], "write +data.options.x=..."),
    (["data=sklearn", "engine.address=a:6379"], "To join a Ray cluster add engine=ray."),
    (["data=fil"], "data=fil is not there. Did you mean 'file'?"),
]


@pytest.mark.parametrize(("arguments", "line"), WRONG, ids=lambda value: str(value)[:30])
def test_a_wrong_option_is_one_line_that_names_the_choices(refused, arguments, line):
    assert line in refused(*arguments)


def test_values_that_cannot_be_are_one_line(refused, tmp_path):
    for option, line in [
        ("budget.trials=-3", "budget.trials=-3 must be a whole number of at least 1, or null"),
        ("budget.seconds=soon", "budget.seconds=soon must be a number above 0, or null"),
        ("seed=1.5", "seed=1.5 must be a whole number"),
    ]:
        assert line in refused("+experiment=quickstart", option, f"hydra.run.dir={tmp_path}/out")


def test_a_process_that_is_refused_says_so_in_one_line(tmp_path):
    for words, line in [
        (["data=sklearn", "strategy=evolutoin"], "strategy=evolutoin is not there. Did you mean 'evolution'?"),
        (["+experiment=quickstart", "seed=1.5"], "seed=1.5 must be a whole number"),
    ]:
        done = call(*words, cwd=tmp_path)
        assert done.returncode == 2 and done.stdout == ""
        assert line in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_help_and_the_configuration_do_not_import_the_heavy_libraries():
    code = f"import run, sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_missing_file_is_told_before_the_heavy_imports():
    code = f"""import sys, run
from automl.errors import UserError
from experiments.compose import composed
from experiments.settings import check
try:
    check(composed(["data.path=none.csv"]))
except UserError as error:
    print(error, [m for m in {HEAVY} if m in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "none.csv does not exist" in done.stdout and done.stdout.endswith("[]\n"), done.stdout + done.stderr


def test_yamls_of_other_people_are_among_the_choices(tmp_path):
    (tmp_path / "budget").mkdir()
    (tmp_path / "budget/night.yaml").write_text("trials: null\nseconds: 9\nepochs: 3\n")
    own = f"hydra.searchpath=[file://{tmp_path}]"
    assert composed(["data=sklearn", own, "budget=night"]).budget.seconds == 9
    with pytest.raises(UserError, match=r"Did you mean 'night'\? Choices: night, small, standard\.$"):
        composed(["data=sklearn", own, "budget=nite"])
    with (
        pytest.warns(UserWarning),
        pytest.raises(UserError, match=r"Choices: small, standard\. .*'hydra.searchpath=\[file:///FOLDER\]'"),
    ):
        composed(["data=sklearn", "hydra.searchpath=[pkg://nowhere.conf]", "budget=nite"])


def test_help_lists_the_groups_and_shows_how_to_begin():
    done = call("--help")
    assert done.returncode == 0
    for text in ("+experiment=quickstart", "data.path=my.csv", "strategy:", "--multirun"):
        assert text in done.stdout


def test_a_sweep_may_be_asked_for_between_overrides_and_keeps_no_password(tmp_path):
    sweep = ["--multirun", "seed=1,2", "budget.trials=-1", f"hydra.sweep.dir={tmp_path}"]
    sweep += ["engine=nni_service", "engine.machines=[{host:a,password:hunter2}]"]
    done = call("+experiment=quickstart", "store.url=postgresql://me:hunter2@db/x", *sweep, cwd=tmp_path)
    assert done.returncode == 2 and "budget.trials=-1 must be" in done.stderr, done.stderr
    kept = (tmp_path / "multirun.yaml").read_text()
    assert "postgresql://me:***@db/x" in kept and "hunter2" not in kept


def test_what_a_file_holds_is_no_command_for_the_terminal(capsys):
    with pytest.raises(SystemExit), one_line_errors():
        raise UserError("column 'a\x1b]0;title\x07\x1b[31m' is not in é.csv")
    assert capsys.readouterr().err == "Error: column 'a ]0;title  [31m' is not in é.csv\n"


def test_a_full_disk_is_one_line_whether_it_names_a_file_or_not():
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as caught:
        full.write(b"x")
    assert caught.value.filename is None
    for error, place in [(caught.value, "the disk"), (OSError(28, "No space left on device", "a.npy"), "a.npy")]:
        assert (explain(error) or "").startswith(f"Error: {place}: No space left on device.")
    assert explain(OSError(2, "No such file or directory")) is None


def test_a_missing_ray_is_told_with_the_command_and_nothing_begins(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("hydra.utils.call", None)
    line = "Error: engine=ray needs a package that is not installed. Run: pip install 'level4[ray]'\n"
    for recipe in (["data=sklearn"], ["+experiment=collect", "collect.root=."]):
        assert refused(*recipe, "engine=ray", "engine.address=a:6379") == line


@pytest.mark.parametrize("resumable", [True, False])
def test_resume_is_advised_where_it_is_taken(resumable, capsys):
    with pytest.raises(SystemExit), one_line_errors(resumable=resumable):
        raise KeyboardInterrupt
    assert ("resume=true" in capsys.readouterr().err) == resumable


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "ray", "submitit_local"])
def test_every_launcher_of_the_extra_runs_a_sweep_from_any_folder(launcher, tmp_path):
    if launcher == "ray":
        pytest.importorskip("ray", reason="ray is not installed")
    sweep = ["--multirun", "seed=1,2", f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}/sweep"]
    done = call("+experiment=inspect", "data=sklearn", "data.name=wine", *sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("sweep/*/inspect.html"))) == 2


def test_the_composed_configuration_can_be_read():
    done = call("+experiment=quickstart", "--cfg", "job")
    assert done.returncode == 0
    assert "name: digits" in done.stdout and "hydra:" not in done.stdout
