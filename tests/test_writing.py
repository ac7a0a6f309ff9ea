"""Files are whole or absent, whatever happens while they are written."""

import re
from pathlib import Path

import polars as pl
import pytest

from ltsi.errors import UnwritableError
from ltsi.writing import write_parquet, written_whole

TABLE = pl.DataFrame({"a": range(100_000)})


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "notes.txt"
    with written_whole(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [file.name for file in path.parent.iterdir()] == ["notes.txt"]


def test_what_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("before")

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), written_whole(path) as partial:
        fail(partial)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    assert path.read_text() == "before"


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".notes.txt.partial").write_text("a long text of long ago")
    with written_whole(tmp_path / "notes.txt") as partial:
        partial.write_text("new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["new"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    (tmp_path / ".table.parquet.partial").symlink_to("/dev/full")
    with pytest.raises(
        UnwritableError, match=rf"^{re.escape(str(path))} cannot be written \(.*No space left.*\); make its"
    ):
        write_parquet(TABLE, path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file")
    with (
        pytest.raises(UnwritableError, match=r"cannot be written \(.*\); set output=FILE\.$"),
        written_whole(tmp_path / "place" / "table.csv", "set output=FILE"),
    ):
        raise AssertionError
