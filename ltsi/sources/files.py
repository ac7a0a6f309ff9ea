"""Input files: there or not, whole or cut short, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from narwhals.exceptions import NarwhalsError

from ltsi.engines.engine import Engine, Frame
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
    with (
        readable(file),
        gzip.open(file, "rt", encoding="utf-8") if is_gzip(file) else file.open(encoding="utf-8") as stream,
    ):
        yield from stream


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turns what Python raises on a damaged file into one sentence."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{file} is damaged or cut short ({error}); fetch it again.") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is no UTF-8 text ({error.reason} at byte {error.start:,}); convert it first."
        ) from error
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror or error}).") from error
    except (pl.exceptions.PolarsError, NarwhalsError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{file} is not a table that can be read ({reason}); it may be damaged or cut short."
        ) from error


def scan_table(file: Path, engine: Engine, delimiter: str | None = None) -> Frame:
    """Opens a table: Parquet, JSON lines or delimited text with a header, by its content; the last two may be gzipped.

    Args:
        file: the file.
        engine: opens it.
        delimiter: of delimited text; None finds it in the header.

    Returns:
        The table. Columns of delimited text are text, so that no engine guesses types: an empty field is missing.
    """
    with readable(file):
        head = _head(file)
        if head.startswith(b"PAR1"):
            return engine.scan_parquet([file])
        if head.lstrip().startswith(b"{"):
            return engine.scan_json_lines([file])
        separator = delimiter or _sniff_delimiter(head.decode("utf-8-sig", errors="replace"))
        return engine.scan_csv([file], separator)


def _head(file: Path) -> bytes:
    with gzip.open(file) if is_gzip(file) else file.open("rb") as stream:
        return bytes(stream.readline(1_000_000))


def _sniff_delimiter(header: str) -> str:
    """Returns the delimiter that cuts the header into most columns; a comma if none does."""
    unquoted = "".join(header.split('"')[::2])
    return max(",\t;|", key=unquoted.count)
