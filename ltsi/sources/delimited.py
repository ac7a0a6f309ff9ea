"""Delimited text to Parquet, strictly and in one pass: the same rows on each engine, and no row that is ragged.

Engines read CSV each in its own way: a short row, a quote inside a field or a type that is guessed end differently. So
one reader serves all of them.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ltsi.errors import ConfigError, DataError
from ltsi.sources.columns import shown
from ltsi.sources.encodings import (
    FALLBACK,
    WHITESPACE,
    checked_encoding,
    encoding_by_mark,
    require_no_utf8,
    rewritten,
)
from ltsi.sources.files import open_bytes, readable

BLOCK = 1 << 24
HEAD = 1 << 20
LONGEST_FIELD = 1 << 24  # that Python reads: what two quotes far apart join is long
ORDINARY = "set source.quote=null if its quotes are ordinary characters"
END = "ltsi:end"  # stands in an extra last row: if it does not come out, a quote before it was never closed
SPOKEN = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", WHITESPACE: "blanks", " ": "single blanks"}


@dataclass(frozen=True)
class TextFormat:
    """What the user said about delimited text.

    Attributes:
        delimiter: what separates columns, or `whitespace`; None finds it in the header.
        encoding: a codec of Python's; None detects it.
        header: names of the columns where the files have no header line.
        quote: what fields with delimiters or line breaks are written in; None takes quotes for ordinary characters.
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: Sequence[str] | None = None
    quote: str | None = '"'

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        object.__setattr__(self, "encoding", checked_encoding(self.encoding))
        if self.delimiter == "\\t":  # a command line takes it as two characters
            object.__setattr__(self, "delimiter", "\t")
        if self.quote is not None and (len(self.quote) != 1 or not self.quote.isascii() or self.quote in "\r\n"):
            raise ConfigError(f"source.quote={self.quote} must be one ASCII character, or null where none quotes.")
        if self.delimiter is not None and (not self.delimiter or set(self.delimiter) & {"\r", "\n", self.quote}):
            raise ConfigError("source.delimiter must be one or more characters, no quote or line break, or whitespace.")
        if self.header is not None:
            object.__setattr__(self, "header", [str(name) for name in self.header])
            _refuse_duplicates(self.header, "source.header")


class Delimited:
    """A file of delimited text.

    Args:
        file: the file.
        said: what the user said about it.
        folder: an existing folder for temporary files.

    Raises:
        DataError: it is no text, or its header is none.
    """

    def __init__(self, file: Path, said: TextFormat, folder: Path) -> None:
        self.file, self.said, self.folder = file, said, folder
        self.encoding = said.encoding or encoding_by_mark(file)
        self._guessed = False
        self.joined = False  # whether fields hold line breaks, known once the rows are read
        self._open()

    def _open(self) -> None:
        """Finds the columns; a text that is no UTF-8 is written anew."""
        self._source = self.file
        said = self.said.delimiter
        foreign = said is not None and (said == WHITESPACE or len(said) > 1 or not said.isascii())
        if foreign or self.encoding not in {"utf-8", "utf-8-sig"}:
            with readable(self.file):
                self._source = rewritten(self.file, self.encoding, said if foreign else None, self.folder)
        try:
            head = self._head()
        except UnicodeDecodeError:
            self._fall_back()
            return
        # What was rewritten is quoted anew where it has to be.
        self.quote = '"' if foreign else self.said.quote
        self.delimiter = "\t" if foreign else said or sniff_delimiter(head, self.quote)
        self.shown = SPOKEN.get(said or self.delimiter, repr(said or self.delimiter))
        names, blank = self._first_record(head)
        self.skipped = blank + 1 if self.said.header is None else 0  # lines up to the first row
        if self.said.header is None:
            _refuse_duplicates(names, str(self.file))
        elif len(self.said.header) != len(names):
            raise DataError(
                f"{self.file}, row 1 has {len(names)} fields, and source.header names {len(self.said.header)} columns."
            )
        self.names = list(self.said.header or names)

    @property
    def note(self) -> str:
        """How the file is read, in words."""
        guess = " (a guess; set source.encoding if it is another)" if self._guessed else ""
        return f"{self.encoding.upper()} text{guess}, columns separated by {self.shown}"

    def write_parquet(self, columns: Sequence[str], target: Path, first_row: int, prefix: str) -> int:
        """Writes some columns as text, and the number of each row, `row`.

        Args:
            columns: columns to write.
            target: the new file.
            first_row: number of the first row.
            prefix: goes before the names of the columns.

        Returns:
            The number of rows.

        Raises:
            DataError: a row has too many or too few fields, a quote is not closed, or the text is damaged.
        """
        try:
            rows = self._write(columns, target, first_row, prefix)
        except UnicodeDecodeError:
            self._fall_back()
            rows = self._write(columns, target, first_row, prefix)
        except pa.ArrowInvalid as error:
            self._refuse_joined()
            self._refuse_row()
            raise DataError(f"{self.file} cannot be read as {self.note} ({str(error).splitlines()[0]}).") from error
        if self.joined:
            self._refuse_joined()
        return rows

    def _write(self, columns: Sequence[str], target: Path, first_row: int, prefix: str) -> int:
        places = [self.names.index(name) for name in columns]
        fields = [str(place) for place in range(len(self.names))]
        wanted = [fields[place] for place in places]
        schema = pa.schema([*((prefix + name, pa.string()) for name in columns), ("row", pa.int64())])
        text = _Ended(self._source, len(fields), self.delimiter)
        reader = pacsv.open_csv(
            pa.PythonFile(text, mode="r"),
            read_options=pacsv.ReadOptions(block_size=BLOCK, column_names=fields, skip_rows_after_names=self.skipped),
            parse_options=pacsv.ParseOptions(
                delimiter=self.delimiter, quote_char=self.quote or False, newlines_in_values=self.quote is not None
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        rows, last = 0, None
        with pq.ParquetWriter(target, schema, compression="lz4") as writer:
            for batch in reader:
                if last is not None:
                    rows += _append(writer, last, schema, first_row + rows)
                last = batch if batch.num_rows else last
            if last is None or last.column(0)[-1].as_py() != END:
                raise pa.ArrowInvalid("a quote is opened and never closed")
            rows += _append(writer, last.slice(0, last.num_rows - 1), schema, first_row + rows)
        self.joined = self.quote is not None and text.lines > rows + self.skipped
        return rows

    def _head(self) -> str:
        with readable(self.file), open_bytes(self._source) as stream:
            head = stream.read(HEAD)
            if b"\0" in head:
                raise DataError(_nul(self.file, head.count(b"\n", 0, head.index(b"\0")) + 1))
        # The last character may be cut.
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=len(head) < HEAD)

    def _fall_back(self) -> None:
        """Reads a text that is no UTF-8 as the encoding that most others have.

        Raises:
            DataError: the encoding is the user's, or the text is damaged.
        """
        if self.said.encoding is not None:
            advice = f"set source.encoding to its encoding, such as gbk, cp1251 or {FALLBACK}"
            raise DataError(f"{self.file} is not valid UTF-8; {advice}.")
        require_no_utf8(self.file)
        self.encoding, self._guessed = FALLBACK, True
        self._open()

    def _refuse_row(self) -> None:
        """Finds the first row that has too many or too few fields. Slow, but on the way to an error only."""
        width, row, line = len(self.names), -int(self.said.header is None), 0
        with open_bytes(self._source) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            reader = self._records(text)
            try:
                for record in reader:
                    row += bool(record)
                    begin, line = line + 1, reader.line_num
                    if record and len(record) != width:
                        broken = any("\n" in each or "\r" in each for each in record)
                        hint = f"; a quote that opens there is closed late or never: {ORDINARY}" if broken else ""
                        raise DataError(
                            f"{self.file}, row {row} (line {begin}) has {len(record)} fields, not {width} as "
                            f"{'the header' if self.said.header is None else 'source.header'}{hint}."
                        )
            except csv.Error as error:
                hint = f"; {ORDINARY}" if "limit" in str(error) else ""
                told = f"{self.file}, row {row + 1} (line {line + 1}) cannot be read: {error}{hint}."
                raise DataError(told) from error
        raise DataError(f"{self.file}: a quote is opened near line {begin} and never closed; {ORDINARY}.")

    def _refuse_joined(self) -> None:
        """Refuses rows that two quotes inside of texts join, as in `"Heroes` and, rows later, `"Best of`.

        Only where a file has more lines than rows: this reads it once more.
        """
        with open_bytes(self._source) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            reader = self._records(text, strict=True)
            while True:
                line = reader.line_num
                try:
                    next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    # Inside one line such a quote joins nothing.
                    if "expected after" in str(error) and reader.line_num > line + 1:
                        raise DataError(
                            f"{self.file}: a quote opens a field in line {line + 1} and closes inside another in line "
                            f"{reader.line_num}; {ORDINARY}."
                        ) from error

    def _records(self, text: io.TextIOBase, *, strict: bool = False) -> Any:
        """Returns Python's reader of a text, which allows what pyarrow's does."""
        csv.field_size_limit(LONGEST_FIELD)
        dialect: dict[str, Any] = {"delimiter": self.delimiter, "quotechar": self.quote, "strict": strict}
        return csv.reader(text, **dialect, quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE)

    def _first_record(self, head: str) -> tuple[list[str], int]:
        """Returns the first record and the number of blank lines before it."""
        try:
            records = enumerate(self._records(io.StringIO(head, newline="")))
            blank, record = next(((n, record) for n, record in records if record), (0, None))
        except csv.Error as error:
            raise DataError(f"{self.file}: its header cannot be read ({error}).") from error
        if record is None:
            raise DataError(f"{self.file} holds nothing but blank lines; there is nothing to prepare.")
        return record, blank


def sniff_delimiter(text: str, quote: str | None = '"') -> str:
    """Returns the delimiter that cuts the first line into most columns; a comma if none does."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    unquoted = "".join(line.split(quote)[::2]) if quote else line
    return max(",\t;|", key=unquoted.count)


class _Ended(io.RawIOBase):
    """A text with one row more than its file has, and checked on the way to be text."""

    def __init__(self, file: Path, width: int, delimiter: str) -> None:
        self._file, self._stream, self._breaks, self._tail = file, open_bytes(file), 0, b"\n"
        self._end = f"\n{delimiter.join([END] * width)}\n".encode()
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        if chunk:
            if (place := chunk.find(b"\0")) >= 0:
                raise DataError(_nul(self._file, self._breaks + chunk.count(b"\n", 0, place) + 1))
            self._breaks += chunk.count(b"\n")
            self._tail = chunk[len(chunk.rstrip(b"\r\n")) :]
            if not chunk.isascii() or self._decoder.getstate()[0]:
                self._decoder.decode(chunk)
            return chunk
        self._decoder.decode(b"", final=True)
        end, self._end = self._end, b""
        return end

    @property
    def lines(self) -> int:
        """Lines of the file that have been read, up to the last that is not blank."""
        return self._breaks - self._tail.count(b"\n") + 1

    def close(self) -> None:
        self._stream.close()
        super().close()


def _append(writer: pq.ParquetWriter, batch: pa.RecordBatch, schema: pa.Schema, first_row: int) -> int:
    row = pa.array(np.arange(first_row, first_row + batch.num_rows))
    writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, row], schema=schema))
    return int(batch.num_rows)


def _refuse_duplicates(names: Sequence[str], where: str) -> None:
    twice = [name for name, n in Counter(names).items() if n > 1 and name]
    if twice:
        places = " and ".join(str(i) for i, name in enumerate(names, start=1) if name == twice[0])
        raise DataError(
            f"{where} names the column '{shown(twice[0])}' more than once (columns {places}); rename one of them."
        )


def _nul(file: Path, line: int) -> str:
    return (
        f"{file}, line {line} holds a NUL byte, which no text does; is it another kind of file, or "
        "source.encoding=utf-16-le?"
    )
