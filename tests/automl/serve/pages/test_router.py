"""The pages as files: what a browser may do with them, and that none can make HTML of text."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from automl.serve.pages.router import HEADERS, routes

ASSETS = resources.files("automl.serve.pages") / "assets"


def test_files_come_with_what_a_browser_may_do() -> None:
    client = TestClient(Starlette(routes=routes()))
    for path in ("/", "/watch", "/static/predict.js", "/static/page.css", "/static/icon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert HEADERS.items() <= dict(zip(HEADERS, map(answer.headers.get, HEADERS), strict=True)).items()
        again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304 and not again.content
        assert client.head(path).status_code == 200
    assert client.get("/static/../router.py").status_code == client.get("/static/..%2frouter.py").status_code == 404
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
    assert client.get("/static/predict.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("name", sorted(f.name for f in ASSETS.iterdir()))
def test_no_file_can_make_html_of_text(name: str) -> None:
    text = (ASSETS / name).read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser", text
    )
    if name.endswith(".html"):
        assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|https?://|<style", text), (
            "nothing inline or foreign"
        )
