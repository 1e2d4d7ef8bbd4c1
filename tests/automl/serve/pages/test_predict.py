"""The page that asks a model, in a browser."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.automl.browser import Browser
from tests.automl.serve.pages.stub import DIGEST, HOSTILE, Stub

READY = "document.querySelector('#fields .field') !== null"
ANSWERED = "document.querySelector('#result .answer') !== null"


def ask(browser: Browser, stub: Stub) -> dict[str, Any]:
    """Press the button; what the server was sent."""
    stub.asked.clear()
    browser.run("document.querySelector('#result').replaceChildren()")
    browser.click("#predict")
    browser.wait(ANSWERED)
    return stub.asked[0]


def test_the_form_sends_what_the_example_holds(browser: Browser, stub: Stub, address: str) -> None:
    browser.look()
    browser.open(f"{address}/?model=everything", READY)
    body = ask(browser, stub)
    example = stub.models["everything"]["example"]
    assert body["rows"] == [example] and body["model"] == "everything"
    assert body["level"] == 0.9 and body["explain"] == 8
    said = browser.text("#result")
    assert "no" in said and "50 %" in said and "At 90 % no class can be ruled out." in said
    assert "size = " in said and "+20 points" in said and "\u221210 points" in said and "1 warning" in said
    assert DIGEST in said and "42 % of known rows fitted no better" in said

    values = {"size input": "12 %", "rooms input": "", "city select": "other", "city input": "Bergen"}
    values |= {"seen input": "2030-01-02T03:04:05", "line textarea": "1; 2,5; ; 4"}
    for place, value in values.items():
        browser.set("[data-name={}] {}".format(*place.split()), value)
    row = ask(browser, stub)["rows"][0]
    assert (row["size"], row["rooms"], row["city"]) == ("12 %", None, "Bergen")
    assert row["seen"] == "2030-01-02T03:04:05" and row["line"] == [1, 2.5, None, 4]

    browser.set("#truth select", "1")
    browser.click("#feedback button")
    browser.wait("document.querySelector('#told').textContent.startsWith('Thank you')")
    assert stub.asked[-1] == {"id": "r-1", "labels": ["yes"]}
    assert browser.errors == []


def test_files_are_sent_as_they_are(browser: Browser, stub: Stub, address: str, tmp_path: Path) -> None:
    browser.open(f"{address}/?model=everything", READY)
    png = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(png, "png")
    picture, series = tmp_path / "a <b>.png", tmp_path / "steps.csv"
    picture.write_bytes(png.getvalue())
    series.write_text("left,right\n1,2\n3,\n5,6\n")
    browser.choose("[data-name=photo] input", picture)
    browser.wait("document.querySelector('[data-name=photo] img')?.naturalWidth === 10")
    assert "a <b>.png" in browser.text("[data-name=photo] .seen")
    browser.choose("[data-name=pulse] input", series)
    browser.wait("document.querySelector('[data-name=pulse] textarea').value.includes('left')")
    browser.run(
        """(() => {
            const data = new DataTransfer();
            data.items.add(new File(["some words"], "story.txt", { type: "text/plain" }));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        })()"""
    )
    browser.wait("document.querySelector('[data-name=story] textarea').value === 'some words'")
    row = ask(browser, stub)["rows"][0]
    assert base64.b64decode(row["photo"]) == png.getvalue()
    assert row["pulse"] == [[1, 2], [3, None], [5, 6]] and row["story"] == "some words"
    assert browser.errors == []


def test_a_row_is_pasted(browser: Browser, stub: Stub, address: str) -> None:
    browser.open(f"{address}/?model=strange", READY)
    names = [*HOSTILE, "city <b>"]
    rows = {
        json.dumps(dict.fromkeys(names, 1) | {"more": 2}): (
            [1] * 6 + ["1"],
            "7 of 7 fields filled in. Not of this model: more.",
        ),
        '1,2,3,4,5,6,"a, b"': ([1, 2, 3, 4, 5, 6, "a, b"], "7 of 7 fields filled in."),
        "constructor\tcity <b>\n9\tsouth": ([1, 2, 3, 4, 9, 6, "south"], "2 of 7 fields filled in."),
        "1,2": (None, "That line has 2 values, and the model takes 7: "),
        "{1": (None, "That JSON cannot be read: "),
    }
    for text, (expected, told) in rows.items():
        browser.set("#pasted", text)
        browser.click("#fill")
        lines = "[...document.querySelectorAll('#filled, #problem')]"
        browser.wait(f"{lines}.some((n) => n.textContent.startsWith({json.dumps(told)}))")
        if expected:
            assert list(ask(browser, stub)["rows"][0].values()) == expected


def test_names_are_shown_as_they_are(browser: Browser, stub: Stub, address: str) -> None:
    browser.open(f"{address}/?model=strange@challenger", READY)
    assert ask(browser, stub)["model"] == "strange@challenger"
    labels = browser.run("[...document.querySelectorAll('.field label')].map((l) => l.textContent)")
    assert labels == [*HOSTILE, "city <b>"]
    bars = browser.run("[...document.querySelectorAll('#result .bar bdi')].map((l) => l.textContent)")
    assert set(HOSTILE) <= set(bars)
    assert "<i>goal</i>" in browser.text("#about")
    assert browser.run("typeof pwned") == "undefined" and browser.errors == []
    browser.no_faults()


def test_many_columns_and_classes(browser: Browser, stub: Stub, address: str) -> None:
    browser.look(480)
    browser.open(f"{address}/?model=wide", READY)
    ask(browser, stub)
    assert browser.run("document.querySelectorAll('#result > .bar').length") == 1 + 10 + 2, "usual, classes, what moved"
    assert "110 more classes" in browser.text("#result")
    browser.click("#result summary")
    browser.wait("document.querySelectorAll('#result details .bar').length === 110")
    browser.set("#find", "QUANTITY 77")
    assert browser.run("[...document.querySelectorAll('.field')].filter((f) => f.checkVisibility()).length") == 1
    browser.no_faults()


def test_the_keyboard_is_enough(browser: Browser, stub: Stub, address: str) -> None:
    browser.open(f"{address}/?model=value", READY)
    browser.run("document.querySelector('#model').focus()")
    browser.key("Tab")  # to "Paste a row"
    browser.key("Tab")
    browser.run("document.activeElement.select()")
    browser.write("7")
    stub.asked.clear()
    browser.key("Enter")
    browser.wait(ANSWERED)
    assert stub.asked[0]["rows"] == [{"a": 7}]
    said = browser.text("#result")
    assert "1,234.57" in said and "Between 1,000.25 and 1,500 for 90 % of such rows." in said and "Unusual: 1 %" in said
    assert "+0.2" in said


def test_refusals_are_one_line(browser: Browser, stub: Stub, address: str) -> None:
    """``fetch`` answers what a server may say; that the page comes back to its answer is seen each time."""
    browser.open(f"{address}/?model=value", READY)
    browser.run(
        "window.real = fetch; window.next = []; window.fetch = (...a) => next.length ? next.shift()() : real(...a)"
    )
    cases = [
        (413, "a body has 10 bytes at most", "A body has 10 bytes at most."),
        (422, "row 1, column 'a': <b>", "Row 1, column 'a': <b>."),
        (404, "no model 'value'", "No model 'value'."),
        (500, "", "The server answered 500."),
    ]
    for status, error, told in cases:
        reply = f"new Response({json.dumps(json.dumps({'error': error}))}, {{ status: {status} }})"
        browser.run(f"next = [async () => {reply}]; document.querySelector('#predict').click()")
        assert browser.wait("document.querySelector('#problem:not([hidden])')?.textContent") == told
        ask(browser, stub)
        assert not browser.run("document.querySelector('#problem').checkVisibility()")
    busy = "new Response('{\"error\": \"the queue is full\"}', { status: 429, headers: { 'Retry-After': '1' } })"
    browser.run(f"next = [async () => {busy}]; document.querySelector('#predict').click()")
    browser.wait("document.querySelector('#state').textContent === 'The queue is full. Trying again in 1 s.'")
    browser.wait("!document.querySelector('#state').checkVisibility() && document.querySelector('#result .answer')")
    browser.run("next = [async () => { throw new TypeError('failed') }]; document.querySelector('#predict').click()")
    browser.wait("document.querySelector('#problem').textContent === 'The server cannot be reached. Is it running?'")
    assert not browser.run(ANSWERED), "an old answer to another row stands beside the problem"


def test_a_token_is_asked_for_and_kept(browser: Browser, stub: Stub, address: str) -> None:
    stub.token = "secret"
    try:
        browser.open(f"{address}/?model=value", "document.querySelector('dialog[open]')")
        browser.write("wrong")
        browser.key("Enter")
        browser.wait("document.querySelector('dialog[open]')?.textContent.includes('That was not the token')")
        browser.no_faults()
        browser.write("secret")
        browser.key("Enter")
        browser.wait(READY)
        ask(browser, stub)
        browser.open(f"{address}/watch", "document.querySelector('#model option')")
        assert not browser.run("document.querySelector('dialog')")
    finally:
        browser.run("sessionStorage.clear()")
        stub.token = ""
