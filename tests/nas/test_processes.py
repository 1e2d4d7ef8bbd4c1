"""Workers forked from one process that has imported what a training needs, in a real life of kills and signals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from nni.nas.space import current_model

from automl.data.dataset import Part
from automl.errors import UserError
from automl.processes import born
from automl.types import Budget, Prior, Task, Trial
from nas.engines import processes
from nas.engines.nursery import read_job
from nas.engines.pool import NICE
from nas.engines.processes import ALIGNED, NO_THREADS, ProcessesEngine, visible, write_job
from nas.job import Job, Order
from nas.search import search
from nas.strategies.listed import Listed
from tests.nas.planted import Planted, PlantedSpace, candidates, planted_job

ROOT = Path(__file__).resolve().parents[2]


def run(job: Job, engine: ProcessesEngine, count: int) -> list[Trial]:
    strategy = Listed(candidates(count))
    return search(job, Prior.uniform(job.axes), strategy, engine, Budget(epochs=2), seed=0)


def eventually(happened: Callable[[], bool], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def started(words: list[str], cwd: Path = ROOT, **more) -> Iterator[subprocess.Popen[str]]:
    """A program in a process group of its own, which is gone afterwards."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        words, cwd=cwd, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True, **more
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def pids_of(engine: ProcessesEngine) -> list[int]:
    """All that it started."""
    return [engine._nursery._process.pid, *(seat.pid for seat in engine._seats)]


@pytest.fixture(scope="class")
def engine() -> Iterator[ProcessesEngine]:
    engine = ProcessesEngine(workers=2)
    yield engine
    engine.shutdown()


@dataclass(frozen=True)
class Once(Planted):
    """A training of index 0 kills its own process, or the one that this came from, the first time."""

    marker: str = ""
    parent: bool = False
    late: float = 0.0  # seconds

    def space(self, task: Task) -> OnceSpace:
        return OnceSpace(task, self)


class OnceSpace(PlantedSpace):
    def __init__(self, task: Task, of: Once) -> None:
        super().__init__(task, of)
        if current_model() is None or current_model()["index"] != 0:
            return
        with contextlib.suppress(FileExistsError):
            Path(of.marker).touch(exist_ok=False)
            time.sleep(of.late)
            os.kill(os.getppid() if of.parent else os.getpid(), signal.SIGKILL)
            time.sleep(3600)


@pytest.mark.timeout(180)
class TestKilled:
    @pytest.mark.parametrize(("parent", "late"), [(False, 0.0), (True, 0.0), (True, 1.0)])
    def test_it_costs_a_moment_and_no_trial(self, engine, parent, late, tmp_path):
        """A worker, or the process that all of them come from: also when the other worker has no work any more."""
        family = Once(4, marker=str(tmp_path / "killed"), parent=parent, late=late)
        trials = run(replace(planted_job(4), families={"planted": family}), engine, 4)
        assert (tmp_path / "killed").exists() and 0 in engine._tries
        assert [(t.status, t.error) for t in trials] == [("ok", "")] * 4

    def test_signals_of_a_terminal_are_for_the_program_alone(self, engine):
        engine.warm_up(wait=True)
        pids = pids_of(engine)
        for pid in pids:
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        assert [t.status for t in run(planted_job(4), engine, 4)] == ["ok"] * 4
        engine.warm_up(wait=True)
        assert all(map(born, pids)) and pids == pids_of(engine)

    def test_workers_leave_other_programs_the_processor(self, engine):
        engine.warm_up(wait=True)
        assert {psutil.Process(pid).nice() for pid in pids_of(engine)} == {min(os.nice(0) + NICE, 19)}


@pytest.mark.timeout(120)
def test_a_search_that_is_stopped_ends_what_trains():
    engine = ProcessesEngine(workers=2)
    try:
        engine.take(planted_job(2, {0: "hang", 1: "hang"}))
        for number, candidate in enumerate(candidates(2)):
            engine.start(number, Order(candidate, 2, 0))
        assert eventually(lambda: engine._assign() or all(seat.number is not None for seat in engine._seats))
        pids = [seat.pid for seat in engine._seats]
        engine.stop()
        assert sorted(engine.collect()) == [(0, None), (1, None)]
        assert eventually(lambda: not any(map(born, pids)))
    finally:
        engine.shutdown()


@pytest.mark.timeout(120)
def test_a_worker_over_its_memory_is_ended():
    engine = ProcessesEngine(workers=1, memory_gb=0.1)
    try:
        (trial,) = run(planted_job(1, {0: "hang"}), engine, 1)
    finally:
        engine.shutdown()
    assert trial.status == "oom" and re.fullmatch(r"used \d\.\d GB, the limit is 0\.1 GB", trial.error)


@pytest.mark.timeout(120)
def test_it_ends_with_all_its_processes_and_begins_again():
    engine = ProcessesEngine(workers=1)
    engine.warm_up()
    engine.shutdown()  # while it still imports
    try:
        for _ in range(2):
            (trial,) = run(planted_job(1), engine, 1)
            assert trial.status == "ok"
            pids = pids_of(engine)
            engine.shutdown()
            engine.shutdown()
            assert eventually(lambda pids=pids: not any(map(born, pids)))
    finally:
        engine.shutdown()


@pytest.mark.timeout(120)
def test_an_import_that_fails_is_one_line(monkeypatch):
    broken = "import nas.engines.nursery as n; n.preload = lambda: 1 / 0; n.main(*"
    monkeypatch.setattr(processes, "START", processes.START.replace("main(*", broken))
    engine = ProcessesEngine(workers=1)
    try:
        with pytest.raises(UserError, match=r"no worker can start: ZeroDivisionError: .* engine=sequential") as caught:
            run(planted_job(1), engine, 1)
    finally:
        engine.shutdown()
    assert "\n" not in str(caught.value)


PRELOAD = """
import json, os, torch
calls = []
for name in ("is_available", "device_count", "_lazy_init"):
    setattr(torch.cuda, name, lambda *a, name=name: calls.append(name) or 0)
from nas.engines.nursery import preload
preload()
import psutil
print(json.dumps([len(os.listdir("/proc/self/task")), calls, len(psutil.Process().children())]))
"""


def test_what_is_imported_before_the_fork_starts_no_thread_and_asks_for_no_gpu():
    """Neither outlives a fork: a lock that a thread held would be locked for ever."""
    environment = {**os.environ, **NO_THREADS, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PRELOAD], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [1, [], 0]


PROGRAM = """
import os, sys, time
with open("began", "a") as file:
    file.write("once\\n")

from automl.types import Budget, Prior
from nas.engines.processes import ProcessesEngine
from nas.search import search
from nas.strategies.listed import Listed
from tests.nas.planted import Planted, PlantedSpace, candidates, planted_job
from dataclasses import dataclass, replace


class MineSpace(PlantedSpace):
    pass


@dataclass(frozen=True)
class Mine(Planted):
    def space(self, task):
        return MineSpace(task, self)


job = planted_job(2)
job = replace(job, families={"planted": Mine(2)})
engine = ProcessesEngine(workers=2)
trials = search(job, Prior.uniform(job.axes), Listed(candidates(2)), engine, Budget(epochs=1), seed=0)
engine.shutdown()
print([t.status for t in trials], [t.error for t in trials])
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["script", "standard input", "-c", "-m"])
def test_the_main_module_is_never_run_again_and_its_classes_are_known_to_workers(way, tmp_path):
    """A script without a guard, a notebook: a child that ran it again would start children itself."""
    (tmp_path / "unguarded.py").write_text(PROGRAM)
    words = {"script": ["unguarded.py"], "standard input": ["-"], "-c": ["-c", PROGRAM], "-m": ["-m", "unguarded"]}[way]
    with started([sys.executable, *words], tmp_path) as process:
        said, errors = process.communicate(PROGRAM if way == "standard input" else None, timeout=100)
    assert process.returncode == 0, errors[-2000:]
    assert said == "['ok', 'ok'] ['', '']\n"
    assert (tmp_path / "began").read_text() == "once\n"


HANGING = """
import os, sys, time
from nas.engines.processes import ProcessesEngine
from nas.job import Order
from tests.nas.planted import candidates, planted_job

engine = ProcessesEngine(workers=2)
engine.take(planted_job(2, {0: "hang", 1: "hang"}))
engine.warm_up(wait=True)
for number, candidate in enumerate(candidates(2)):
    engine.start(number, Order(candidate, 1, 0))
if sys.argv[1] == "forked" and not os.fork():  # holds the program's end of every line
    time.sleep(3600)
print(engine._nursery._process.pid, *(seat.pid for seat in engine._seats), flush=True)
engine.collect()
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["alone", "forked"])
def test_a_program_that_is_killed_leaves_no_process_behind(way):
    with started([sys.executable, "-c", HANGING, way]) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        pids = [int(pid) for pid in line.split()]
        assert len(pids) == 3 and all(map(born, pids)), line or process.stderr.read()
        process.kill()
        assert eventually(lambda: not any(map(born, pids)))


SOLVE = ["data=sklearn", "data.name=digits", "family=[mlp]", "metalearner=uniform", "strategy=random", "tracker=none",
         "budget.seconds=null", "budget.epochs=2", "task.check=false", "hydra.run.dir=out"]  # fmt: skip


def until_a_trial_ended(process: subprocess.Popen[str]) -> set[int]:
    """The processes of the program by then."""
    assert process.stderr is not None
    for line in process.stderr:
        if re.match(r"\[ *1/", line):
            return {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
    raise AssertionError("it ended before")


@pytest.mark.whole
@pytest.mark.timeout(180)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_to_all_of_a_terminal_s_processes_makes_a_model(signum, tmp_path):
    with started([sys.executable, str(ROOT / "run.py"), *SOLVE, "budget.trials=500"], tmp_path) as process:
        pids = until_a_trial_ended(process)
        os.killpg(process.pid, signum)
        said, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors[-3000:]
        assert "Stopped early" in errors and "chosen" in said
        assert (tmp_path / "out" / "bundle" / "model.onnx").exists()
        assert len(pids) >= 2 and eventually(lambda: not any(map(born, pids)))


@pytest.mark.whole
@pytest.mark.timeout(180)
def test_the_second_stops_at_once(tmp_path):
    with started([sys.executable, str(ROOT / "run.py"), *SOLVE, "budget.trials=500"], tmp_path) as process:
        pids = until_a_trial_ended(process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:
            if "Once more stops at once" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130 and "Traceback" not in errors, errors[-3000:]
        assert eventually(lambda: not any(map(born, pids)))


@pytest.mark.whole
@pytest.mark.timeout(180)
def test_solve_from_a_script_without_a_guard(tmp_path):
    text = (
        "from level4 import solve\nfrom sklearn.datasets import load_iris\n"
        "print('begun')\nframe = load_iris(as_frame=True).frame\n"
        "s = solve(frame, 'target', seconds=None, trials=2, overrides=['budget.epochs=2', 'family=[mlp]',"
        " 'metalearner=uniform', 'strategy=random', 'progress=false'])\nprint(sum(s.result['trials'].values()))\n"
    )
    (tmp_path / "mine.py").write_text(text)
    with started([sys.executable, "mine.py"], tmp_path) as process:
        said, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors[-3000:]
    assert said.splitlines() == ["begun", "2"]


class TestJob:
    def test_comes_back_as_it_was_and_all_share_its_memory(self):
        job = planted_job(2)
        rows = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))
        train = Part((rows, np.zeros((3, 0), np.int64), rows[:, ::2]), np.zeros(3, np.int64), np.arange(3))
        job = replace(job, train=train)
        file, spans = write_job(job)
        assert os.fstat(file.fileno()).st_nlink == 0, "nothing is left behind, whatever happens"
        back = read_job(os.dup(file.fileno()), spans)
        file.close()
        before, after = ((*j.train.inputs, j.train.y, *j.valid.inputs, j.valid.y) for j in (job, back))
        for one, other in zip(before, after, strict=True):
            assert one.dtype == other.dtype and np.array_equal(one, other)
        assert (back.task, back.families, back.axes) == (job.task, job.families, job.axes)
        large = back.valid.inputs[0]
        assert not large.flags.writeable and large.ctypes.data % ALIGNED == 0

    def test_travels_beside_the_line_to_a_worker(self):
        """Its arrays are not in what is pickled: that is as small with a thousand times the rows."""
        job = planted_job(2)
        rows = Part((np.zeros((10**6, 4), np.float32),), np.zeros(10**6, np.int64), np.arange(10**6))
        many = replace(job, train=rows)
        (file, spans), (other, small) = write_job(many), write_job(job)
        file.close()
        other.close()
        assert spans[0][1] - spans[0][0] < small[0][1] + 200


@pytest.mark.parametrize(
    ("gpus", "seen", "expected"),
    [
        (0.0, None, [None, None]),
        (1.0, None, ["0", "1"]),
        (2.0, None, ["0,1", "2,3"]),
        (0.5, None, ["0", "0", "1", "1"]),
        (0.3, None, ["0", "0", "0", "1"]),
        (1.0, "2, GPU-5", ["2", "GPU-5"]),
        (0.5, "3,1", ["3", "3", "1"]),
    ],
)
def test_each_worker_sees_its_gpus_alone_of_those_that_the_program_sees(gpus, seen, expected, monkeypatch):
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    found = [visible(place, gpus, there=4).get("CUDA_VISIBLE_DEVICES") for place in range(len(expected))]
    assert found == expected


@dataclass(frozen=True)
class Tells(Planted):
    """Says as its error what its process sees."""

    def space(self, task: Task) -> PlantedSpace:
        if current_model() is not None:
            raise RuntimeError(f"GPU {os.environ['CUDA_VISIBLE_DEVICES']}, {torch.get_num_threads()} threads")
        return PlantedSpace(task, self)


@pytest.mark.timeout(120)
def test_a_worker_has_its_gpu_and_its_threads_before_it_trains(monkeypatch):
    """Two GPUs that are not there, two workers on each."""
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(processes, "gpu_count", lambda: 2)
    engine = ProcessesEngine(gpus_per_worker=0.5, threads=2)
    said = []
    try:
        engine.take(replace(planted_job(1), families={"planted": Tells(1)}))
        engine.warm_up(wait=True)
        for seat in engine._seats:
            engine._send(seat, Order(candidates(1)[0], 1, 0))
            assert engine._wait([seat], 60)
            said.append(engine._answer(seat).error)
    finally:
        engine.shutdown()
    assert [re.sub(r".*(GPU .*threads).*", r"\1", one) for one in said] == [
        f"GPU {gpu}, 2 threads" for gpu in (0, 0, 1, 1)
    ]
