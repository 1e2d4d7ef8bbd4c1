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
from automl.files import write_atomically

IMAGES, LOG, DONE = "images", "provenance.jsonl", "search.json"
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
        done = folder / DONE
        if _objects(done.read_bytes() if done.exists() else b"", whole=True) != [wanted]:
            self._collect(queries, folder)
            write_atomically(done, json.dumps(wanted, indent=1))
        dataset = ImageFolderSource(
            str(folder / IMAGES), size=self.size, broken="skip", name=self.name or folder.name
        ).load()
        notes = (f"pictures found by searching; where each is from: {folder / LOG}", *dataset.notes)
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
        if not (self.seconds > 0 and self.megabytes > 0 and self.workers >= 1):
            raise UserError(
                f"data.seconds={self.seconds}, data.megabytes={self.megabytes} and data.workers={self.workers} "
                "must be above 0"
            )
        unknown = [name for name in self.chips if name not in queries]
        if unknown:
            raise UserError(f"data.chips names {unknown[0]!r}, which is no class; classes are: {', '.join(queries)}")
        return queries

    def _collect(self, queries: Mapping[str, str], folder: Path) -> None:
        key = os.environ.get(self.key_variable, "")
        if not key:
            raise UserError(f"environment variable {self.key_variable} is not set; put your SerpApi key in it")
        _forget(folder)
        search = ImageSearch(key, self.endpoint)
        seen: list[int] = []  # hashes over all classes: one picture must not stand for two
        log = folder / LOG
        short_of = []
        with Progress("searching pictures", self.per_class * len(queries), "pictures", show=None) as progress:
            for name, query in queries.items():
                kept, reasons = 0, Counter[str]()
                for hit, content, problem in self._downloads(self._hits(search, name, query)):
                    record = {"class": name, **asdict(hit), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
                    file = None
                    if content is not None and not problem:
                        record["sha256"] = hashlib.sha256(content).hexdigest()
                        ending, problem = _judge(content, seen)
                        if ending:
                            file = folder / IMAGES / _folder_name(name) / f"{kept:05d}{ending}"
                        record["file"] = str(file.relative_to(folder)) if file else ""
                    record["left_out"] = problem
                    # Told before it is there: whatever an interrupted search leaves is known to the next one.
                    _append(log, record)
                    if file is None or content is None:
                        reasons[problem] += 1
                        continue
                    file.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(file, content)
                    kept += 1
                    progress.advance()
                    if kept == self.per_class:
                        break
                if kept < 2:
                    why = f" (most often: {short(reasons.most_common(1)[0][0])})" if reasons else ""
                    short_of.append(f"class {name!r} has {kept} usable pictures{why}")
        if short_of:
            raise UserError(f"{short_of[0]}; change its query in data.classes, see {log}")

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


def _judge(content: bytes, seen: list[int]) -> tuple[str, str]:
    """(the ending of its file, "") of a picture that is kept, ("", why) of one that is broken, tiny or known.

    ``seen``: hashes of the kept ones, to which its own is added.
    """
    try:
        pixels = decode_image(content, place="picture")
        with open_picture(content) as opened:
            ending = _FORMATS.get(opened.format or "")
    except UserError:
        return "", "is no readable picture"
    if ending is None:
        return "", "is of a format that is not taken"
    if min(pixels.shape[:2]) < _MIN_SIDE:
        return "", f"is smaller than {_MIN_SIDE} pixels"
    mark = perceptual_hash(pixels)
    if any((mark ^ other).bit_count() <= _SAME_BITS for other in seen):
        return "", "looks the same as another"
    seen.append(mark)
    return ending, ""


def perceptual_hash(pixels: np.ndarray) -> int:
    """64 bits that hardly change with size and compression: does brightness rise from left to right (dHash)?"""
    grey = pixels.mean(axis=2).astype(np.uint8) if pixels.ndim == 3 else pixels
    small = resize_one(np.ascontiguousarray(grey), 8, 9).astype(np.int16)
    bits = (small[:, 1:] > small[:, :-1]).reshape(-1)
    return int("".join("1" if b else "0" for b in bits), 2)


def _forget(folder: Path) -> None:
    """Remove the pictures of an earlier search with other options, and no other file.

    First the word that it is complete, last the list of its pictures: it may be interrupted anywhere.
    """
    (folder / DONE).unlink(missing_ok=True)
    log = folder / LOG
    for record in _objects(log.read_bytes() if log.exists() else b""):
        name = record.get("file")
        if isinstance(name, str) and (folder / IMAGES) in (folder / name).parents and ".." not in Path(name).parts:
            (folder / name).unlink(missing_ok=True)
    log.unlink(missing_ok=True)


def _objects(content: bytes, whole: bool = False) -> list[dict]:
    """The objects of JSON lines, or the one object of the ``whole``. What a crash cut short is none."""
    found = []
    for text in [content] if whole else content.splitlines():
        try:
            record = json.loads(text)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def _append(path: Path, record: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "class"
