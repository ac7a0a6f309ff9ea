"""Fetching from a server on this machine that can cut, refuse and change."""

import errno
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.sources import download
from ltsi.sources.archives import extract, is_archive
from ltsi.sources.download import Download

CONTENT = bytes(i * i % 251 for i in range(50_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What a server holds, how it behaves, and what it was asked for.

    Attributes:
        files: content by path.
        ranges: whether it knows ranges.
        cuts: how many of the next answers end after a third of their bytes.
        status: status of the next answers, in order, before it behaves.
        etag: version of the files.
        content_type: what it says that they are.
        wrong_part: whether the answer to the first request of a part is another part.
        asked: path and range of each request.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: {"/log.csv": CONTENT})
    ranges: bool = True
    cuts: int = 0
    status: list[int] = field(default_factory=list)
    etag: str = '"1"'
    content_type: str = "application/octet-stream"
    wrong_part: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("Range")))
            content = state.files.get(self.path)
            if state.status or content is None:
                self.send_error(state.status.pop(0) if state.status else 404)
                return
            first = self.first_byte()
            if first > len(content) or (first == len(content) and first):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if first else 200)
            self.send_header("Content-Type", state.content_type)
            if first:
                wrong = state.wrong_part and state.asked[-1] == state.asked[0]
                self.send_header("Content-Range", f"bytes {0 if wrong else first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            self.send_header("ETag", state.etag)
            self.end_headers()
            rest = content[first:]
            if state.cuts:
                state.cuts -= 1
                rest = rest[: len(rest) // 3]
            self.wfile.write(rest)

        def first_byte(self) -> int:
            wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
            if not state.ranges or wanted is None or condition not in {None, state.etag}:
                return 0
            return int(wanted.removeprefix("bytes=").removesuffix("-"))

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once_and_its_origin_is_kept(server: Server, tmp_path: Path) -> None:
    wanted = Download(f"{server.address}/log.csv", sha256=SHA256)
    file = wanted.fetch(tmp_path / "raw")
    assert file.read_bytes() == CONTENT
    assert names(tmp_path / "raw") == ["log.csv", "log.csv.json"]
    record = json.loads((tmp_path / "raw" / "log.csv.json").read_text())
    assert (record["url"], record["sha256"], record["checked"]) == (f"{server.address}/log.csv", SHA256, True)
    assert wanted.fetch(tmp_path / "raw") == file
    assert server.asked == [("/log.csv", None)]


def test_a_cut_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = 6
    file = Download(f"{server.address}/log.csv", sha256=SHA256).fetch(tmp_path)
    assert file.read_bytes() == CONTENT
    # A third of what is missing comes each time: more cuts than attempts, since each brings the file forward.
    have = [0]
    for _ in range(6):
        have.append(have[-1] + (len(CONTENT) - have[-1]) // 3)
    assert server.asked == [("/log.csv", f"bytes={n}-" if n else None) for n in have]


def test_an_interrupted_download_is_taken_up_by_the_next_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, write = Download(f"{server.address}/log.csv"), download._write
    monkeypatch.setattr(download, "CHUNK", 10_000)

    def interrupt_at_third(stream: Any, block: bytes, part: Path) -> None:
        if stream.tell() == 20_000:
            raise KeyboardInterrupt
        write(stream, block, part)

    monkeypatch.setattr(download, "_write", interrupt_at_third)
    with pytest.raises(KeyboardInterrupt):
        wanted.fetch(tmp_path)
    assert names(tmp_path) == ["log.csv.part", "log.csv.part.etag"]
    monkeypatch.setattr(download, "_write", write)
    assert wanted.fetch(tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == ("/log.csv", "bytes=20000-")
    assert names(tmp_path) == ["log.csv", "log.csv.json"]


def test_a_part_of_another_version_is_not_joined(server: Server, tmp_path: Path) -> None:
    (tmp_path / "log.csv.part").write_bytes(b"old version")
    (tmp_path / "log.csv.part.etag").write_text('"0"')
    assert Download(f"{server.address}/log.csv").fetch(tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/log.csv", "bytes=11-")]


def test_a_part_of_unknown_version_is_not_joined_without_a_digest(server: Server, tmp_path: Path) -> None:
    (tmp_path / "log.csv.part").write_bytes(b"who knows")
    assert Download(f"{server.address}/log.csv").fetch(tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/log.csv", None)]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, 1
    assert Download(f"{server.address}/log.csv", sha256=SHA256).fetch(tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, f"bytes={len(CONTENT) // 3}-"]


@pytest.mark.parametrize("extra", [b"", b"too much"])
def test_a_part_that_is_whole_or_too_long_is_noticed(server: Server, tmp_path: Path, extra: bytes) -> None:
    (tmp_path / "log.csv.part").write_bytes(CONTENT + extra)
    assert Download(f"{server.address}/log.csv", sha256=SHA256).fetch(tmp_path).read_bytes() == CONTENT


def test_another_part_than_was_asked_for_is_not_joined(server: Server, tmp_path: Path) -> None:
    server.wrong_part = True
    (tmp_path / "log.csv.part").write_bytes(CONTENT[:100])
    assert Download(f"{server.address}/log.csv", sha256=SHA256).fetch(tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/log.csv", "bytes=100-"), ("/log.csv", None)]


def test_a_wrong_digest_is_refused_and_nothing_stays(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"its sha256 is {SHA256}, not 0{{64}}\).*source\.path=FILE"):
        Download(f"{server.address}/log.csv", sha256="0" * 64).fetch(tmp_path)
    with pytest.raises(DataError, match=r"its md5 is [0-9a-f]{32}, not 1{32}"):
        Download(f"{server.address}/log.csv", md5="1" * 32).fetch(tmp_path)
    assert names(tmp_path) == []


def test_a_digest_that_nobody_published_is_told_and_kept(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="ltsi")
    Download(f"{server.address}/log.csv").fetch(tmp_path)
    assert f"log.csv has sha256 {SHA256}" in caplog.text
    assert json.loads((tmp_path / "log.csv.json").read_text())["checked"] is False


def test_mirrors_are_tried_in_order_and_all_failures_are_told(server: Server, tmp_path: Path) -> None:
    gone, here = f"{server.address}/gone/log.csv", f"{server.address}/log.csv"
    assert Download(gone, mirrors=[here]).fetch(tmp_path / "a").read_bytes() == CONTENT
    with pytest.raises(DataError) as caught:
        Download(gone, mirrors=[f"{server.address}/no/log.csv"]).fetch(tmp_path / "b")
    assert str(caught.value) == (
        f"log.csv could not be fetched ({gone}: HTTP 404 Not Found; {server.address}/no/log.csv: HTTP 404 Not Found); "
        "try another address with source.mirror=URL, or fetch it by other means and set source.path=FILE."
    )
    # What is not there is not asked for again.
    assert [path for path, _ in server.asked].count("/no/log.csv") == 1


@pytest.mark.parametrize("mirror", ["", "/", "/log.csv"])
def test_the_users_mirror_comes_first(server: Server, tmp_path: Path, mirror: str) -> None:
    fetched = Download("https://example.invalid/log.csv").fetch(tmp_path, f"{server.address}{mirror}")
    assert fetched.read_bytes() == CONTENT


def test_a_folder_can_be_the_mirror(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(CONTENT)
    mirror = tmp_path.as_uri()
    assert Download("https://example.invalid/log.csv").fetch(tmp_path / "raw", mirror).read_bytes() == CONTENT
    with pytest.raises(DataError, match=r"none\.csv could not be fetched"):
        Download(f"{mirror}/none.csv").fetch(tmp_path / "raw")


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status = [503, 429]
    assert Download(f"{server.address}/log.csv").fetch(tmp_path).read_bytes() == CONTENT
    server.status = [500] * 10
    with pytest.raises(DataError, match="HTTP 500"):
        Download(f"{server.address}/log.csv").fetch(tmp_path / "other")
    assert len(server.asked) == 3 + download.ATTEMPTS


def test_a_host_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/log\.csv: .*refused"):
        Download("http://127.0.0.1:9/log.csv").fetch(tmp_path)


def test_a_login_page_is_not_the_file(server: Server, tmp_path: Path) -> None:
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(DataError, match="the answer is a web page, not the file"):
        Download(f"{server.address}/log.csv").fetch(tmp_path)
    assert names(tmp_path) == []


def test_an_address_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ftp://host/log\.csv is not a file address"):
        Download("ftp://host/log.csv").fetch(tmp_path)


def test_a_full_disk_is_told_and_what_came_stays(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"no space left in .*LTSI_DATA=FOLDER"):
        download._write(Full(), b"x", tmp_path / "log.csv.part")
    (tmp_path / "log.csv.part").write_bytes(CONTENT[:10])
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=f"{len(CONTENT) - 10:,} more bytes are needed"):
        Download(f"{server.address}/log.csv", sha256=SHA256).fetch(tmp_path)
    assert (tmp_path / "log.csv.part").read_bytes() == CONTENT[:10]


def test_two_processes_do_not_fetch_into_one_file(server: Server, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / "log.csv.part").open("wb") as other:
        other.write(b"theirs")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=r"log\.csv\.part is being fetched by another process"):
            Download(f"{server.address}/log.csv").fetch(tmp_path)


def test_the_file_that_another_process_begins_to_fetch_is_left_to_it(server: Server, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    part = tmp_path / "log.csv.part"
    with part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="is being fetched by another process"):
            Download(f"{server.address}/log.csv").fetch(tmp_path)
    assert part.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(DataError, match=r"raw.*cannot be written.*set LTSI_DATA"):
        Download("https://example.invalid/log.csv").fetch(tmp_path / "raw")


def zipped(file: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def tarred(file: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("set/link.dat")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file


@pytest.mark.parametrize("make", [zipped, tarred])
def test_only_what_is_wanted_is_taken_out(tmp_path: Path, make: Any) -> None:
    members = {"set/a.dat": b"a", "set/b.dat": b"b", "../../evil.dat": b"e", "/root.dat": b"r", "set/x/a.dat": b"no"}
    archive, folder = make(tmp_path / "set.archive", members), tmp_path / "out"
    assert is_archive(archive)
    found = extract(archive, ["set/a.dat", "evil.dat", "none.dat", "link.dat"], folder)
    assert [path.relative_to(folder).as_posix() for path in found] == ["a.dat", "evil.dat"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.dat": b"a", "evil.dat": b"e"}
    assert names(tmp_path) == ["out", "set.archive"]


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    noise = bytes(range(256)) * 400
    whole = zipped(tmp_path / "set.zip", {"a.dat": noise})
    content = bytearray(whole.read_bytes())
    content[200:210] = b"0123456789"
    whole.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"set\.zip is damaged or cut short"):
        extract(whole, ["a.dat"], tmp_path / "out")
    cut = tarred(tmp_path / "set.tar.gz", {"a.dat": noise})
    cut.write_bytes(cut.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"set\.tar\.gz is damaged or cut short"):
        extract(cut, ["a.dat"], tmp_path / "out2")
    (tmp_path / "log.gz").write_bytes(gzip.compress(b"1,2,3"))
    assert not is_archive(tmp_path / "log.gz")
