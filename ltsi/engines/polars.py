"""The default engine: polars, lazy and streaming."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ltsi.engines.engine import BATCH_ROWS, Frame, wrapped


@dataclass(frozen=True)
class Polars:
    """Polars; see `Engine`.

    Attributes:
        folder: an existing folder for temporary files.
    """

    folder: Path
    name: str = "polars"

    def scan_parquet(self, files: Sequence[Path | str]) -> Frame:
        """Opens Parquet; see `Engine.scan_parquet`."""
        return wrapped(pl.scan_parquet([str(file) for file in files]))

    def from_polars(self, table: pl.DataFrame) -> Frame:
        """Takes a table as it is; see `Engine.from_polars`."""
        return wrapped(table.lazy())

    def with_rows(self, frame: Frame) -> Frame:
        """Numbers the rows; see `Engine.with_rows`."""
        numbered: pl.LazyFrame = frame.to_native().with_row_index("row", offset=1)
        return wrapped(numbered.with_columns(pl.col("row").cast(pl.Int64)))

    def stage(self, frame: Frame) -> Frame:
        """Writes Parquet as it computes; see `Engine.stage`."""
        file = self.folder / f"{uuid.uuid4().hex}.parquet"
        frame.to_native().sink_parquet(file, compression="lz4", row_group_size=BATCH_ROWS // 4)
        return wrapped(pl.scan_parquet(file))

    def batches(self, frame: Frame) -> Iterator[pl.DataFrame]:
        """Computes by streaming; see `Engine.batches`."""
        yield from frame.to_native().collect_batches(chunk_size=BATCH_ROWS, maintain_order=False)
