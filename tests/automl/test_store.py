"""The store's contract, on SQLite and, where a server can be started, on PostgreSQL."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.errors import UserError
from automl.passwords import masked, without_passwords
from automl.store import schema
from automl.store.store import Store
from automl.types import Attempt, Budget, Candidate, Input, Prior, Profile, Task
from tests.automl import postgres
from tests.automl import vocabulary as v
from tests.automl.examples import AXES, CONVNET, MLP, TASK, trial

ROOT = Path(__file__).resolve().parents[2]
PROFILE = Profile(("log10_train_rows", "landmark_1nn_error"), (3.1, float("nan")), {"landmark_1nn_error": "slow"})
PRIOR = replace(Prior.uniform(AXES, why=("no past runs",)), portfolio=(MLP, CONVNET))


BUDGET = Budget()


def begin(store: Store, key: str = "k", task=TASK, *, resume: bool = False, prior=None, profile=None):
    return store.begin(key, task, profile, seed=0, config={}, prior=prior, resume=resume)


def other_process(code: str, *args: object, stdin: int | None = None) -> subprocess.Popen[str]:
    """Run code that finds the store's module and the ready-made values imported."""
    head = "import sys\nfrom automl.store.store import Store\nfrom automl.types import *\n"
    head += "from tests.automl.examples import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), *map(str, args)],
        cwd=ROOT,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )


class StoreContract:
    """What holds for every database. A subclass gives the fixture ``url``: a new, empty database."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        with Store(url) as store:
            yield store

    # -- a search --

    def test_trials_return_in_the_order_in_which_they_finished(self, store):
        search = begin(store)
        written = [trial(2, candidate=CONVNET), trial(0), trial(1, status="failed", score=None, error="boom")]
        for t in written:
            store.append(search.id, t)
        assert store.trials() == written
        assert store.trials(search=search.id) == written

    def test_trials_are_kept_when_the_store_is_opened_again(self, store, url):
        search = begin(store)
        store.append(search.id, trial(parameters=10, latency_ms=0.25))
        with Store(url) as again:
            assert again.trials() == [trial(parameters=10, latency_ms=0.25)]

    def test_any_trial_is_read_back_equal(self, store):
        @settings(max_examples=40, deadline=None)
        @given(data=st.data(), task=v.task)
        def check(data: st.DataObject, task: Task) -> None:
            search = begin(store, task=task)
            written = data.draw(v.any_trial(task.name))
            store.append(search.id, written)
            (read,) = store.trials(search=search.id)
            assert v.same(read, written)
            assert read.candidate.id == written.candidate.id

        check()

    def test_the_same_number_is_refused_and_the_first_is_kept(self, store):
        search = begin(store)
        store.append(search.id, trial(0, score=0.25))
        with pytest.raises(ValueError, match="already holds trial number 0"):
            store.append(search.id, trial(0, score=0.75))
        assert store.trials() == [trial(0, score=0.25)]

    def test_searches_have_their_own_numbers(self, store):
        first, second = begin(store), begin(store)
        store.append(first.id, trial(0))
        store.append(second.id, trial(0, candidate=CONVNET))
        assert store.trials(search=second.id) == [trial(0, candidate=CONVNET)]

    def test_a_trial_without_its_search_is_refused(self, store):
        with pytest.raises(ValueError, match="no search 7"):
            store.append(7, trial())
        with pytest.raises(ValueError, match="no search 7"):
            store.finish(7, {})
        with pytest.raises(ValueError, match="on task 'digits', the trial on 'iris'"):
            store.append(begin(store).id, trial(task="iris"))
        assert store.trials() == []

    @pytest.mark.parametrize("score", [float("nan"), float("inf"), None])
    def test_what_is_no_score_is_never_stored_as_one(self, store, score):
        search = begin(store)
        store.append(search.id, trial(score=score))
        (read,) = store.trials()
        assert (read.status, read.score) == ("diverged", None)
        assert f"score is {score}" in read.error
        assert np.isnan(store.runs().score).all()

    def test_numbers_that_are_none_do_not_lose_the_trial(self, store):
        search = begin(store)
        bad = trial(0, status="timeout", score=0.5, seconds=float("nan"), latency_ms=float("inf"))
        store.append(search.id, bad)
        assert store.trials() == [replace(bad, score=None, seconds=0.0, latency_ms=None)]

    def test_text_that_no_database_holds_is_escaped(self, store):
        task = replace(TASK, name="a\0\ud800", group="\udcff")
        search = begin(store, "key\0", task)
        store.append(search.id, trial(task=task.name, error="x\0y\ud800"))
        (read,) = store.trials()
        assert (read.task, read.error) == ("a\\x00\\ud800", "x\\x00y\\ud800")
        assert begin(store, "key\0", task, resume=True).id == search.id

    # -- going on --

    def test_resume_goes_on_with_the_newest_search_of_the_key(self, store):
        first = begin(store, prior=PRIOR)
        newest = begin(store, prior=PRIOR)
        begin(store, "another key")
        found = begin(store, resume=True, prior=Prior.uniform(AXES))
        assert found.id == newest.id != first.id
        assert found.resumed
        assert found.prior == PRIOR == store.prior(found.id)  # the one that it began with, not the one of now
        assert store.prior(begin(store, "another key").id) is None

    def test_resume_of_an_unknown_key_begins(self, store):
        assert not begin(store, resume=True, prior=PRIOR).resumed
        assert begin(store, resume=True).prior == PRIOR

    def test_without_resume_it_is_a_new_attempt(self, store):
        store.append(begin(store).id, trial())
        again = begin(store, prior=None)
        assert not again.resumed
        assert store.trials(search=again.id) == []

    def test_resume_on_another_task_is_refused(self, store):
        begin(store)
        with pytest.raises(UserError, match=r"resume=true: .*'iris'.* Set resume=false"):
            begin(store, task=replace(TASK, name="iris"), resume=True)

    def test_what_depends_on_the_split_is_the_same_task(self, store):
        begin(store)
        moved = replace(TASK, inputs=(replace(TASK.inputs[0], mean=(0.1,), std=(0.2,)),), why=("new",))
        assert begin(store, task=moved, resume=True).resumed
        for k, letters in enumerate((0, 40, 41)):
            text = Input("text", "text", (9 + letters,), vocabulary=50 + k, letters=letters)
            begin(store, key="text", task=replace(TASK, name="texts", inputs=(text,)), resume=k > 0)
        assert len(store.tasks()) == 2

    def test_a_finished_search_keeps_its_result(self, store):
        search = begin(store, "k")
        store.append(search.id, trial(0, score=0.25))
        store.append(search.id, trial(1, score=0.75))
        store.append(search.id, trial(2, status="oom", score=None))
        running = begin(store, "other")
        store.finish(search.id, {"test": {"accuracy": np.float32(0.5), "ece": float("nan")}})
        done, open_ = store.searches()
        assert (done.id, done.trials, done.ok, done.best) == (search.id, 3, 2, 0.75)
        assert done.result == {"test": {"accuracy": 0.5, "ece": None}}
        assert done.finished_at is not None
        assert done.finished_at >= done.started_at
        assert (open_.id, open_.trials, open_.best, open_.result, open_.finished_at) == (
            running.id,
            0,
            None,
            None,
            None,
        )
        assert [s.id for s in store.searches(key="other")] == [running.id]
        assert store.searches(task="iris") == []

    # -- reading --

    def test_trials_are_found_by_what_is_given(self, store):
        iris = replace(TASK, name="iris")
        a, b = begin(store), begin(store, task=iris)
        t0, t1, t2 = trial(0), trial(1, candidate=CONVNET, status="failed", score=None), trial(0, task="iris")
        for search, t in ((a, t0), (a, t1), (b, t2)):
            store.append(search.id, t)
        assert store.trials(task="digits") == [t0, t1]
        assert store.trials(status="ok") == [t0, t2]
        assert store.trials(family="mlp", task="iris") == [t2]
        assert store.trials(search=a.id, family="convnet", status="ok") == []

    def test_runs_are_the_trials_as_columns(self, store):
        iris = replace(TASK, name="iris", group="flowers")
        a, b = begin(store, profile=PROFILE), begin(store, task=iris)
        begin(store, task=replace(TASK, name="empty"))
        trials = [
            trial(0, seed=2**62 + 1),
            trial(1, candidate=CONVNET, status="failed", score=None, fidelity=9),
            trial(0, task="iris", score=-2.0, seconds=3.25),
        ]
        for search, t in zip((a, a, b), trials, strict=True):
            store.append(search.id, t)
        runs = store.runs()
        assert (runs.tasks, runs.groups) == (("digits", "iris"), ("digits", "flowers"))
        assert v.same(runs.profiles, (PROFILE, None))
        assert [runs.tasks[i] for i in runs.task] == [t.task for t in trials]
        assert [runs.candidates[i] for i in runs.candidate] == [t.candidate for t in trials]
        assert runs.fidelity.tolist() == [3, 9, 3]
        assert runs.seed.tolist() == [2**62 + 1, 0, 0]
        np.testing.assert_array_equal(runs.score, [0.5, np.nan, -2.0])
        assert runs.seconds.tolist() == [1.5, 1.5, 3.25]
        assert {c.dtype.kind for c in (runs.task, runs.candidate, runs.fidelity, runs.seed)} == {"i"}

    def test_runs_leave_out_what_is_named(self, store):
        for name, group, candidate in (("a", "g", MLP), ("b", "g", MLP), ("c", "h", CONVNET)):
            store.append(
                begin(store, task=replace(TASK, name=name, group=group)).id, trial(task=name, candidate=candidate)
            )
        assert store.runs(without_groups=["g"]).tasks == ("c",)
        assert store.runs(without_groups=["g"]).candidates == (CONVNET,)
        assert store.runs(without_groups=["g"]).task.tolist() == [0]
        assert store.runs(without_tasks={"a"}).tasks == ("b", "c")
        assert store.runs(without_tasks=["b"], without_groups=["h"]).tasks == ("a",)
        assert store.runs(fidelity=3).tasks == ("a", "b", "c")
        assert store.runs(fidelity=4).tasks == ()

    def test_runs_on_the_same_kind_of_inputs(self, store):
        text = Input("words", "text", (16,))
        for name, inputs in (("a", TASK.inputs), ("b", (text,)), ("c", (*TASK.inputs, text))):
            store.append(begin(store, task=replace(TASK, name=name, group=name, inputs=inputs)).id, trial(task=name))
        modality = TASK.inputs[0].modality
        assert store.runs(modalities=[modality]).tasks == ("a",)
        assert store.runs(modalities={"text"}).tasks == ("b",)
        assert store.runs(modalities=["text", modality]).tasks == ("c",)
        assert store.runs(modalities=["audio"]).tasks == ()

    def test_runs_as_a_search_found_them_when_it_began(self, store):
        store.add(TASK, PROFILE, [trial(0, seed=5)])
        first, second = begin(store), begin(store)
        store.append(second.id, trial(0, seed=2))
        store.append(first.id, trial(0, seed=1))
        assert store.runs(before_search=first.id).seed.tolist() == [5]
        assert store.runs(before_search=second.id).seed.tolist() == [5, 1]

    def test_an_empty_store_has_empty_runs(self, store):
        runs = store.runs()
        assert (runs.tasks, runs.candidates, len(runs.score), len(runs.seed)) == ((), (), 0, 0)
        assert (store.trials(), store.searches(), store.tasks()) == ([], [], [])

    # -- past runs --

    def test_past_runs_are_taken_in_once(self, store):
        past = [trial(0), trial(0, seed=1), trial(1, status="failed", score=None)]
        assert store.add(TASK, PROFILE, past) == 3
        assert store.add(TASK, PROFILE, [*past, trial(0, seed=2)]) == 1
        assert store.trials() == [*past, trial(0, seed=2)]
        assert len(store.runs().score) == 4

    def test_ones_own_runs_are_not_taken_in_again(self, store):
        store.append(begin(store).id, trial())
        assert store.add(TASK, PROFILE, store.trials()) == 0
        ((_, profile),) = store.tasks()
        assert v.same(profile, PROFILE)  # there was none: it fills the gap

    def test_past_runs_do_not_replace_a_newer_profile(self, store):
        begin(store, profile=PROFILE)
        store.add(TASK, Profile(("old",), (0.0,)), [])
        assert store.tasks()[0][1] is not None
        assert store.tasks()[0][1].names == PROFILE.names

    def test_past_runs_of_another_task_are_refused(self, store):
        with pytest.raises(ValueError, match="of task 'iris', not of 'digits'"):
            store.add(TASK, None, [trial(task="iris")])

    def test_many_past_runs_at_once(self, store):
        past = [trial(i, candidate=Candidate("mlp", {"width": i}), seed=i) for i in range(1200)]
        assert store.add(TASK, None, past) == 1200
        assert store.trials() == past

    # -- several processes, and the end of one --

    def test_threads_may_share_a_store(self, store):
        search = begin(store)
        faults: list[BaseException] = []

        def work(start: int) -> None:
            try:
                for i in range(start, 40, 2):
                    store.append(search.id, trial(i, candidate=Candidate("mlp", {"width": i // 2})))
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not faults
        assert sorted(t.number for t in store.trials()) == list(range(40))

    def test_processes_open_one_new_store_and_write_at_once(self, url):
        code = """
            store = Store(sys.argv[1])
            search = store.begin(sys.argv[2], TASK, None, seed=0, config={}, prior=None, resume=False)
            for i in range(20):
                store.append(search.id, trial(i, candidate=Candidate("mlp", {"width": i})))
        """
        writers = [other_process(code, url, name) for name in "abc"]
        assert [w.wait(60) for w in writers] == [0, 0, 0]
        with Store(url) as store:
            assert len(store.trials()) == 60
            assert [s.trials for s in store.searches()] == [20, 20, 20]
            assert len(store.runs().candidates) == 20

    def test_sigkill_loses_nothing_that_was_committed(self, url):
        code = """
            import itertools
            store = Store(sys.argv[1])
            search = store.begin("k", TASK, None, seed=0, config={}, prior=None, resume=True)
            for i in itertools.count():
                store.append(search.id, trial(i, error="x" * 3000))
                print(i, flush=True)
        """
        with other_process(code, url) as writer:
            assert writer.stdout is not None
            for _ in itertools.takewhile(lambda line: int(line) < 10, writer.stdout):
                pass
            os.kill(writer.pid, signal.SIGKILL)
            said = [10, *map(int, writer.stdout.read().split())]
        with Store(url) as store:
            search = begin(store, resume=True)
            assert search.resumed
            numbers = [t.number for t in store.trials(search=search.id)]
            # All that it said, and at most the one that was committed but not yet said.
            assert numbers in (list(range(said[-1] + 1)), list(range(said[-1] + 2)))
            store.append(search.id, trial(len(numbers)))

    # -- one process at a time --

    def test_a_search_that_is_at_work_is_refused_in_one_line(self, store, url):
        search = begin(store).id
        with store.hold(search, BUDGET, 2), pytest.raises(UserError, match=f"search {search} is at work") as caught:
            Store(url).hold(search, BUDGET, 2)
        assert f"process {os.getpid()} on" in str(caught.value) and "\n" not in str(caught.value)
        with store.hold(search, BUDGET, 2), store.hold(begin(store).id, BUDGET, 2):
            pass  # given back, and another search is another matter

    def test_a_process_that_was_killed_holds_nothing(self, store, url):
        search = begin(store).id
        holder = other_process(
            """
            import time
            with Store(sys.argv[1]).hold(int(sys.argv[2]), Budget(), 1):
                print("held", flush=True)
                time.sleep(100)
            """,
            url, search,
        )  # fmt: skip
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {holder.pid} on"):
            store.hold(search, BUDGET, 1)
        holder.kill()
        while psutil.Process(holder.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        with store.hold(search, BUDGET, 1) as hold:
            store.append(search, trial(0), hold)
        holder.wait()
        assert len(store.trials(search=search)) == 1

    def test_a_process_elsewhere_counts_as_gone_when_it_was_silent_for_a_minute(self, store, url):
        search = begin(store).id
        with store.hold(search, BUDGET, 1) as first:
            with store._write() as c:
                c.execute(sa.text("UPDATE attempts SET host = 'elsewhere'"))
            with pytest.raises(UserError, match="on elsewhere"):
                store.hold(search, BUDGET, 1)
            with store._write() as c:
                c.execute(sa.text("UPDATE attempts SET beat = beat - 61"))
            with Store(url).hold(search, BUDGET, 1) as second:
                with pytest.raises(UserError, match=f"search {search} was taken over"):
                    store.append(search, trial(0), first)
                store.append(search, trial(0), second)
        assert len(store.trials(search=search)) == 1

    def test_a_clock_that_is_set_ends_no_hold(self, store, url, monkeypatch):
        boot, search = psutil.boot_time(), begin(store).id
        with store.hold(search, BUDGET, 1):
            monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)
            with store._write() as c:
                c.execute(sa.text("UPDATE attempts SET beat = beat - 3600"))
            with pytest.raises(UserError, match=f"search {search} is at work"):
                Store(url).hold(search, BUDGET, 1)

    def test_another_process_of_the_number_holds_nothing(self, store):
        """As after a start of the machine: nobody waits for it."""
        search = begin(store).id
        store.hold(search, BUDGET, 1)
        with store._write() as c:
            c.execute(sa.text("UPDATE attempts SET born = born - 1"))
        with store.hold(search, BUDGET, 1) as hold:
            store.append(search, trial(0), hold)

    def test_one_of_many_that_ask_together_gets_the_search(self, store, url):
        search = begin(store).id
        code = """
            try:
                hold = Store(sys.argv[1]).hold(int(sys.argv[2]), Budget(), 1)
                print("mine", flush=True)
            except Exception as error:
                print(type(error).__name__, flush=True)
            sys.stdin.read()
            """
        asking = [other_process(code, url, search, stdin=subprocess.PIPE) for _ in range(3)]
        answers = sorted(p.stdout.readline().strip() for p in asking)
        for process in asking:
            process.communicate()
        assert answers == ["UserError", "UserError", "mine"]

    def test_attempts_tell_how_trials_were_decided_and_the_clock(self, store):
        search = begin(store).id
        first, more = Budget(7, 60.0, 9), Budget(None, 600.0, 9)
        with store.hold(search, first, 2) as hold:
            assert hold.attempts == () and hold.spent is None
            hold.clock = lambda: 12.5
            for number in (0, 3):
                store.append(search, replace(trial(number), number=number), hold)
        with store.hold(search, more, 16) as hold:
            assert hold.attempts == (Attempt(0, first, 2),) and hold.spent == 12.5
        with store.hold(search, first, 1) as hold:
            assert hold.attempts == (Attempt(0, first, 2), Attempt(4, more, 16)) and hold.spent == 12.5

    def test_an_attempt_that_was_killed_at_once_does_not_set_the_clock_back(self, store):
        """Its trials are from before attempts were written down."""
        search = begin(store).id
        store.append(search, trial(0))
        for _ in range(2):
            with store.hold(search, BUDGET, 1) as hold:
                assert hold.spent is None, "the engine adds up the trials then"

    def test_the_clock_goes_on_without_trials(self, store, url, monkeypatch):
        monkeypatch.setattr("automl.store.hold.BEAT", 0.02)
        search = begin(store).id
        with store.hold(search, BUDGET, 1) as hold:
            hold.clock = lambda: 77.0
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                with Store(url)._read() as c:
                    if c.execute(sa.text("SELECT spent FROM attempts")).scalar_one() == 77.0:
                        return
                time.sleep(0.02)
        pytest.fail("no sign of life in 20 s")

    def test_no_two_searches_have_the_same_token(self, store):
        searches = [begin(store), begin(store)]
        assert len({s.token for s in searches} - {""}) == 2
        assert begin(store, resume=True).token == searches[-1].token

    def test_a_store_of_version_1_is_taken_over_with_all_its_rows(self, store, url):
        search = begin(store, prior=PRIOR)
        for number in range(3):
            store.append(search.id, trial(number))
        before = store.trials(search=search.id)
        with store._write() as c:
            for change in (
                "DROP TABLE attempts",
                "ALTER TABLE searches DROP COLUMN token",
                "UPDATE schema_version SET version = 1",
            ):
                c.execute(sa.text(change))
        store.close()
        again, beside = Store(url), Store(url)
        assert again.trials(search=search.id) == before == beside.trials()
        taken = begin(again, resume=True)
        assert (taken.id, taken.prior, taken.token) == (search.id, PRIOR, "")
        with again.hold(search.id, BUDGET, 1) as hold:
            assert hold.attempts == () and hold.spent is None
            again.append(search.id, trial(3), hold)
        with again.hold(search.id, BUDGET, 1) as hold:
            assert hold.attempts == (Attempt(3, BUDGET, 1),)
        assert begin(again).token

    # -- faults of the user --

    def test_tables_of_another_version_are_refused(self, store, url):
        with store._engine.connect() as c:
            c.execute(sa.text("UPDATE schema_version SET version = 99"))
            c.commit()
        with pytest.raises(UserError, match="tables of version 99, this program writes version 2") as caught:
            Store(url)
        assert "\n" not in str(caught.value)

    def test_passwords_stay_out(self, store):
        secret = {"store": {"url": "postgresql://me:hunter2@db/level4"}}
        search = store.begin("k", TASK, None, seed=0, config=secret, prior=None, resume=False)
        store.finish(search.id, secret)
        with store._engine.connect() as c:
            config = c.execute(sa.text("SELECT config FROM searches")).scalar_one()
        assert config == '{"store": {"url": "postgresql://me:***@db/level4"}}'
        assert "hunter2" not in str(store.searches())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@db/level4",
        "postgresql://:hunter2@db/level4",
        "postgresql+psycopg://me:hun/ter2@db:5432/level4",
        "postgresql://me:a@hunter2@db/level4",
        "postgresql://me@db/level4?password=hunter2",
        "postgresql://db/level4?user=me&password=hunter2&sslmode=require",
        "postgresql://db/level4?sslkey=k&sslpassword=hunter2",
        "postgresql://db/level4?PASSWORD=hunter2",
        "could not connect: host=db password=hunter2 dbname=level4",
    ],
)
def test_no_form_of_a_password_is_shown(url):
    hidden = without_passwords(json.dumps({"store": {"url": url}, "seed": 3}))
    assert "ter2" not in hidden and "***" in hidden
    assert json.loads(hidden)["seed"] == 3
    with pytest.raises(UserError) as caught:
        Store(url.replace("postgresql", "mysql"))
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        {"engine": {"machines": [{"host": "a", "password": "hunter2", "ssh_passphrase": "hunter2 hunter2"}]}},
        {"engine": {"machines": [{"host": "a", "password": 27_182_818}]}},
        {"overrides": ["engine.machines=[{host:a,user:me,password:hunter2 and more,port:22}]"]},
        {"overrides": ["engine.machines=[{host:a,password:'hunter2, too'}]", "+engine.machines.0.password=hunter2"]},
        {"overrides": ['engine.machines=[{"password": "hunter2"}]']},
        {"webhook": "https://hooks.example.com/a?token=hunter2", "api_key": "hunter2"},
    ],
    ids=str,
)
def test_options_that_are_called_so_are_hidden(said):
    hidden = json.dumps(masked(said))
    assert "hunter2" not in hidden and "27182818" not in hidden and "***" in hidden
    assert masked(said).keys() == said.keys() and masked(masked(said)) == masked(said)


def test_what_is_no_password_stays():
    for text in ("sqlite:///outputs/store.db", "http://h:80/a", "postgresql://me@db/level4?sslmode=require", "a@b: c"):
        assert without_passwords(text) == text
    plain = {"password": None, "token": "", "tokens": 3, "password_file": "~/.pgpass", "data": [1, 2.5, True, "a: b"]}
    assert masked(plain) == plain


class TestSqlite(StoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        yield f"sqlite:///{tmp_path}/new/folder/store.db"

    def test_readers_do_not_wait_for_a_writer(self, store):
        store.append(begin(store).id, trial(0))
        started = time.monotonic()
        with store._write() as c:  # holds SQLite's one write lock
            c.execute(sa.text("DELETE FROM trials"))
            assert len(store.trials()) == 1
        assert time.monotonic() - started < 10
        assert store.trials() == []

    def test_what_cannot_be_opened_is_one_line(self, tmp_path):
        (tmp_path / "text.db").write_text("this is no database, and it is longer than a header" * 20)
        (tmp_path / "file").write_text("")
        for url, said in {
            "outputs/store.db": "is no database URL. Write sqlite:///PATH",
            "mysql://me@db/x": "'mysql' is not supported",
            "sqlite://": "names no file",
            f"sqlite:///{tmp_path}/text.db": "file is not a database",
            f"sqlite:///{tmp_path}/file/store.db": "cannot make the folder",
            f"sqlite:///{tmp_path}": "unable to open database file",
        }.items():
            with pytest.raises(UserError, match=said) as caught:
                Store(url)
            assert "\n" not in str(caught.value)

    def test_a_server_that_does_not_answer_is_one_line_without_the_password(self):
        with pytest.raises(UserError, match=r"store postgresql.*refused.*store.url=") as caught:
            Store("postgresql://me:hunter2@127.0.0.1:9/level4")
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_damaged_file_is_one_line(self, store, url):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as other:
            other.execute("DROP TABLE trials")
        with pytest.raises(UserError, match="no such table: trials"):
            store.trials()

    @pytest.mark.slow
    def test_a_million_trials_are_read_in_seconds(self, store):
        past = [trial(i, candidate=Candidate("mlp", {"width": i % 500}), seed=i) for i in range(1000)]
        store.add(TASK, PROFILE, past)
        copy = ", ".join(c.name for c in schema.trials.columns if c.name != "id")
        with store._write() as c:
            c.execute(
                sa.text(
                    f"INSERT INTO trials ({copy}) SELECT {copy} FROM trials, "
                    "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i FROM n)"
                )
            )
        started = time.monotonic()
        runs = store.runs()
        assert len(runs.score) == 1_000_000
        assert time.monotonic() - started < 15


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


class TestPostgresql(StoreContract):
    made = itertools.count()

    @pytest.fixture
    def url(self, server: str) -> Iterator[str]:
        name = f"test_{next(self.made)}"
        admin = sa.create_engine(
            server.format(name="postgres").replace("postgresql:", "postgresql+psycopg:"),
            isolation_level="AUTOCOMMIT",
            poolclass=sa.NullPool,
        )
        with admin.connect() as c:
            c.execute(sa.text(f"CREATE DATABASE {name}"))
        yield server.format(name=name)
