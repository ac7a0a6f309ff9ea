"""A column of the item or user table, read as text, numbers, lists or vectors; what cannot be read is named."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.errors import ConfigError, DataError

DAY_MS = 86_400_000.0


@dataclass(frozen=True)
class Column:
    """A column and what is needed to speak about it.

    Attributes:
        values: `(rows,)`.
        ids: original ids of the rows, `(rows,)`.
        what: `item` or `user`.
        key: where the feature is declared, such as `features.item.price`.
    """

    values: pl.Series
    ids: pl.Series
    what: str
    key: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_list(self) -> bool:
        """Whether a value is a list."""
        return isinstance(self.values.dtype, (pl.List, pl.Array))

    def rows(self, keep: NDArray[np.bool_]) -> Column:
        """Returns some of the rows."""
        mask = pl.Series(keep, dtype=pl.Boolean)
        return replace(self, values=self.values.filter(mask), ids=self.ids.filter(mask))

    def text(self) -> pl.Series:
        """Returns the values as text; blank text and NaN are missing.

        Raises:
            DataError: the values are lists, structures or bytes.
        """
        if self.values.dtype.is_nested() or self.values.dtype == pl.Binary:
            raise self.refuse("no plain values", "declare it as tags or vector")
        values = self.values.fill_nan(None) if self.values.dtype.is_float() else self.values
        text = values.cast(pl.String)
        return text.set((text.str.strip_chars() == "").fill_null(value=False), None)

    def numbers(self) -> NDArray[np.float64]:
        """Returns the values as numbers, dates as days since 1970; what is missing or infinite is NaN.

        Raises:
            DataError: a text is no number, or the type is none of numbers.
        """
        dtype = self.values.dtype
        if dtype == pl.String:
            numbers = self._numbers_in_text()
        elif dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
            numbers = self.values.cast(pl.Float64)
        elif dtype in (pl.Date, pl.Datetime):
            numbers = self.values.dt.timestamp("ms") / DAY_MS
        else:
            raise self.refuse("no numbers", "declare it as another kind")
        array = numbers.fill_null(float("nan")).to_numpy().astype(np.float64)
        return np.where(np.isfinite(array), array, np.nan)

    def lists(self, separator: str | None) -> pl.Series:
        """Returns the values as lists of text, not yet stripped.

        Args:
            separator: between the entries of a text; None where the values are lists.

        Raises:
            ConfigError: a text without a separator, or lists with one.
            DataError: the values are neither lists nor text.
        """
        if self.is_list:
            if separator is not None:
                raise ConfigError(f"{self.key}: column '{self.values.name}' holds lists, so leave separator out.")
            return self.values.cast(pl.List(pl.String))
        if self.values.dtype not in (pl.String, pl.Null):
            raise self.refuse("neither lists nor text", "declare it as categorical or numeric")
        if separator is None:
            raise ConfigError(
                f"{self.key}: column '{self.values.name}' holds text such as '{self._example()}'; "
                f"say what stands between its tags: {self.key}.separator='|'."
            )
        return self.values.cast(pl.String).str.split(separator)

    def vectors(self) -> pl.Series:
        """Returns the values as lists of Float32; a vector with a missing or infinite number in it is missing.

        Raises:
            DataError: the values are no lists of numbers.
        """
        dtype = self.values.dtype
        if not isinstance(dtype, (pl.List, pl.Array)) or not dtype.inner.is_numeric():
            raise self.refuse("no lists of numbers", "declare it as another kind")
        vectors = self.values.cast(pl.List(pl.Float32))
        whole = vectors.list.eval(pl.element().is_finite().fill_null(value=False)).list.all()
        return vectors.set(~whole.fill_null(value=True), None)

    def refuse(self, holds: str, advice: str) -> DataError:
        """Returns the error for a column that does not fit its kind."""
        return DataError(
            f"{self.key}: column '{self.values.name}' of the {self.what} table holds {self.values.dtype}, "
            f"{holds}; {advice}, or leave it out."
        )

    def none_in_training(self, value: str) -> DataError:
        """Returns the error for a column without any value to fit.

        Args:
            value: what it should hold: number, vector.
        """
        return DataError(
            f"{self.key}: no {self.what} of the training part has a {value} in column '{self.values.name}'; leave it "
            "out (in place of auto, declare the other columns)."
        )

    def _numbers_in_text(self) -> pl.Series:
        text = self.text().str.strip_chars()
        numbers = text.cast(pl.Float64, strict=False)
        junk = (numbers.is_null() & text.is_not_null()).arg_true()
        if len(junk):
            row = junk[0]
            raise DataError(
                f"{self.key}: '{text[row]}' in column '{self.values.name}' of {self.what} '{self.ids[row]}' is not a "
                "number; correct it, leave it empty, or declare the column as categorical."
            )
        return numbers

    def _example(self) -> str:
        present = self.text().drop_nulls()
        return present[0] if len(present) else ""
