"""NNI's training service as an engine. The tests that start its manager are slow."""

from __future__ import annotations

import dataclasses
import getpass
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nni.runtime.tuner_command_channel import command_type

from automl.errors import UserError
from automl.types import Axis, Budget, Candidate, Prior
from nas.engines.nni import trial as nni_trial
from nas.engines.nni.jobfile import load_job, order_from_json, outcome_from_json, outcome_to_json, save_job
from nas.engines.nni.manager import free_port
from nas.engines.nni_service import PAYLOAD, NniServiceEngine, copy_code
from nas.evaluate import evaluate
from nas.families.earlier import Earlier
from nas.family import search_axes
from nas.given import Trained
from nas.job import Job, Order, Outcome
from nas.search import search
from nas.strategies.listed import Listed
from nas.testing.strategies import TASK, Toy, job, part
from tests.nas.faults import faulty_job

CANDIDATE = Candidate("toy", {"deep": "yes", "hidden": 4, "learning_rate": 0.01})
options = st.one_of(st.text(max_size=20), st.integers(-(10**9), 10**9), st.booleans(), st.floats(-1e9, 1e9))


def test_a_job_comes_back_from_its_files(tmp_path):
    sent = dataclasses.replace(job(), latency=True, barred=(3, 5))
    save_job(sent, tmp_path)
    back = load_job(tmp_path)
    plain = [f.name for f in dataclasses.fields(Job) if f.name not in ("train", "valid")]
    assert [getattr(back, name) for name in plain] == [getattr(sent, name) for name in plain]
    assert np.array_equal(back.train.inputs[0], job().train.inputs[0]) and np.array_equal(back.valid.y, job().valid.y)
    order = Order(CANDIDATE, 2, 0)
    assert evaluate(back, order).curve == evaluate(job(), order).curve


def test_families_travel_with_all_that_they_were_told(tmp_path):
    earlier = Earlier(str(tmp_path))
    earlier.admitted = ("convnet-1234abcd", "vit-5678")
    given = {"earlier": Trained(earlier, {"batch_size": [16, 32]}), "toy": Toy()}
    save_job(dataclasses.replace(job(), families=given), tmp_path)
    back = load_job(tmp_path).families["earlier"]
    assert isinstance(back, Trained) and back.name == "earlier" and back.training == {"batch_size": [16, 32]}
    assert isinstance(back.family, Earlier) and back.family.admitted == earlier.admitted


def test_a_family_that_cannot_travel_is_one_clear_line(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Local(Toy):
        pass

    with pytest.raises(UserError, match=r"family toy .*Local.* engine=processes"):
        save_job(dataclasses.replace(job(), families={"toy": Local()}), tmp_path)


@given(
    st.dictionaries(st.text(max_size=10), options, max_size=8),
    st.integers(1, 99),
    st.none() | st.floats(0.1, 1e6),
    st.none() | st.binary(max_size=50),
    st.booleans(),
)
def test_orders_travel_unchanged_and_without_what_nni_takes_for_a_comment(choices, epochs, seconds, start, keep):
    order = Order(Candidate("a//b", choices), epochs, 7, seconds, start, keep, b"w")
    assert [f.name for f in dataclasses.fields(Order)] == [
        *("candidate", "epochs", "seed", "seconds", "start", "keep", "weights")
    ]
    sent: dict[str, Any] = {}
    engine = unplugged()
    engine._channel = Channel(sent)
    engine.start(3, order)
    assert "//" not in json.dumps(sent["parameters"])
    back = order_from_json(sent["parameters"]["order"])
    assert dataclasses.asdict(back) == dataclasses.asdict(order)


def test_an_order_beyond_nnis_limit_is_a_failed_trial():
    engine = unplugged()
    engine.start(0, Order(Candidate("toy", {f"axis{i}": "x" * 50 for i in range(100)}), 1, 0))
    [(number, outcome)] = engine.collect()
    assert (number, outcome.status) == (0, "failed") and str(PAYLOAD + 96) in outcome.error


@given(st.integers(0, 5), st.integers(1, 4))
def test_outcomes_travel_unchanged(rows, classes):
    outcome = Outcome(
        "ok", 0.5, (0.25, 0.5), 1.5, 2, 10, "", np.full((rows, classes), 0.125, np.float32), b"\x00\xff", 0.5
    )
    back = outcome_from_json(outcome_to_json(outcome))
    assert np.array_equal(back.predictions, outcome.predictions) and back.predictions.dtype == np.float32
    fields = [f.name for f in dataclasses.fields(Outcome) if f.name != "predictions"]
    assert [getattr(back, f) for f in fields] == [getattr(outcome, f) for f in fields]


class Channel:
    def __init__(self, sent: dict[str, Any]) -> None:
        self.sent = sent

    def send_trial(self, **command: Any) -> None:
        self.sent.update(command)

    def disconnect(self) -> None:
        pass


def unplugged() -> NniServiceEngine:
    """An engine without a manager."""
    engine = NniServiceEngine()
    engine._channel = Channel({})
    return engine


def pieces_of(outcome: Outcome, monkeypatch, size: int) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(nni_trial, "PIECE", size)
    monkeypatch.setattr(nni_trial.nni, "report_intermediate_result", said.append)
    monkeypatch.setattr(nni_trial.nni, "report_final_result", said.append)
    nni_trial.report(outcome)
    return said


def metric(number: int, value: str) -> command_type.ReportMetricData:
    return command_type.ReportMetricData(number, "FINAL", 0, value, "trial", "0")


def test_an_outcome_in_pieces_is_put_together_even_when_the_end_comes_first(monkeypatch):
    outcome = Outcome("ok", 1.0, (1.0,), weights=bytes(range(256)) * 8)
    pieces = pieces_of(outcome, monkeypatch, size=100)
    assert len(pieces) > 10 and not any("//" in piece for piece in pieces)
    engine = unplugged()
    engine.start(5, Order(CANDIDATE, 1, 0))
    engine._events.put(("end", command_type.TrialEnd("trial", [5], "SUCCEEDED")))
    for piece in reversed(pieces):
        engine._events.put(("metric", metric(5, piece)))
    assert engine.collect() == [(5, outcome)]


def test_a_trial_that_ends_without_a_word_failed():
    engine = unplugged()
    engine.start(5, Order(CANDIDATE, 1, 0))
    engine._events.put(("end", command_type.TrialEnd("trial", [5], "FAILED")))
    [(number, outcome)] = engine.collect()
    assert (number, outcome.status) == (5, "failed") and "FAILED" in outcome.error


class Manager:
    def __init__(self) -> None:
        self.cancelled: list[int] = []

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def alive(self) -> bool:
        return True


def test_a_trial_that_never_says_a_word_is_cancelled_and_a_timeout(monkeypatch):
    monkeypatch.setattr("nas.engines.nni_service.TRIAL_START", -2.0)
    engine = unplugged()
    engine.workers = 1
    engine._manager = Manager()  # type: ignore[assignment]
    for number in (5, 6):
        engine.start(number, Order(CANDIDATE, 1, 0, seconds=0.2))
    [(number, outcome)] = engine.collect()
    assert (number, outcome.status, engine._manager.cancelled) == (5, "timeout", [5])
    assert "the limit is 0.2 s" in outcome.error and 6 in engine._began, "its turn only came now"


def test_a_search_that_is_stopped_gives_up_what_is_at_work():
    engine = unplugged()
    engine._manager = Manager()  # type: ignore[assignment]
    for number in (5, 6):
        engine.start(number, Order(CANDIDATE, 1, 0))
    engine.stop()
    assert engine.collect() == [(5, None), (6, None)] and engine._manager.cancelled == [5, 6]


def test_a_manager_that_is_gone_ends_the_search_with_one_line():
    engine = unplugged()
    engine._events = queue.Queue()
    engine.start(5, Order(CANDIDATE, 1, 0))
    with pytest.raises(UserError, match="manager ended"):
        engine.collect()


def test_the_code_that_travels_holds_the_familys_package_and_no_data(tmp_path):
    copy_code(job(), tmp_path)
    assert all((tmp_path / "nas" / name).exists() for name in ("evaluate.py", "testing/strategies.py"))
    found = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert found <= {".py", ".json", ".yaml"}


def test_the_next_free_port_is_taken():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert free_port(port) > port


def slashes_job() -> Job:
    """A choice whose name holds what NNI's JSON reader takes for a comment."""
    families = {"toy": Toy()}
    shared = (Axis("learning_rate", (0.01, 0.1)), Axis("note", ("http://a//b", "plain")))
    return Job(TASK, part(64, 0), part(32, 1), families, search_axes(families, TASK, shared), device="cpu")


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestWithTheManager:
    def test_trials_are_trained_as_in_this_process_and_nobody_outside_can_listen(self, tmp_path):
        todo = slashes_job()
        wanted = [
            Candidate("toy", {"deep": "no", "learning_rate": rate, "note": note})
            for rate, note in ((0.01, "http://a//b"), (0.1, "plain"))
        ]
        engine = NniServiceEngine(workers=2, folder=str(tmp_path))
        seen: list[str] = []

        def look(trial, outcome):
            seen.extend(
                c.laddr.ip
                for c in psutil.Process(engine._manager._process.pid).net_connections()  # type: ignore[union-attr]
                if c.status == psutil.CONN_LISTEN
            )

        prior, budget = Prior.uniform(todo.axes), Budget(epochs=2)
        home = set(Path.home().iterdir())
        try:
            trials = search(todo, prior, Listed(wanted), engine, budget, seed=0, finished=look)
        finally:
            engine.shutdown()
        torch.set_num_threads(1)
        expected = [evaluate(todo, Order(c, 2, 0)) for c in wanted]
        assert [(t.status, t.score, t.curve) for t in trials] == [(o.status, o.score, o.curve) for o in expected]
        assert set(seen) == {"127.0.0.1"}
        assert set(Path.home().iterdir()) == home, "nothing is written into the user's home"

    def test_faults_are_trials(self, tmp_path):
        todo = faulty_job()
        faults = {"raise": "failed", "kill": "failed", "hang": "timeout", "none": "ok"}
        wanted = [Candidate("faulty", {"fault": f, "twin": 1, "learning_rate": 0.1}) for f in faults]
        engine = NniServiceEngine(workers=2, folder=str(tmp_path), trial_seconds=1.0)
        began = time.monotonic()
        try:
            trials = search(todo, Prior.uniform(todo.axes), Listed(wanted), engine, Budget(epochs=2), seed=0)
        finally:
            engine.shutdown()
        assert {t.candidate.choices["fault"]: t.status for t in trials} == faults
        assert time.monotonic() - began < 240

    def test_the_manager_ends_with_the_search_that_is_killed(self, tmp_path):
        code = (
            "import sys, time\n"
            "from pathlib import Path\n"
            "from nas.engines.nni_service import NniServiceEngine\n"
            "from nas.engines.nni.manager import NniManager\n"
            "folder = Path(sys.argv[1])\n"
            "manager = NniManager(NniServiceEngine()._config(folder), folder, 8180)\n"
            "manager.start()\n"
            "print(manager._process.pid, flush=True)\n"
            "time.sleep(600)\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=environment
        ) as search_process:
            assert search_process.stdout is not None
            manager = psutil.Process(int(search_process.stdout.readline()))
            assert manager.is_running()
            search_process.kill()
        manager.wait(timeout=30)
        assert not manager.is_running()


@pytest.fixture
def sshd(tmp_path):
    """An SSH server of this user on this machine; yields the machine as the engine wants it described."""
    if (server := shutil.which("sshd", path="/usr/sbin:/usr/bin")) is None:
        pytest.skip("needs sshd")
    folder, home = tmp_path / "sshd", tmp_path / "home"
    folder.mkdir(mode=0o700)
    home.mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port(2200)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'user.pub'}\n"
        f"PasswordAuthentication no\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile {folder / 'pid'}\n"
        f"Subsystem sftp internal-sftp\nSetEnv HOME={home}\n"
    )
    process = subprocess.Popen([server, "-D", "-e", "-f", folder / "config"], stderr=(folder / "log").open("w"))
    yield {
        "host": "127.0.0.1",
        "port": port,
        "user": getpass.getuser(),
        "ssh_key_file": str(folder / "user"),
        "python_path": str(Path(sys.executable).parent),
    }
    process.terminate()
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_over_ssh_the_scores_are_those_of_this_process(tmp_path, sshd):
    """Code, data and results travel: the other side shares no folder with the search."""
    todo = slashes_job()
    wanted = [Candidate("toy", {"deep": "no", "learning_rate": rate, "note": "plain"}) for rate in (0.01, 0.1)]
    engine = NniServiceEngine(workers=2, folder=str(tmp_path / "nni"), machines=[sshd])
    got: list[Outcome] = []
    try:
        trials = search(
            todo,
            Prior.uniform(todo.axes),
            Listed(wanted),
            engine,
            Budget(epochs=2),
            seed=0,
            finished=lambda trial, outcome: got.append(outcome),
        )
    finally:
        engine.shutdown()
    torch.set_num_threads(1)
    expected = [evaluate(todo, Order(c, 2, 0)) for c in wanted]
    assert [(t.status, t.score, t.curve) for t in trials] == [(o.status, o.score, o.curve) for o in expected]
    assert {o.weights for o in got} == {o.weights for o in expected}
