"""Numbers as people write them: 1,234.5 and 1.234,5 and 1 234,5, with currencies, percent signs and units.

A cell such as "2,750" does not say whether its sign groups digits or begins decimals; the column it stands in does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SIGNS = "$€£¥₹₽₩₺₴₫₪₱฿"
_CURRENCY = rf"[A-Z]{{0,2}}[{_SIGNS}]|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|Rs\.?"
_GROUP = "'’_ \u00a0\u2009\u202f"  # signs that only ever group digits
_CELL = re.compile(
    r"(?P<bound>[<>]=?|[≤≥])?\s*+"  # +: or a line of blanks takes hours
    rf"(?P<sign>[+-]?)\s*+(?P<before>{_CURRENCY})?\s*+(?P<inner>[+-]?)\s*+"
    rf"(?P<digits>[.,]?\d[\d.,{_GROUP}]*+)(?P<exponent>[eE][+-]?\d{{1,3}})?\s*"
    rf"(?P<after>(?:[^\W\d_]|[%‰°{_SIGNS}])(?:[^\W\d_]|[/%°.^]){{0,9}})?"
)
_MINUS = re.compile(r"\(([^()+-]+)\)|([^()+-]+)-")  # (1,234.50) as accountants write it, 1234.50- as SAP does
_PADDED = re.compile(r"0\d+")
_LIST = re.compile(r"\d+(,\d+)+")
_OPEN = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_COMMON = ("%", "$", "€")  # units that a number may bear though its column does not
_TIMES = frozenset({"k", "K", "M", "B", "mn", "bn", "Mio", "Mrd"})  # a bare number does not share them: 5k is 5000
_NAN = float("nan")
BOOL_TYPES = (bool, np.bool_)
SLIP = 0.05  # fewer cells of a column do not say what all of them are
LONGEST = 1_100
"""Characters of a number: the exact decimals of a float64 are 1,077. A longer cell is none, and takes no time."""
LARGEST = 2**53
"""Whole numbers beyond it are not told apart as floats."""


@dataclass(frozen=True)
class Notation:
    """``decimal``: the sign that begins decimals where a cell leaves it open; ``unit``: what may stand by a number."""

    decimal: str = "."
    unit: str = ""


PLAIN = Notation()


@dataclass(frozen=True)
class Found:
    """How a column writes its numbers, and whether it holds numbers at all.

    ``numbers``: bool per value, whether it is one, in whatever unit. ``readable``: those in the notation's unit, or
    bare. ``units``: those found, the most frequent first. ``example``: a cell with two readings, where no cell of the
    column decides between them, else empty. ``codes``: values are codes and no quantities: padded with zeros, lists of
    numbers, or so long that floats do not tell them apart.
    """

    notation: Notation
    numbers: np.ndarray
    readable: np.ndarray
    units: tuple[str, ...] = ()
    example: str = ""
    codes: bool = False


def number_of(value: object, notation: Notation = PLAIN) -> float:
    """A cell as a number, of a bound ("<0.1") its own; NaN when it is none, or bears another unit than its column."""
    if not isinstance(value, str):
        return float_of(value)
    if len(value) > LONGEST:
        return _NAN
    bare = notation.unit not in _TIMES
    if bare and notation.decimal == "." and not np.isnan(number := float_of(value)):
        return number  # most cells, and this is fast
    cell = _match(value)
    if cell is None:
        return _NAN
    unit = _unit(cell)
    if unit != notation.unit and not (bare and unit == "") and (notation.unit or unit not in _COMMON):
        return _NAN
    digits = cell["digits"].rstrip()
    signs = _signs(digits)
    if signs is None:
        return _NAN
    decimal, group = signs
    if _is_open(cell) and decimal != notation.decimal:
        decimal, group = "", decimal
    plain = digits.replace(group, "") if group else digits
    plain = plain.replace(decimal, ".") if decimal else plain
    return float(f"{cell['sign'] or cell['inner']}{plain}{cell['exponent'] or ''}")


def find_notation(values: Sequence[object], weights: np.ndarray, hint: str = "") -> Found:
    """The notation of a column from its distinct values and the number of rows of each.

    ``hint``: the sign that begins decimals elsewhere in the file. Without it and without a cell that decides, "1,234"
    is 1234 and "1.234" is 1.234.
    """
    cells = [_match(v) if isinstance(v, str) else None for v in values]
    units: dict[str, float] = {}
    votes = {".": 0.0, ",": 0.0}
    example, codes, padded, whole, long = "", False, 0.0, 0.0, 0.0
    for value, cell, weight in zip(values, cells, weights, strict=True):
        if cell is None:
            continue
        text, digits = str(value).strip(), cell["digits"].rstrip()
        signs = _signs(digits)
        if signs is None or _PADDED.fullmatch(text):
            codes = codes or bool(_LIST.fullmatch(text))
            padded += weight * bool(_PADDED.fullmatch(text))
            continue
        if unit := _unit(cell):
            units[unit] = units.get(unit, 0.0) + weight
        decimal, group = signs
        whole += weight * digits.isdecimal()
        long += weight * (digits.isdecimal() and float(digits) >= LARGEST)
        if _is_open(cell):
            example = example or text
        elif decimal:
            votes[decimal] += weight
        elif group in votes:  # 1.234.567: then the other sign begins decimals
            votes["," if group == "." else "."] += weight
    sure = votes["."] != votes[","]
    by_rows = sorted(units, key=lambda u: -units[u])
    notation = Notation(max(votes, key=lambda s: votes[s]) if sure else hint or ".", by_rows[0] if by_rows else "")
    own = [_unit(c) if c else "" for c in cells]
    shaped = [not np.isnan(number_of(v, Notation(notation.decimal, u))) for v, u in zip(values, own, strict=True)]
    numbers, truths = (np.array(of, dtype=bool) for of in (shaped, [isinstance(v, BOOL_TYPES) for v in values]))
    numbers &= (numbers & ~truths).any()  # true and false are numbers beside others only
    shared = {notation.unit} if notation.unit in _TIMES else {"", notation.unit}
    readable = numbers & np.array([u in shared for u in own], dtype=bool)
    total = weights.sum()
    slip = padded < SLIP * total and padded + whole < total / 2  # 007 among fractions
    codes = codes or (padded > 0 and not slip) or 2 * long > total
    return Found(notation, numbers, readable, tuple(by_rows), "" if sure or hint else example, codes)


def is_bound(value: object) -> bool:
    """Whether a cell says only on which side of a number it lies, as where an instrument can tell no more: "<0.1"."""
    if not isinstance(value, str) or value.strip()[:1] not in tuple("<>≤≥"):
        return False
    cell = _match(value)
    return cell is not None and bool(cell["bound"])


def decimal_sign(cells: Sequence[str]) -> str:
    """The sign that begins decimals in most of the cells that tell, empty when none does."""
    found = [s for c in cells if (m := _match(c)) and not _is_open(m) and (s := _signs(m["digits"]))]
    commas = sum(d == "," or g == "." for d, g in found)
    points = sum(d == "." or g == "," for d, g in found)
    return "" if commas == points == 0 else "," if commas > points else "."


def _match(value: str) -> re.Match[str] | None:
    if len(value) > LONGEST:
        return None
    text = value.replace("\u2212", "-").strip()
    if minus := _MINUS.fullmatch(text):
        text = f"-{minus[1] or minus[2]}"
    found = _CELL.fullmatch(text)
    return None if found and found["sign"] and found["inner"] else found


def float_of(value: object) -> float:
    """What ``float`` makes of a cell, NaN when nothing; not 12 of "1_2", which Python's programs may hold."""
    if isinstance(value, str) and (len(value) > LONGEST or "_" in value):
        return _NAN
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return _NAN


def _is_open(cell: re.Match[str]) -> bool:
    """Whether the sign may group digits or begin decimals; what stands before an exponent has no groups."""
    return not cell["exponent"] and _OPEN.fullmatch(cell["digits"].rstrip()) is not None


def _unit(cell: re.Match[str]) -> str:
    return (cell["before"] or "") + (cell["after"] or "")


def _signs(digits: str) -> tuple[str, str] | None:
    """(sign before the decimals, sign between groups), "" where there is none; None when this is no number.

    "1,234" could be either; it counts as decimals here (see ``_OPEN``).
    """
    marks = re.sub(r"\d", "", digits)
    if not marks:
        return "", ""
    last = marks[-1]
    if last in ".," and marks.count(last) == 1:
        whole, group = digits.rpartition(last)[0], marks[:1] if len(marks) > 1 else ""
        return (last, group) if not group or _grouped(whole, marks[:-1]) else None
    return ("", last) if _grouped(digits, marks) else None


def _grouped(whole: str, marks: str) -> bool:
    """Whether one sign stands between groups of three digits, or of two before the last, as in India."""
    groups = whole.split(marks[0])
    if len(set(marks)) > 1 or len(groups[-1]) != 3 or not 1 <= len(groups[0]) <= 3:
        return False
    middle = {len(g) for g in groups[1:-1]}
    return middle <= {3} or (middle == {2} and len(groups[0]) <= 2)
