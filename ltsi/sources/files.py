"""Input files: which ones are meant, there or not, whole or cut short, plain or compressed."""

from __future__ import annotations

import glob
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
from narwhals.exceptions import NarwhalsError

from ltsi.engines.engine import Frame, wrapped
from ltsi.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZIP_MAGIC = b"PK\x03\x04"
PARQUET_MAGIC = b"PAR1"  # Parquet begins and ends with it
PARQUET_NAMES = (".parquet", ".parq", ".pq")
PACKED_NAMES = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
CONTROL = bytes({*range(32)} - set(b"\t\n\v\f\r\x1b"))  # characters that no text of 8 bits has
BOM_UTF8 = b"\xef\xbb\xbf"


def is_address(path: str | Sequence[str]) -> bool:
    """Tells whether a path is an address, such as s3://bucket/log.parquet, that only an engine can open."""
    return isinstance(path, str) and "://" in path


def existing_file(path: str, key: str) -> Path:
    """Returns the file.

    Args:
        path: what the user gave; `~` is their home.
        key: configuration key that sets it, for the error.

    Raises:
        DataError: there is no such file, it is empty, an archive, or not what its name says.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "does not exist"
        raise DataError(f"{file} {what}; set {key}=FILE.")
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty; set {key} to a file with events.")
    with readable(file), file.open("rb") as stream:
        head = stream.read(1 << 12)
        stream.seek(-min(file.stat().st_size, len(PARQUET_MAGIC)), io.SEEK_END)
        _refuse_misnamed(file, head, stream.read())
    return file


def _refuse_misnamed(file: Path, head: bytes, end: bytes) -> None:
    """Refuses a file whose first and last bytes are not those of what it seems to be."""
    if head.startswith(ZIP_MAGIC):
        raise DataError(f"{file} is a zip archive or a spreadsheet; unpack it, or export it as CSV, first.")
    suffix, packed = file.suffix.lower(), head.startswith((GZIP_MAGIC, ZSTD_MAGIC))
    if head.startswith(PARQUET_MAGIC) and (end != PARQUET_MAGIC or len(head) <= len(PARQUET_MAGIC)):
        raise DataError(f"{file} is damaged or cut short, as Parquet that is whole ends in 'PAR1'; fetch it again.")
    if suffix in PARQUET_NAMES and not head.startswith(PARQUET_MAGIC):
        advice = (
            "unpack it first" if packed else "write it again as Parquet, or rename it to what it is, such as log.csv"
        )
        raise DataError(f"{file} is named as Parquet and begins with other bytes; {advice}.")
    # What a browser has unpacked on the way is often still named so, and is read.
    marked = head.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16
    if suffix in PACKED_NAMES and not packed and not marked and head.translate(None, CONTROL) != head:
        kind = PACKED_NAMES[suffix]
        raise DataError(f"{file} is named as {kind} and holds neither {kind} nor text; fetch it again.")


def existing_files(path: str | Sequence[str], key: str) -> list[Path]:
    """Returns the files that are meant, each once, those of a folder or a pattern in the order of their names.

    Args:
        path: a file, a folder (all files below it but hidden ones), a pattern such as `logs/*.csv`, or a list of these.
        key: configuration key that sets it, for the error.

    Raises:
        DataError: nothing is there, or a file is empty.
    """
    found: dict[Path, Path] = {}
    # A configuration reads the name of a file as a number if it looks like one.
    for each in path if isinstance(path, Sequence) and not isinstance(path, str) else [path]:
        for file in _matching(str(each), key):
            found.setdefault(file.resolve(), existing_file(str(file), key))
    return list(found.values())


def _matching(path: str, key: str) -> list[Path]:
    place = Path(path).expanduser()
    if place.is_dir():
        # What other tools leave beside their data starts with a dot or an underscore.
        below = [file for file in place.rglob("*") if file.is_file()]
        files = sorted(file for file in below if not any(p[0] in "._" for p in file.relative_to(place).parts))
        if not files:
            raise DataError(f"The folder {place} holds no files; set {key} to files with events.")
        return files
    if place.exists() or not glob.has_magic(str(place)):
        return [place]
    names = glob.glob(str(place), recursive=True)  # noqa: PTH207 - a pattern may be absolute
    files = sorted(file for file in map(Path, names) if file.is_file())
    if not files:
        raise DataError(f"No file matches {place}; set {key} to a file, a folder or a pattern such as 'logs/*.csv'.")
    return files


def is_gzip(file: Path) -> bool:
    """Tells by its first bytes whether a file is gzipped."""
    with file.open("rb") as stream:
        return stream.read(2) == GZIP_MAGIC


def open_bytes(file: Path) -> BinaryIO:
    """Opens a file for reading; gzip and zstd are decompressed on the way."""
    return io.BufferedReader(pa.input_stream(str(file), compression=compression_of(file)), 1 << 20)


def compression_of(file: Path) -> str | None:
    """Tells gzip and zstd by the first bytes of a file."""
    with file.open("rb") as stream:
        magic = stream.read(4)
    return "gzip" if magic[:2] == GZIP_MAGIC else "zstd" if magic == ZSTD_MAGIC else None


def text_lines(file: Path, encoding: str = "utf-8-sig") -> Iterator[str]:
    """Yields the lines of a text file, compressed or not.

    Args:
        file: the file.
        encoding: a codec of Python's.

    Raises:
        DataError: the file is damaged, cut short, or no text.
    """
    with readable(file), io.TextIOWrapper(open_bytes(file), encoding=encoding) as stream:
        yield from stream


def scan_text(files: Sequence[Path], delimiter: str, header: Sequence[str] | None = None) -> Frame:
    """Opens delimited UTF-8 text with polars, whatever the engine: to bring a published file into a common form.

    Args:
        files: in reading order.
        delimiter: one character.
        header: names of the columns where the files have no header line.

    Returns:
        The table; every column is text, an empty field is missing.
    """
    names = None if header is None else list(header)
    options: dict[str, Any] = {"has_header": names is None, "new_columns": names, "infer_schema": False}
    return wrapped(pl.scan_csv(list(files), separator=delimiter, **options))


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turns what libraries raise on a damaged file into one sentence."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(file) from error
    except UnicodeError as error:
        where = f"{error.reason} at byte {error.start:,}" if isinstance(error, UnicodeDecodeError) else str(error)
        name = error.encoding.upper() if isinstance(error, UnicodeDecodeError) else "such"
        raise DataError(f"{file} is not {name} text ({where}); set source.encoding, or convert it first.") from error
    except OSError as error:
        if error.errno is None:  # raised by a decompressor
            raise _damaged(file) from error
        raise DataError(f"{file} cannot be read ({error.strerror or error}).") from error
    except (pl.exceptions.PolarsError, NarwhalsError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{file} cannot be read as a table; it may be damaged or cut short: fetch or write it again ({reason})."
        ) from error


def _damaged(file: Path) -> DataError:
    return DataError(f"{file} is damaged or cut short and cannot be decompressed completely; fetch it again.")
