"""Windows add up whoever wrote them and in whatever order; what is broken is passed over and read once."""

from __future__ import annotations

import errno
import itertools
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.monitor import windows
from automl.monitor.counter import Counter
from automl.monitor.windows import Window, append, clear, read, total
from tests.automl.monitor.bundles import asked, people


def window(*counts: int, at: float = 1e9) -> Window:
    return Window(at, at + 60, np.array(counts, dtype=np.int64))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.randoms())
@settings(max_examples=10, deadline=None)
def test_windows_of_any_workers_in_any_order_are_the_counts_of_all_rows(bundle, sizes, random) -> None:
    counter = Counter(bundle)
    frame = people(sum(sizes), 3)
    rows, outputs = asked(bundle, frame)
    whole = counter.answers(outputs, [0.004] * len(sizes), requests=len(sizes)) + counter.rows(rows)
    ends = np.cumsum([0, *sizes])
    parts = []
    for a, b in itertools.pairwise(ends):
        vector = counter.answers([o[a:b] for o in outputs], [0.004]) + counter.rows(rows[a:b])
        parts.append(Window(float(a), float(b), vector))
    random.shuffle(parts)
    found = total(parts)
    assert found is not None and (found.start, found.end) == (0, len(frame))
    np.testing.assert_array_equal(found.counts, whole)


def test_what_workers_wrote_is_read_once(tmp_path: Path) -> None:
    for worker in ("1-a", "2-b"):
        for i in range(3):
            append(tmp_path, worker, window(i, 1, at=1e9 + 60 * i))
    first = read(tmp_path, 2)
    assert len(first.windows) == 6 and first.broken == 0
    append(tmp_path, "1-a", window(7, 1))
    again = read(tmp_path, 2, first.places)
    assert [w.counts.tolist() for w in again.windows] == [[7, 1]]
    assert read(tmp_path, 2, again.places).windows == []
    assert read(tmp_path / "gone", 2).windows == []


def test_a_clock_that_jumps_loses_no_row(tmp_path: Path) -> None:
    for at in (1e9, 2e9, 1e9 - 1e6, 0.0, -5.0):
        append(tmp_path, "1-a", window(1, at=at))
    found = total(read(tmp_path, 1).windows)
    assert found is not None and found.counts.tolist() == [5]


def test_half_a_line_waits_for_its_end_and_broken_ones_are_passed_over(tmp_path: Path) -> None:
    append(tmp_path, "1-a", window(1))
    (file,) = tmp_path.glob("*.jsonl")
    line = window(2).line()
    with file.open("ab") as out:
        out.write(line[:20])
    first = read(tmp_path, 1)
    assert [w.counts.tolist() for w in first.windows] == [[1]] and first.broken == 0
    with file.open("ab") as out:
        out.write(line[20:])
        out.write(
            b"{}\n[1]\nnull\n" + b"[" * 5000 + b"\n" + window(1, 2).line() + b'{"counts": [-1], "from": 0, "to": 1}\n'
        )
        out.write(b'{"counts": [1.5], "from": 0, "to": 1}\n{"counts": [99999999999999999999], "from": 0, "to": 1}\n')
    again = read(tmp_path, 1, first.places)
    assert [w.counts.tolist() for w in again.windows] == [[2]] and again.broken == 8


def test_a_file_that_was_removed_and_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    for _ in range(3):
        append(tmp_path, "1-a", window(1))
    first = read(tmp_path, 1)
    next(tmp_path.glob("*.jsonl")).unlink()
    append(tmp_path, "1-a", window(5))
    assert [w.counts.tolist() for w in read(tmp_path, 1, first.places).windows] == [[5]]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch) -> None:
    append(tmp_path, "1-a", window(1))
    real = os.write
    monkeypatch.setattr(windows.os, "write", lambda file, line: real(file, line[:10]))
    with pytest.raises(OSError) as caught:
        append(tmp_path, "1-a", window(2))
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    append(tmp_path, "1-a", window(3))
    found = read(tmp_path, 1)
    assert [w.counts.tolist() for w in found.windows] == [[1], [3]] and found.broken == 0


def test_old_files_go_once_they_were_read(tmp_path: Path, monkeypatch) -> None:
    now = time.time()
    for i, days in enumerate((0, 3, 40, 50)):
        append(tmp_path, f"{i}-a", window(i))
        (file,) = tmp_path.glob(f"*-{i}-a.jsonl")
        os.utime(file, (now - days * 86400,) * 2)
    places = read(tmp_path, 1).places
    unread = next(name for name in places if "-3-a" in name)
    clear(tmp_path, {**places, unread: 0}, now)
    assert {f.name.split("-")[2] for f in tmp_path.glob("*.jsonl")} == {"0", "1", "3"}
    monkeypatch.setattr(windows, "KEEP_MB", 0)
    clear(tmp_path, places, now)
    assert {f.name.split("-")[2] for f in tmp_path.glob("*.jsonl")} == {"0"}, "what is written to now stays"
