"""Tables from files: csv in all its dialects, parquet and arrow."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from automl.data.progress import Progress
from automl.data.quality.parse import column_of
from automl.data.read.files import open_bytes, short
from automl.errors import UserError

# What people write for "no value". "None" is left out on purpose: it is a common category ("no garage").
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "<NA>", "?")
MAX_COLUMNS = 5_000
_HEAD_BYTES = 1 << 18
csv.field_size_limit(_HEAD_BYTES)  # the default is shorter than some texts
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class Dialect:
    """How a csv file is written.

    ``names``: header cells in order, or made up when the file has none. ``skip``: lines before the first row: a header
    may hold line ends in quotes, and empty lines may stand before it.
    """

    encoding: str
    delimiter: str
    decimal: str
    names: tuple[str, ...]
    skip: int
    notes: tuple[str, ...] = ()


def read_table(path: Path, *, delimiter: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a table and say what was done to it, one line each.

    Raises UserError for a file that is absent, empty, ragged, binary, or has duplicate or too many columns.
    """
    names = [s.lower() for s in path.suffixes]
    if ".parquet" in names or ".pq" in names:
        return _read_columnar(path, pyarrow.parquet.read_table)
    if ".arrow" in names or ".feather" in names or ".ipc" in names:
        return _read_columnar(path, pyarrow.feather.read_table)
    return read_csv(path, delimiter=delimiter)


def read_csv(path: Path, *, delimiter: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A csv file of any common dialect: see ``sniff``. Reads in blocks, so that memory stays near the result's size."""
    dialect = sniff(path, delimiter=delimiter)
    try:
        table = _parse(path, dialect)
    except UnicodeDecodeError:
        # utf-8 in the first block, something else further on; latin-1 reads any byte.
        note = "the file is not utf-8: read as latin-1 (Windows-1252)"
        dialect = dataclasses.replace(dialect, encoding="cp1252", notes=(*dialect.notes, note))
        table = _parse(path, dialect)
    frame = _to_pandas(table)
    notes = list(dialect.notes)
    if len(frame) == 0:
        raise UserError(f"{path} has a header but no rows; give a file with at least one row per class")
    first = frame.columns[0]
    if first == "" and _is_counter(column_of(frame, first)):
        frame = frame.drop(columns=first)
        notes.append("dropped the nameless first column: it only names the rows")
    _check_names(path, list(frame.columns))
    return frame, tuple(notes)


def sniff(path: Path, *, delimiter: str | None = None) -> Dialect:
    """Encoding, delimiter, decimal sign and header of a csv file, from its first 256 KiB."""
    with open_bytes(path) as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise UserError(f"{path} is empty; give a csv file with a header line and rows")
    encoding, text, notes = _decode(path, head)
    lines = list(io.StringIO(text, newline=""))  # at line ends only: splitlines() also cuts at U+2028 and its like
    if len(head) == _HEAD_BYTES and len(lines) > 1:
        lines.pop()  # cut in the middle
    delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter) if delimiter else _delimiter(lines)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise UserError(f"data.delimiter={delimiter!r} must be one character, such as ';' or tab")
    reader = csv.reader(lines[:200], delimiter=delimiter)
    header = next((row for row in reader if any(c.strip() for c in row)), [])
    skip = reader.line_num
    body = [row for row in reader if any(c.strip() for c in row)]
    if not header:
        raise UserError(f"{path} is empty; give a csv file with a header line and rows")
    has_header = not _looks_like_data(header, body)
    if has_header:
        names = [c.strip() for c in header]
        widths = Counter(len(row) for row in body)
        if body and widths.most_common(1)[0][0] == len(names) + 1 and len(widths) == 1:
            names = ["", *names]  # R writes row names under no header
    else:
        names = [f"column_{i}" for i in range(len(header))]
        notes.append(f"the first line holds data ({short(delimiter.join(header))}): columns are named column_0, ...")
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{path} has {len(names):,} columns; at most {MAX_COLUMNS:,} are read: keep fewer columns")
    cells = [c.strip() for row in body for c in row]
    commas = sum(bool(_DECIMAL_COMMA.fullmatch(c)) for c in cells)
    points = sum("." in c and bool(_NUMBER.fullmatch(c)) for c in cells)
    decimal = "," if delimiter != "," and commas > points else "."
    if delimiter != ",":
        notes.append(f"columns are separated by {delimiter!r}" + (", decimals by ','" if decimal == "," else ""))
    return Dialect(encoding, delimiter, decimal, tuple(names), skip if has_header else 0, tuple(notes))


def _decode(path: Path, head: bytes) -> tuple[str, str, list[str]]:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if head.startswith(mark):
            return encoding, head[: len(head) // 2 * 2].decode(encoding, errors="ignore"), []
    if b"\x00" in head:
        raise UserError(f"{path} is not text (it holds zero bytes); give a csv, tsv, parquet, arrow, npz or npy file")
    try:
        return "utf-8", head.decode("utf-8"), []
    except UnicodeDecodeError as error:
        if len(head) - error.start < 4:  # a character cut by the block's end
            return "utf-8", head[: error.start].decode("utf-8"), []
        text = head.decode("cp1252", errors="replace")
        return "cp1252", text, ["the file is not utf-8: read as latin-1 (Windows-1252)"]


def _delimiter(lines: list[str]) -> str:
    """The delimiter that gives the same number of fields, more than one, on most lines."""
    best, best_score = ",", 0.0
    for delimiter in ("\t", ",", ";", "|"):
        widths = [len(row) for row in csv.reader(lines[:200], delimiter=delimiter) if row]
        if not widths:
            continue
        width, count = Counter(widths).most_common(1)[0]
        if width < 2 or (widths[0] not in (width, width - 1)):
            continue
        score = count / len(widths) + 0.001 * min(width, 100)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _looks_like_data(header: list[str], body: list[list[str]]) -> bool:
    """Whether the first line is a row: mostly numbers that do not just count the columns."""
    numbers = [c.strip() for c in header if _NUMBER.fullmatch(c.strip())]
    if not body or len(numbers) < max(1, len(header) / 2):
        return False
    if all(n.isdigit() for n in numbers):
        values = [int(n) for n in numbers]
        steps = {b - a for a, b in itertools.pairwise(values)}
        if len(set(values)) == len(values) and (len(values) == 1 or steps == {1}):
            return False
    return True


class _Progressed(io.RawIOBase):
    """A binary file that recodes to utf-8 when it must and moves a progress bar as it is read."""

    def __init__(self, path: Path, encoding: str, progress: Progress) -> None:
        self._file = open_bytes(path)
        self._text = None
        if encoding not in ("utf-8", "utf-8-sig"):
            errors = "replace" if encoding == "cp1252" else "strict"
            self._text = io.TextIOWrapper(self._file, encoding=encoding, errors=errors, newline="")
        self._progress = progress

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = size if size and size > 0 else 1 << 20
        block = self._text.read(size).encode() if self._text else self._file.read(size)
        self._progress.advance(len(block))
        return block

    def close(self) -> None:
        (self._text or self._file).close()
        super().close()


def _parse(path: Path, dialect: Dialect) -> pa.Table:
    convert = pyarrow.csv.ConvertOptions(
        null_values=list(MISSING),
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        decimal_point=dialect.decimal,
        true_values=["true", "True", "TRUE"],
        false_values=["false", "False", "FALSE"],
    )
    unique = [f"{i}" for i in range(len(dialect.names))]  # names may repeat: that is checked after, with a clear error
    # The block must hold the longest line, else arrow fails: wide tables and long texts have long lines.
    read = pyarrow.csv.ReadOptions(column_names=unique, skip_rows=dialect.skip, block_size=8 << 20)
    parse = pyarrow.csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True)
    size = path.stat().st_size
    with Progress(f"reading {path.name}", size if path.suffix != ".gz" else None, "bytes") as progress:
        source = _Progressed(path, dialect.encoding, progress)
        try:
            with source:
                table = pyarrow.csv.read_csv(
                    pa.PythonFile(source, mode="r"), read_options=read, parse_options=parse, convert_options=convert
                )
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error) and dialect.encoding == "utf-8":
                raise UnicodeDecodeError("utf-8", b"", 0, 1, str(error)) from error
            raise _parse_error(path, dialect, error) from error
    if any(pa.types.is_binary(t) or pa.types.is_large_binary(t) for t in table.schema.types):
        # Arrow's way to say that a column of text is not utf-8.
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "a column holds other bytes")
    return table.rename_columns(list(dialect.names))


def _parse_error(path: Path, dialect: Dialect, error: Exception) -> UserError:
    if "Could not skip initial" in str(error):
        return UserError(f"{path} has a header but no rows; give a file with at least one row per class")
    found = re.search(r"Expected (\d+) columns, got (\d+)", str(error))
    if not found:
        return UserError(f"{path} is not a readable csv: {short(str(error), 160)}; open it and save it as utf-8 csv")
    expected, got = found.groups()
    line = _ragged_line(path, dialect)
    place = f" in line {line}" if line else ""
    return UserError(
        f"{path} is ragged: {got} fields{place} where the header has {expected}; quote fields that hold "
        f"{dialect.delimiter!r}, or set data.delimiter=..."
    )


def _ragged_line(path: Path, dialect: Dialect) -> int | None:
    with open_bytes(path) as file:
        reader = csv.reader(
            io.TextIOWrapper(file, encoding=dialect.encoding, errors="replace", newline=""),
            delimiter=dialect.delimiter,
        )
        try:
            for row in reader:
                if row and len(row) != len(dialect.names) and reader.line_num > dialect.skip:
                    return reader.line_num
        except csv.Error:
            return reader.line_num
    return None


def _read_columnar(path: Path, reader) -> tuple[pd.DataFrame, tuple[str, ...]]:
    with open_bytes(path) as file:
        if not file.read(1):
            raise UserError(f"{path} is empty; write the table again")
    try:
        table = reader(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} is not a readable {path.suffix[1:]} file: {short(str(error))}; write it again"
        ) from error
    nested = [f.name for f in table.schema if pa.types.is_nested(f.type) or pa.types.is_binary(f.type)]
    if nested:
        raise UserError(
            f"column {nested[0]!r} in {path} holds lists or bytes; keep plain columns, or use npz for arrays"
        )
    _check_names(path, table.column_names)
    frame = _to_pandas(table)
    if len(frame) == 0:
        raise UserError(f"{path} has no rows; give a file with at least one row per class")
    return frame, ()


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    """Plain numpy dtypes and pandas strings; strings lose outer blanks; dates become datetime64."""
    columns: dict[int, pd.Series] = {}
    for i, field in enumerate(table.schema):
        values = table.column(i)
        kind = field.type
        if pa.types.is_dictionary(kind):
            values = values.cast(kind.value_type)
            kind = kind.value_type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            values = pc.utf8_trim_whitespace(values)  # type: ignore[attr-defined]
            blank = pc.is_in(values, value_set=pa.array(MISSING, type=values.type))  # type: ignore[attr-defined]
            values = pc.if_else(blank, pa.scalar(None, values.type), values)  # type: ignore[attr-defined]
        elif pa.types.is_date(kind):
            values = values.cast(pa.timestamp("s"))
        elif pa.types.is_time(kind) or pa.types.is_decimal(kind):
            values = values.cast(pa.string() if pa.types.is_time(kind) else pa.float64())
        elif pa.types.is_null(kind):
            columns[i] = pd.Series(np.full(len(table), np.nan))
            continue
        series = values.to_pandas()
        columns[i] = series.astype("float64") if _is_nullable_bool(series) else series
    frame = pd.DataFrame(columns, copy=False)
    frame.columns = pd.Index(table.column_names, dtype=object)
    return frame


def _is_nullable_bool(series: pd.Series) -> bool:
    return series.dtype == object and set(series.dropna().unique()) <= {True, False} and series.notna().any()


def _is_counter(series: pd.Series) -> bool:
    if not pd.api.types.is_integer_dtype(series) or len(series) < 2:
        return not pd.api.types.is_float_dtype(series) and series.is_unique
    return bool((np.diff(series.to_numpy()) == 1).all()) or series.is_unique


def _check_names(path: Path, names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{path} has {len(names):,} columns; at most {MAX_COLUMNS:,} are read: keep fewer columns")
    repeated = [n for n, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"column name {repeated[0]!r} stands twice in {path}; rename one of them")
    if "" in names:
        raise UserError(f"column {names.index('') + 1} in {path} has no name; name it in the header line")
