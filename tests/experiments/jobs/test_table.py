"""The queue: bounded, in order, each job by one process at a time, and ended once."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from automl.errors import UserError
from experiments.jobs import table as module
from experiments.jobs.service import brief
from experiments.jobs.table import Full, Lease, Table


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "jobs.db")


def submitted(table: Table, count: int = 1) -> list[str]:
    return [table.submit({"seed": i}, "iris", most=100)[0].id for i in range(count)]


def taken(table: Table, at_once: int = 1) -> Lease:
    lease = table.take(at_once)
    assert lease is not None
    return lease


def state(table: Table, id: str) -> str:
    job = table.get(id)
    assert job is not None
    return job.state


def test_the_oldest_goes_first_and_no_more_than_may(table: Table) -> None:
    ids = submitted(table, 3)
    first = taken(table, 2)
    assert first.begin() and first.beat({"stage": "read"}) == "go"
    assert taken(table, 2).id == ids[1] and table.take(2) is None
    assert first.end("done", {"test": 1.0}) and taken(table, 2).id == ids[2]
    job = table.get(ids[0])
    assert job is not None and job.state == "done" and job.result == {"test": 1.0} and job.ended is not None
    assert [j.id for j in table.all()] == ids[::-1]


def test_what_is_kept_is_bounded(table: Table) -> None:
    submitted(table, 2)
    with pytest.raises(Full, match="2 jobs wait"):
        table.submit({}, "iris", most=2)
    with pytest.raises(Full, match="DELETE /jobs/ID"):
        table.submit({}, "iris", most=9, kept=2)
    lease = taken(table)
    assert not table.forget(lease.id)
    lease.end("failed", error="odd")
    assert table.forget(lease.id) and table.get(lease.id) is None
    table.submit({}, "iris", most=9, kept=2)


def test_a_key_is_one_job(table: Table) -> None:
    one, new = table.submit({"seed": 1}, "iris", most=1, key="k")
    again, newer = table.submit({"seed": 1}, "iris", most=1, key="k")  # also where no further one may wait
    assert new and not newer and one.id == again.id


def test_an_end_is_once_and_by_who_has_the_lease(table: Table) -> None:
    (id,) = submitted(table)
    lease = taken(table)
    other = Lease(table, id, "another")
    assert not other.end("failed") and other.beat({"best": 2}) == "lost" and not other.begin()
    assert lease.end("done", {}) and not lease.end("failed") and lease.beat() == "lost"
    assert state(table, id) == "done"


def test_a_lease_whose_process_is_gone_is_taken_up_again(table: Table) -> None:
    (id,) = submitted(table)
    code = (
        "import sys; from pathlib import Path; from experiments.jobs.table import Lease, Table; "
        "assert Lease(Table(Path(sys.argv[1])), sys.argv[2], sys.argv[3]).begin()"
    )
    for attempt in range(module.TRIES):
        lease = taken(table)
        job = table.get(id)
        assert job is not None and job.attempts == attempt + 1
        subprocess.run([sys.executable, "-c", code, str(table.file), id, lease.token], check=True)
    assert table.take(1) is None and state(table, id) == "failed"


class Clock:
    """In place of the table's: it stands where it is put."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(module, "time", SimpleNamespace(time=time.time, monotonic=lambda: self.now))

    def run(self, table: Table, seconds: float) -> Lease | None:
        """While somebody looks each second, until something is taken up."""
        for _ in range(int(seconds)):
            self.now += 1
            if (lease := table.take(1)) is not None:
                return lease
        return None


def at_work(table: Table, lease: Lease) -> subprocess.Popen[bytes]:
    """A process that works on it, and gives no sign."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert lease.begin(process.pid)
    return process


def test_who_lives_keeps_it_unless_it_hangs(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted(table)
    lease = taken(table)
    assert lease.begin() and table.take(1) is None
    with at_work(table, lease) as process:
        monkeypatch.setattr(module, "HANGS", -1.0)
        assert taken(table).id == lease.id and process.wait(5) == -9
    assert lease.beat() == "lost"


def test_of_a_process_that_cannot_be_seen_signs_of_life_tell(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    submitted(table)
    lease = taken(table)
    lease._change("host = 'elsewhere', pid = 1, born = 0")
    for _ in range(3):
        assert clock.run(table, module.SILENT) is None and lease.beat() == "go"
    assert clock.run(table, 1) is None
    clock.now += 1e6  # who looks was stopped, or the machine slept
    assert table.take(1) is None
    assert Table(table.file).take(1) is None  # who has only begun to look knows of no silence
    again = clock.run(table, module.SILENT)
    assert again is not None and again.id == lease.id and lease.beat() == "lost"


def test_a_clock_that_is_set_loses_nobody(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an hour: what is told in seconds since 1970 moves with it, also when a process began."""
    now, boot = time.time, psutil.boot_time()
    submitted(table, 2)
    seen, unseen = taken(table, 2), taken(table, 2)
    assert seen.begin()
    unseen._change("host = 'elsewhere', pid = 1, born = 0")
    assert table.take(2) is None
    for step in (3600, -3600):
        monkeypatch.setattr(time, "time", lambda step=step: now() + step)
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda step=step: boot + step)
        assert table.take(2) is None and seen.beat() == "go" and unseen.beat() == "go"


def test_another_process_of_the_number_is_none_of_ours(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a start of the machine."""
    submitted(table)
    lease = taken(table)
    with at_work(table, lease) as process:
        lease._change("born = born - 1")
        monkeypatch.setattr(module, "HANGS", -1.0)
        assert taken(table).token != lease.token and process.poll() is None
        process.kill()


def test_a_full_disk_is_nobody_s_silence(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    submitted(table)
    lease = taken(table)
    full = "create trigger full before update on jobs begin select raise(rollback, 'database or disk is full'); end"
    with at_work(table, lease) as process:
        assert clock.run(table, module.HANGS) is None
        with table._write() as db:
            db.execute(full)
        for say in (lease.beat, lambda: clock.run(table, 1)):
            with pytest.raises(sqlite3.Error, match="disk is full"):
                say()
        assert process.poll() is None
        with table._write() as db:
            db.execute("drop trigger full")
        assert clock.run(table, 1) is None and lease.beat() == "go"  # also where the keeper is the first to look
        process.kill()


def test_a_cancel_is_heard(table: Table) -> None:
    running, waiting = submitted(table, 2)
    lease = taken(table)
    assert lease.begin()
    table.cancel(running)
    table.cancel(waiting)
    assert lease.beat() == "stop" and state(table, waiting) == "cancelled"
    lease.vanished()  # before it could say so
    monkey = table.take(1)
    assert monkey is None and state(table, running) == "cancelled"


def test_who_is_stopped_while_the_server_ends_has_ended(table: Table) -> None:
    (id,) = submitted(table)
    lease = taken(table)
    table.cancel(id)
    assert lease.give_back()
    job = table.get(id)
    assert job is not None and job.state == "cancelled" and job.ended is not None


def test_what_is_given_back_waits_and_has_lost_nothing(table: Table) -> None:
    (id,) = submitted(table)
    for _ in range(5):  # more often than it may be lost
        assert taken(table).give_back()
    assert state(table, id) == "waiting"


def test_many_that_take_together_take_each_once(table: Table) -> None:
    submitted(table, 12)
    found: list[str] = []

    def take() -> None:
        until = time.monotonic() + 20
        while (lease := table.take(100)) is not None and time.monotonic() < until:
            found.append(lease.id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == 12


def test_odd_ids_are_nobody(table: Table) -> None:
    for id in ("", "x", "../..", "\udcff", "0" * 12, "a' or 1=1"):
        assert table.get(id) is None and table.cancel("0" * 12) is None


def test_a_list_holds_no_curves(table: Table) -> None:
    (id,) = submitted(table)
    lease = taken(table)
    trials = [{"number": n, "curve": [math.nan, 1.0]} for n in range(3)]
    progress = {"stage": "search", "metric": "accuracy", "trials": trials, "now": [], "best": 1 / 3}
    assert lease.begin() and lease.beat(progress) == "go"
    (job,), whole = table.all(), table.get(id)
    assert job.progress == {"stage": "search", "metric": "accuracy", "best": 1 / 3, "trials": 3}
    assert whole is not None and whole.progress is not None and brief(job) == brief(whole)
    assert whole.progress["trials"][0]["curve"] == [None, 1.0]
    lease._change("progress = ?", json.dumps(progress))  # as an earlier program wrote it: no JSON
    (old,) = table.all()
    assert brief(old) == {**brief(job), "version": brief(old)["version"]}


def not_a_database(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)


def cut(file: Path) -> None:
    table = Table(file)
    for n in range(50):
        table.submit({"name": "x" * 1000, "seed": n}, "iris", most=100)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def of_another(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("create table jobs (id text, asked text)")


@pytest.mark.parametrize("spoil", [not_a_database, cut, of_another])
def test_a_table_that_is_damaged_is_one_line(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    file = tmp_path / "jobs.db"
    Table.checked(file)
    file.unlink()
    spoil(file)
    with pytest.raises(UserError, match=r"jobs\.db holds no jobs that can be read \(.+\)\. Move it away") as caught:
        Table.checked(file)
    assert "\n" not in str(caught.value)


def test_a_table_that_cannot_be_written_is_another_s_fault(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing/jobs\.db .+ Mend its rights"):
        Table.checked(tmp_path / "nothing" / "jobs.db")


def test_a_sign_of_life_reads_no_curves(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given each second, and what it told before is megabytes."""
    (id,) = submitted(table)
    lease = taken(table)
    monkeypatch.setattr(table, "get", lambda id: pytest.fail("all of it was read"))
    assert lease.begin() and lease.beat({"stage": "search"}) == "go"
    assert table.told(id, "version") == 2 and table.told("0" * 12, "version") is None
    table.cancel(id)
    assert lease.beat() == "stop"
