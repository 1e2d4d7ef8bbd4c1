"""The page that shows how a model fares, in a browser."""

from __future__ import annotations

import copy
from typing import Any

from tests.automl.browser import Browser
from tests.automl.serve.pages.stub import DIGEST, HOSTILE, Stub


def window(at: float, **more: Any) -> dict[str, Any]:
    plain = {
        "start": at - 60,
        "at": at,
        "rows": 200,
        "requests": 180,
        "dropped": 0,
        "unread": 0,
        "p50_ms": 3.1,
        "p99_ms": 18.0,
    }
    return {**plain, "estimated": 0.91, "evidence": 0.04, "alerts": [], **more}


def measure(field: str, what: str = "value", **more: Any) -> dict[str, Any]:
    plain = {"field": field, "what": what, "p": 0.8, "moved": False, "text": "", "distance": 0.02, "rows": 800}
    shares = {"labels": None, "before": None, "now": None, "missing": [0.0, 0.0], "outside": [0.0, 0.002]}
    return {**plain, **shares, **more}


def status() -> dict[str, Any]:
    """Of GET /monitor: 80 windows with a gap, a field that moved, names that try to be something else."""
    now = 1796108400.0
    times = [now + 60 * i for i in range(80) if not 20 <= i < 30]
    alert = {"field": HOSTILE[0], "what": "value", "text": f"{HOSTILE[0]}: median 39 -> 47", "windows": 4, "rows": 800}
    bins: dict[str, Any] = {"labels": ["< 17", "17", "25", "> 55", "missing"]}
    bins |= {"before": [0, 0.25, 0.75, 0, 0], "now": [0, 0.1, 0.8, 0, 0.1]}
    classes: dict[str, Any] = {"labels": [*HOSTILE, *(f"c{i}" for i in range(20)), "other", "unknown", "missing"]}
    classes |= {"before": [1 / 26] * 26 + [0] * 3, "now": [1 / 26] * 26 + [0] * 3}
    return {
        "digest": DIGEST,
        "kind": "multiclass",
        "metric": "balanced_accuracy",
        "verdict": "moved",
        "text": f"moved: {HOSTILE[0]}",
        "problems": ["counts cannot be written: No space left on device"],
        "judged": {"rows": 15000, "windows": 70, "least": 50, "alpha": 0.04},
        "alerts": [
            {**alert, "since": now, "until": None, "p": 1e-9},
            {**alert, "field": "city", "text": "city: unknown", "since": now, "until": now + 600, "p": 1e-8},
        ],
        "windows": [window(t, requests=100 + i, estimated=None if i == 3 else 0.9) for i, t in enumerate(times)],
        "outputs": {
            "measures": [measure("", "class", **classes), measure("", "probability of the class", **bins)],
            "cost": {"what": "accuracy", "before": 0.93, "now": 0.89, "change": -0.04},
        },
        "fields": [
            measure("age", **bins),
            measure(HOSTILE[0], moved=True, distance=0.31, text="median 39 -> 47", missing=[0.01, 0.12], **bins),
            *(measure(f"{name} {i}") for i, name in enumerate(HOSTILE * 6)),
        ],
        "live": {
            "metric": "accuracy", "expected": 0.93, "estimated": 0.89, "estimated_bounds": [0.86, 0.92],
            "confirmed": 0.88, "bounds": [0.81, 0.93], "labels": 240, "why": "",
            "coverage": [{"level": 0.9, "covered": 0.87, "bounds": [0.79, 0.93]}],
        },
        "traffic": {"requests": 14000, "rows": 15000, "dropped": 2, "unread": 3, "p50_ms": 3.04, "p99_ms": 17.5},
    }  # fmt: skip


def test_watching(browser: Browser, stub: Stub, address: str) -> None:
    stub.status = status()
    browser.look()
    browser.open(f"{address}/watch?model=wide", "document.querySelector('#charts svg rect')")
    said = browser.text("#all")
    for part in (
        f"Moved: {HOSTILE[0]}.",
        "No space left",
        "1 alert that ended",
        "15,000 rows, 2 not recorded, 3 with fields",
        "17.5 ms for the slowest",
        "between 0.86 and 0.92; 0.93 expected",
        "240 true answers told; between 0.81 and 0.93",
        "between 79 % and 93 %",
        "accuracy 0.93 \u2192 0.89 (\u22120.04)",
        "1 % \u2192 12 %",
        "1 of 38",
        "18 more fields",
        "16 more classes",
    ):
        assert part in said, part
    assert browser.run("document.querySelector('#drift tbody tr').textContent").startswith(HOSTILE[0]), (
        "what moved is first"
    )
    assert browser.run("document.querySelectorAll('#charts section').length") == 4
    assert browser.run("document.querySelector('#charts svg').getAttribute('aria-label')") == (
        "Requests per minute: requests, last 169"
    )
    browser.run("document.querySelector('#drift summary').click(); document.querySelector('#drift summary').focus()")
    browser.wait("document.querySelectorAll('#drift tbody tr:first-child rect').length > 2")
    browser.no_faults()
    assert browser.run("typeof pwned") == "undefined" and browser.errors == []

    stub.status = copy.deepcopy(stub.status) | {"text": "moved: nothing else"}
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait("document.querySelector('#verdict').textContent.includes('nothing else')")
    assert browser.run("document.activeElement.tagName === 'SUMMARY' && document.activeElement.parentNode.open"), (
        "what was opened"
    )

    browser.run("window.fetch = async () => { throw new TypeError('failed') }")
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait(
        "/cannot be reached.*What is shown is from \\d\\d:\\d\\d/.test(document.querySelector('#problem').textContent)"
    )
    assert browser.run("document.querySelector('#charts svg rect').checkVisibility()"), "what was known stays"


def test_nothing_to_watch_yet(browser: Browser, stub: Stub, address: str) -> None:
    stub.status = status() | {"windows": [], "verdict": "waiting"}
    browser.open(f"{address}/watch", "document.querySelector('#state').textContent.startsWith('No requests yet')")
    browser.no_faults()
    models, stub.models = stub.models, {}
    try:
        for page, place in (("", "#about"), ("watch", "#state")):
            browser.open(
                f"{address}/{page}", f"document.querySelector('{place}').textContent.startsWith('No model is served')"
            )
            browser.no_faults()
    finally:
        stub.models = models
    assert browser.errors == []
