"""One self-contained HTML page: text, tables and plotly figures; opens offline and asks no network for
anything.

Text and tables need no JavaScript. Whatever is not ``Html`` is escaped, so data cannot become markup; a
content security policy lets only this page's own script run, and nothing be fetched.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import secrets
import zlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from experiments.report.plots import Figure

# Control characters and halves of surrogate pairs have no place in a document.
_NO_HTML = dict.fromkeys((*range(9), *range(11, 32), 127, *range(55296, 57344)), "�")


class Html(str):
    """Text that is markup already."""


def esc(value: object) -> Html:
    """The value as markup: escaped, unless it is ``Html``."""
    return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True).translate(_NO_HTML))


def tag(name: str, *inside: object, **attributes: str | None) -> Html:
    """An element; ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``; attributes that are None are left
    out.
    """
    given = "".join(f' {_attribute(k)}="{esc(v)}"' for k, v in attributes.items() if v is not None)
    return Html(f"<{name}{given}>{''.join(esc(i) for i in inside)}</{name}>")


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after the other."""
    return Html(esc(between).join(esc(p) for p in parts))


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[int] = (),
    narrow: bool = False,
) -> Html:
    """A table; the columns at the positions ``numbers`` are set right. narrow: only as wide as what it holds."""
    right, kind = set(numbers), "narrow" if narrow else None

    def cell(name: str, value: object, i: int, **more: str | None) -> Html:
        return tag(name, value, class_="n" if i in right else None, **more)

    def row(values: Sequence[object]) -> Html:
        # On a narrow screen a row is a card, and each of its cells says what it is.
        names = [None if narrow else esc(name) or None for name in head]
        return tag("tr", *(cell("td", v, i, **{"data-head": names[i]}) for i, v in enumerate(values)))

    names = (cell("th", name, i, scope="col") if name else cell("td", "", i) for i, name in enumerate(head))
    made = tag("table", tag("thead", tag("tr", *names)), tag("tbody", *map(row, rows)), class_=kind)
    return tag("div", made, class_="scroll")


def facts(pairs: Iterable[tuple[object, object]]) -> Html:
    """Names and what they are, one a line; side by side where there is room."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs))


def lines(texts: Iterable[object]) -> Html:
    """A list; empty when there is nothing to list."""
    items = [tag("li", text) for text in texts]
    return tag("ul", *items) if items else Html("")


def details(summary: object, *inside: object) -> Html:
    """What only some readers want: folded."""
    return tag("details", tag("summary", summary), *inside)


def tile(value: object, name: object, note: object = "") -> Html:
    """A key number with its name."""
    return tag("div", tag("b", value), tag("span", name), tag("small", note) if note else "", class_="tile")


def meter(share: float, text: object) -> Html:
    """A bar for a share of one, with its text."""
    width = 100 * min(1.0, max(0.0, share))
    return tag("span", tag("i", style=f"width:{width:.1f}%"), tag("em", text), class_="meter")


def figure(drawn: Figure | None, caption: object) -> Html:
    """A plot with what to see in it; nothing when there is no figure."""
    if drawn is None:
        return Html("")
    # Escaped: the text of a script element ends at the first "</script".
    text = json.dumps(drawn, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    height = f"height:{int(drawn['layout'].get('height', 340))}px"
    axes = [drawn["layout"].get(axis, {}).get("title", {}).get("text") for axis in ("yaxis", "xaxis")]
    shown = {"role": "img", "aria_label": f"Plot of {' against '.join(filter(None, axes))}"}
    plot = tag("div", Html(f'<script type="application/json">{text}</script>'), class_="plot", style=height, **shown)
    return tag("figure", plot, tag("figcaption", caption))


def columns(*parts: Html) -> Html:
    """Side by side where there is room."""
    kept = [tag("div", p) for p in parts if p]
    return tag("div", *kept, class_="columns") if kept else Html("")


def section(title: str, *inside: object, anchor: str | None = None) -> Html:
    """A part with its title. anchor: by which ``contents`` leads there."""
    return tag("section", tag("h2", title), *inside, id=anchor)


def contents(anchors: Iterable[tuple[str, object]]) -> Html:
    """A line of links to the sections of these anchors, each with what to call it."""
    return tag("nav", *(tag("a", name, href=f"#{anchor}") for anchor, name in anchors), aria_label="Contents")


def page(title: str, body: Iterable[object]) -> str:
    """The whole document. plotly is packed into it once, and only when there is a figure."""
    content = join(body)
    nonce = secrets.token_urlsafe(16)
    allowed = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data: blob:"
    scripts = ""
    if 'class="plot"' in content:
        scripts = (
            f'<script type="text/plain" id="plotly">{packed_plotly()}</script>\n'
            f'<script nonce="{nonce}">{_asset("report.js")}</script>'
        )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{allowed}">
<meta name="color-scheme" content="light dark">
<title>{esc(title)}</title>
<style>{_asset("report.css")}</style>
<noscript><style>figure {{ display: none; }}</style></noscript>
</head>
<body>
<main>
<noscript><p class="note">The plots need JavaScript; the text and the tables do not.</p></noscript>
{content}
</main>
{scripts}
</body>
</html>
"""


@functools.cache
def packed_plotly() -> str:
    """plotly.js, zlib in base 85: 1.8 MB instead of 4.8. "<" is written as ",", so that no tag begins in it."""
    script = (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b85encode(zlib.compress(script)).decode("ascii").replace("<", ",")


def _asset(name: str) -> str:
    return (resources.files("experiments.report") / "assets" / name).read_text(encoding="utf-8")


def plain(value: Any) -> object:
    """A value of a result as text or markup: mappings and lists become lines."""
    if isinstance(value, Html):
        return value
    if isinstance(value, Mapping):
        return lines(join([tag("code", k), " ", plain(v)]) for k, v in value.items())
    if isinstance(value, list | tuple):
        return lines(plain(v) for v in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value
