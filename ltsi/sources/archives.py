"""Taking single files out of zip and tar archives, safely: nothing is written but the files that were asked for."""

from __future__ import annotations

import shutil
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from ltsi.errors import DataError

Members = dict[str, Callable[[], IO[bytes] | None]]


def is_archive(file: Path) -> bool:
    """Tells by its content whether a file is a zip or tar archive; a tar may be compressed."""
    return zipfile.is_zipfile(file) or tarfile.is_tarfile(file)


def extract(archive: Path, members: Sequence[str], folder: Path) -> list[Path]:
    """Takes files out of an archive. Each is written into the folder under its own name, without its path.

    Args:
        archive: a zip or tar file.
        members: the end of the path of each file in it, such as `ml-1m/ratings.dat` or `ratings.dat`.
        folder: where they are written; a file that is there stays.

    Returns:
        The files that are in the archive, in the order of `members`.

    Raises:
        DataError: the archive is damaged, or a file cannot be written.
    """
    found = []
    with _opened(archive) as names:
        for member in members:
            matching = [name for name in names if name == member or name.endswith(f"/{member}")]
            target = folder / PurePosixPath(member).name
            if matching and not target.exists():
                _write(names[min(matching, key=len)], target)
            if matching:
                found.append(target)
    return found


def _write(open_member: Callable[[], IO[bytes] | None], target: Path) -> None:
    stream = open_member()
    assert stream is not None, "regular files have a stream"
    # A name of its own, so that two processes can take out the same file.
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with stream, part.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _opened(archive: Path) -> Iterator[Members]:
    """Yields the regular files of an archive: a function that opens each, by its name."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield {info.filename: _zip_opener(zipped, info) for info in zipped.infolist() if not info.is_dir()}
        else:
            with tarfile.open(archive) as tar:
                yield {info.name: _tar_opener(tar, info) for info in tar if info.isreg()}
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise DataError(f"{archive} is damaged or cut short ({error}); fetch it again.") from error
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked ({error.strerror or error}).") from error


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)


def _tar_opener(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes] | None]:
    return lambda: archive.extractfile(info)
