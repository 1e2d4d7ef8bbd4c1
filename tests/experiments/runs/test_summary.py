"""What is said of a whole sweep."""

import io
import statistics
from pathlib import Path

import pandas as pd
import pytest

from experiments.runs.summary import tell, varying
from tests.experiments.runs.folders import result, write_run

VAL = {("mlp", 1): 0.9, ("mlp", 2): 0.8, ("tcn", 1): 0.7, ("tcn", 2): 0.75}


@pytest.fixture
def sweep(tmp_path) -> Path:
    for job, ((family, seed), val) in enumerate(VAL.items()):
        words = ["data=digits", f"family=[{family}]", f"seed={seed}", *(["resume=true"] if job else [])]
        write_run(tmp_path / str(job), of=result(val=val, seed=seed, overrides=words))
    return tmp_path


def test_a_line_a_job_and_means_over_seeds(sweep, capsys):
    tell(sweep)
    out, err = capsys.readouterr()
    jobs, means = out.strip().split("\n\n")
    assert jobs.splitlines()[0].split()[:4] == ["job", "family", "seed", "dataset"]
    assert [line.split()[0] for line in jobs.splitlines()[1:]] == ["0", "1", "2", "3"]
    deviation = statistics.stdev([0.9, 0.8])
    assert means.splitlines()[1].split()[:7] == ["[mlp]", "digits", "accuracy", "2", "0.8500", "±", f"{deviation:.4f}"]
    assert f"sweep     {sweep}/summary.csv" in means and err == ""


def test_the_same_as_csv_and_as_a_page(sweep):
    tell(sweep)
    table = pd.read_csv(io.StringIO((sweep / "summary.csv").read_text()))
    assert table.val.tolist() == list(VAL.values()) and table.seed.tolist() == [1, 2, 1, 2]
    by_family = table.groupby("family")
    assert by_family.val.mean().tolist() == pytest.approx(by_family.val_mean.first().tolist())
    assert by_family.val.std().tolist() == pytest.approx(by_family.val_sd.first().tolist())
    assert "summary.csv" not in (page := (sweep / "runs.html").read_text()) and "job 3" in page


def test_a_sweep_that_was_stopped_says_how_it_goes_on(sweep, capsys):
    (sweep / "3/result.json").unlink()
    tell(sweep)
    out, err = capsys.readouterr()
    assert err == f"1 not finished: the same command with hydra.sweep.dir={sweep} goes on\n"
    table = pd.read_csv(sweep / "summary.csv")
    assert len(table) == 3 and pd.isna(table.val_sd[2]) and "0.7000 ±" not in out


def test_a_sweep_of_nothing_that_makes_models_says_nothing(tmp_path, capsys):
    write_run(tmp_path / "0", {"reads": ["data"]}).joinpath("result.json").unlink()
    tell(tmp_path)
    assert capsys.readouterr() == ("", "") and [f.name for f in tmp_path.iterdir()] == ["0"]


def test_what_differs_between_jobs():
    assert varying([["a=1", "+b=x=y", "seed=0"], ["a=1", "seed=1", "resume=true"]]) == {
        "b": ["x=y", ""], "seed": ["0", "1"],
    }  # fmt: skip
    assert varying([["a=1"]]) == {}
