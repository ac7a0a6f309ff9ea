import gzip
import re
from pathlib import Path

import pyarrow as pa
import pytest

from ltsi.errors import DataError
from ltsi.sources.files import existing_files, open_bytes


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")


def names(folder: Path, path: str | list[str]) -> list[str]:
    return [str(file.relative_to(folder)) for file in existing_files(path, "source.path")]


def test_a_folder_is_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "b.csv", "a.csv", "2024/c.csv", ".hidden", "_SUCCESS", "_temporary/d.csv")
    assert names(tmp_path, str(tmp_path)) == ["2024/c.csv", "a.csv", "b.csv"]


def test_a_pattern_is_what_matches_it(tmp_path: Path) -> None:
    touch(tmp_path, "b.csv", "a.csv", "a.txt", "2024/c.csv")
    assert names(tmp_path, f"{tmp_path}/*.csv") == ["a.csv", "b.csv"]
    assert names(tmp_path, f"{tmp_path}/**/*.csv") == ["2024/c.csv", "a.csv", "b.csv"]


def test_a_file_with_a_bracket_in_its_name_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "log[1].csv", "log1.csv")
    assert names(tmp_path, f"{tmp_path}/log[1].csv") == ["log[1].csv"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "b.csv", "a.csv")
    assert names(tmp_path, [f"{tmp_path}/b.csv", f"{tmp_path}/*.csv"]) == ["b.csv", "a.csv"]


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04 and so on")
    for path, sentence in {
        f"{tmp_path}/none": r"The folder .*none holds no files; set source\.path",
        f"{tmp_path}/*.csv": r"No file matches .*\*\.csv; set source\.path",
        f"{tmp_path}/gone.csv": r"gone\.csv does not exist; set source\.path=FILE",
        f"{tmp_path}/empty": r"empty is empty; set source\.path",
        f"{tmp_path}/book.xlsx": r"book\.xlsx is a zip archive or a spreadsheet; unpack it, or export it as CSV",
    }.items():
        with pytest.raises(DataError, match=sentence):
            existing_files(path, "source.path")


def test_compression_is_told_by_content(tmp_path: Path) -> None:
    (tmp_path / "gzip").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    with pa.output_stream(str(tmp_path / "zstd"), compression="zstd") as stream:
        stream.write(b"one\ntwo\n")
    (tmp_path / "plain.gz").write_bytes(b"one\ntwo\n")
    for name in ("gzip", "zstd", "plain.gz"):
        with open_bytes(tmp_path / name) as stream:
            assert stream.read() == b"one\ntwo\n"


TEXT = b"user,item,time\na,x,1318896000\n"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "log.parquet",
            TEXT,
            "is named as Parquet and begins with other bytes; write it again as Parquet, or rename it",
        ),
        (
            "log.parquet",
            gzip.compress(b"PAR1PAR1", mtime=0),
            "is named as Parquet and begins with other bytes; unpack it first.",
        ),
        (
            "log.parquet",
            b"PAR1 half of it",
            "is damaged or cut short, as Parquet that is whole ends in 'PAR1'; fetch it",
        ),
        ("log", b"PAR1", "is damaged or cut short, as Parquet that is whole ends in 'PAR1'; fetch it again."),
        ("log.csv.gz", b"\x8f\x00\x01\x02junk", "is named as gzip and holds neither gzip nor text; fetch it again."),
        ("log.csv.zst", b"junk\x00\x01", "is named as zstd and holds neither zstd nor text; fetch it again."),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} {re.escape(sentence)}"):
        existing_files(str(tmp_path / name), "source.path")


def test_what_was_unpacked_on_the_way_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "log.csv.gz").write_bytes(TEXT)
    (tmp_path / "wide.csv.gz").write_bytes(TEXT.decode().encode("utf-16"))
    assert names(tmp_path, str(tmp_path)) == ["log.csv.gz", "wide.csv.gz"]
