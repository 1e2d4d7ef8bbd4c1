"""A labelled set of pictures from search queries, one query per class."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from automl.data.dataset import Dataset
from automl.data.progress import Progress
from automl.data.read.fetch import FetchError, fetch
from automl.data.read.files import short
from automl.data.read.image import decode_image, open_picture, resize_one
from automl.data.read.serpapi import ENDPOINT, Hit, ImageSearch
from automl.data.sources.image_folder import ImageFolderSource
from automl.errors import UserError

_FORMATS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp"}
_MIN_SIDE = 16  # pixels: icons and tracking dots are no examples
# Hashes of 64 bits that differ in no more than this are the same picture at another size or quality.
_SAME_BITS = 5


@dataclass
class ImageSearchSource:
    """Searches each class on Google Images through SerpApi and keeps the pictures in ``folder``.

    ``classes``: class -> query, or a list of queries that are the class names. ``per_class``: pictures wanted of each.
    ``refine``: this many of Google's refinements ("chips") of each query are searched too, for variety; ``chips``:
    class -> a refinement to use instead. The key is read from the environment variable ``key_variable``.
    ``seconds`` and ``megabytes`` limit each download. A folder that is complete is read without searching again.

    ``folder`` gets images/CLASS/*.jpg and provenance.jsonl: for each picture found its address, page, query,
    position, checksum and what became of it.
    """

    classes: Mapping[str, str] | list[str]
    folder: str
    per_class: int = 100
    refine: int = 0
    chips: Mapping[str, str] = field(default_factory=dict)
    key_variable: str = "SERPAPI_API_KEY"
    seconds: float = 20.0
    megabytes: float = 10.0
    workers: int = 8
    size: int | None = None
    name: str | None = None
    endpoint: str = ENDPOINT
    allow_private: bool = False

    def load(self) -> Dataset:
        queries = self._queries()
        folder = Path(self.folder).expanduser()
        wanted = {"queries": queries, "per_class": self.per_class, "refine": self.refine, "chips": dict(self.chips)}
        done = folder / "search.json"
        if not (done.exists() and json.loads(done.read_text(encoding="utf-8")) == wanted):
            self._collect(queries, folder)
            _write(done, json.dumps(wanted, indent=1))
        dataset = ImageFolderSource(
            str(folder / "images"), size=self.size, broken="skip", name=self.name or folder.name
        ).load()
        notes = (f"pictures found by searching; where each is from: {folder / 'provenance.jsonl'}", *dataset.notes)
        return replace(dataset, notes=notes)

    def _queries(self) -> dict[str, str]:
        named = self.classes.items() if isinstance(self.classes, Mapping) else ((c, c) for c in self.classes)
        queries = {str(c): str(q) for c, q in named}
        if len(queries) < 2:
            raise UserError(f"data.classes={list(queries)} needs two classes or more, such as data.classes=[cat,dog]")
        folders = Counter(map(_folder_name, queries))
        if max(folders.values()) > 1:
            raise UserError(
                f"data.classes {sorted(queries)} differ only in signs that file names cannot hold; rename one"
            )
        if self.per_class < 2 or self.refine < 0:
            raise UserError(
                f"data.per_class={self.per_class} must be 2 or more and data.refine={self.refine} 0 or more"
            )
        return queries

    def _collect(self, queries: Mapping[str, str], folder: Path) -> None:
        _forget(folder)
        key = os.environ.get(self.key_variable, "")
        if not key:
            raise UserError(f"environment variable {self.key_variable} is not set; put your SerpApi key in it")
        search = ImageSearch(key, self.endpoint)
        seen: list[int] = []  # hashes over all classes: one picture must not stand for two
        records: list[dict] = []
        short_of = []
        with Progress("searching pictures", self.per_class * len(queries), "pictures", show=None) as progress:
            for name, query in queries.items():
                kept = 0
                for hit, content, problem in self._downloads(self._hits(search, name, query)):
                    record = {"class": name, **asdict(hit), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
                    if content is not None and not problem:
                        record["sha256"] = hashlib.sha256(content).hexdigest()
                        file, problem = _keep(content, folder / "images" / _folder_name(name), kept, seen)
                        record["file"] = str(file.relative_to(folder)) if file else ""
                    record["left_out"] = problem
                    records.append(record)
                    if not problem:
                        kept += 1
                        progress.advance()
                    if kept == self.per_class:
                        break
                _write(folder / "provenance.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))
                if kept < 2:
                    reasons = Counter(r["left_out"] for r in records if r["class"] == name).most_common(1)
                    why = f" (most often: {short(str(reasons[0][0]))})" if reasons else ""
                    short_of.append(f"class {name!r} has {kept} usable pictures{why}")
        if short_of:
            raise UserError(f"{short_of[0]}; change its query in data.classes, see {folder / 'provenance.jsonl'}")

    def _hits(self, search: ImageSearch, name: str, query: str) -> Iterator[Hit]:
        """The query's pictures and those of its refinements, in turn, each address once."""
        chips = [self.chips.get(name, "")]
        if self.refine:
            chips += [c for _, c in search.suggestions(query)[: self.refine]]
        streams = [search.hits(query, c) for c in chips]
        urls: set[str] = set()
        while streams:
            for stream in list(streams):
                hit = next(stream, None)
                if hit is None:
                    streams.remove(stream)
                elif hit.url not in urls:
                    urls.add(hit.url)
                    yield hit

    def _downloads(self, hits: Iterable[Hit]) -> Iterator[tuple[Hit, bytes | None, str]]:
        """(hit, bytes or None, why it failed), in the order of the hits, several at a time."""

        def one(hit: Hit) -> tuple[Hit, bytes | None, str]:
            try:
                limit = int(self.megabytes * 1e6)
                private = self.allow_private
                content = fetch(
                    hit.url, seconds=self.seconds, max_bytes=limit, kinds=("image/",), allow_private=private
                )
                return hit, content, ""
            except FetchError as error:
                return hit, None, str(error)

        stream = iter(hits)
        with ThreadPoolExecutor(self.workers) as pool:
            while batch := list(islice(stream, self.workers)):
                yield from pool.map(one, batch)


def _keep(content: bytes, folder: Path, number: int, seen: list[int]) -> tuple[Path | None, str]:
    """Write the picture unless it is broken, tiny or known: (file or None, why it was left out)."""
    try:
        pixels = decode_image(content, place="picture")
        with open_picture(content) as opened:
            ending = _FORMATS.get(opened.format or "")
    except UserError:
        return None, "is no readable picture"
    if ending is None:
        return None, "is of a format that is not taken"
    if min(pixels.shape[:2]) < _MIN_SIDE:
        return None, f"is smaller than {_MIN_SIDE} pixels"
    mark = perceptual_hash(pixels)
    if any((mark ^ other).bit_count() <= _SAME_BITS for other in seen):
        return None, "looks the same as another"
    seen.append(mark)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{number:05d}{ending}"
    file.write_bytes(content)
    return file, ""


def perceptual_hash(pixels: np.ndarray) -> int:
    """64 bits that hardly change with size and compression: does brightness rise from left to right (dHash)?"""
    grey = pixels.mean(axis=2).astype(np.uint8) if pixels.ndim == 3 else pixels
    small = resize_one(np.ascontiguousarray(grey), 8, 9).astype(np.int16)
    bits = (small[:, 1:] > small[:, :-1]).reshape(-1)
    return int("".join("1" if b else "0" for b in bits), 2)


def _forget(folder: Path) -> None:
    """Remove the pictures of an earlier search with other options, and no other file."""
    log = folder / "provenance.jsonl"
    if not log.exists():
        return
    for line in log.read_text(encoding="utf-8").splitlines():
        name = json.loads(line).get("file")
        if name and (folder / "images") in (folder / name).parents and ".." not in Path(name).parts:
            (folder / name).unlink(missing_ok=True)


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "class"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
