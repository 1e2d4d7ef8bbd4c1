"""Runs that were killed: what was finished is kept, and the output has the bytes of a run that was not."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from automl.data.sources.file import FileSource
from automl.errors import UserError
from experiments.predict import parts
from experiments.predict.predict import predict, summary
from experiments.predict.run import Options
from tests.experiments.predict.bundles import bundle_of, people

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    people(200).to_csv(folder / "train.csv", index=False)
    return bundle_of(folder / "bundle", FileSource(str(folder / "train.csv"), target="size").load(), "multiclass")


@pytest.fixture
def options(model, tmp_path) -> Options:
    """Of sixty rows in six chunks, one row unreadable."""
    people(59, seed=1).assign(city="Rome").to_csv(tmp_path / "a.csv", index=False)
    with (tmp_path / "a.csv").open("a") as file:
        file.write("1,2\n")
    return Options(model, tmp_path / "a.csv", tmp_path / "p.parquet", chunk=10, progress=False)


@pytest.fixture
def whole(options, tmp_path) -> bytes:
    """The output of a run that nothing happened to."""
    out = predict(dataclasses.replace(options, out=tmp_path / "whole.parquet")).out
    return out.read_bytes()


def stopped(monkeypatch, options: Options, after: int) -> str:
    """A run whose disk is full after some parts; what it says."""
    written = []

    def write(path: Path, content: Any) -> None:
        if path.suffix == ".parquet" and len(written) == after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.extend([path] if path.suffix == ".parquet" else [])
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with monkeypatch.context() as patch, pytest.raises(UserError) as caught:
        patch.setattr(parts, "write_atomically", write)
        predict(options)
    assert not options.out.exists()
    return str(caught.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from experiments.predict import parts
from experiments.predict.predict import predict
from experiments.predict.run import Options

moment = sys.argv[4]

def killed(path):  # half of a file is written
    path.write_bytes(b"PAR1 half")
    os.kill(os.getpid(), signal.SIGKILL)

write = parts.write_atomically
if moment == "part":
    parts.write_atomically = lambda path, content: (
        killed(path.with_name(".000003.parquet.part")) if path.name == "000003.parquet" else write(path, content)
    )
else:
    parts._csv = lambda file, *_: killed(Path(file.name))
predict(Options(*map(Path, sys.argv[1:4]), chunk=10, progress=False))
"""


@pytest.mark.parametrize(("name", "moment", "kept"), [("p.parquet", "part", 3), ("p.csv", "output", 6)])
def test_kill_9_and_the_same_command_again(options, name, moment, kept):
    """While a part is written, and while the output is."""
    options = dataclasses.replace(options, out=options.out.with_name(name))
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(options.bundle), str(options.path), str(options.out), moment],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr
    folder = options.out.with_name(f"{name}.part")
    assert not options.out.exists() and len(list(folder.glob("0*.parquet"))) == kept
    done = predict(options)
    assert (done.rows, done.answered, done.unreadable) == (60, 60 - 10 * kept, 1)
    assert f"60 ({10 * kept} by an earlier run)" in summary(done)
    uninterrupted = predict(dataclasses.replace(options, out=options.out.with_name(f"whole{options.out.suffix}")))
    assert options.out.read_bytes() == uninterrupted.out.read_bytes()
    assert not folder.exists()


def test_a_full_disk_is_one_line_and_the_parts_are_kept(monkeypatch, options, whole, capsys):
    said = stopped(monkeypatch, options, after=4)
    assert said == (
        f"{options.out} cannot be written: No space left on device; what is finished is kept in {options.out}.part, "
        "and the same command goes on"
    )
    done = predict(options)
    assert "going on behind 40 rows of an earlier run" in capsys.readouterr().err
    assert (done.rows, done.answered) == (60, 20) and options.out.read_bytes() == whole


def test_unreadable_rows_of_an_earlier_run_are_counted(monkeypatch, options, whole):
    """Killed when only the output was missing."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space left"):
        patch.setattr(parts, "_parquet", full)
        predict(options)
    assert sorted(p.name for p in options.out.parent.iterdir()) == ["a.csv", "p.parquet.part", "whole.parquet"]
    done = predict(options)
    assert (done.answered, done.unreadable, done.first[0][0]) == (0, 1, 59)
    assert options.out.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("input", "are of another input: begun anew"),
        ("chunk", "are of another options: begun anew"),
        ("broken", "are of another bundle and input and options and program: begun anew"),
    ],
)
def test_other_parts_are_begun_anew(monkeypatch, options, change, says, capsys):
    stopped(monkeypatch, options, after=4)
    if change == "input":
        options.path.write_text(options.path.read_text().replace("170.", "171."))
    elif change == "chunk":
        options = dataclasses.replace(options, chunk=20)
    else:
        Path(f"{options.out}.part", "about.json").write_text("{")
    done = predict(options)
    assert says in capsys.readouterr().err and done.answered == 60
    fresh = predict(dataclasses.replace(options, out=options.out.with_name("fresh.parquet")))
    assert options.out.read_bytes() == fresh.out.read_bytes()


def test_two_runs_do_not_write_the_same(options):
    folder = Path(f"{options.out}.part")
    folder.mkdir()
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run is writing"):
            predict(options)
    assert predict(options).rows == 60


def test_a_broken_part_is_told(monkeypatch, options):
    stopped(monkeypatch, options, after=2)
    Path(f"{options.out}.part", "000001.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"000001.parquet is broken; remove the folder .*p.parquet.part and begin anew"):
        predict(options)


def test_an_output_that_is_replaced_is_whole_all_the_time(monkeypatch, options):
    options.out.write_text("old")
    replaced = dataclasses.replace(options, overwrite=True)
    with monkeypatch.context() as patch, pytest.raises(UserError):
        patch.setattr(parts, "_parquet", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        predict(replaced)
    assert options.out.read_text() == "old"
    predict(replaced)
    assert len(pd.read_parquet(options.out)) == 60


def test_what_parts_are_of_is_plain(monkeypatch, options):
    stopped(monkeypatch, options, after=1)
    about = json.loads(Path(f"{options.out}.part", "about.json").read_text())
    assert about["input"][:2] == ["a.csv", options.path.stat().st_size]
    assert about["options"] == {"level": None, "chunk": 10, "csv": [None, None]}
