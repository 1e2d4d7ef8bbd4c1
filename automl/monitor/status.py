"""How a deployed model fares, as plain JSON: for the pages, ``GET /monitor`` and ``+experiment=monitor``.

    status(folder, bundle)

key         what it holds
verdict     waiting (fewer rows than can be tested), fine, or moved; ``text``: the same in a line
problems    what keeps it from knowing more, a line each with what to do
judged      rows and windows that were tested; ``alpha``: share of stable streams that may alarm
alerts      field (empty: the answers), what, text, since, until (null: it lasts), windows and rows of the block that
            showed it, p; the newest first
windows     points of the past: at (unix seconds, its end), rows, requests, dropped (not recorded), unread, p50_ms and
            p99_ms (null: not known), estimated (accuracy; null for values), evidence (1: an alarm), alerts (names)
outputs     measures of the answers, as those of the fields; cost: of what (accuracy), before, now, change
fields      field, what, p (of the newest block, adjusted for all that is tested at once), moved, text (how far, where
            it matters), distance (total variation, 0 to 1), missing and outside (shares before and now), rows (of the
            block); labels, before, now: shares of the cells in their order, for the ``DRAWN`` most moved, else null
live        expected (accuracy on calibration rows), estimated and estimated_bounds (without labels; null for values);
            labels, confirmed with bounds, metrics, coverage (level, covered, bounds); why: what is unknown
traffic     requests, rows, dropped, unread, p50_ms, p99_ms of all that is kept
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from automl.deploy.bundle import Bundle
from automl.monitor import alerts, effects, live
from automl.monitor.counter import HEAD, Counter, percentile_ms
from automl.monitor.judge import LEAST_ROWS, Point, State, center_of, judge
from automl.monitor.tests import ALPHA, LEAST, Watch

DRAWN = 40
"""Fields whose cells are told, the most moved: of a wide table all of them would be megabytes."""
RECENT = 3  # 2^3 windows are shown beside the reference, or the block that showed an alert
POINTS = 240  # of a curve on the page
LISTED = 100  # alerts
SURE = ("", "probability of the class")  # the measure


def status(folder: Path | str, bundle: Bundle, *, now: float | None = None) -> dict[str, Any]:
    """All of it for a version's folder; what was written since is judged first. Plain JSON, finite numbers only.

    Raises UserError for a bundle whose reference cannot be read, and OSError for a folder that cannot be.
    """
    folder, counter = Path(folder), Counter(bundle)
    state = judge(folder, counter, time.time() if now is None else now)
    return told(state, counter, alerts.read(folder)[::-1], time.time() if now is None else now)


def told(state: State, counter: Counter, lines: list[dict[str, Any]], now: float) -> dict[str, Any]:
    """The status of a state. ``lines``: of alerts.jsonl, the newest first."""
    watch, measures = state.watch, counter.reference["measures"]
    lasting_now = {(measures[i]["field"], measures[i]["what"]) for i in watch.alarms}
    listed = spans(lines, lasting_now | {("", what) for what, low in state.low.items() if low})
    found = [described(watch, counter, i) for i in range(len(measures))]
    drawn = sorted(range(len(found)), key=lambda i: (not found[i]["moved"], -found[i]["distance"]))[:DRAWN]
    for i, one in enumerate(found):
        if i not in drawn and one["field"]:
            one |= {"labels": None, "before": None, "now": None}
    outputs = [one for one in found if not one["field"]]
    lasting = [a for a in listed if a["until"] is None]
    rows = sum(int(p.head[1]) for p in state.history)
    offset = offset_of(counter)
    verdict = "moved" if lasting else "fine" if watch.windows else "waiting"
    return {
        "digest": str(counter.bundle.meta.get("digest", ""))[:16],
        "kind": counter.bundle.task.kind,
        "metric": counter.bundle.task.metric,
        "at": now,
        "verdict": verdict,
        "text": text_of(verdict, lasting, cost := cost_of(watch, counter), watch),
        "problems": list(problems(state, counter)),
        "judged": {"rows": rows, "windows": watch.windows, "least": LEAST_ROWS, "alpha": ALPHA},
        "alerts": listed[:LISTED],
        "windows": [point(p, counter, listed, offset) for p in thinned(state.history)],
        "outputs": {"measures": outputs, "cost": cost},
        "fields": [one for one in found if one["field"]],
        "live": live_of(state, counter, offset),
        "traffic": traffic(head_of(state, counter), counter),
    }


def described(watch: Watch, counter: Counter, i: int) -> dict[str, Any]:
    """A measure, its reference beside the newest block, or beside that which showed its alarm."""
    measure, cells = counter.reference["measures"][i], watch.cells[i]
    alarm = watch.alarms.get(i)
    block = watch.block(RECENT if alarm is None else max(alarm.level, RECENT))
    known = np.asarray(measure["counts"], dtype=np.int64)
    counts = np.zeros_like(known) if block is None else block[cells]
    p, far = 1.0, 0.0
    if block is not None:
        log, effect = watch.tested(block)
        mine = watch.shares.measure == i
        adjusted = np.minimum(log - np.log(watch.shares.weights), 0.0)
        p, far = float(np.exp(adjusted[mine].min(initial=0.0))), float(effect[mine].max(initial=0.0))
    center = center_of(counter, measure)
    return {
        "field": measure["field"],
        "what": measure["what"],
        "p": p,
        "moved": alarm is not None,
        "text": effects.words(measure, counts, center)
        if counts.sum() and (alarm or (far >= LEAST and p < 0.05))
        else "",
        "distance": round(effects.distance(known, counts), 4),
        "missing": [round(effects.missing(c), 5) for c in (known, counts)],
        "outside": [round(effects.outside(measure, c), 5) for c in (known, counts)],
        "rows": int(counts.sum()),
        "labels": effects.labels(measure, center),
        "before": effects.in_order(measure, known),
        "now": effects.in_order(measure, counts),
    }


def offset_of(counter: Counter) -> float:
    """What the model's own probabilities are off on the rows of the reference: is added to every estimate.

    0 where the accuracy is not known, or where not the likeliest class is decided for, of which there are no counts.
    """
    was = live.expected(live.calibration_of(counter.bundle))
    for measure in counter.reference["measures"]:
        if (measure["field"], measure["what"]) == SURE and was is not None and counter.bundle.decision is None:
            said = effects.mean_sureness(measure, np.asarray(measure["counts"], dtype=np.int64))
            return 0.0 if said is None else was - said
    return 0.0


def cost_of(watch: Watch, counter: Counter) -> dict[str, Any] | None:
    """Accuracy that the model's own probabilities let expect, of the reference's rows and of the newest block."""
    block, offset = watch.block(RECENT), offset_of(counter)
    for i, measure in enumerate(counter.reference["measures"]):
        if block is not None and (measure["field"], measure["what"]) == SURE:
            counts = np.asarray(measure["counts"], dtype=np.int64), block[watch.cells[i]]
            before, now = (effects.mean_sureness(measure, c) for c in counts)
            if before is not None and now is not None:
                before, now = (float(np.clip(share + offset, 0, 1)) for share in (before, now))
                return {"what": "accuracy", "before": before, "now": now, "change": now - before}
    return None


def text_of(verdict: str, lasting: list[dict[str, Any]], cost: dict[str, Any] | None, watch: Watch) -> str:
    if verdict == "waiting":
        return f"fewer than {LEAST_ROWS} rows so far; nothing is tested before"
    if verdict == "fine":
        return f"nothing has moved in {watch.windows:,} windows"
    names = [a["field"] or "the answers" for a in lasting]
    said = ", ".join(dict.fromkeys(names))
    if cost is None or abs(cost["change"]) < 0.005:
        return f"moved: {said}"
    return f"moved: {said}; accuracy may have gone from {cost['before']:.1%} to {cost['now']:.1%}"


def problems(state: State, counter: Counter) -> list[str]:
    found = []
    if not counter.reference["measures"]:
        found.append("the bundle has no reference (it is of an earlier version): drift is not watched; export it again")
    dropped, unread = (int(head_of(state, counter)[HEAD.index(n)]) for n in ("dropped", "unread"))
    if dropped:
        found.append(
            f"{dropped:,} rows were answered but not recorded, as too many came at once; the others tell enough"
        )
    if unread:
        found.append(f"the fields of {unread:,} rows could not be counted; their answers were")
    if state.broken:
        found.append(f"{state.broken:,} lines of counts were broken, as by a killed process, and passed over")
    return found


def spans(lines: list[dict[str, Any]], lasting: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """Alerts from the lines of their beginnings and ends, the newest first in both.

    ``lasting``: field and what of those that have no end yet; one of another has ended, though no line tells when.
    """
    found, ends = [], {}
    for line in lines:
        name = (line["field"], line["what"])
        if not line["on"]:
            ends[name] = line["at"]
            continue
        more = {key: line.get(key) for key in ("windows", "rows", "p")}
        until = ends.pop(name, None if name in lasting else line["at"])
        ends[name] = line["at"]  # of one that began before it
        said = {"field": line["field"], "what": line["what"], "text": line["text"], "since": line["at"]}
        found.append(said | {"until": until} | more)
    return found


def thinned(history: list[Point]) -> list[Point]:
    """``POINTS`` at most, in the order of time, neighbours added up."""
    ordered = sorted(history, key=lambda p: p.end)
    step = -(-len(ordered) // POINTS)
    return [
        Point(some[0].start, some[-1].end, np.sum([p.head for p in some], axis=0), max(p.evidence for p in some))
        for some in (ordered[at : at + step] for at in range(0, len(ordered), max(step, 1)))
    ]


def point(of: Point, counter: Counter, listed: list[dict[str, Any]], offset: float) -> dict[str, Any]:
    guess = live.estimated(counter.bundle.task, of.head[counter.layout.live], int(of.head[1]), None, offset)
    lasting = [a for a in listed if a["since"] <= of.end and (a["until"] is None or a["until"] > of.end)]
    return (
        {"start": of.start, "at": of.end, "evidence": round(of.evidence, 4), "estimated": guess.get("accuracy")}
        | {"alerts": list(dict.fromkeys(a["field"] or a["what"] for a in lasting))}
        | traffic(of.head, counter)
    )


def head_of(state: State, counter: Counter) -> np.ndarray:
    """What was counted of all requests, also of those that are too few to be tested yet."""
    head = np.zeros(counter.layout.fields.start, dtype=np.int64)
    waiting = [] if state.pending is None else [state.pending.counts[: len(head)]]
    return np.sum([head, *(p.head for p in state.history), *waiting], axis=0)


def traffic(head: np.ndarray, counter: Counter) -> dict[str, Any]:
    latency = head[counter.layout.latency]
    said: dict[str, Any] = {name: int(head[i]) for i, name in enumerate(HEAD)}
    return said | {"p50_ms": percentile_ms(latency, 0.5), "p99_ms": percentile_ms(latency, 0.99)}


def live_of(state: State, counter: Counter, offset: float) -> dict[str, Any]:
    """What is estimated of the rows of the last 2^RECENT windows, and what labels say."""
    task, calibration = counter.bundle.task, live.calibration_of(counter.bundle)
    recent = state.history[-(2**RECENT) :]
    head = np.sum([p.head for p in recent], axis=0) if recent else np.zeros(counter.layout.fields.start, np.int64)
    guess = live.estimated(task, head[counter.layout.live], int(head[1]), calibration, offset)
    said = {"labels": 0} | {key: value for key, value in state.live.items() if key not in ("last", "hits")}
    why = ""
    if task.kind == "regression":
        why = "how far values are off is not told without labels"
    elif calibration is None:
        why = "the bundle has no calibration: its probabilities may be too sure, and so the estimate"
    return {
        "metric": "accuracy" if task.kind != "regression" else "r2",
        "expected": live.expected(calibration),
        "estimated": guess.get("accuracy"),
        "estimated_bounds": guess.get("bounds"),
        "estimated_balanced_accuracy": guess.get("balanced_accuracy"),
        "estimated_log_loss": guess.get("log_loss"),
        "confirmed": said.get("accuracy", said.get("r2")),
        "coverage": said.pop("coverage", []),
        "bounds": said.pop("bounds", None),
        "metrics": {key: value for key, value in said.items() if key != "labels"},
        "labels": said["labels"],
        "why": why,
    }
