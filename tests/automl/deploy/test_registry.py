"""The registry: what a reference stands for, whatever is done to it, by whomever, and whoever is killed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automl.data.sources.frame import FrameSource
from automl.deploy import registry as module
from automl.deploy.bundle import META, Bundle
from automl.deploy.entry import HISTORY, Entry, Held, Past
from automl.deploy.examples import write_examples
from automl.deploy.export import write_meta
from automl.deploy.registry import Registry, fault
from automl.errors import UserError
from tests.experiments.predict.bundles import bundle_of, people


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Which a power cut needs, and no test has."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("made")
    made = []
    for seed in range(3):
        source = FrameSource(people(60, seed), target="size").load()
        made.append(bundle_of(folder / f"bundle {seed}", source, "multiclass"))
        (made[-1] / "README.md").write_text(f"# {seed}\n")
    return made


@pytest.fixture(scope="module")
def digests(bundles) -> list[str]:
    return [json.loads((b / META).read_text())["digest"] for b in bundles]


@pytest.fixture
def registry(tmp_path, bundles) -> Registry:
    """``price`` in two versions; the first is champion."""
    registry = Registry(tmp_path / "registry")
    registry.add(bundles[0], "price", alias="champion")
    registry.add(bundles[1], "price")
    return registry


def test_a_reference_in_every_form(registry, bundles, digests):
    first, second, _ = digests
    assert registry.names() == ["price"]
    for reference, digest in [
        ("price", first),
        ("price@champion", first),
        (f"price@{second}", second),
        (f"price@{second[:6]}", second),
    ]:
        version = registry.resolve(reference)
        assert (version.name, version.digest) == ("price", digest)
        assert version.folder == registry.folder / "bundles" / digest[:16]
    rows = people(5).drop(columns="size")
    expected = Bundle.load(bundles[1]).predict_proba(rows)
    np.testing.assert_array_equal(
        Bundle.load(registry.resolve(f"price@{second[:9]}").folder).predict_proba(rows), expected
    )
    assert (registry.resolve("price").folder / "README.md").read_text() == "# 0\n"


def test_promoted_and_rolled_back(registry, bundles, digests):
    first, second, third = digests
    assert registry.promote("price", second[:8]) == second
    registry.add(bundles[2], "price", alias="challenger")
    assert registry.promote("price", "challenger") == third
    assert registry.resolve("price").digest == third
    assert registry.promote("price", third) == third, "again, which is no change"
    assert [registry.rollback("price") for _ in range(2)] == [second, first]
    with pytest.raises(UserError, match="price@champion was nothing else before"):
        registry.rollback("price")
    assert registry.resolve("price").digest == first
    assert registry.resolve("price@challenger").digest == third
    registry.unset("price", "challenger")
    assert registry.entry("price").aliases == {"champion": first}
    assert registry.rollback("price", "challenger") == third


def test_twice_the_same_is_one_and_the_copy_is_ones_own(registry, bundles, digests, tmp_path):
    before = registry.entry("price")
    assert registry.add(bundles[0], "price") == digests[0]
    assert registry.entry("price") == before
    mine = shutil.copytree(bundles[2], tmp_path / "mine")
    registry.add(mine, "price")
    for file in mine.iterdir():
        with file.open("r+b") as written:  # as who writes into a file, and makes none anew
            written.write(b"XXXX")
    assert not fault(registry.resolve(f"price@{digests[2]}").folder, digests[2], contents=True)


def test_one_bundle_under_two_names(registry, bundles, digests):
    registry.add(bundles[1], "rent")
    registry.drop("price", digests[1])
    assert registry.resolve(f"rent@{digests[1]}").folder.is_dir(), "held by the other name"
    registry.drop("rent", digests[1])
    assert not (registry.folder / "bundles" / digests[1][:16]).exists()
    assert registry.names() == ["price"], "a name goes with its last version"


def test_what_an_alias_holds_is_kept_and_what_is_dropped_is_no_past(registry, digests):
    first, second, _ = digests
    with pytest.raises(UserError, match="is champion; promote another version, or drop the alias first"):
        registry.drop("price", first)
    registry.promote("price", second)
    assert registry.drop("price", first) == first
    with pytest.raises(UserError, match="nothing else before"):
        registry.rollback("price")


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("rent", "has no model 'rent'; it has price"),
        ("price@", "price@ is not there; aliases: champion"),
        ("price@challenger", "price@challenger is not there; aliases: champion"),
        ("price@abc", "price@abc is not there"),
        ("price@0000000", "price@0000000 is not there"),
        ("../price", "'../price' is no name"),
        ("price/../../x", "is no name"),
        ("PRICE", "'PRICE' is no name"),
        ("price\n", "is no name"),
        ("", "'' is no name"),
        ("x" * 65, "is no name"),
        ("price@" + "x" * 10_000, "..."),
    ],
)
def test_what_is_not_there_is_one_line(registry, reference, line):
    with pytest.raises(UserError) as error:
        registry.resolve(reference)
    assert line in str(error.value)
    assert len(str(error.value)) < 700 and "\n" not in str(error.value)


def test_a_beginning_of_several(tmp_path):
    entry = Entry("x", (Held("abcdef1" + 57 * "0", ""), Held("abcdef2" + 57 * "0", "")), {}, ())
    with pytest.raises(UserError, match=r"x@abcdef may be abcdef1.*, abcdef2.*; give more digits"):
        entry.find("abcdef")
    assert entry.find("abcdef2")[6] == "2"


@pytest.mark.parametrize("alias", ["deadbeef", "123456", "Champion", "a/b", "", "ä"])
def test_no_alias_looks_like_a_digest(registry, bundles, digests, alias):
    for deed in (
        lambda: registry.promote("price", digests[1], alias),
        lambda: registry.add(bundles[2], "price", alias=alias),
    ):
        with pytest.raises(UserError, match="is no alias"):
            deed()
    assert len(registry.entry("price").versions) == 2


def test_an_empty_registry_says_so_and_nothing_is_made(tmp_path):
    registry = Registry(tmp_path / "none")
    assert registry.names() == [] and registry.state() == ()
    for deed in (registry.resolve, registry.rollback, lambda name: registry.promote(name, "abcdef")):
        with pytest.raises(UserError, match="has no model 'price'; it has none"):
            deed("price")
    assert not registry.folder.exists()


def test_only_a_sound_bundle_is_taken(registry, bundles, tmp_path):
    broken = shutil.copytree(bundles[2], tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"model.onnx is not the file that meta.json describes"):
        registry.add(broken, "price")
    wrong = shutil.copytree(bundles[2], tmp_path / "wrong")
    dataset = FrameSource(people(60, 2), target="size").load()
    write_examples(wrong, dataset, [0], np.array([[0.98, 0.01, 0.01]]))
    write_meta(wrong, Bundle.load(bundles[2]).task, {})
    with pytest.raises(UserError, match=r"the model answers .* where it answered 0.98"):
        registry.add(wrong, "price")
    with pytest.raises(UserError, match="holds no readable bundle"):
        registry.add(tmp_path, "price")
    assert len(registry.entry("price").versions) == 2 and len(list((registry.folder / "bundles").iterdir())) == 2


@pytest.mark.parametrize("harm", ["gone", "file gone", "file changed", "another meta", "link"])
def test_a_version_that_breaks_is_told_and_mended_by_adding_it(registry, bundles, digests, harm, tmp_path):
    registry.promote("price", digests[1])
    folder = registry.resolve("price").folder
    if harm in ("gone", "link"):
        shutil.rmtree(folder)
        if harm == "link":
            folder.symlink_to(tmp_path / "nowhere")
    elif harm == "file gone":
        (folder / "model.onnx").unlink()
    elif harm == "file changed":
        (folder / "model.onnx").write_bytes(b"other")
    else:
        (folder / META).write_text("[" * 100_000)
    if harm != "file changed":  # which is for Bundle.load to see
        with pytest.raises(UserError, match=rf"price@{digests[1][:16]} is broken: .*; add the bundle again"):
            registry.resolve("price")
    with pytest.raises(UserError, match="is broken"):
        registry.promote("price", digests[1], "challenger")
    stamp = registry.state()
    registry.add(bundles[1], "price")
    assert registry.state() != stamp, "or nobody looks again"
    assert registry.rollback("price") == digests[0], "the champion of before answers in any case"
    assert not fault(folder, digests[1], contents=True)
    assert sorted(p.name for p in folder.parent.iterdir()) == sorted(d[:16] for d in digests[:2])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"name":"price"',
        b"[" * 200_000,
        b'{"name":"rent","versions":[],"aliases":{},"history":[]}',
        b'{"name":"price","versions":[{"digest":"../..","added":""}],"aliases":{},"history":[]}',
        b'{"name":"price","versions":[],"aliases":{"champion":"' + b"a" * 64 + b'"},"history":[]}',
        b'{"name":"price","versions":{},"aliases":[],"history":null}',
        b'{"name":"price","versions":[],"aliases":{},"history":[],"x":' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
        b" " * 4_000_001,
    ],
    ids=range(10),
)
def test_a_name_that_cannot_be_read_is_one_line_and_the_others_stay(registry, bundles, digests, content):
    registry.add(bundles[1], "rent", alias="champion")
    (registry.folder / "names/price.json").write_bytes(content)
    with pytest.raises(UserError, match=r"price.json cannot be read \(.*\); bring back a copy of it") as error:
        registry.resolve("price")
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
    with pytest.raises(UserError, match="cannot be read"):
        registry.add(bundles[2], "price")
    assert registry.resolve("rent").digest == digests[1]
    registry.promote("rent", registry.add(bundles[2], "rent"))
    registry.drop("rent", digests[1])
    assert (registry.folder / "bundles" / digests[1][:16]).is_dir(), "perhaps the other name holds it"


def test_half_copies_are_cleared_and_not_seen(registry, bundles, digests):
    (registry.folder / "bundles" / f"{digests[2][:16]}.part").mkdir()
    (registry.folder / "bundles" / f"{digests[2][:16]}.part" / "model.onnx").write_bytes(b"half")
    (registry.folder / "names/.price.json.123.part").write_text("{")
    assert registry.names() == ["price"]
    registry.add(bundles[2], "price")
    assert not [p for p in registry.folder.rglob("*") if p.name.endswith(".part")]


def test_a_full_disk_leaves_what_was_there(registry, bundles, digests, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = registry.entry("price")
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "copyfile", full)
        with pytest.raises(UserError, match="cannot be written: No space left on device; mend that, and run it again"):
            registry.add(bundles[2], "price")
        patch.setattr(module, "write_atomically", full)
        with pytest.raises(UserError, match="No space left"):
            registry.promote("price", digests[1])
    assert registry.entry("price") == before and registry.resolve("price").digest == digests[0]
    assert len(list((registry.folder / "bundles").iterdir())) == 2


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, bundles):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file cannot be written: "):
        Registry(tmp_path / "file").add(bundles[0], "price")


def test_the_history_is_bounded_per_alias(registry, digests):
    registry.promote("price", digests[1], "challenger")
    registry.promote("price", digests[0], "challenger")
    entry = registry.entry("price")
    for at in range(3 * HISTORY):
        entry = entry.moved("champion", digests[(at + 1) % 2])
    assert sum(p.alias == "champion" for p in entry.history) == HISTORY
    assert Past("challenger", digests[1], entry.history[0].until) in entry.history


def test_the_stamp_changes_with_every_change(registry, digests):
    seen = {registry.state()}
    for at in range(6):
        registry.promote("price", digests[(at + 1) % 2])
        seen.add(registry.state())
    assert len(seen) == 7


def test_it_waits_for_another_writer_but_not_for_ever(registry, digests, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.05)
    with registry._writing():
        with pytest.raises(UserError, match="has been written by another process"):
            registry.promote("price", digests[1])
        assert registry.resolve("price").digest == digests[0], "reading needs no lock"
    registry.promote("price", digests[1])


NAMES, ALIASES = st.sampled_from(["a", "b"]), st.sampled_from(["champion", "challenger"])
WHICH = st.integers(0, 2)
DEEDS = st.one_of(
    st.tuples(st.just("add"), NAMES, WHICH, st.none() | ALIASES),
    st.tuples(st.just("promote"), NAMES, WHICH, ALIASES),
    st.tuples(st.just("rollback"), NAMES, WHICH, ALIASES),
    st.tuples(st.just("unset"), NAMES, WHICH, ALIASES),
    st.tuples(st.just("drop"), NAMES, WHICH, ALIASES),
)


BACK_TO_ITSELF = [  # what lay between two times of the same champion is dropped
    ("add", "a", 0, "champion"),
    ("add", "a", 1, "champion"),
    ("promote", "a", 0, "champion"),
    ("drop", "a", 1, "champion"),
    ("rollback", "a", 0, "champion"),
]


@settings(max_examples=60, deadline=None)
@example(deeds=BACK_TO_ITSELF)
@given(deeds=st.lists(DEEDS, max_size=25))
def test_any_sequence_of_deeds_does_what_a_list_would(bundles, digests, deeds):
    """Beside the registry a plain model of each name: its versions, and per alias all that it was, the present last."""
    loaded = {b: SimpleNamespace(folder=b, meta=json.loads((b / META).read_text())) for b in bundles}
    known: dict[str, tuple[list[str], dict[str, list[str | None]]]] = {}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Bundle, "load", loaded.__getitem__)
        registry = Registry(folder)
        for do, name, which, alias in deeds:
            digest = digests[which]
            versions, pasts = known.get(name, ([], {}))
            past = pasts.get(alias, [])
            held = any(p and p[-1] == digest for p in pasts.values())
            try:
                match do:
                    case "add":
                        registry.add(bundles[which], name, alias=alias)
                    case "promote":
                        registry.promote(name, digest, alias)
                    case "rollback":
                        registry.rollback(name, alias)
                    case "unset":
                        registry.unset(name, alias)
                    case "drop":
                        registry.drop(name, digest)
            except UserError:
                past_ones = [d for d in past[:-1] if d not in (None, past[-1])]
                assert {
                    "add": False,
                    "promote": digest not in versions,
                    "rollback": not past_ones,
                    "unset": not past or past[-1] is None,
                    "drop": digest not in versions or held,
                }[do], (do, name, alias)
                continue
            versions, pasts = known.setdefault(name, ([], {}))
            if do == "add" and digest not in versions:
                versions.append(digest)
            if do in ("add", "promote") and alias and (pasts.setdefault(alias, [None])[-1] != digest):
                pasts[alias].append(digest)
            if do == "unset":
                pasts[alias].append(None)
            if do == "rollback":
                now = pasts[alias].pop()
                while pasts[alias][-1] in (None, now):
                    pasts[alias].pop()
            if do == "drop":
                versions.remove(digest)
                for alias_, past in pasts.items():
                    pasts[alias_] = [d for d in past if d != digest]
                if not versions:
                    del known[name]
            assert registry.names() == sorted(known)
            for one, (versions, pasts) in known.items():
                entry = registry.entry(one)
                assert [v.digest for v in entry.versions] == versions
                assert entry.aliases == {a: p[-1] for a, p in pasts.items() if p and p[-1]}
                assert all(registry.resolve(f"{one}@{d[:12]}").digest == d for d in versions)
            copies = {p.name for p in (registry.folder / "bundles").iterdir()}
            assert copies == {d[:16] for versions, _ in known.values() for d in versions}


def run(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


TOGETHER = """
import os, sys
from automl.deploy.registry import Registry
os.fsync = lambda _: None
registry, versions = Registry(sys.argv[1]), sys.argv[2:]
children = []
for alias in ("one", "two", "three"):
    child = os.fork()
    if child == 0:
        try:
            for at in range(31):
                registry.promote("price", versions[at % 2], alias)
            os._exit(0)
        finally:
            os._exit(1)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
"""


def test_who_promotes_at_once_loses_nothing(registry, digests):
    run(TOGETHER, registry.folder, *digests[:2])
    entry = registry.entry("price")
    for alias in ("one", "two", "three"):
        assert [p.digest for p in entry.history if p.alias == alias] == [*digests[:2] * 15]
        assert entry.aliases[alias] == digests[0]


KILLED = """
import itertools, json, os, shutil, signal, sys, tempfile
from pathlib import Path
from types import SimpleNamespace
from automl.deploy.registry import Bundle, Registry, fault

os.fsync = lambda _: None
base, new, (first, second) = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:5]
loaded = SimpleNamespace(folder=new, meta=json.loads((new / "meta.json").read_text()))
Bundle.load = lambda _: loaded  # before anything is written; and its threads would not live through a fork
deeds = {
    "add": lambda r: r.add(new, "price", alias="champion"),
    "promote": lambda r: r.promote("price", second),
    "rollback": lambda r: r.rollback("price", "challenger"),
    "drop": lambda r: r.drop("price", second),
}

def kill_before(step, folder):
    steps = itertools.count()
    def hook(event, args):
        writes = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            if str(folder) in str(args[0]) and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def seen(registry):
    entry = registry.entry("price")
    for version in entry.versions:  # whatever is listed is there, and whole
        folder = registry.resolve(f"price@{version.digest}").folder
        assert not fault(folder, version.digest, contents=True)
    return [[v.digest for v in entry.versions], dict(entry.aliases), len(entry.history)]

before, told = seen(Registry(base)), {}
for name, deed in deeds.items():
    after = None
    states = []
    for step in itertools.count():
        with tempfile.TemporaryDirectory() as place:
            registry = Registry(shutil.copytree(base, Path(place) / "registry"))
            child = os.fork()
            if child == 0:
                kill_before(step, registry.folder)
                try:
                    deed(registry)
                    os._exit(0)
                finally:
                    os._exit(1)
            status = os.waitpid(child, 0)[1]
            states.append(seen(registry))
            if os.WIFEXITED(status):
                assert status == 0
                break
            assert os.WTERMSIG(status) == signal.SIGKILL
            if states[-1] == before:  # the same again is possible
                deed(registry)
                states.append(seen(registry))
            else:
                registry.promote("price", first)
            assert not [p for p in registry.folder.rglob("*") if p.name.endswith(".part")]
    after = states[-1]
    assert after != before and all(state in (before, after) for state in states), (name, states)
    told[name] = step
print(json.dumps(told))
"""


def test_kill_9_before_every_step_leaves_the_old_or_the_new(registry, bundles, digests):
    registry.promote("price", digests[1], "challenger")
    registry.promote("price", digests[0], "challenger")
    steps = json.loads(run(KILLED, registry.folder, bundles[2], *digests[:2]))
    assert steps["add"] >= 8 and min(steps.values()) >= 2, steps


HOLDER = """
import sys, time
from automl.deploy.registry import Registry
with Registry(sys.argv[1])._writing():
    print(flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_killed_process_is_free(registry, digests):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(registry.folder)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    began = time.monotonic()
    registry.promote("price", digests[1])
    assert time.monotonic() - began < 5


def test_copies_of_no_name_are_told(registry, bundles, digests):
    assert registry.orphans() == []
    (registry.folder / "names" / "price.json").rename(
        registry.folder / "price.json"
    )  # as of an ``add`` that was killed
    assert {c.name for c in registry.orphans()} == {d[:16] for d in digests[:2]}
    registry.add(bundles[0], "price")
    assert [c.name for c in registry.orphans()] == [digests[1][:16]]
    (registry.folder / "names" / "rent.json").write_text("{")
    assert registry.orphans() == [], "what cannot be read may hold any"


def test_copies_of_no_name_are_removed_where_all_names_are_known(registry, bundles, digests, tmp_path):
    assert Registry(tmp_path / "nothing").clean() == [] and registry.clean() == []
    copies, names = registry.folder / "bundles", registry.folder / "names"
    (names / "price.json").rename(tmp_path / "price.json")
    with pytest.raises(UserError, match="not a single name, as if these were lost"):
        registry.clean()
    registry.add(bundles[2], "rent")
    (names / "odd.json").write_text("{")
    with pytest.raises(UserError, match=r"odd\.json cannot be read"):
        registry.clean()
    (names / "odd.json").unlink()
    (copies / "notes.txt").write_text("mine")
    assert {c.name for c in copies.iterdir()} == {*(d[:16] for d in digests), "notes.txt"}
    assert [c.name for c in registry.clean()] == sorted(d[:16] for d in digests[:2])
    assert {c.name for c in copies.iterdir()} == {digests[2][:16], "notes.txt"} and registry.clean() == []
    assert registry.resolve(f"rent@{digests[2]}").digest == digests[2]
