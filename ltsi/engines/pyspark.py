"""Spark: on this machine, or on a cluster that exists already."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl

from ltsi.engines.engine import BATCH_ROWS, Frame, wrapped
from ltsi.errors import ConfigError


@dataclass(frozen=True)
class PySpark:
    """Spark; see `Engine`.

    Attributes:
        folder: an existing folder for temporary files that all of Spark's machines and this one see.
        master: where Spark runs: "local[2]", "spark://host:7077", "yarn".
        settings: further settings of Spark's, by name.
    """

    folder: Path
    master: str = "local[*]"
    settings: Mapping[str, str] | None = None
    name: str = "pyspark"
    _session: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Starts a session, or joins the one of this process.

        Raises:
            ConfigError: Spark is not installed or does not start, for instance without Java.
        """
        try:
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise ConfigError("engine=pyspark needs the package pyspark: pip install 'ltsi[engines]'.") from error
        builder = SparkSession.builder.master(self.master).appName("ltsi")
        # Times are read as UTC, as on the other engines, whatever the machine's zone is.
        settings = {"spark.sql.session.timeZone": "UTC", "spark.ui.enabled": "false", **(self.settings or {})}
        for key, value in settings.items():
            builder = builder.config(key, value)
        try:
            session = builder.getOrCreate()
        except (PySparkException, RuntimeError, OSError) as error:
            raise ConfigError(
                f"engine=pyspark cannot start Spark at engine.master={self.master}: {str(error).splitlines()[0]}"
            ) from error
        session.sparkContext.setLogLevel("ERROR")
        object.__setattr__(self, "_session", session)

    def scan_parquet(self, files: Sequence[Path | str]) -> Frame:
        """Opens Parquet; see `Engine.scan_parquet`. File by file: Spark would read the largest first."""
        tables = [self._session.read.parquet(str(file)) for file in files]
        return wrapped(reduce(lambda above, below: above.unionByName(below), tables))

    def from_polars(self, table: pl.DataFrame) -> Frame:
        """Takes a table over by way of the disk; see `Engine.from_polars`."""
        return self._staged(table.lazy())

    def with_rows(self, frame: Frame) -> Frame:
        """Numbers the rows; see `Engine.with_rows`.

        Spark's increasing ids are in the order of the files, with gaps between its partitions; counting the rows of
        each partition closes the gaps.
        """
        from pyspark.sql import functions

        table = frame.to_native()
        names = table.columns
        table = table.withColumn("__part", functions.spark_partition_id())
        table = table.withColumn("__place", functions.monotonically_increasing_id())
        sizes = sorted((row["__part"], row["count"]) for row in table.groupBy("__part").count().collect())
        starts, total = [], 0
        for part, size in sizes:
            # An id is the partition's number times 2^33, and the place inside it.
            starts.append((part, total - part * 2**33))
            total += size
        shift = self._session.createDataFrame(starts or [(0, 0)], "__part int, __shift long")
        numbered = table.join(functions.broadcast(shift), "__part")
        row = (functions.col("__place") + functions.col("__shift") + 1).alias("row")
        return wrapped(numbered.select(row, *(functions.col(f"`{name}`") for name in names)))

    def stage(self, frame: Frame) -> Frame:
        """Writes Parquet; see `Engine.stage`."""
        return self.scan_parquet([self._written(frame)])

    def batches(self, frame: Frame) -> Iterator[pl.DataFrame]:
        """Writes the result and reads it file by file; see `Engine.batches`."""
        for file in sorted(self._written(frame).glob("*.parquet")):
            yield from pl.scan_parquet(file).collect_batches(chunk_size=BATCH_ROWS)

    def _written(self, frame: Frame) -> Path:
        folder = self.folder / uuid.uuid4().hex
        frame.to_native().write.parquet(str(folder))
        return folder

    def _staged(self, table: pl.LazyFrame) -> Frame:
        file = self.folder / f"{uuid.uuid4().hex}.parquet"
        table.sink_parquet(file, compression="snappy")
        return self.scan_parquet([file])
