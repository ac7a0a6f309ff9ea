"""The contract of an engine: it opens files, keeps intermediate tables on disk, and hands out batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import narwhals as nw
import polars as pl

Frame = nw.LazyFrame[Any]

BATCH_ROWS = 1_000_000
"""Rows that are handed out at a time."""


class Engine(Protocol):
    """A data frame library behind narwhals.

    Attributes:
        name: what the config group `engine` calls it.
        folder: an existing folder for temporary files.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def folder(self) -> Path: ...  # noqa: D102

    def scan_parquet(self, files: Sequence[Path | str]) -> Frame:
        """Opens Parquet, in reading order: files, or addresses such as s3://bucket/log.parquet that it can reach."""
        ...

    def from_polars(self, table: pl.DataFrame) -> Frame:
        """Hands a table in memory to the engine."""
        ...

    def with_rows(self, frame: Frame) -> Frame:
        """Adds `row`, Int64: the position in the files, from 1. Of a scan, or a selection of its columns."""
        ...

    def stage(self, frame: Frame) -> Frame:
        """Computes a table once, in bounded memory, and keeps it in `folder` for what follows."""
        ...

    def batches(self, frame: Frame) -> Iterator[pl.DataFrame]:
        """Computes a table and hands it out in pieces of bounded size, in no promised order of rows."""
        ...


def wrapped(native: Any) -> Frame:
    """Returns a native lazy table, or a relation of DuckDB or Spark, behind narwhals."""
    frame: Frame = nw.from_native(native)
    return frame
