"""Tables from files: csv in all its dialects, parquet and arrow."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import itertools
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from automl.data.cells.numbers import decimal_sign
from automl.data.cells.words import is_missing_word
from automl.data.progress import Progress
from automl.data.read.decode import decode
from automl.data.read.files import check_unpacked, open_bytes, short
from automl.data.read.words import TARGET_NAMES
from automl.errors import UserError

pc: Any = pyarrow.compute  # its functions are made at run time
MAX_COLUMNS = 5_000
_PARQUET, _ARROW = {".parquet", ".pq"}, {".arrow", ".feather", ".ipc"}
_HEAD_BYTES = 1 << 18
_MOST_HEAD = 1 << 23  # bytes of lines that are longer
csv.field_size_limit(_MOST_HEAD + _HEAD_BYTES)  # the default is shorter than some texts
_INDEX = re.compile(r"__index_level_\d+__")  # how pandas saves an index without a name
_LATIN = "the file is not utf-8: read as latin-1 (Windows-1252); if that is wrong set data.encoding"
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Read:
    """A table as a file holds it.

    ``decimal``: None when its columns have types, which are those of arrow; else all cells are stripped texts, missing
    where they are empty, and this sign begins decimals (empty: unknown). ``notes``: a line each.
    """

    table: pd.DataFrame
    decimal: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialect:
    """How a csv file is written.

    ``decimal``: the sign that begins decimals, empty when no cell tells. ``names``: header cells in order, or made up
    when the file has none. ``skip``: lines before the first row: a header may hold line ends in quotes, and empty lines
    may stand before it.
    """

    encoding: str
    delimiter: str
    decimal: str
    names: tuple[str, ...]
    skip: int
    notes: tuple[str, ...] = ()


def _suffixes(path: Path) -> set[str]:
    return {s.lower() for s in path.suffixes}


def is_columnar(path: Path) -> bool:
    """Whether the name is that of a file whose columns have types: parquet or arrow."""
    return bool((_PARQUET | _ARROW) & _suffixes(path))


def read_table(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None, target: str | None = None
) -> Read:
    """Read a table and say what was done to it. ``target``: the name of a column, by which a header is known.

    Raises UserError for a file that is absent, empty, ragged, binary, or has duplicate or too many columns.
    """
    if is_columnar(path):
        parquet = _PARQUET & _suffixes(path)
        return _read_columnar(path, pyarrow.parquet.read_table if parquet else pyarrow.feather.read_table)
    return read_csv(path, delimiter=delimiter, encoding=encoding, target=target)


def read_csv(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None, target: str | None = None
) -> Read:
    """A csv file of any common dialect: see ``sniff``. Reads in blocks, so that memory stays near the result's size."""
    dialect = sniff(path, delimiter=delimiter, encoding=encoding, target=target)
    try:
        table = _parse(path, dialect)
    except UnicodeDecodeError as error:
        if encoding or not dialect.encoding.startswith("utf-8"):
            raise UserError(f"{path} is not {dialect.encoding}; set data.encoding to what it is written in") from error
        # utf-8 in the first block, something else further on; latin-1 reads any byte.
        dialect = dataclasses.replace(dialect, encoding="cp1252", notes=(*dialect.notes, _LATIN))
        table = _parse(path, dialect)
    if len(table) == 0:
        raise UserError(f"{path} has a header but no rows; give a file with at least one row per class")
    notes = list(dialect.notes)
    names = table.column_names
    keep = [i for i, name in enumerate(names) if name or table.column(i).null_count < len(table)]
    if len(keep) < len(names):
        notes.append("dropped a column without a name and without a value: each line ends in a delimiter")
    if keep and names[keep[0]] == "" and _names_rows(table.column(keep[0])):
        del keep[0]
        notes.append("dropped the nameless first column: it only names the rows")
    names = [names[i] for i in keep]
    _check_names(path, names)
    columns = {i: pd.Series(table.column(i).to_pandas().array) for i in keep}
    frame = pd.DataFrame(columns, copy=False).set_axis(pd.Index(names, dtype=object), axis=1)
    return Read(frame, dialect.decimal, notes=tuple(notes))


def sniff(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None, target: str | None = None
) -> Dialect:
    """Encoding, delimiter, decimal sign and header of a csv file, from its first 256 KiB, or two lines."""
    with open_bytes(path) as file:
        head = file.read(_HEAD_BYTES)
        while len(head) < _MOST_HEAD and max(map(head.count, (b"\n", b"\r"))) < 2 and (more := file.read(_HEAD_BYTES)):
            head += more  # the names of many columns
        cut = bool(file.read(1))
    encoding, text, notes = _decode(path, head, encoding)
    if not text.strip():  # or it holds nothing but the mark that Excel writes before utf-8
        raise UserError(f"{path} is empty; give a csv file with a header line and rows")
    lines = list(io.StringIO(text, newline=""))  # at line ends only: splitlines() also cuts at U+2028 and its like
    if cut and len(lines) > 1:
        lines.pop()  # cut in the middle
    before = _before_the_header(lines)
    if before and lines[0].startswith("sep="):
        delimiter = delimiter or lines[0][4:5]
    lines = lines[before:]
    delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter) if delimiter else _delimiter(lines)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise UserError(f"data.delimiter={delimiter!r} must be one character, such as ';' or tab")
    reader = csv.reader(lines[:200], delimiter=delimiter)
    header = next((row for row in reader if any(c.strip() for c in row)), [])
    skip = before + reader.line_num
    body = [row for row in reader if any(c.strip() for c in row)]
    if not header:
        raise UserError(f"{path} is empty; give a csv file with a header line and rows")
    has_header = not _looks_like_data(header, body, target)
    if has_header:
        names = [c.strip() for c in header]
        widths = {len(row) for row in body}
        if widths == {len(names) + 1}:
            # Lines that end in a delimiter have an empty field more; R writes row names under no header.
            names = [*names, ""] if not any(row[-1].strip() for row in body) else ["", *names]
        elif widths == {len(names) - 1} and not names[-1]:
            names.pop()  # the header alone ends in a delimiter
    else:
        names = [f"column_{i}" for i in range(len(header))]
        notes.append(f"the first line holds data ({short(delimiter.join(header))}): columns are named column_0, ...")
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{path} has {len(names):,} columns; at most {MAX_COLUMNS:,} are read: keep fewer columns")
    decimal = decimal_sign([c.strip() for row in body for c in row]) or ("" if delimiter == ";" else ".")
    if delimiter != ",":
        notes.append(f"columns are separated by {delimiter!r}" + (", decimals by ','" if decimal == "," else ""))
    return Dialect(encoding, delimiter, decimal, tuple(names), skip if has_header else before, tuple(notes))


def _decode(path: Path, head: bytes, asked: str | None) -> tuple[str, str, list[str]]:
    """(encoding, the text of the head, notes)."""
    if asked:
        try:
            "a".encode(asked)  # refuses what is no encoding of text
            name = codecs.lookup(asked).name
            text = codecs.getincrementaldecoder(name)("strict").decode(head)
            return name, text.removeprefix("\ufeff"), []  # a mark is no part of the first column's name
        except LookupError as error:
            raise UserError(f"data.encoding={asked!r} is unknown; give one such as utf-8, cp1251 or gb18030") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not {asked}; set data.encoding to what it is written in") from error
    try:
        text, encoding, _ = decode(head, whole=False)
    except ValueError as error:
        raise UserError(
            f"{path} is not text ({error}); give a csv, tsv, parquet, arrow, npz or npy file, or set data.encoding"
        ) from error
    if encoding != "cp1252":
        return encoding, text, [] if encoding.startswith("utf-8") else [f"the file is {encoding}"]
    if np.mean([len(run) for run in re.findall(rb"[\x80-\xff]+", head)]) > 2:
        # In the languages of Windows-1252 accented letters stand alone; whole words of them are another script.
        raise UserError(
            f"{path} is not utf-8, and no Western European text either; set data.encoding, such as cp1251 "
            "(Cyrillic), gb18030 (Chinese), shift_jis (Japanese) or euc_kr (Korean)"
        )
    return encoding, text, [_LATIN]


def _before_the_header(lines: list[str]) -> int:
    """How many lines stand before the table: Excel's ``sep=;``, and remarks behind # that are no header themselves."""
    count = int(re.fullmatch(r"sep=[^\s\w]\s*", lines[0]) is not None)
    while count < len(lines) and lines[count].startswith("#"):
        count += 1
    if count and count < len(lines) and lines[count - 1].startswith("#"):
        delimiter = _delimiter(lines[count:])
        last, first = (next(csv.reader([line], delimiter=delimiter), []) for line in (lines[count - 1], lines[count]))
        count -= len(last) == len(first) > 1  # "#id,name" names the columns
    return count


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


def _looks_like_data(header: list[str], body: list[list[str]], target: str | None) -> bool:
    """Whether the first line is a row: mostly numbers that do not just count the columns, and no column's name."""
    header = [c.strip() for c in header]
    numbers = [c for c in header if _NUMBER.fullmatch(c)]
    if not body or target in header or len(numbers) < max(1, len(header) / 2):
        return False
    for i, name in enumerate(header):
        below = [row[i].strip() for row in body if len(row) > i and not is_missing_word(row[i])]
        if is_missing_word(name) or _NUMBER.fullmatch(name) or not below:
            continue
        if all(_NUMBER.fullmatch(c) for c in below) or (name.lower() in TARGET_NAMES and name not in below):
            return False  # a word over numbers, or the usual name of a target over other words
    if all(n.isdigit() for n in numbers):
        values = [int(n) for n in numbers]
        steps = {b - a for a, b in itertools.pairwise(values)}
        if len(set(values)) == len(values) and (len(values) == 1 or steps == {1}):
            return False
    return True


class Progressed(io.RawIOBase):
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
    unique = [f"{i}" for i in range(len(dialect.names))]  # names may repeat: that is checked after, with a clear error
    # All as text: what a column holds is decided once its cells are known, and labels stay as they are written.
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(unique, pa.string()), strings_can_be_null=False)
    # The block must hold the longest line, else arrow fails: wide tables and long texts have long lines.
    read = pyarrow.csv.ReadOptions(column_names=unique, skip_rows=dialect.skip, block_size=8 << 20)
    parse = pyarrow.csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True)
    size = path.stat().st_size
    with Progress(f"reading {path.name}", size if path.suffix != ".gz" else None, "bytes") as progress:
        source = Progressed(path, dialect.encoding, progress)
        try:
            with source:
                table = pyarrow.csv.read_csv(
                    pa.PythonFile(source, mode="r"), read_options=read, parse_options=parse, convert_options=convert
                )
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error) and dialect.encoding == "utf-8":
                raise UnicodeDecodeError("utf-8", b"", 0, 1, str(error)) from error
            raise parse_error(path, dialect, error) from error
    columns = []
    for values in table.itercolumns():
        values = pc.utf8_trim_whitespace(values)
        columns.append(pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values))
    return pa.table(columns, names=list(dialect.names))


def parse_error(path: Path, dialect: Dialect, error: Exception) -> UserError:
    if "Could not skip initial" in str(error):
        return UserError(f"{path} has a header but no rows; give a file with at least one row per class")
    found = re.search(r"Expected (\d+) columns, got (\d+)", str(error))
    if not found:
        return UserError(f"{path} is not a readable csv: {short(str(error), 160)}; open it and save it as utf-8 csv")
    expected, got = found.groups()
    line = _ragged_line(path, dialect)
    place = f" in line {line}" if line else ""
    fix = f"quote fields that hold {dialect.delimiter!r}, or set data.delimiter=..."
    if expected == "1":
        fix = "drop what stands above the header, or set data.delimiter=..."
    elif got == "1":
        fix = "drop lines that are no rows (remarks, sources)"
    return UserError(f"{path} is ragged: {got} fields{place} where the header has {expected}; {fix}")


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


def _read_columnar(path: Path, reader) -> Read:
    with open_bytes(path) as file:
        if not file.read(1):
            raise UserError(f"{path} is empty; write the table again")
    try:
        if path.suffix.lower() in _PARQUET:
            meta = pyarrow.parquet.read_metadata(path)
            sizes = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
            check_unpacked(path, max(sizes, 8 * meta.num_rows * meta.num_columns))
        table = reader(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} is not a readable {path.suffix[1:]} file: {short(str(error))}; write it again"
        ) from error
    _check_names(path, table.column_names)
    if len(table) == 0:
        raise UserError(f"{path} has no rows; give a file with at least one row per class")
    notes = []
    index = [n for n in table.column_names if _INDEX.fullmatch(n)]
    if index and table.schema.pandas_metadata:
        table = table.drop_columns(index)
        notes.append(f"dropped {', '.join(index)}: the index of the DataFrame that was saved")
    return Read(table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True), notes=tuple(notes))


def _names_rows(values: pa.ChunkedArray) -> bool:
    """Whether a column says something else in each row, but is no measurement: whole numbers or words."""
    if pc.count_distinct(values, mode="all").as_py() < len(values):
        return False
    return not pc.any(pc.match_substring_regex(values, r"^[+-]?\d*[.,]\d+$")).as_py()


def _check_names(path: Path, names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{path} has {len(names):,} columns; at most {MAX_COLUMNS:,} are read: keep fewer columns")
    repeated = [n for n, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"column name {repeated[0]!r} stands twice in {path}; rename one of them")
    if "" in names:
        raise UserError(f"column {names.index('') + 1} in {path} has no name; name it in the header line")
