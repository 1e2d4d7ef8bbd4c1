"""The image search against a local server that answers in the shape of SerpApi."""

from __future__ import annotations

import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from automl.data.read.fetch import FetchError, check_address, fetch
from automl.data.sources import image_search
from automl.data.sources.image_search import ImageSearchSource, perceptual_hash
from automl.errors import UserError
from automl.files import write_atomically

KEY = "secret-key-123"


def jpeg(seed: int, size: int = 64, quality: int = 90) -> bytes:
    """A picture of smooth blobs; the same seed looks the same at every size."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3)).astype(np.uint8))
    buffer = io.BytesIO()
    small.resize((size, size), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Answers /search.json as serpapi.com does (fields as in its documentation) and /pic/... as web sites do."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[dict[str, str]] = []
        self.fetched: list[str] = []
        self.pages = 3
        self.refuse: tuple[int, str] | None = None

    def search(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.asked.append(asked)
        if self.refuse:
            return self.refuse[0], {"error": self.refuse[1]}
        if asked["api_key"] != KEY:
            return 401, {"error": f"Invalid API key: {asked['api_key']}"}
        page, chips = int(asked["ijn"]), asked.get("chips", "")
        answer: dict[str, Any] = {
            "search_metadata": {"status": "Success", "google_images_url": "https://www.google.com/search"},
            "search_parameters": {k: v for k, v in asked.items() if k != "api_key"},
            "suggested_searches": [
                {"name": "young", "link": "https://www.google.com/search", "chips": f"q:{asked['q']},g_1:young"},
                {"name": "no chips", "link": "https://www.google.com/search"},
                {"name": "old", "link": "https://www.google.com/search", "chips": f"q:{asked['q']},g_1:old"},
            ],
        }
        if page >= self.pages:
            return 200, {**answer, "error": "Google hasn't returned any results for this query."}
        first = {"cat": 0, "dog": 1000}[asked["q"].split()[-1]] + (
            100 if "young" in chips else 200 if "old" in chips else 0
        )
        answer["images_results"] = [
            {
                "position": i + 1,
                "thumbnail": f"{self.base}/thumb/{i}",
                "related_content_id": "x",
                "source": "example.org",
                "title": f"{asked['q']} {i}",
                "link": f"https://example.org/{i}",
                "original": f"{self.base}/pic/{name}",
                "original_width": 64,
                "original_height": 64,
                "is_product": False,
            }
            for i, name in enumerate(self.names(first + 10 * page, page))
        ]
        return 200, answer

    @staticmethod
    def names(first: int, page: int) -> list[str]:
        good = [f"{first + i}.jpg" for i in range(5)]
        # What search results hold: dead links, pages, huge files, slow hosts, the same picture again, broken files.
        bad = ["gone", "page.html", "huge", f"{first}-small.jpg", "cut", "tiny", "moved-inside"]
        return good[:2] + bad + good[2:] if page == 0 else good


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/search.json":
            status, answer = self.server.search({k: v[0] for k, v in parse_qs(parts.query).items()})
            return self.reply(status, "application/json", json.dumps(answer).encode())
        name = parts.path.rsplit("/", 1)[-1]
        self.server.fetched.append(name)
        match name:
            case "gone":
                return self.reply(404, "text/html", b"gone")
            case "page.html":
                return self.reply(200, "text/html", b"<html>")
            case "huge":
                return self.reply(200, "image/jpeg", b"x" * 400_000)
            case "cut":
                return self.reply(200, "image/jpeg", jpeg(5)[:300])
            case "tiny":
                return self.reply(200, "image/jpeg", jpeg(6, 8))
            case "moved-inside":
                return self.reply(302, "text/html", b"", Location="file:///etc/passwd")
            case "endless":
                return self.drip(b"x" * (1 << 16), 0.05)
            case "slow":
                return self.drip(b"x", 0.05)
            case "slow-head":
                return self.drip(b"X", 0.05, headers=False)
            case "short":
                return self.reply(200, "image/jpeg", b"x", **{"Content-Length": "9"})
            case "moved-away":
                return self.reply(302, "text/html", b"", Location="http://169.254.169.254/latest/meta-data")
        seed = int(name.split(".")[0].split("-")[0])
        return self.reply(200, "image/jpeg", jpeg(seed, *((24, 60) if "small" in name else (64, 90))))

    def drip(self, drop: bytes, pause: float, headers: bool = True) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        if headers:
            self.end_headers()
        else:
            self.flush_headers()
        try:
            for _ in range(100):
                self.wfile.write(drop)
                time.sleep(pause)
        except OSError:
            pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield made
        made.shutdown()


@pytest.fixture
def source(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageSearchSource:
    monkeypatch.setenv("SERPAPI_API_KEY", KEY)
    endpoint = f"{server.base}/search.json"
    return ImageSearchSource(
        {"cat": "house cat", "dog": "dog"},
        str(tmp_path / "pets"),
        per_class=7,
        endpoint=endpoint,
        megabytes=0.3,
        allow_private=True,
    )


def provenance(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "provenance.jsonl").read_text().splitlines()]


def test_collects_a_labelled_set(server: Server, source: ImageSearchSource) -> None:
    dataset = source.load()
    assert dataset.name == "pets" and list(dataset.target) == ["cat"] * 7 + ["dog"] * 7
    assert dataset.arrays["image"].shape == (14, 64, 64, 3)
    assert any("provenance.jsonl" in note for note in dataset.notes)
    # Five good ones on a page: the second page was needed, the third was not.
    assert [a["ijn"] for a in server.asked if a["q"] == "house cat"] == ["0", "1"]
    assert all(a["engine"] == "google_images" for a in server.asked)


def test_provenance_tells_what_became_of_each(source: ImageSearchSource) -> None:
    source.load()
    records = provenance(source.folder)
    kept = [r for r in records if not r["left_out"]]
    assert len(kept) == 14 and len({r["sha256"] for r in kept}) == 14
    for record in kept:
        assert (Path(source.folder) / record["file"]).is_file()
        assert record["link"].startswith("https://example.org/") and record["title"] and record["query"]
    why = {r["url"].rsplit("/", 1)[-1]: r["left_out"] for r in records if r["class"] == "cat" and r["left_out"]}
    assert why["gone"] == "answered 404" and "text/html" in why["page.html"] and "larger than" in why["huge"]
    assert why["0-small.jpg"] == "looks the same as another"
    assert why["cut"] == "is no readable picture" and "smaller than 16" in why["tiny"]
    assert why["moved-inside"]
    written = "".join(p.read_text() for p in Path(source.folder).glob("*.json*"))
    assert KEY not in written


def test_a_complete_folder_is_not_searched_again(server: Server, source: ImageSearchSource) -> None:
    first = source.load()
    asked, fetched = len(server.asked), len(server.fetched)
    again = source.load()
    assert (len(server.asked), len(server.fetched)) == (asked, fetched)
    np.testing.assert_array_equal(first.arrays["image"], again.arrays["image"])
    source.per_class = 3
    assert len(source.load()) == 6 and len(server.asked) > asked


@pytest.mark.parametrize("at", [0, 1, 5, 9])
def test_an_interrupted_search_leaves_nothing_to_the_next(
    source: ImageSearchSource, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """It may end after any picture; the pictures of the old query must not stand for the new class."""
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        if len(written) == at:
            raise KeyboardInterrupt
        written.append(path)
        write_atomically(path, content)

    monkeypatch.setattr(image_search, "write_atomically", write)
    with pytest.raises(KeyboardInterrupt):
        source.load()
    monkeypatch.setattr(image_search, "write_atomically", write_atomically)
    assert {r.get("file") for r in provenance(source.folder)} >= {str(f.relative_to(source.folder)) for f in written}
    with (Path(source.folder) / "provenance.jsonl").open("a") as file:
        file.write('{"class": "cat", "file": "images/c')  # a line that the crash cut
    source.classes, source.per_class = {"cat": "old dog", "dog": "dog"}, 3
    source.chips = {"cat": "q:dog,g_1:old"}
    assert list(source.load().target) == ["cat"] * 3 + ["dog"] * 3
    assert (
        len(list(Path(source.folder).glob("images/*/*")))
        == 6
        == sum(not r["left_out"] for r in provenance(source.folder))
    )


def test_a_search_that_was_begun_anew_is_not_complete(
    server: Server, source: ImageSearchSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.load()
    source.per_class, asked = 3, len(server.asked)
    monkeypatch.setattr(image_search, "_judge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        source.load()
    monkeypatch.undo()
    monkeypatch.setenv("SERPAPI_API_KEY", KEY)
    source.per_class = 7
    assert len(source.load()) == 14 and len(server.asked) > asked


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"workers": 0}, "data.workers=0"),
        ({"seconds": -1}, "data.seconds=-1"),
        ({"megabytes": 0}, "data.megabytes=0"),
        ({"chips": {"bird": "x"}}, "'bird'"),
    ],
)
def test_options_that_are_refused(source: ImageSearchSource, options: dict[str, Any], word: str) -> None:
    for name, value in options.items():
        setattr(source, name, value)
    with pytest.raises(UserError, match=word):
        source.load()


@pytest.mark.parametrize("content", [b"no json", b"[]", b'{"search": '])
def test_a_broken_word_of_completeness_is_none(server: Server, source: ImageSearchSource, content: bytes) -> None:
    Path(source.folder).mkdir()
    (Path(source.folder) / "search.json").write_bytes(content)
    assert len(source.load()) == 14 and server.asked


def test_refinements(server: Server, source: ImageSearchSource) -> None:
    source.refine = 2
    source.load()
    assert {a.get("chips", "") for a in server.asked if a["q"] == "dog"} == {"", "q:dog,g_1:young", "q:dog,g_1:old"}
    assert {r["chips"] for r in provenance(source.folder) if r["class"] == "dog"} == {
        "",
        "q:dog,g_1:young",
        "q:dog,g_1:old",
    }


def test_a_given_refinement(server: Server, source: ImageSearchSource) -> None:
    source.chips = {"dog": "q:dog,g_1:old"}
    source.load()
    assert {a.get("chips", "") for a in server.asked if a["q"] == "dog"} == {"q:dog,g_1:old"}
    assert {a.get("chips", "") for a in server.asked if a["q"] == "house cat"} == {""}


@pytest.mark.parametrize(
    ("refuse", "word"),
    [
        ((401, f"Invalid API key {KEY}"), "refuses the key"),
        ((429, "run out of searches"), "used up"),
        ((500, "x"), "500"),
        ((200, "Unsupported location"), "Unsupported location"),
    ],
)
def test_refusals_are_told_without_the_key(server: Server, source: ImageSearchSource, refuse: Any, word: str) -> None:
    server.refuse = refuse
    with pytest.raises(UserError, match=word) as caught:
        source.load()
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)


def test_no_connection(source: ImageSearchSource) -> None:
    source.endpoint = "http://127.0.0.1:9/search.json"
    with pytest.raises(UserError, match="cannot be reached"):
        source.load()


def test_too_few_pictures_are_told(server: Server, source: ImageSearchSource) -> None:
    server.pages = 0
    with pytest.raises(UserError, match="class 'cat' has 0 usable pictures"):
        source.load()


def test_private_addresses_are_not_called(server: Server, source: ImageSearchSource) -> None:
    """A search result must not make this machine call its own network."""
    source.allow_private = False
    with pytest.raises(UserError, match="private network"):
        source.load()
    assert server.fetched == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "http://",
        "http://127.0.0.1/x",
        "http://[::1]/x",
        "http://10.0.0.1/x",
        "http://169.254.169.254/latest/meta-data",
        "nonsense",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(FetchError):
        check_address(url, allow_private=False)


@pytest.mark.parametrize("name", ["endless", "slow", "slow-head"])
def test_a_download_ends_in_time(server: Server, name: str) -> None:
    """Also where each byte comes in time, or the headers never end: a socket's time-out would begin anew."""
    began = time.monotonic()
    with pytest.raises(FetchError, match="longer than"):
        fetch(f"{server.base}/pic/{name}", seconds=0.5, max_bytes=1 << 30, allow_private=True)
    assert time.monotonic() - began < 3


def test_a_tls_handshake_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(FetchError, match=r"longer than|timed out"):
            fetch(f"https://127.0.0.1:{silent.getsockname()[1]}/x", seconds=0.5, max_bytes=1, allow_private=True)
        assert time.monotonic() - began < 3


def test_a_download_that_is_cut_is_none(server: Server) -> None:
    with pytest.raises(FetchError, match="early"):
        fetch(f"{server.base}/pic/short", seconds=5, max_bytes=100, allow_private=True)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """A name server that gives these addresses one after the other, and then the last."""
    answers = list(addresses)

    def answer(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = host if host[0].isdigit() else answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_name_that_leads_elsewhere_later(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public when it is checked, the local network when it is called."""
    resolving(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(FetchError, match="private network"):
        fetch(f"http://pictures.example:{server.server_port}/pic/1.jpg", seconds=2, max_bytes=1 << 20)
    assert server.fetched == []


def test_the_checked_address_is_called(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []

    def record(address: tuple[str, int], **_: Any) -> socket.socket:
        called.append(address)
        made = socket.socket()
        made.connect(("127.0.0.1", server.server_port))
        return made

    resolving(monkeypatch, "93.184.216.34")
    monkeypatch.setattr(socket, "create_connection", record)
    assert fetch(f"http://pictures.example:{server.server_port}/pic/1.jpg", seconds=9, max_bytes=1 << 20) == jpeg(1)
    assert called == [("93.184.216.34", server.server_port)]
    with pytest.raises(FetchError, match="private network"):
        fetch(f"http://pictures.example:{server.server_port}/pic/moved-away", seconds=9, max_bytes=1 << 20)


def test_a_certificate_must_hold_the_name(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any, bool]] = []

    def wrap(self: ssl.SSLContext, sock: socket.socket, **options: Any) -> ssl.SSLSocket:
        asked.append((options["server_hostname"], self.verify_mode, self.check_hostname))
        raise ssl.SSLError("enough")

    resolving(monkeypatch, "127.0.0.1")
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    with pytest.raises(FetchError):
        fetch(f"https://pictures.example:{server.server_port}/x", seconds=2, max_bytes=1, allow_private=True)
    assert asked == [("pictures.example", ssl.CERT_REQUIRED, True)]


def test_perceptual_hash() -> None:
    def pixels(content: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(content)))

    for seed in range(10):
        same = perceptual_hash(pixels(jpeg(seed))) ^ perceptual_hash(pixels(jpeg(seed, 200, 40)))
        other = perceptual_hash(pixels(jpeg(seed))) ^ perceptual_hash(pixels(jpeg(seed + 1)))
        assert same.bit_count() <= 5 < other.bit_count()
