"""Columns of a table that become text or numbers of the event table: what to ask of them, and how to read them.

Questions are aggregates by name; the table asks those of all columns in one pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from ltsi.errors import DataError
from ltsi.events import Events, how_many
from ltsi.sources.filters import EXACT, as_number

Locate = Callable[[int], str]
"""Names a row in an error."""

COMMA = r"^\s*[+-]?[0-9][0-9.]*(?:,[0-9]+)+(?:\.[0-9]+)?\s*$"
"""A number with a comma: at its decimals, as in 3,5, or between thousands."""
POINTS = "write decimals with a point, as in 3.5, and nothing between thousands"
WHOLE = r"^-?[0-9]+(?:\.0)?$"
LONGEST = 60  # characters of a value in an error
LARGEST = 3.4e38  # of a float of 32 bits, in which a store keeps values


def shown(value: object) -> str:
    """Returns a value as an error shows it: on one line, and not too long."""
    text = str(value)
    text = text if text.isprintable() else text.encode("unicode_escape").decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def ask(
    rows: Events, questions: Mapping[str, nw.Expr], computed: Mapping[str, nw.Expr] | None = None
) -> dict[str, Any]:
    """Returns the answers to some questions, computed in one pass.

    Args:
        rows: a table.
        questions: aggregates by name.
        computed: columns to compute first, by name, which the questions share.
    """
    asked = (rows.with_columns(**computed) if computed else rows).select(**questions)
    # Polars streams on request only; the other engines know no other way, or none.
    streaming: dict[str, Any] = {"engine": "streaming"} if rows.implementation.is_polars() else {}
    answers: dict[str, Any] = asked.collect(**streaming).rows(named=True)[0]
    return answers


@dataclass(frozen=True)
class Column:
    """A column of the file in a role of the event table.

    Attributes:
        role: column of the event table.
        source: column of the staged table.
        origin: file and column, for errors.
        dtype: type of the staged column.
    """

    role: str
    source: str
    origin: str
    dtype: nw.dtypes.DType

    def first(self, rows: Events, condition: nw.Expr) -> tuple[int, str]:
        """Returns the first row for which a condition holds, and its value."""
        bad = rows.filter(condition)
        first = bad.filter(nw.col("row") == nw.col("row").min()).select("row", self.source).collect()
        return int(first.item(0, "row")), shown(first.item(0, self.source))


@dataclass(frozen=True)
class TextColumn(Column):
    """A column of ids or names. Whole numbers, as floats hold them, lose their '.0'.

    Attributes:
        joined: whether the column is of delimited text whose fields hold line breaks; here none may.
    """

    joined: bool = False

    def __post_init__(self) -> None:
        """Refuses types that hold no ids.

        Raises:
            DataError: the type is such.
        """
        kinds = (nw.String, nw.Categorical, nw.Enum)
        if not (self.dtype.is_integer() or self.dtype.is_float() or isinstance(self.dtype, kinds)):
            raise DataError(
                f"{self.origin} holds {self.dtype}; source.columns.{self.role} needs text or whole numbers."
            )

    def computed(self) -> dict[str, nw.Expr]:
        """Returns what the questions are about: nothing but the column itself."""
        return {}

    def questions(self) -> dict[str, nw.Expr]:
        """Returns what to ask of the column."""
        column = nw.col(self.source)
        asked = {f"{self.role}_missing": how_many(column.is_null())}
        if self.dtype.is_float():
            asked[f"{self.role}_odd"] = how_many(self._odd())
        elif self.dtype == nw.String:
            asked[f"{self.role}_decimals"] = how_many(column.str.ends_with(".0"))
            asked[f"{self.role}_plain"] = how_many(~column.str.contains(WHOLE))
            if self.joined:
                asked[f"{self.role}_broken"] = how_many(self._broken())
        return asked

    def read(self, rows: Events, answers: Mapping[str, Any], locate: Locate) -> tuple[nw.Expr, list[str]]:
        """Returns the column as text, and what was done to it.

        Raises:
            DataError: a number is not whole, or too large to be known exactly, or a quote has swallowed rows.
        """
        column, name = nw.col(self.source), self.role
        if self.dtype.is_float():
            if answers[f"{name}_odd"]:
                row, value = self.first(rows, self._odd())
                raise DataError(
                    f"{self.origin} holds decimals, and '{value}' in {locate(row)} is not a whole number below 2^53; "
                    f"set source.columns.{name} to a column of ids, or store them as text or integers."
                )
            return column.cast(nw.Int64).cast(nw.String), [self._note]
        if answers.get(f"{name}_broken"):
            row, value = self.first(rows, self._broken())
            raise DataError(
                f"{self.origin}: '{value}' in {locate(row)} holds a line break, so a quote may have swallowed rows; "
                "set source.quote=null if quotes are ordinary characters, or take the line breaks out."
            )
        if answers.get(f"{name}_decimals"):
            if not answers[f"{name}_plain"]:
                return column.str.replace_all(r"\.0$", ""), [self._note]
            return column, self._mixture(rows, locate)
        return column.cast(nw.String), []

    @property
    def _note(self) -> str:
        return f"{self.origin}: ids are whole numbers written as decimals; their '.0' is left out."

    def _mixture(self, rows: Events, locate: Locate) -> list[str]:
        """Warns where whole numbers are written in both ways among other texts, so that one id may be two."""
        whole, decimal = nw.col(self.source).str.contains(WHOLE), nw.col(self.source).str.ends_with(".0")
        found = ask(rows, {"with": how_many(whole & decimal), "without": how_many(whole & ~decimal)})
        if not (found["with"] and found["without"]):
            return []
        row, value = self.first(rows, whole & decimal)
        return [
            f"{self.origin}: {found['with']:,} ids such as '{value}' in {locate(row)} end in '.0' and "
            f"{found['without']:,} whole numbers do not; they stay apart, so write them alike if they mean the same."
        ]

    def _broken(self) -> nw.Expr:
        return nw.col(self.source).str.contains("[\r\n]")

    def _odd(self) -> nw.Expr:
        column = nw.col(self.source).cast(nw.Float64)
        return (column != column.floor()) | (column.abs() >= EXACT)


@dataclass(frozen=True)
class NumberColumn(Column):
    """A column of numbers; they may be written as text."""

    def computed(self) -> dict[str, nw.Expr]:
        """Returns what the questions are about."""
        return {self._number: as_number(nw.col(self.source), self.dtype)}

    def questions(self) -> dict[str, nw.Expr]:
        """Returns what to ask of the column and of what is computed from it."""
        return {f"{self.role}_junk": how_many(self._junk(nw.col(self._number)))}

    def read(self, rows: Events, answers: Mapping[str, Any], locate: Locate) -> tuple[nw.Expr, list[str]]:
        """Returns the column as Float64, and nothing to tell.

        Raises:
            DataError: a value is no number, or too large.
        """
        number = as_number(nw.col(self.source), self.dtype)
        if answers[f"{self.role}_junk"]:
            row, value = self.first(rows, self._junk(number))
            advice = f"; {POINTS}" if re.search(COMMA, value) else ""
            raise DataError(f"{self.origin}: '{value}' in {locate(row)} is not a number that 32 bits can hold{advice}.")
        return number, []

    @property
    def _number(self) -> str:
        return f"{self.role}:number"

    def _junk(self, number: nw.Expr) -> nw.Expr:
        unread = number.is_null() & ~nw.col(self.source).is_null()
        return unread | (number.abs() > LARGEST).fill_null(value=False)
