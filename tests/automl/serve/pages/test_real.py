"""The pages before the real server, with a bundle of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from automl.serve.app import create_app
from automl.serve.settings import Settings
from tests.automl.browser import Browser
from tests.automl.serve import made
from tests.automl.serve.pages.stub import served
from tests.automl.serve.pages.test_predict import ANSWERED, READY


@pytest.mark.parametrize("kind", ["table", "values", "image"])
def test_the_example_is_answered(browser: Browser, bundle: Callable[[str], Path], kind: str) -> None:
    with served(create_app(Settings(bundle=str(bundle(kind))))) as address:
        browser.open(address + "/", READY)
        browser.click("#predict")
        browser.wait(f"{ANSWERED} || document.querySelector('#problem').textContent")
        said = browser.text("#answer")
        assert f"Answered by {kind}@" in said and "known rows fitted no better" in said and "What moved it" in said
        assert ("Between" if kind == "values" else "Probability of each class") in said
        assert browser.errors == []


def test_what_was_counted_is_there_after_a_restart(
    browser: Browser, bundle: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl.monitor.recorder.PAUSE", 0.05)
    monkeypatch.setattr("automl.serve.watching.KEPT", 0.6)
    token = "a-token-of-this-server"
    settings = Settings(bundle=str(bundle("table")), state=str(tmp_path), token=token)
    with served(create_app(settings)) as address:
        browser.open(f"{address}/watch", "document.querySelector('dialog[open]')")
        browser.write(token)
        browser.key("Enter")
        browser.wait("document.querySelector('#state').textContent.startsWith('No requests yet')")
        headers = {"Authorization": f"Bearer {token}"}
        asked = httpx.post(f"{address}/predict", json={"rows": [made.ROW] * 200}, headers=headers)
        assert asked.status_code == 200
        browser.open(f"{address}/", READY)
        browser.click("#predict")
        browser.wait(ANSWERED)
        browser.set("#truth select", "1")
        browser.click("#feedback button")
        browser.wait("document.querySelector('#told').textContent.startsWith('Thank you')")
    with served(create_app(settings)) as address:
        browser.open(f"{address}/watch", "document.querySelector('dialog[open]')")
        browser.write(token)
        browser.key("Enter")
        browser.wait("document.querySelector('#charts rect')")
        assert "201 rows" in browser.text("#tiles") and "1 true answer told" in browser.text("#tiles")
        assert not browser.run("[...document.querySelectorAll('svg *')].some((n) => /NaN/.test(n.outerHTML))")
        browser.no_faults()
