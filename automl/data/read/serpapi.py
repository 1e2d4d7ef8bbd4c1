"""Google Images through SerpApi (serpapi.com/google-images-api): addresses of pictures for a query."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from automl.data.read.files import short
from automl.errors import UserError

ENDPOINT = "https://serpapi.com/search.json"
_SECONDS = 60.0
_MAX_PAGES = 20
_MAX_BYTES = 20_000_000  # of an answer; a page of a hundred pictures has 200 kB


@dataclass(frozen=True)
class Hit:
    """One picture of a search: where it is and how it was found."""

    url: str
    query: str
    chips: str
    page: int
    position: int
    title: str
    link: str
    source: str


@dataclass(frozen=True)
class ImageSearch:
    """``key``: of SerpApi; it stands in requests only, never in what is returned or raised."""

    key: str
    endpoint: str = ENDPOINT

    def hits(self, query: str, chips: str = "") -> Iterator[Hit]:
        """Pictures in the order of Google, page after page. ``chips``: a refinement as ``suggestions`` gives it.

        Raises UserError for a wrong key, a used-up account, or no connection.
        """
        for page in range(_MAX_PAGES):
            answer = self._ask(query, chips, page)
            results = answer.get("images_results") or []
            if not results or not isinstance(results, list):
                return
            for position, one in enumerate(results, start=1):
                if isinstance(one, dict) and one.get("original"):
                    yield Hit(
                        url=str(one["original"]),
                        query=query,
                        chips=chips,
                        page=page,
                        position=given if isinstance(given := one.get("position"), int) else position,
                        title=str(one.get("title", "")),
                        link=str(one.get("link", "")),
                        source=str(one.get("source", "")),
                    )

    def suggestions(self, query: str) -> list[tuple[str, str]]:
        """Refinements that Google offers for the query: (name, chips), in its order."""
        offered = self._ask(query, "", 0).get("suggested_searches") or []
        return [(str(o.get("name", "")), str(o["chips"])) for o in offered if isinstance(o, dict) and o.get("chips")]

    def _ask(self, query: str, chips: str, page: int) -> dict[str, Any]:
        asked = {"engine": "google_images", "q": query, "ijn": page, "api_key": self.key}
        if chips:
            asked["chips"] = chips
        url = f"{self.endpoint}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
                found = json.loads(answer.read(_MAX_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                reason = self._reason(error.read(_MAX_BYTES))
            if error.code in (401, 403):
                raise UserError(
                    f"SerpApi refuses the key ({reason}); set the variable data.key_variable names"
                ) from None
            if error.code == 429:
                raise UserError(f"SerpApi's searches are used up ({reason}); wait, or lower data.per_class") from None
            raise UserError(f"SerpApi answered {error.code} ({reason}) for query {query!r}; try again later") from None
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)).replace(self.key, "***")
            raise UserError(
                f"SerpApi cannot be reached for query {query!r} ({short(reason)}); check the connection"
            ) from None
        if not isinstance(found, dict):
            raise UserError(f"SerpApi gave no object for query {query!r}; check data.endpoint")
        problem = str(found.get("error", ""))
        # An empty page is told as an error too; it only means that there are no more pictures.
        if problem and "hasn't returned any results" not in problem:
            raise UserError(f"SerpApi says for query {query!r}: {short(problem.replace(self.key, '***'), 100)}")
        return found

    def _reason(self, body: bytes) -> str:
        try:
            text = str(json.loads(body).get("error", ""))
        except (ValueError, AttributeError):
            text = ""
        return short(text.replace(self.key, "***"), 100) or "no reason given"
