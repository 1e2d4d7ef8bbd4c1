"""The rows of a file, window by window, through the tests by which a server is watched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np

from automl.data.progress import Progress
from automl.data.sources.file import FileSource
from automl.deploy.bundle import Bundle
from automl.errors import UserError
from automl.monitor import live
from automl.monitor.answers import Labelled
from automl.monitor.counter import HEAD, Counter
from automl.monitor.effects import percent
from automl.monitor.judge import LEVEL, State, taken
from automl.monitor.status import told
from automl.monitor.tests import Watch
from automl.monitor.windows import Window
from automl.task.kind import numeric_target, plain_target
from experiments.monitor.run import Options
from experiments.predict.answers import heard
from experiments.predict.inputs import opened
from experiments.predict.predict import rows_at_once
from experiments.predict.rows import Chunk


def monitor(options: Options) -> dict[str, Any]:
    """What ``automl.monitor.status`` tells of a version, of a file; moments are numbers of rows.

    Raises UserError for an input that the model cannot be asked about.
    """
    bundle = Bundle.load(options.bundle)
    counter = Counter(bundle)
    if not counter.reference["measures"]:
        raise UserError(f"{options.bundle} has no reference.json, as it is of an earlier version; export it again")
    rows = opened(options.path, bundle.encoding, options.delimiter, options.encoding)
    state, lines, said = State(Watch.new(counter.reference)), [], _Said(options.labels is not None)
    bar = Progress("reading", rows.total, show=None if options.progress else False)
    with bar, closing(rows.chunks(options.window, bar)) as chunks, heard():
        for chunk in chunks:
            counts = _counted(counter, chunk, 0, len(chunk.places), said)
            counts[HEAD.index("unread")] += len(chunk.bad)
            lines += taken(state, counter, [Window(chunk.start, chunk.start + chunk.count, counts)])
    if options.labels is not None:
        state.live = live.confirmed(bundle, _labelled(options, bundle, said))
        for what, low, text in live.worse(bundle, state.live, LEVEL, live.SURE):
            if low:
                state.low[what] = True
                rest = {"rows": state.live["labels"], "at": state.live["labels"], "on": True}
                lines.append({"field": "", "what": what, "text": text, **rest})
    rest = 0 if state.pending is None else int(state.pending.counts[HEAD.index("rows")])
    said_of = told(state, counter, lines[::-1], time.time())
    if rest and state.watch.windows:
        said_of["problems"].append(f"the last {rest} rows are too few to be tested; the others were")
    return said_of


class _Said:
    """What the model said of rows, where labels will judge it: positions in the file, and outputs."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.places: list[np.ndarray] = []
        self.outputs: list[np.ndarray] = []

    def add(self, places: np.ndarray, outputs: list[np.ndarray]) -> None:
        if self.wanted:
            self.places.append(places)
            self.outputs.append(outputs[0] if outputs[0].ndim > 1 else np.stack(outputs[:2], axis=1))


def _counted(counter: Counter, chunk: Chunk, a: int, b: int, said: _Said) -> np.ndarray:
    """Of the rows a to b; when one cannot be read, of both halves."""
    bundle = counter.bundle
    if b - a > (most := rows_at_once(bundle)):
        parts = [_counted(counter, chunk, at, min(at + most, b), said) for at in range(a, b, most)]
        return np.sum(parts, axis=0)
    if a == b:
        return np.zeros(counter.layout.size, dtype=np.int64)
    try:
        dataset = bundle.encoding.dataset(chunk.load(a, b))
        inputs = bundle.encoding.transform(dataset)
    except UserError:
        if b - a > 1:
            middle = (a + b) // 2
            return _counted(counter, chunk, a, middle, said) + _counted(counter, chunk, middle, b, said)
        counts = np.zeros(counter.layout.size, dtype=np.int64)
        counts[HEAD.index("unread")] = 1
        return counts
    outputs = bundle.outputs_encoded(inputs)
    said.add(chunk.start + chunk.places[a:b], outputs)
    return counter.answers(outputs, requests=0) + counter.encoded(dataset, inputs)


def _labelled(options: Options, bundle: Bundle, said: _Said) -> Labelled:
    """Raises UserError where the labels are not those of the file's rows, or of none of the model's classes."""
    target = None if options.path.suffix.lower() in (".npz", ".npy") else options.labels
    dataset = FileSource(str(options.path), target, delimiter=options.delimiter, encoding=options.encoding).load()
    dataset = numeric_target(dataset) if bundle.task.kind == "regression" else plain_target(dataset)
    places = np.concatenate([np.zeros(0, np.int64), *said.places])
    if len(places) and places.max() >= len(dataset):
        raise UserError(f"{options.path} has rows that could not be read; mend them, or set labels=null")
    known = np.flatnonzero(dataset.target.iloc[places].notna().to_numpy())
    if not len(known):
        raise UserError(f"labels={options.labels} holds no value in {options.path}; set labels=null")
    y = bundle.encoding.encode_target(dataset.target.iloc[places[known]])
    return Labelled(np.concatenate(said.outputs)[known].astype(np.float32), y)


def lines(found: dict[str, Any]) -> Iterator[str]:
    """For people."""
    judged, of = found["judged"], found["live"]
    yield f"rows        {judged['rows']:,} in {judged['windows']:,} windows"
    for alert in found["alerts"][::-1]:
        until = "" if alert["until"] is None else f", until row {alert['until']:,.0f}"
        yield f"moved       {alert['text']} (found at row {alert['since']:,.0f}{until})"
    if found["verdict"] == "waiting" and not found["alerts"]:
        yield f"moved       not known: {found['text']}"
    elif not found["alerts"]:
        yield f"moved       nothing; of a hundred stable files at most {100 * judged['alpha']:.0f} are said to have"
    if of["estimated"] is not None:
        was = "" if of["expected"] is None else f", {percent(of['expected'])} of the calibration rows"
        low, high = map(percent, of["estimated_bounds"])
        yield f"estimated   accuracy {percent(of['estimated'])} ({low} to {high}) of the last rows, without labels{was}"
    if of["labels"]:
        bounds = "" if of["bounds"] is None else " ({} to {})".format(*map(percent, of["bounds"]))
        score = "not known" if of["confirmed"] is None else f"{of['confirmed']:.4g}"
        yield f"confirmed   {of['metric']} {score}{bounds} by {of['labels']:,} labels"
        for one in of["coverage"]:
            low, high = map(percent, one["bounds"])
            yield f"covered     {percent(one['covered'])} ({low} to {high}) at {percent(one['level'])}"
    for problem in found["problems"]:
        yield f"note        {problem}"
