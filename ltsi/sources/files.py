"""Input files: there or not, whole or cut short, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ltsi.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"


def existing_file(path: str, key: str) -> Path:
    """Returns the file.

    Args:
        path: what the user gave; `~` is their home.
        key: configuration key that sets it, for the error.

    Raises:
        DataError: there is no such file, or it is empty.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "does not exist"
        raise DataError(f"{file} {what}; set {key}=FILE.")
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty; set {key} to a file with events.")
    return file


def is_gzip(file: Path) -> bool:
    """Tells by its first bytes whether a file is gzipped."""
    with file.open("rb") as stream:
        return stream.read(2) == GZIP_MAGIC


def text_lines(file: Path) -> Iterator[str]:
    """Yields the lines of a text file, gzipped or not.

    Raises:
        DataError: the file is damaged, cut short, or no text.
    """
    with readable(file), gzip.open(file, "rt", encoding="utf-8") if is_gzip(file) else file.open(
        encoding="utf-8"
    ) as stream:
        yield from stream


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turns what Python raises on a damaged file into one sentence."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{file} is damaged or cut short ({error}); fetch it again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text ({error.reason} at byte {error.start:,}); convert it first.") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error
