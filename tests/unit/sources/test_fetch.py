"""Sources behind URLs: fetched once, seen to have changed, gone on with after a break; no password in a recipe."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pydantic import ValidationError

from danlu.core.errors import MissingDependency, UserError
from danlu.core.resource import Digests, Resolver, Site, check, listed, resolve
from danlu.sources.config import SourceConfig
from danlu.sources.snapshots import origin_of
from tests.unit.sources.reading import read


@pytest.fixture
def bucket() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


class Place:
    """A cache, and what was said while it was filled."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.said: list[str] = []

    def site(self, **more: Any) -> Site:
        return Site(base=self.cache.parent, cache=self.cache, say=self.said.append, **more)

    def get(self, url: str, **more: Any) -> Path:
        """As a new run would."""
        self.said.clear()
        return Resolver(site=self.site(**more)).of(url)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_is_fetched_once_and_again_when_it_changed(bucket: Any, place: Place, tmp_path: Path) -> None:
    bucket.pipe("/shop/reviews.csv", b"text\none\ntwo\n")
    first = place.get("memory://shop/reviews.csv")
    assert first.name == "reviews.csv"
    assert place.said == ["Fetching 1 of 1 files from memory://shop/reviews.csv (0.0 MB)"]
    assert read(first, tmp_path / "out").texts == ["one", "two"]
    assert place.get("memory://shop/reviews.csv") == first
    assert place.said == []
    time.sleep(0.01)
    bucket.pipe("/shop/reviews.csv", b"text\none\nTWO\n")
    second = place.get("memory://shop/reviews.csv")
    assert second != first
    assert second.read_bytes() == b"text\none\nTWO\n"
    assert first.read_bytes() == b"text\none\ntwo\n", "what was fetched never changes"


def test_the_card_says_from_where_and_when(bucket: Any, place: Place, tmp_path: Path) -> None:
    bucket.pipe("/shop/reviews.csv", b"text\none\n")
    path = place.get("memory://shop/reviews.csv")
    fetched = read(path, tmp_path / "out").tally.card()["fetched"]
    assert fetched["place"] == "memory://shop/reviews.csv"
    assert fetched["taken"].endswith("+00:00")
    # The same content fetched anew keeps its time: what is made from it stays the same.
    assert place.get("memory://shop/reviews.csv", refresh=True) == path
    assert origin_of(path) == fetched


def test_folders_and_patterns(bucket: Any, place: Place, tmp_path: Path) -> None:
    for name in ("a.csv", "deep/b.csv", "c.txt", ".hidden/d.csv"):
        bucket.pipe(f"/data/set/{name}", f"text\n{name}\n".encode())
    folder = place.get("memory://data/set")
    assert [name for name, _ in listed(folder)] == ["a.csv", "c.txt", "deep/b.csv"]
    pattern = place.get("memory://data/set/**/*.csv")
    assert [name for name, _ in listed(pattern)] == ["a.csv", "deep/b.csv"]
    origins = [row["origin"] for row in read(pattern, tmp_path / "out").rows]
    assert origins == ["a.csv:2", "deep/b.csv:2"]
    with pytest.raises(UserError, match=r"There is no file at 'memory://data/set/\*\.json'"):
        place.get("memory://data/set/*.json")


def test_only_what_changed_in_a_folder_is_fetched(bucket: Any, place: Place) -> None:
    for number in range(3):
        bucket.pipe(f"/data/{number}.csv", f"text\n{number}\n".encode())
    first = place.get("memory://data")
    bucket.pipe("/data/3.csv", b"text\n3\n")
    bucket.rm("/data/0.csv")
    second = place.get("memory://data")
    assert place.said == ["Fetching 1 of 3 files from memory://data (0.0 MB)"]
    assert [name for name, _ in listed(second)] == ["1.csv", "2.csv", "3.csv"]
    assert (first / "1.csv").stat().st_ino == (second / "1.csv").stat().st_ino
    assert Digests().of(first) != Digests().of(second)


def test_a_file_that_went_missing_in_the_cache_is_fetched_again(bucket: Any, place: Place) -> None:
    bucket.pipe("/shop/reviews.csv", b"text\none\n")
    path = place.get("memory://shop/reviews.csv")
    path.unlink()
    assert place.get("memory://shop/reviews.csv").read_bytes() == b"text\none\n"
    path.write_bytes(b"text\n")
    assert place.get("memory://shop/reviews.csv").read_bytes() == b"text\none\n"
    path.write_bytes(b"text\nTWO\n")  # of the right size: only --refresh can know
    assert place.get("memory://shop/reviews.csv", refresh=True).read_bytes() == b"text\none\n"
    assert sorted(entry.name for entry in place.cache.iterdir() if entry.is_dir()) == ["content", "parts"]


def test_a_folder_is_gone_on_with_after_a_break(bucket: Any, place: Place) -> None:
    for number in range(4):
        bucket.pipe(f"/data/{number}.csv", b"text\n%d\n" % number)
    pulses = iter([None, None, UserError("stopped")])

    def pulse() -> None:
        found = next(pulses)
        if found is not None:
            raise found

    with pytest.raises(UserError, match="stopped"):
        place.get("memory://data", pulse=pulse)
    time.sleep(0.01)
    bucket.pipe("/data/0.csv", b"text\nzero\n")
    folder = place.get("memory://data")
    assert place.said == ["Fetching 3 of 4 files from memory://data (0.0 MB)"], "1 was whole and is the same"
    texts = [path.read_text().splitlines()[1] for _, path in listed(folder)]
    assert texts == ["zero", "1", "2", "3"]


@pytest.mark.parametrize(
    ("name", "kept"), [(".source.json", "source.json"), ("..", "download"), ("%2e%2e", "download"), ("", "download")]
)
def test_names_from_elsewhere_hit_nothing_of_ours(name: str, kept: str, web: Web, place: Place) -> None:
    pytest.importorskip("aiohttp", reason="the driver for http is not installed")
    (web.folder / ".source.json").write_text("text\na\n")
    path = place.get(f"{web.address}/{name}")
    assert path.name == kept
    assert path.is_relative_to(place.cache / "content")
    assert {entry.name for entry in place.cache.parent.iterdir()} == {"cache", "web"}


def test_the_signed_address_that_a_server_leads_to_is_not_repeated(place: Place) -> None:
    pytest.importorskip("aiohttp", reason="the driver for http is not installed")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            signed = "X-Amz-Signature" in self.path
            self.send_response(403 if signed else 302)
            if not signed:
                self.send_header("Location", "/real.csv?X-Amz-Signature=hunter2")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(UserError, match="403 Forbidden") as caught:
            place.get(f"http://127.0.0.1:{server.server_port}/a.csv")
    finally:
        server.shutdown()
        server.server_close()
    assert "hunter2" not in str(caught.value)


def test_one_run_sees_one_state(bucket: Any, place: Place) -> None:
    bucket.pipe("/shop/reviews.csv", b"text\none\n")
    resolver = Resolver(site=place.site())
    first = resolver.of("memory://shop/reviews.csv")
    bucket.pipe("/shop/reviews.csv", b"text\nchanged\n")
    assert resolver.of("memory://shop/reviews.csv") == first


def test_a_broken_fetch_is_gone_on_with(bucket: Any, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 20_000  # 5 MB
    bucket.pipe("/big/file.bin", data)
    pulses = iter([None, None, UserError("stopped")])

    def pulse() -> None:
        found = next(pulses)
        if found is not None:
            raise found

    with pytest.raises(UserError, match="stopped"):
        place.get("memory://big/file.bin", pulse=pulse)
    (part,) = place.cache.glob("parts/*/files/.file.bin.*.part")
    assert part.stat().st_size == 3 << 20
    begun: list[int] = []
    opened = type(bucket)._open

    def watched(self: Any, *arguments: Any, **named: Any) -> Any:
        file = opened(self, *arguments, **named)
        seek = file.seek
        monkeypatch.setattr(file, "seek", lambda *where: begun.append(where[0]) or seek(*where), raising=False)
        return file

    monkeypatch.setattr(type(bucket), "_open", watched)
    path = place.get("memory://big/file.bin")
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(data).digest()
    assert 3 << 20 in begun
    assert not list(place.cache.glob("parts/*"))


def test_a_part_of_an_older_state_is_not_gone_on_with(bucket: Any, place: Place) -> None:
    bucket.pipe("/big/file.bin", b"a" * (3 << 20))

    def pulse() -> None:
        raise UserError("stopped")

    with pytest.raises(UserError, match="stopped"):
        place.get("memory://big/file.bin", pulse=pulse)
    time.sleep(0.01)
    bucket.pipe("/big/file.bin", b"b" * (3 << 20))
    assert place.get("memory://big/file.bin").read_bytes() == b"b" * (3 << 20)


@dataclass(kw_only=True)
class Web:
    """An HTTP server on this machine: its address, its folder, what was asked of it, and how it is stopped."""

    address: str
    folder: Path
    asked: list[str]
    stop: Callable[[], None]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    folder, asked = tmp_path / "web", list[str]()
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def stop() -> None:
        if thread.is_alive():
            server.shutdown()
            server.server_close()
            thread.join()

    yield Web(address=f"http://127.0.0.1:{server.server_port}", folder=folder, asked=asked, stop=stop)
    stop()


def test_http(web: Web, place: Place, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the driver for http is not installed")
    address, folder, asked = web.address, web.folder, web.asked
    (folder / "评论 1.csv").write_text("text\n你好世界\n", encoding="utf-8")
    url = f"{address}/%E8%AF%84%E8%AE%BA%201.csv?download=1"
    path = place.get(url)
    assert path.name == "评论 1.csv"
    assert read(path, tmp_path / "out").texts == ["你好世界"]
    assert len(asked) == 1
    assert place.get(url) == path
    assert len(asked) == 1, "Last-Modified says that it is the same"
    with pytest.raises(UserError, match=r"There is nothing at 'http://127.0.0.1:\d+/no.csv'"):
        place.get(f"{address}/no.csv")


def test_what_cannot_be_reached_is_taken_from_the_cache_and_said(web: Web, place: Place) -> None:
    pytest.importorskip("aiohttp", reason="the driver for http is not installed")
    (web.folder / "a.csv").write_text("text\na\n")
    path = place.get(f"{web.address}/a.csv")
    web.stop()
    assert place.get(f"{web.address}/a.csv") == path
    assert "cannot be reached; using what was fetched on 20" in place.said[0]
    with pytest.raises(UserError, match=r"Could not fetch .*Cannot connect to host"):
        place.get(f"{web.address}/a.csv", refresh=True)
    with pytest.raises(UserError, match=r"Could not fetch .*Cannot connect to host"):
        place.get(f"{web.address}/b.csv")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("s3://key:hunter2@bucket/a.csv", "a password"),
        ("https://me:p@ss:hunter2@example.org/a.csv", "a password"),
        ("https://example.org/a.csv?X-Amz-Signature=hunter2", "the parameter 'X-Amz-Signature'"),
        ("https://example.org/a.csv?x=1&access_token=hunter2", "the parameter 'access_token'"),
        ("https://example.org/a.csv?sig=hunter2", "the parameter 'sig'"),
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str, what: str, place: Place) -> None:
    for attempt in (lambda: place.get(url), lambda: check(url, place.cache)):
        with pytest.raises(UserError) as caught:
            attempt()
        assert what in str(caught.value)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ValidationError) as refused:
        SourceConfig.model_validate({"path": url})
    assert "hunter2" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("url", "package"), [("s3://bucket/a.csv", "s3fs"), ("oss://bucket/a.csv", "ossfs"), ("gs://bucket/a", "gcsfs")]
)
def test_a_missing_driver_names_its_package(
    url: str, package: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=f"needs the package '{package}'.*pip install {package}"):
        place.get(url)


@pytest.mark.parametrize("url", ["gopher://x/y", "simplecache::s3://bucket/a", "zip://a.csv::b.zip", "git://x/y"])
def test_other_schemes_are_refused(url: str, place: Place) -> None:
    with pytest.raises(UserError, match="expected a path, package://"):
        place.get(url)


def test_a_check_fetches_nothing(bucket: Any, tmp_path: Path) -> None:
    check("memory://nowhere/a.csv", tmp_path)
    check("hf://datasets/owner/name", tmp_path)
    with pytest.raises(UserError, match="There is no file or folder 'a.csv'"):
        check("a.csv", tmp_path)
    with pytest.raises(UserError, match="no workspace to keep it in"):
        resolve("memory://nowhere/a.csv", tmp_path)


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\na\n")
    assert resolve(f"file://{tmp_path}/a.csv", tmp_path) == tmp_path / "a.csv"
