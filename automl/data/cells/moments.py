"""Dates, times of day and durations that are written as text."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from automl.data.cells.numbers import float_of

_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    r"((mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +)?"
    r"(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?"  # 2020-01-31, 2020-01
    r"|\d{4}-\d{2}-\d{2}[ t]\d{2}"  # 2020-01-31 06, an hour
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"  # 31.01.2020
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2}"  # 31/01/20
    r"|\d{1,2}[-/.]\d{4}"  # 01/2020
    r"|\d{4}-?q[1-4]"  # 2020Q1
    r"|(19|20)\d{6}t\d{4}(\d{2})?z?"  # 20200131T063000
    r"|\d{4}-\d{2}-\d{2}/\d{4}-\d{2}-\d{2}"  # a week, as pandas writes it
    rf"|(\d{{1,2}}[ -])?{_MONTH}[ -.,]+(\d{{1,2}}(st|nd|rd|th)?,? +)?\d{{2,4}})"  # 31 Jan 2020, January 31, 2020
    r"([ t]+\d{1,2}:\d{2}.*)?",
    re.IGNORECASE,
)
_SHORT_YEAR = re.compile(
    r"((?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +)?"
    rf"(?:(?:[012]?\d|3[01])[-/.]\d{{1,2}}[-/.]|\d{{1,2}}[ -]{_MONTH}[ -.,]+"
    rf"|{_MONTH}[ -.,]+\d{{1,2}}(?:st|nd|rd|th)?,? +))"
    r"(?P<year>\d\d)(?=$|[ t]+\d{1,2}:)"
    rf"|({_MONTH}[ -.,]+)(?P<alone>\d\d)$",  # Dec-11; where a time follows, 11 is a day
    re.IGNORECASE,
)
LAST_YEAR = 2068
"""The last year that two digits stand for, as POSIX has it, where a column does not tell."""
_GAP = 10  # so many years between those of a column are where the hundred of them ends; by judgement
_PARTS = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
_TIME = re.compile(
    r"(?:(?P<days>-?\d+) days?,? *)?(?P<sign>[+-]?)(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d)"
    r"(?::(?P<seconds>[0-5]\d(?:\.\d+)?))?\s*(?P<half>[ap])?\.?(?(half)m)\.?",
    re.IGNORECASE,
)
_LONGEST = 100  # characters of a date or a duration
_UNITS = (86_400.0, 3600.0, 60.0, 1.0)  # seconds in a day, an hour, a minute, a second
_YEAR_FIRST = re.compile(r"\D*\d{4}\D")
_DAYS = re.compile(r"(-?\d+) days?", re.IGNORECASE)
_SPAN = re.compile(  # 2h 50m, 1 d 3 h, 5 min 30 sec
    r"(?:(\d+) ?d(?:ays?)?[ ,]*)?(?:(\d+(?:\.\d+)?) ?h(?:(?:ou)?rs?)?[ ,]*)?"
    r"(?:(\d+(?:\.\d+)?) ?m(?:in(?:ute)?s?)?[ ,]*)?(?:(\d+(?:\.\d+)?) ?s(?:ec(?:ond)?s?)?)?"
)
_ISO_SPAN = re.compile(r"P(?=\d|T\d)(\d+D)?(?:T((?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?))?")  # P1DT2H30M


def is_date(value: object) -> bool:
    """Whether a cell looks like a date (a text), or is one."""
    if isinstance(value, str):
        return len(text := value.strip()) <= _LONGEST and bool(_DATE.fullmatch(text))
    return isinstance(value, (datetime.date, np.datetime64, pd.Period))


def day_first(values: Iterable[object]) -> bool:
    """Whether the day stands before the month in a column's dates: 31/01/2020 says so, 01/31/2020 says no.

    Where no date tells, points say yes (31.01.2020 is how most of Europe writes) and other signs no.
    """
    yes = no = points = others = 0
    for value in values:
        found = _PARTS.match(value.strip()) if isinstance(value, str) else None
        if found:
            yes += int(found[1]) > 12
            no += int(found[3]) > 12
            points += found[2] == "."
            others += found[2] != "."
    return yes > no if yes != no else points > others


def last_year(values: Iterable[object]) -> int:
    """The last year that two digits stand for in a column: its years lie together, none beyond ``LAST_YEAR``.

    Births of 50 to 99 are of 1950 to 1999, though alone 50 would be 2050.
    """
    found = [m for v in values if isinstance(v, str) and (m := _SHORT_YEAR.match(v.strip()))]
    years = sorted({int(m["year"] or m["alone"]) for m in found})
    if not years:
        return LAST_YEAR
    gaps = [after - year for year, after in zip(years, [*years[1:], years[0] + 100], strict=True)]
    widest = int(np.argmax(gaps))
    end = LAST_YEAR - (LAST_YEAR - years[widest]) % 100
    return LAST_YEAR if gaps[widest] < _GAP else end + gaps[widest] // 2  # of new years to whichever side is nearer


def date_notation(values: Sequence[object]) -> tuple[Any, ...]:
    """How a column writes dates, as arguments of ``dates_of``; empty where it is the usual way."""
    days, last = day_first(values), last_year(values)
    return (days, last) if last != LAST_YEAR else (days,) if days else ()


def dates_of(values: Sequence[object] | np.ndarray, days: bool = False, last: int = LAST_YEAR) -> np.ndarray:
    """Cells as datetime64[us] without a zone (those with one are brought to UTC), NaT where they are no date.

    ``days``: the day stands before the month, but where the year stands first, as in ISO 8601: pandas would read
    2020-02-01 as January 2nd then. ``last``: see ``last_year``; what pandas makes of two digits depends on
    the year in which it is asked. A period is its first moment.
    """
    texts = pd.Series([_date_text(v, last) for v in values], dtype=object)
    if not days:
        return _parsed(texts, False)
    year_first = np.array([t is not None and _YEAR_FIRST.match(t) is not None for t in texts], dtype=bool)
    return np.where(year_first, _parsed(texts.where(year_first), False), _parsed(texts.where(~year_first), True))


def _parsed(texts: pd.Series, days: bool) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "could not infer format": each value is meant to be looked at
        parsed = pd.to_datetime(texts, errors="coerce", utc=True, format="mixed", dayfirst=days)
    return parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")  # nanoseconds end in the year 2262


def _date_text(value: object, last: int) -> str | None:
    """None for what pandas would take for a date though it is none: "now", "today", "12:30"; years in full."""
    if isinstance(value, pd.Period):
        return str(value.start_time)
    text = str(value).strip()
    if len(text) > _LONGEST:
        return None
    if len(text) == 21 and text[10] == "/":
        return text[:10]
    if short := _SHORT_YEAR.match(text):
        which = "year" if short["year"] else "alone"
        text = f"{text[: short.start(which)]}{last - (last - int(short[which])) % 100}{text[short.end(which) :]}"
    return text if is_date(value) else None


def seconds_of(value: object) -> float:
    """A time of day or a duration in seconds; NaN when it is neither. A number is seconds already."""
    if isinstance(value, (datetime.timedelta, np.timedelta64)):
        return float(pd.Timedelta(value).total_seconds())  # type: ignore[arg-type]
    text = str(value).strip()
    if len(text) > _LONGEST:
        return float("nan")
    if not np.isnan(number := float_of(text)):
        return number
    if found := _DAYS.fullmatch(text):
        return 86_400.0 * int(found[1])
    found = _TIME.fullmatch(text)
    if found is None:
        iso = _ISO_SPAN.fullmatch(text)
        span = _SPAN.fullmatch(text if iso is None else f"{iso[1] or ''}{iso[2] or ''}".lower())
        parts = [] if span is None else [(float(n), unit) for n, unit in zip(span.groups(), _UNITS, strict=True) if n]
        return sum(n * unit for n, unit in parts) if parts else float("nan")
    hours = int(found["hours"])
    if found["half"]:
        hours = hours % 12 + (12 if found["half"].lower() == "p" else 0)
    seconds = 3600.0 * hours + 60.0 * int(found["minutes"]) + float(found["seconds"] or 0)
    days = 86_400.0 * int(found["days"] or 0)  # -30 s is "-1 days +23:59:30", as pandas and Python write it
    return days + (-seconds if found["sign"] == "-" else seconds)
