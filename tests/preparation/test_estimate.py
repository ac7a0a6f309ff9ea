"""Rows and time from the size of the files alone."""

import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from ltsi.preparation.estimate import EVENTS_PER_SECOND, estimate


def write(file: Path, n: int, compression: str | None) -> Path:
    draw = random.Random(1)
    with pa.output_stream(str(file), compression=compression) as stream:
        lines = (f"{draw.randrange(10**7):07d},{draw.randrange(10**7):07d},{1318896000 + n},4\n" for n in range(n))
        stream.write("".join(lines).encode())
    return file


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_the_beginning_of_a_text_stands_for_all(tmp_path: Path, compression: str | None) -> None:
    file = write(tmp_path / "log.csv", 200_000, compression)
    found = estimate([file, file], "polars")
    assert found.n_files == 2
    assert found.size == 2 * file.stat().st_size
    # A decompressor reads ahead of what it gives.
    assert found.events == pytest.approx(400_000, rel=0.01 if compression is None else 0.2)


def test_parquet_says_how_long_it_is(tmp_path: Path) -> None:
    pl.DataFrame({"user": range(1234)}).write_parquet(tmp_path / "log.parquet")
    assert estimate([tmp_path / "log.parquet"], "duckdb").events == 1234


@pytest.mark.parametrize("engine", EVENTS_PER_SECOND)
def test_longer_logs_take_longer(tmp_path: Path, engine: str) -> None:
    short, long = (estimate([write(tmp_path / f"{n}.csv", n, None)], engine) for n in (10, 100_000))
    assert short.seconds < long.seconds
    assert short.memory < long.memory
    assert str(long).startswith("1 file, 3 MB, about 99,998 events: about ")  # the sample ends inside a line


def test_what_is_made_up_is_read_from_no_file() -> None:
    assert estimate([], "polars").events == 0
