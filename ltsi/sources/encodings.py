"""Texts that are not UTF-8, or whose columns no CSV reader separates: streamed into a temporary file that is."""

from __future__ import annotations

import codecs
import csv
import io
import re
import uuid
from pathlib import Path

from ltsi.errors import ConfigError, DataError
from ltsi.sources.files import open_bytes, readable

CHUNK = 1 << 22
FALLBACK = "cp1252"
BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WHITESPACE = "whitespace"
# A character of UTF-8 beyond ASCII; in a text of another encoding it hardly ever comes about.
_MULTIBYTE = re.compile(rb"[\xc3-\xdf][\x80-\xbf](?![\x80-\xbf])|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def checked_encoding(encoding: str | None) -> str | None:
    """Returns the usual name of an encoding.

    Raises:
        ConfigError: there is none of that name.
    """
    if encoding is None:
        return None
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ConfigError(
            f"source.encoding={encoding} is not a known encoding; give one such as utf-8, utf-16, latin-1 or cp1252."
        ) from error


def encoding_by_mark(file: Path) -> str:
    """Returns the encoding that the first bytes of a file state, UTF-8 if they state none."""
    with readable(file), open_bytes(file) as stream:
        head = stream.read(4)
    return next((name for mark, name in BOMS.items() if head.startswith(mark)), "utf-8")


def require_no_utf8(file: Path) -> None:
    """Refuses to take a text for one in another encoding if only parts of it are not UTF-8.

    Raises:
        DataError: the text has multi-byte UTF-8 characters and bytes that are not UTF-8.
    """
    with open_bytes(file) as stream:
        while chunk := stream.read(CHUNK):
            if _MULTIBYTE.search(chunk):
                raise DataError(
                    f"{file} is either UTF-8 text with invalid bytes or text in another encoding; mend it, or set "
                    f"source.encoding to its encoding, such as gbk, cp1251 or {FALLBACK}."
                )


def rewritten(file: Path, encoding: str, delimiter: str | None, folder: Path) -> Path:
    """Writes a text as UTF-8, in bounded memory.

    Args:
        file: the text.
        encoding: its encoding.
        delimiter: what separates its columns if no CSV reader can: `whitespace`, or more than one character; the new
            text has tabs there. None leaves columns as they are.
        folder: where to write.

    Returns:
        The new file.

    Raises:
        DataError: the text is not of that encoding.
    """
    target = folder / f"{uuid.uuid4().hex}.txt"
    try:
        with (
            io.TextIOWrapper(open_bytes(file), encoding=encoding, newline="" if delimiter is None else None) as text,
            target.open("w", encoding="utf-8", newline="") as out,
        ):
            if delimiter is None:
                while chunk := text.read(CHUNK):
                    out.write(chunk.removeprefix("\ufeff"))
            else:
                separator = None if delimiter == WHITESPACE else delimiter
                writer = csv.writer(out, delimiter="\t", lineterminator="\n")
                lines = (line.rstrip("\n").removeprefix("\ufeff") for line in text)
                writer.writerows(line.split(separator) for line in lines if line.strip())
    except UnicodeError as error:
        raise DataError(f"{file} is not {encoding} text ({error}); set source.encoding to its encoding.") from error
    return target
