"""Row filters of a source, given in its configuration: which rows are kept, and what the others are counted as."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from ltsi.errors import ConfigError, did_you_mean

# Digits are ASCII, which `\d` is not, and the number has a size that each engine reads.
NUMBER = r"^[ \t]*[+-]?(?:[0-9]{1,200}\.?[0-9]{0,200}|\.[0-9]{1,200})(?:[eE](?:-[0-9]{1,3}|\+?[0-9]{1,2}))?[ \t]*$"

_SAME = ("equals", "not_equals", "one_of", "none_of")
_NEGATED = ("not_equals", "none_of", "not_startswith")
_NUMBER: dict[str, Callable[[nw.Expr, float], nw.Expr]] = {
    "greater_than": lambda number, bound: number > bound,
    "at_least": lambda number, bound: number >= bound,
    "less_than": lambda number, bound: number < bound,
    "at_most": lambda number, bound: number <= bound,
}
OPERATORS = ("not_null", *_SAME, "startswith", "not_startswith", *_NUMBER)
EXACT = 2.0**53  # floats above do not hold every integer


@dataclass(frozen=True)
class Filter:
    """Keeps the rows for which a condition on one column holds; a missing value fulfils none.

    Attributes:
        column: column of the file.
        operator: one of OPERATORS.
        value: what the operator compares with.
        reason: what a dropped row is counted as.
    """

    column: str
    operator: str
    value: Any
    reason: str

    @classmethod
    def parse(cls, entry: Mapping[str, Any], position: int) -> Filter:
        """Reads an entry of `source.filters`: a column, one operator, and a reason if wanted.

        Raises:
            ConfigError: the entry is not of that form.
        """
        where = f"source.filters[{position}]"
        form = f"An entry reads {{column: NAME, OPERATOR: VALUE, reason: TEXT}} with one of: {', '.join(OPERATORS)}"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("column"), str | int):
            raise ConfigError(f"{where} names no column. {form}.")
        given = [str(key) for key in entry if key not in {"column", "reason"}]
        for key in given:
            if key not in OPERATORS:
                raise ConfigError(f"{where} has no operator '{key}'.{did_you_mean(key, OPERATORS)} {form}.")
        if len(given) != 1:
            raise ConfigError(f"{where} has {len(given)} operators, not one. {form}.")
        operator, value = given[0], entry[given[0]]
        _check_value(where, operator, value)
        column = str(entry["column"])  # a configuration reads the name as a number if it looks like one
        told = f"{column} missing" if operator == "not_null" else f"not {column} {operator} {value}"
        return cls(column, operator, value, str(entry.get("reason") or told))

    def condition(self, column: nw.Expr, dtype: nw.dtypes.DType) -> nw.Expr:
        """Returns what holds for the rows that are kept, never missing."""
        if self.operator == "not_null":
            return ~column.is_null()
        if self.on_numbers:
            return _NUMBER[self.operator](as_number(column, dtype), self.value).fill_null(value=False)
        if self.operator in _SAME:
            holds = _is_in(column, dtype, self.value if self.operator.endswith("_of") else [self.value])
        else:
            holds = column.cast(nw.String).str.starts_with(str(self.value)).fill_null(value=False)
        return ~column.is_null() & (~holds if self.operator in _NEGATED else holds)

    @property
    def on_numbers(self) -> bool:
        """Whether the operator compares numbers."""
        return self.operator in _NUMBER


def not_null_setting(column: str) -> str:
    """Returns the setting that drops the rows in which a column has no value, as a shell takes it."""
    plain = re.fullmatch(r"[A-Za-z_][\w-]*", column, re.ASCII) and column.lower() not in {
        "null",
        "true",
        "false",
        "nan",
        "inf",
    }
    name = column if plain else '"' + column.replace('"', r"\"") + '"'
    return shlex.quote(f"source.filters=[{{column: {name}, not_null: true}}]")


def is_number(column: nw.Expr, dtype: nw.dtypes.DType) -> nw.Expr:
    """Tells values that can be read as numbers, missing ones among them."""
    if dtype.is_numeric() or dtype == nw.Boolean:
        return column.is_null() | ~column.is_null()
    if dtype != nw.String:
        return column.is_null()
    return column.str.contains(NUMBER).fill_null(value=True)


def as_number(column: nw.Expr, dtype: nw.dtypes.DType) -> nw.Expr:
    """Returns a column as Float64, missing where it cannot be read as a number."""
    if dtype.is_numeric() or dtype == nw.Boolean:
        return column.cast(nw.Float64)
    if dtype != nw.String:
        return nw.lit(None, dtype=nw.Float64)
    return nw.when(column.str.contains(NUMBER)).then(column).str.strip_chars().cast(nw.Float64)


def _is_in(column: nw.Expr, dtype: nw.dtypes.DType, values: Sequence[Any]) -> nw.Expr:
    """Tells values that are one of some, never missing: 17850 is 17850.0, and true is True, however they are stored."""
    text = column.cast(nw.String)
    same = text.is_in([str(value) for value in values]).fill_null(value=False)
    # Larger integers are compared as text, which is exact.
    numbers = [n for value in values if (n := _number(value, dtype)) is not None and abs(n) < EXACT]
    if numbers:
        same = same | as_number(column, dtype).is_in(numbers).fill_null(value=False)
    flags = [str(value).lower() for value in values if isinstance(value, bool) or dtype == nw.Boolean]
    return same | text.str.to_lowercase().is_in(flags).fill_null(value=False) if flags else same


def _number(value: object, dtype: nw.dtypes.DType) -> float | None:
    """Returns a value as the number that a column of that type may hold."""
    if isinstance(value, bool):
        return float(value) if dtype.is_numeric() else None
    if isinstance(value, str):
        return float(value) if dtype.is_numeric() and re.search(NUMBER, value) else None
    return float(value) if isinstance(value, int | float) else None


def _check_value(where: str, operator: str, value: object) -> None:
    if operator == "not_null" and value is not True:
        raise ConfigError(f"{where}: not_null takes true; leave the entry out to keep rows without a value.")
    if operator in _NUMBER and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ConfigError(f"{where}: {operator} takes a number, not '{value}'.")
    if operator in {"one_of", "none_of"} and (isinstance(value, str) or not isinstance(value, Sequence)):
        raise ConfigError(f"{where}: {operator} takes a list, such as [a,b], not '{value}'.")
