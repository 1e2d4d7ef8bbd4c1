"""The list of finished runs, whole and broken ones."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from automl.errors import UserError
from experiments.configuration import CONF
from experiments.runs.found import find, folders
from experiments.runs.run import HEAD, Asked, asked, leave_nothing, show_list
from tests.experiments.runs.folders import result, write_run


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_run(Path("outputs/a/1"))
    write_run(Path("outputs/a/2"), of=result("iris", date="2026-01-03T03:04:05+00:00", overrides=["seed=1"]))
    write_run(Path("multirun/b/0"), of=result("wine", date="2025-01-03T03:04:05+00:00"))
    return tmp_path


def asking(**changes) -> Asked:
    given = {"root": ["outputs", "multirun"], "data": None, "last": 20, "show": None, "free": None, "yes": False}
    return Asked(**(given | changes))


def listed(capsys, **changes) -> tuple[list[str], str]:
    show_list(asking(**changes), Path("outputs/searches"))
    out, err = capsys.readouterr()
    return out.splitlines(), err


def test_newest_first_with_what_is_asked_for(root, capsys):
    lines, err = listed(capsys)
    assert lines[0].split() == [*HEAD]
    assert [line.split()[2] for line in lines[1:4]] == ["iris", "digits", "wine"] and err == ""
    assert lines[2].split()[3:9] == ["1,797", "accuracy", "0.9000", "0.8000", "12", "mlp"]
    assert lines[2].endswith("outputs/a/1") and lines[4] == "3 runs"


def test_by_data_and_so_many(root, capsys):
    lines, _ = listed(capsys, data="IRI")
    assert len(lines) == 3 and "iris" in lines[1]
    lines, _ = listed(capsys, last=1)
    assert lines[-1] == "and 2 older; runs.last=null shows all"
    lines, _ = listed(capsys, data="none")
    assert lines == ["no finished run on none in outputs and multirun; runs.root=[FOLDER] looks elsewhere"]


def test_broken_and_half_runs_are_named(root, capsys):
    write_run(Path("outputs/a/3")).joinpath("result.json").write_text('{"task"')
    write_run(Path("outputs/a/4")).joinpath("result.json").write_text("[1]")
    write_run(Path("outputs/a/5")).joinpath("result.json").unlink()
    write_run(Path("outputs/a/6"), {"reads": ["data"]}).joinpath("result.json").unlink()  # an inspection
    write_run(Path("outputs/a/7")).joinpath("config.yaml").write_text("a: [")
    Path("outputs/a/7/result.json").unlink()
    lines, err = listed(capsys)
    assert "3 runs" in lines
    said = err.splitlines()
    assert [line.split()[0] for line in said] == ["left"] * 4 and "Traceback" not in err
    assert "outputs/a/3/result.json cannot be read" in said[0] and "a/4/result.json is not the result" in said[1]
    assert "outputs/a/5 is not finished" in said[2] and "outputs/a/7/config.yaml cannot be read" in said[3]


def test_results_of_older_programs_are_listed_too(root, capsys):
    old = {"task": {"name": "old", "metric": "rmse"}, "val": {"rmse": 1.0}, "test": {}}
    write_run(Path("outputs/a/0"), of=old)
    lines, _ = listed(capsys)
    assert lines[1].split()[2:6] == ["old", "–", "rmse", "1.0000"]  # dated by its file


def test_a_run_is_not_searched_and_counts_once(root):
    write_run(Path("outputs/a/1/bundle"))
    assert [str(f) for f in folders(Path("outputs"))] == ["outputs/a/1", "outputs/a/2"]
    assert len(find([Path("outputs"), Path("outputs/a/1"), Path("nowhere")])[0]) == 2


def test_the_weights_of_searches_are_counted(root, capsys):
    Path("outputs/searches/x").mkdir(parents=True)
    Path("outputs/searches/x/0.safetensors").write_bytes(bytes(3_000_000))
    lines, _ = listed(capsys)
    assert lines[-1].startswith("outputs/searches holds 3.0 MB of networks")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"last": 0}, "runs.last=0 must be"),
        ({"last": "x"}, "runs.last=x must be a whole number or null"),
        ({"free": "everything"}, "runs.free=everything must be rest"),
        ({"show": ["a"]}, "runs.show takes 2 to 5 folders"),
        ({"show": "a"}, "runs.show=a must be a list of text or null"),
        ({"root": "outputs"}, "runs.root=outputs must be a list of text"),
    ],
)
def test_wrong_options_are_one_line(options, line):
    cfg = OmegaConf.load(CONF / "experiment/runs.yaml")
    for name, value in options.items():
        cfg.runs[name] = value
    with pytest.raises(UserError) as caught:
        asked(cfg)  # type: ignore[arg-type]
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_a_look_leaves_no_folder(tmp_path):
    for name, left in (("2026/1", []), ("2026/2", ["2"])):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("")
        if left:
            (tmp_path / name / "other").write_text("")
        leave_nothing(tmp_path / name)
    assert sorted(f.name for f in tmp_path.rglob("*")) == ["2", "2026", "config.yaml", "other"]
