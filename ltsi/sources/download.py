"""Fetching published files: resumed where a connection was cut, checked against a digest, over mirrors.

A file being fetched is called `NAME.part`; it takes its own name once it is whole and its digest is right. Beside it
`NAME.json` keeps where it came from and its sha256.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import logging
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ltsi.errors import ConfigError, DataError

log = logging.getLogger(__name__)

ATTEMPTS = 4  # at one address without a further byte, where the fault may pass
PAUSE_SECONDS = 0.5  # before the second attempt, doubled before each further one
TIMEOUT_SECONDS = 30
CHUNK = 1 << 20
SCHEMES = ("https", "http", "file")
AGENT = "ltsi (dataset download)"


class _FetchError(Exception):
    """An address did not give the file; the message is why.

    Args:
        reason: why, without the address.
        passing: whether a further attempt may help.
    """

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes:
        url: address at the publisher; its last part is the name of the file.
        sha256: published digest; None where there is none, then the digest seen is told and kept.
        md5: published digest where the publisher gives this one.
        mirrors: further addresses of the same file, in the order in which they are tried after `url`.
        members: files wanted from an archive, by the end of their path in it; none if the file is no archive.
    """

    url: str
    sha256: str | None = None
    md5: str | None = None
    mirrors: Sequence[str] = ()
    members: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Name of the file."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    def fetch(self, folder: Path, mirror: str | None = None) -> Path:
        """Fetches the file unless it is there.

        Args:
            folder: where it is kept.
            mirror: an address to try before the others: of the file, or of a folder that holds it.

        Returns:
            The file.

        Raises:
            ConfigError: an address that is none.
            DataError: no address gave the file, its digest is another one, or it cannot be written.
        """
        target = folder / self.name
        addresses = [*([self._at(mirror)] if mirror else []), self.url, *self.mirrors]
        for address in addresses:
            if urlsplit(address).scheme not in SCHEMES:
                raise ConfigError(f"{address} is not a file address; give one that starts with https:// or file://.")
        if not target.exists():
            with _written(target) as part:
                address = self._fetch_over(addresses, part)
                digest = _digest(part, "sha256")
                _record(target, address, digest, checked=bool(self.sha256 or self.md5))
                part.replace(target)
        return target

    def _at(self, mirror: str) -> str:
        return mirror if mirror.endswith(f"/{self.name}") else f"{mirror.rstrip('/')}/{self.name}"

    def _fetch_over(self, addresses: Sequence[str], part: Path) -> str:
        """Fills the part file from the first address that gives the right file; returns that address."""
        failures = []
        for address in addresses:
            try:
                self._fetch_from(address, part)
            except _FetchError as failure:
                failures.append(f"{address}: {failure}")
            else:
                return address
        raise DataError(
            f"{self.name} could not be fetched ({'; '.join(failures)}); try another address with source.mirror=URL, "
            "or fetch it by other means and set source.path=FILE."
        )

    def _fetch_from(self, address: str, part: Path) -> None:
        """Fills the part file from an address, again and again as long as that brings it forward."""
        attempt = 0
        while True:
            before = part.stat().st_size
            try:
                _receive(address, part, resume_unseen=bool(self.sha256 or self.md5))
                self._check(part)
            except _FetchError as failure:
                attempt = 1 if part.stat().st_size > before else attempt + 1
                if not failure.passing or attempt >= ATTEMPTS:
                    raise
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            else:
                return

    def _check(self, part: Path) -> None:
        """Refuses a file with another digest, and takes it away."""
        for kind, expected in (("sha256", self.sha256), ("md5", self.md5)):
            found = _digest(part, kind) if expected else None
            if expected and found != expected.lower():
                _discard(part)
                raise _FetchError(f"its {kind} is {found}, not {expected}")


def _receive(address: str, part: Path, *, resume_unseen: bool) -> None:
    """Appends to the part file what is missing from it.

    Args:
        address: of the file.
        part: the part file.
        resume_unseen: whether to go on with what is there although the server may hold another version of the file by
            now, since a digest will tell.
    """
    have, tag = part.stat().st_size, _tag_file(part)
    request = urllib.request.Request(address, headers={"User-Agent": AGENT})  # noqa: S310 - the scheme was checked
    if have and (resume_unseen or tag.exists()):
        request.add_header("Range", f"bytes={have}-")
        if tag.exists() and not resume_unseen:
            request.add_header("If-Range", tag.read_text(encoding="utf-8"))
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            _append(answer, part)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            # What is there is the whole file already, or more than that; a digest tells, where there is one.
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            _discard(part)
            raise _FetchError("the part fetched earlier does not fit", passing=True) from error
        passing = error.code >= 500 or error.code in {408, 429}
        raise _FetchError(f"HTTP {error.code} {error.reason}", passing=passing) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        passing = not isinstance(reason, (FileNotFoundError, ssl.SSLCertVerificationError))
        raise _FetchError(str(reason) or type(reason).__name__, passing=passing) from error


def _append(answer: http.client.HTTPResponse, part: Path) -> None:
    if answer.headers.get_content_type() == "text/html" and not part.name.endswith(".html.part"):
        raise _FetchError("the answer is a web page, not the file")
    have, length = part.stat().st_size, answer.headers.get("Content-Length")
    if answer.status != http.client.PARTIAL_CONTENT:
        have = 0
        _keep_tag(answer, part)
    elif not (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
        _discard(part)
        raise _FetchError("the answer is another part of the file than was asked for", passing=True)
    total = have + int(length) if length else None
    if total is not None and total - have > shutil.disk_usage(part.parent).free:
        raise _full(part, total - have)
    with part.open("r+b") as stream, _bar(part.name.removesuffix(".part"), have, total) as advance:
        stream.truncate(have)
        stream.seek(have)
        while block := answer.read(CHUNK):
            _write(stream, block, part)
            advance(len(block))
    if total is not None and part.stat().st_size != total:
        raise _FetchError(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes", passing=True)


def _write(stream: BinaryIO, block: bytes, part: Path) -> None:
    try:
        stream.write(block)
        stream.flush()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _full(part, None) from error
        raise DataError(f"{part} cannot be written ({error.strerror or error}).") from error


def _full(part: Path, wanted: int | None) -> DataError:
    more = "" if wanted is None else f", {wanted:,} more bytes are needed"
    return DataError(
        f"There is no space left in {part.parent}{more}; make room and run it again to go on from there, or set "
        "LTSI_DATA=FOLDER to keep data elsewhere."
    )


def _keep_tag(answer: http.client.HTTPResponse, part: Path) -> None:
    """Keeps what names the version of the file, so that a later attempt does not join two versions."""
    tag = answer.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        _tag_file(part).write_text(tag, encoding="utf-8")
    else:
        _tag_file(part).unlink(missing_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _discard(part: Path) -> None:
    with part.open("r+b") as stream:
        stream.truncate(0)
    _tag_file(part).unlink(missing_ok=True)


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """Yields the part file of a target, locked against other processes; an empty one does not stay behind."""
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        raise DataError(f"{part} cannot be written ({error.strerror or error}); set LTSI_DATA=FOLDER.") from error
    with part.open("r+b") as stream, _locked(stream, part):
        try:
            yield part
        finally:
            # Only by whoever holds the lock: to another process an empty file is one that somebody begins to fetch.
            if part.exists() and part.stat().st_size == 0:
                part.unlink()
            if not part.exists():
                _tag_file(part).unlink(missing_ok=True)


@contextmanager
def _locked(stream: BinaryIO, part: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: no lock, and two processes at once end in a wrong digest
        yield
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise DataError(f"{part} is being fetched by another process; wait for it.") from error
    yield


def _digest(file: Path, kind: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def _record(target: Path, address: str, digest: str, *, checked: bool) -> None:
    facts = {
        "url": address,
        "sha256": digest,
        "checked": checked,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    target.with_name(f"{target.name}.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    if not checked:
        log.info("%s has sha256 %s; its publisher gives none to compare with.", target.name, digest)


@contextmanager
def _bar(name: str, have: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told the bytes that came; a bar on stderr shows them if somebody watches."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(name, total=total, completed=have)
        yield lambda size: progress.advance(task, size)
