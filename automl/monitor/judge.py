"""The one who reads the windows that workers wrote, tests them, and tells of alerts.

state.json    how far the files were read, the evidence so far, and what the past looked like, in little room

Any process may judge, one at a time does (judge.lock): the recorders do, each time they have written. An alert is
written before the state is, so a process that is killed in between tells the webhook once more rather than never.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from automl.files import write_atomically
from automl.monitor import alerts, live, windows
from automl.monitor.answers import Answers, fix_of
from automl.monitor.counter import Counter
from automl.monitor.effects import words
from automl.monitor.tests import Alarm, Event, Level, Watch
from automl.monitor.windows import Window

NAME, LOCK, VERSION = "state.json", "judge.lock", 1
LEAST_ROWS = 50
"""Windows of fewer rows are put together: a look at less costs as much of what may be spent, and shows little. By
judgement; the power of windows of 50 rows is in docs/benchmarks.md (``+experiment=bench/drift``)."""
MINUTE = 60
HISTORY = 1000
"""Points of the past. When there are more, the older half of them is added up in pairs. It bounds a file."""
ALARM_SURE = 0.995
"""Of the bounds on what labels tell: accuracy and cover, so that with ``tests.ALPHA`` 5 % of stable streams alarm."""
LEVEL = 0.9  # whose cover is watched: by judgement, enough rows lie outside to tell
log = logging.getLogger(__name__)


@dataclass
class Point:
    """A window of the past. ``head``: its counts up to the fields'. ``evidence``: 1 is an alarm."""

    start: float
    end: float
    head: np.ndarray
    evidence: float


@dataclass
class State:
    """All that is known of a stream. ``pending``: rows too few to be tested. ``live``: what the labels say."""

    watch: Watch
    places: dict[str, int] = field(default_factory=dict)
    pending: Window | None = None
    history: list[Point] = field(default_factory=list)
    broken: int = 0
    live: dict[str, Any] = field(default_factory=dict)
    low: dict[str, bool] = field(default_factory=dict)


def judge(folder: Path, counter: Counter, now: float, webhook: str | None = None) -> State:
    """Take what was written since the last time. The state then; what began or ended is told.

    Where another process judges, the state that it last kept. Raises OSError for a folder that cannot be read or
    written.
    """
    if not folder.is_dir():
        return State(Watch.new(counter.reference))
    with _alone(folder) as alone:
        state = load(folder, counter)
        if not alone:
            return state
        before = dict(state.places)
        found = windows.read(folder, counter.layout.size, state.places)
        state.places, state.broken = found.places, state.broken + found.broken
        told = [*taken(state, counter, found.windows), *judged_labels(state, folder, counter, now)]
        new = _new(told, alerts.read(folder)) if told else []
        if new:
            alerts.append(folder, new)
        full: OSError | None = None
        try:
            if found.places != before or told:
                write_atomically(folder / NAME, json.dumps(to_plain(state, counter), separators=(",", ":")))
        except OSError as error:  # the same will be found again, each time until there is room
            told, full = new, error
    if told:
        log.warning("%s: %d alerts began or ended; %s tells them", folder, len(told), alerts.NAME)
    if told and webhook is not None:
        try:
            alerts.send(webhook, told)
        except OSError as error:
            log.warning("webhook %s cannot be reached (%s); alerts are in %s", webhook, error, folder / alerts.NAME)
    if full is not None:
        raise full
    return state


def _new(told: Sequence[dict[str, Any]], known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what the file tells already, as the state could not be written then. Of windows the moment says so; what
    labels say has that of the look.
    """
    moments = set(map(_moment, known))
    newest = {a["what"]: a["on"] for a in known if "windows" not in a}
    there = [a["on"] == newest.get(a["what"]) if "windows" not in a else _moment(a) in moments for a in told]
    return [a for a, found in zip(told, there, strict=True) if not found]


def _moment(a: Mapping[str, Any]) -> tuple[Any, ...]:
    return a["at"], a["on"], a["field"], a["what"]


def taken(state: State, counter: Counter, found: Sequence[Window]) -> Iterator[dict[str, Any]]:
    """Windows, in the order of time, those of a minute as one; what began or ended with them."""
    layout = counter.layout
    for _, same in groupby(sorted(found, key=lambda w: w.end), lambda w: w.end // MINUTE):
        window = windows.total([*([] if state.pending is None else [state.pending]), *same])
        assert window is not None
        state.pending = window
        if window.counts[1] < LEAST_ROWS:
            continue
        state.pending = None
        events = state.watch.step(window.counts[layout.counts])
        head = window.counts[: layout.fields.start]
        state.history.append(Point(window.start, window.end, head, state.watch.evidence))
        if len(state.history) > HISTORY:
            older, newer = state.history[: HISTORY // 2], state.history[HISTORY // 2 :]
            state.history = [*map(_merged, older[::2], older[1::2]), *newer]
        for event in events:
            yield said_of(event, counter, window.end)


def said_of(event: Event, counter: Counter, at: float) -> dict[str, Any]:
    """An event as a line of alerts.jsonl."""
    measure = counter.reference["measures"][event.measure]
    cells = Watch.cells_of(counter.reference)[event.measure]
    name = measure["field"] or "answers"
    text = words(measure, event.counts[cells], center_of(counter, measure)) if event.on else "as before again"
    said = name if measure["what"] == "value" and measure["field"] else f"{name}, {measure['what']}"
    return {
        "at": at,
        "on": event.on,
        "field": measure["field"],
        "what": measure["what"],
        "text": f"{said}: {text}",
        "windows": 2**event.alarm.level,
        "rows": int(event.counts[cells].sum()),
        "p": event.alarm.p,
    }


def judged_labels(state: State, folder: Path, counter: Counter, now: float) -> Iterator[dict[str, Any]]:
    """What the labels say, where new ones came; and whether they show that the model is worse than it was."""
    answers = Answers(folder, counter.bundle)
    try:
        last = answers.last_label()
        if last == state.live.get("last", 0):
            return
        state.live = {"last": last} | live.confirmed(counter.bundle, answers.labelled())
    except sqlite3.Error as error:
        log.warning("labels in %s cannot be read (%s); %s", answers.path, error, fix_of(error))
        return
    for what, low, text in live.worse(counter.bundle, state.live, LEVEL, ALARM_SURE):
        if low != state.low.get(what, False):
            state.low[what] = low
            said = text if low else "as before again"
            yield {"at": now, "on": low, "field": "", "what": what, "text": said, "rows": state.live["labels"]}


def center_of(counter: Counter, measure: Mapping[str, Any]) -> float:
    """What is added to a measure's numbers to be in the target's unit."""
    return 0.0 if measure["field"] or measure["what"] != "value" else counter.bundle.encoding.target.center


def _merged(a: Point, b: Point) -> Point:
    return Point(a.start, b.end, a.head + b.head, max(a.evidence, b.evidence))


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process judges; the lock goes with the process."""
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(file)


def load(folder: Path, counter: Counter) -> State:
    """The state as it was kept; a new one where there is none, or it is broken or of another bundle."""
    try:
        plain = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if plain["version"] == VERSION and plain["size"] == counter.layout.size:
            return _from_plain(plain, State(Watch.new(counter.reference)))
    except FileNotFoundError:
        pass
    except Exception as error:  # a file may hold anything
        why = f"{type(error).__name__}: {error}"
        log.warning("%s cannot be read (%s); what was written since is judged anew", folder / NAME, why)
    return State(Watch.new(counter.reference))


def to_plain(state: State, counter: Counter) -> dict[str, Any]:
    watch = state.watch
    return {
        "version": VERSION,
        "size": counter.layout.size,
        "places": state.places,
        "pending": None if state.pending is None else _window(state.pending),
        "history": [[p.start, p.end, p.evidence, p.head.tolist()] for p in state.history],
        "broken": state.broken,
        "live": state.live,
        "low": state.low,
        "looks": watch.looks,
        "windows": watch.windows,
        "total": watch.total.tolist(),
        "levels": [
            [at.blocks, *(None if b is None else b.tolist() for b in (at.before, at.last))] for at in watch.levels
        ],
        "alarms": [[of, a.level, a.share, a.p, a.gone] for of, a in watch.alarms.items()],
    }


def _from_plain(plain: Mapping[str, Any], state: State) -> State:
    def vector(of: Any) -> np.ndarray | None:
        return None if of is None else np.array(of, dtype=np.int64)

    pending = plain["pending"]
    state.places, state.broken = dict(plain["places"]), int(plain["broken"])
    state.pending = None if pending is None else Window(pending[0], pending[1], np.array(pending[2], dtype=np.int64))
    state.history = [Point(a, b, np.array(h, dtype=np.int64), e) for a, b, e, h in plain["history"]]
    state.live, state.low = dict(plain["live"]), dict(plain["low"])
    watch, cells = state.watch, state.watch.total.shape
    watch.looks, watch.windows = int(plain["looks"]), int(plain["windows"])
    watch.total = np.array(plain["total"], dtype=np.int64)
    watch.levels = [Level(int(n), vector(before), vector(last)) for n, before, last in plain["levels"]]
    watch.alarms = {int(of): Alarm(*rest) for of, *rest in plain["alarms"]}
    vectors = [watch.total, *(b for at in watch.levels for b in (at.before, at.last) if b is not None)]
    if any(v.shape != cells for v in vectors) or not watch.alarms.keys() <= {*range(len(watch.cells))}:
        raise ValueError("its counts are not those of the bundle")
    return state


def _window(window: Window) -> list[Any]:
    return [window.start, window.end, window.counts.tolist()]
