"""DuckDB: SQL out of core; what does not fit in memory goes to the temporary folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ltsi.engines.engine import BATCH_ROWS, Frame, wrapped
from ltsi.errors import ConfigError


@dataclass(frozen=True)
class DuckDb:
    """DuckDB; see `Engine`.

    Attributes:
        folder: an existing folder for temporary files.
        memory_limit: what DuckDB may hold in memory, such as "2GB".
    """

    folder: Path
    memory_limit: str = "2GB"
    name: str = "duckdb"
    _connection: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Opens a database in memory.

        Raises:
            ConfigError: DuckDB is not installed, or the limit is no amount of memory.
        """
        try:
            import duckdb
        except ImportError as error:
            raise ConfigError("engine=duckdb needs the package duckdb: pip install 'ltsi[engines]'.") from error
        try:
            # Rows keep the order of their file: the number of a row depends on it.
            settings = {"temp_directory": str(self.folder), "preserve_insertion_order": "true"}
            connection = duckdb.connect(":memory:", config={**settings, "memory_limit": self.memory_limit})
        except duckdb.Error as error:
            raise ConfigError(f"engine.memory_limit={self.memory_limit} is refused by DuckDB: {error}.") from error
        object.__setattr__(self, "_connection", connection)

    def scan_parquet(self, files: Sequence[Path | str]) -> Frame:
        """Opens Parquet; see `Engine.scan_parquet`."""
        return wrapped(self._connection.read_parquet([str(file) for file in files]))

    def from_polars(self, table: pl.DataFrame) -> Frame:
        """Takes a table over by way of the disk; see `Engine.from_polars`."""
        return self._staged(wrapped(table.lazy()))

    def with_rows(self, frame: Frame) -> Frame:
        """Numbers the rows; see `Engine.with_rows`."""
        return wrapped(frame.to_native().project("row_number() over () as row, *"))

    def stage(self, frame: Frame) -> Frame:
        """Writes Parquet; see `Engine.stage`."""
        file = self.folder / f"{uuid.uuid4().hex}.parquet"
        frame.to_native().write_parquet(str(file), compression="lz4", row_group_size=BATCH_ROWS // 4)
        return self.scan_parquet([file])

    def batches(self, frame: Frame) -> Iterator[pl.DataFrame]:
        """Hands a result out as it is computed; see `Engine.batches`."""
        for batch in frame.to_native().to_arrow_reader(BATCH_ROWS):
            yield pl.DataFrame(batch)

    def _staged(self, table: Frame) -> Frame:
        file = self.folder / f"{uuid.uuid4().hex}.parquet"
        table.to_native().sink_parquet(file, compression="lz4")
        return self.scan_parquet([file])
