"""How long a preparation will take and what it needs, from the size of its files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ltsi.sources.files import PARQUET_MAGIC, compression_of, readable

SAMPLE_BYTES = 1_000_000
LONG = 3_000_000
"""Events from which on a preparation is worth announcing."""

EVENTS_PER_SECOND = {"polars": 600_000, "pandas": 150_000, "duckdb": 350_000, "pyspark": 100_000}
"""Measured by benchmarks/prepare.py on two cores: an order of magnitude for a machine that nobody has measured."""

RESIDENT_BYTES, BYTES_PER_EVENT = 600_000_000, {"polars": 30, "pandas": 900, "duckdb": 30, "pyspark": 30}


@dataclass(frozen=True)
class Estimate:
    """What a preparation will be.

    Attributes:
        n_files: files to read.
        size: their size on disk, bytes.
        events: rows in them, roughly.
        seconds: time it will take, roughly.
        memory: memory at its peak, bytes, roughly.
    """

    n_files: int
    size: int
    events: int
    seconds: float
    memory: int

    def __str__(self) -> str:
        minutes = self.seconds / 60
        time = f"{minutes:.0f} minutes" if minutes >= 2 else f"{max(self.seconds, 1):.0f} seconds"
        return (
            f"{self.n_files} file{'s' if self.n_files != 1 else ''}, {self.size / 1e6:,.0f} MB, about {self.events:,} "
            f"events: about {time} and {self.memory / 1e9:.1f} GB of memory."
        )


def estimate(files: Sequence[Path], engine: str) -> Estimate:
    """Estimates a preparation.

    Args:
        files: what it will read.
        engine: name of the engine.

    Raises:
        DataError: a file is damaged.
    """
    events = 0
    for file in files:
        with readable(file):
            events += _events(file)
    return Estimate(
        n_files=len(files),
        size=sum(file.stat().st_size for file in files),
        events=events,
        seconds=1 + events / EVENTS_PER_SECOND[engine],
        memory=RESIDENT_BYTES + events * BYTES_PER_EVENT[engine],
    )


def _events(file: Path) -> int:
    """Counts the rows of Parquet; elsewhere the lines of the beginning stand for all."""
    with file.open("rb") as stream:
        if stream.read(4) == PARQUET_MAGIC:
            return int(pq.read_metadata(file).num_rows)
    compression = compression_of(file)
    with file.open("rb") as raw:
        stream = pa.PythonFile(raw, mode="r")
        text = pa.CompressedInputStream(stream, compression) if compression else stream
        lines: int = max(text.read(SAMPLE_BYTES).count(b"\n"), 1)
        # Of a compressed file, what has been read from the disk for the sample.
        read = min(raw.tell(), file.stat().st_size)
        return round(lines * file.stat().st_size / read)
