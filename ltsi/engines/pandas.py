"""Pandas: everything in memory, for logs that fit there several times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import narwhals as nw
import pandas as pd
import polars as pl

from ltsi.engines.engine import BATCH_ROWS, Frame


@dataclass(frozen=True)
class Pandas:
    """Pandas; see `Engine`.

    Attributes:
        folder: an existing folder for temporary files; unused.
    """

    folder: Path
    name: str = "pandas"

    def scan_parquet(self, files: Sequence[Path | str]) -> Frame:
        """Reads Parquet; see `Engine.scan_parquet`."""
        return self._joined(pd.read_parquet(file, dtype_backend="numpy_nullable") for file in files)

    def from_polars(self, table: pl.DataFrame) -> Frame:
        """Takes a table over; see `Engine.from_polars`."""
        return _lazy(table.to_pandas(use_pyarrow_extension_array=True).convert_dtypes())

    def with_rows(self, frame: Frame) -> Frame:
        """Numbers the rows; see `Engine.with_rows`."""
        return frame.collect().with_row_index("row").with_columns(nw.col("row").cast(nw.Int64) + 1).lazy()

    def stage(self, frame: Frame) -> Frame:
        """Computes a table; see `Engine.stage`."""
        return frame.collect().lazy()

    def batches(self, frame: Frame) -> Iterator[pl.DataFrame]:
        """Hands a table out in slices; see `Engine.batches`."""
        yield from frame.collect().to_polars().iter_slices(BATCH_ROWS)

    @staticmethod
    def _joined(parts: Iterator[pd.DataFrame]) -> Frame:
        return _lazy(pd.concat(list(parts), ignore_index=True))


def _lazy(table: pd.DataFrame) -> Frame:
    frame: Frame = nw.from_native(table, eager_only=True).lazy()
    return frame
