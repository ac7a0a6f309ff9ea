"""Files that are whole or absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl

from ltsi.errors import UnwritableError


@contextmanager
def written_whole(path: Path, advice: str = "make its folder writable, or free some room") -> Iterator[Path]:
    """Yields a path to write to, beside a file, and moves it into the file's place if nothing went wrong.

    Args:
        path: the file; its folder is made where it is missing.
        advice: what a user can do where it cannot be written.

    Raises:
        UnwritableError: the folder does not take it.
    """
    # Always the same name, so that what a killed process left is written over.
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:
        # Polars has no class of its own for a disk that is full.
        reason = getattr(error, "strerror", None) or str(error)
        raise UnwritableError(f"{path} cannot be written ({reason}); {advice}.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_parquet(table: pl.DataFrame, path: Path) -> Path:
    """Writes a table, whole or not at all, and returns its path.

    Raises:
        UnwritableError: the folder does not take it.
    """
    with written_whole(path) as partial:
        table.write_parquet(partial)
    return path
