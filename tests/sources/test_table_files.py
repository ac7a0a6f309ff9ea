"""How the table source reads files: many of them, any encoding, any separation; what is ragged is refused."""

import csv
import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.engines.polars import Polars
from ltsi.errors import ConfigError, DataError
from ltsi.sources import delimited
from ltsi.sources.table import Table

WORK = TemporaryDirectory(prefix="ltsi-test-")
engine = Polars(Path(WORK.name))

COLUMNS = {"user": "user", "item": "item", "time": "time"}
HEAD = "user,item,time\n"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), min_size=1)


def load(path: Any, columns: Any = COLUMNS, **settings: Any) -> list[tuple[Any, ...]]:
    raw = Table(path if isinstance(path, list) else str(path), columns, **settings).load(engine)
    return list(raw.events.select("user", "item", "time", "row").sort("row").collect().rows())


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def refused(path: Any, sentence: str, columns: Any = COLUMNS, **settings: Any) -> None:
    with pytest.raises(DataError, match=sentence):
        load(path, columns, **settings)


@given(rows=st.lists(st.tuples(TEXTS, TEXTS, st.integers(10**8, 10**11 - 1)), min_size=1), zipped=st.booleans())
def test_what_a_writer_wrote_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: Any, zipped: bool) -> None:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(
            [("user", "item", "time"), *(("x" + user, "y" + item, t) for user, item, t in rows)]
        )
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert load(path) == [("x" + user, "y" + item, t, n) for n, (user, item, t) in enumerate(rows, start=1)]


def test_files_of_a_folder_follow_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    write(folder / "2.csv", "time,user,item\n1318896002,c,z\n")
    write(folder / "1.csv", HEAD + "a,x,1318896000\nb,y,1318896001\n")
    expected = [("a", "x", 1318896000, 1), ("b", "y", 1318896001, 2), ("c", "z", 1318896002, 3)]
    assert load(folder) == load(f"{folder}/*.csv") == load([f"{folder}/1.csv", str(folder)]) == expected
    assert [file.name for file in Table(str(folder), COLUMNS).load(engine).inputs] == ["1.csv", "2.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_row_is_named_with_its_file(tmp_path: Path, suffix: str) -> None:
    for name, times in (("1", ["1318896000", "1318896001"]), ("2", ["1318896002", "soon"])):
        rows = [{"user": "a", "item": "x", "time": time} for time in times]
        path = tmp_path / "logs" / f"{name}{suffix}"
        path.parent.mkdir(exist_ok=True)
        if suffix == ".parquet":
            pl.DataFrame(rows).write_parquet(path)
        elif suffix == ".jsonl":
            write(path, "".join(json.dumps(row) + "\n" for row in rows))
        else:
            pl.DataFrame(rows).write_csv(path)
    refused(
        tmp_path / "logs",
        rf"1{suffix} and 1 more, column 'time': the time 'soon' in row 2 of .*2{suffix} is neither an ISO",
    )


def test_files_that_are_not_alike_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "1.csv", HEAD + "a,x,1318896000\n")
    cases = {
        "2.csv": ("user,item\nb,y\n", r"2\.csv has no column 'time', and .*1\.csv has"),
        "3.csv": ("user,item,time,price\nb,y,1,2\n", r"1\.csv has no column 'price', and .*3\.csv has"),
        "4.csv": ('{"user":"b"}\n', r"4\.csv holds JSON lines and .*1\.csv delimited text"),
    }
    for name, (text, sentence) in cases.items():
        refused([str(first), str(write(tmp_path / name, text))], sentence)
    ids = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for path, user in zip(ids, (["a"], [1]), strict=True):
        pl.DataFrame({"user": user, "item": ["x"], "time": [1318896000]}).write_parquet(path)
    refused(list(map(str, ids)), r"2\.parquet, column 'user' holds int64, and in .*1\.parquet string")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "log.csv", HEAD + "zoë,x,1318896000\r\n", encoding)
    assert load(path) == [("zoë", "x", 1318896000, 1)]
    line = json.dumps({"user": "zoë", "item": "x", "time": 1318896000}, ensure_ascii=False)
    assert load(write(tmp_path / "log.jsonl", line + "\n", encoding)) == [("zoë", "x", 1318896000, 1)]


def test_what_is_no_utf8_is_read_as_most_other_texts_are_and_it_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", HEAD + "zoë,5€,1318896000\n", "cp1252")
    assert load(path) == [("zoë", "5€", 1318896000, 1)]
    assert any(
        "is read as CP1252 text (a guess; set source.encoding if it is another), columns" in n
        for n in Table(str(path), COLUMNS).load(engine).notes
    )
    assert load(write(tmp_path / "log.csv", HEAD + "zoë,x,1318896000\n", "cp437"), encoding="cp437")[0][0] == "zoë"
    late = write(tmp_path / "late.csv", HEAD + "a,x,1318896000\n" * 80_000 + "zoë,x,1318896000\n", "latin-1")
    assert load(late)[-1] == ("zoë", "x", 1318896000, 80_001)


def test_an_encoding_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", HEAD + "zoë,x,1318896000\n", "latin-1")
    refused(path, r"log\.csv is not valid UTF-8; set source\.encoding to its encoding", encoding="utf-8")
    for text, encoding in (("用户名称", "gbk"), ("Пользователь", "cp1251")):
        rows = "".join(f"{text}{n},x,{1318896000 + n}\n" for n in range(200))
        told = r"other\.csv is .*set source\.encoding to its encoding, such as gbk, cp1251 or cp1252"
        foreign = write(tmp_path / "other.csv", HEAD + rows, encoding)
        refused(foreign, told, encoding="utf-8")
        assert load(foreign, encoding=encoding)[0][0] == f"{text}0"
    refused(write(tmp_path / "other.csv", HEAD + "ПГ°,x,1318896000\n", "cp1251"), told)  # C3 B0 is a character of UTF-8
    refused(path, r"log\.csv is not ascii text .*; set source\.encoding", encoding="ascii")
    with pytest.raises(ConfigError, match=r"source\.encoding=klingon is not a known encoding"):
        load(path, encoding="klingon")


@pytest.mark.parametrize(
    ("delimiter", "line"),
    [("whitespace", "  a \t x   1318896000 "), ("::", "a::x::1318896000"), ("§", "a§x§1318896000")],
)
def test_what_separates_columns_may_be_longer(tmp_path: Path, delimiter: str, line: str) -> None:
    path = write(tmp_path / "log.dat", f"{line}\n\n{line}\n")
    found = load(path, delimiter=delimiter, header=["user", "item", "time"])
    assert found == [("a", "x", 1318896000, 1), ("a", "x", 1318896000, 2)]
    path = write(tmp_path / "log.dat", f"{line}\n" + line[: line.index("x") + 1])
    told = r"log\.dat, row 2 \(line 2\) has 2 fields, not 3 as source\.header"
    refused(path, told, delimiter=delimiter, header=["user", "item", "time"])


def test_blanks_between_columns_are_guessed_in_the_error(tmp_path: Path) -> None:
    refused(
        write(tmp_path / "log.txt", "user item time\na x 1\n"),
        r"If blanks separate .* set source\.delimiter=whitespace",
    )


def test_a_file_without_a_header_is_not_taken_for_one_with_odd_names(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "196,242,881250949\n1,2,881250950\n")
    refused(path, r"has no column 'user'; it has: 196, 242, .* If that is its first row, set source\.header=\[\.\.\.\]")
    with pytest.raises(DataError, match=r"first row, set source\.items\.header=\[\.\.\.\]"):
        load(path, header=["user", "item", "time"], items={"path": str(path), "key": "id"})


def test_a_tab_as_a_command_line_writes_it(tmp_path: Path) -> None:
    path = write(tmp_path / "log.dat", "user,a\titem\ttime\na\tx\t1318896000\n")
    assert load(path, COLUMNS | {"user": "user,a"}, delimiter="\\t") == [("a", "x", 1318896000, 1)]


def test_a_header_that_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "a,x,1318896000\n")
    assert load(path, header=["user", "item", "time"]) == [("a", "x", 1318896000, 1)]
    refused(path, r"row 1 has 3 fields, and source\.header names 2 columns", header=["user", "item"])
    with pytest.raises(ConfigError, match=r"source\.delimiter must be one or more characters"):
        load(path, delimiter='"')


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_before_the_header(tmp_path: Path, end: str) -> None:
    path = write(tmp_path / "log.csv", f"\n\n{HEAD}a,x,1318896000\n\nb,y,1318896001".replace("\n", end))
    assert load(path, COLUMNS | {"time": None}) == [("a", "x", 0, 1), ("b", "y", 0, 2)]
    refused(write(path, f"\n{HEAD}a,x,1\nb\n".replace("\n", end)), r"row 2 \(line 4\) has 1 fields")


@pytest.mark.parametrize(
    ("item", "last", "sentence"),
    [
        ("name", '"Best of', r"log\.tsv: a quote opens a field in line 2 and closes inside another in line 5"),
        ("id", '"Best of', r"log\.tsv: a quote opens a field in line 2 and closes inside another in line 5"),
        ("name", 'Best of"', r"log\.tsv, column 'name': '.*' in row 1 holds a line break"),
        ("name", "Best of", r"log\.tsv, row 1 \(line 2\) has 1 fields, not 4"),
    ],
)
def test_a_quote_that_is_none_swallows_no_rows(tmp_path: Path, item: str, last: str, sentence: str) -> None:
    names = ['"Heroes', "Ran", "M", last]
    lines = [f"{name}\tu{n}\t{n}\t160000000{n}\n" for n, name in enumerate(names)]
    path = write(tmp_path / "log.tsv", "name\tuser\tid\ttime\n" + "".join(lines))
    refused(path, sentence + r".* source\.quote=null", COLUMNS | {"item": item})
    found = load(path, COLUMNS | {"item": item}, quote=None)
    assert [row[1] for row in found] == (names if item == "name" else list("0123"))


@pytest.mark.parametrize("rows", [9_000, 400_000])
def test_quotes_far_apart_swallow_no_rows(tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 1 << 20)  # the quotes lie in one block, or not
    lines = [
        '"Heroes,x,1318896000\n',
        *["Ran,x,1318896000\n"] * rows,
        '"Best of,x,1318896000\n',
        "M,x,1318896000\n" * 9,
    ]
    path = write(tmp_path / "log.csv", HEAD + "".join(lines))
    refused(path, r"log\.csv.* line 2\b.*; set source\.quote=null|row 1 \(line 2\) .*; set source\.quote=null")
    assert len(load(path, quote=None)) == rows + 11


def test_another_quote_and_line_breaks_in_what_is_no_id(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", HEAD.replace("item", "item,text") + "a,x,'such, a\nday',1318896000\n")
    assert load(path, quote="'") == [("a", "x", 1318896000, 1)]
    with pytest.raises(ConfigError, match=r"source\.quote='' must be one ASCII character"):
        load(path, quote="''")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,x,1318896000\nb,y\n", r"log\.csv, row 2 \(line 3\) has 2 fields, not 3 as the header"),
        ("a,x,1318896000\n\nb,y,1318896001,0\n", r"log\.csv, row 2 \(line 4\) has 4 fields, not 3 as the header"),
        (
            'a,"x\ny",1318896000\nb,"y,1318896001\n',
            r"row 2 \(line 4\) has 2 fields.*a quote that opens there is closed late",
        ),
        ('a,x,1318896000\nb,y,"1318896001\n', r"log\.csv: a quote is opened near line 3 and never closed"),
        ("a,x,1318896000\nb,\0,1318896001\n", r"log\.csv, line 3 holds a NUL byte"),
        ("", r"log\.csv has a header and no rows"),
    ],
)
def test_ragged_rows_are_refused_with_their_place(tmp_path: Path, text: str, sentence: str) -> None:
    refused(write(tmp_path / "log.csv", HEAD + text), sentence)
    refused(write(tmp_path / "log.csv", (HEAD + text).replace("\n", "\r\n")), sentence)


def test_a_row_far_down_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 1 << 10)
    good = "a,x,1318896000\n" * 5_000
    assert len(load(write(tmp_path / "log.csv", HEAD + good))) == 5_000
    refused(write(tmp_path / "log.csv", HEAD + good + "b,y\n" + good), r"row 5001 \(line 5002\) has 2 fields")
    refused(
        write(tmp_path / "log.csv", HEAD + good + 'b,y,"1\n' + good),
        r"a quote is opened near line 5002 and never closed",
    )


def test_a_name_that_the_header_has_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user,item,time,user\na,x,1318896000,b\n")
    refused(path, r"log\.csv names the column 'user' more than once \(columns 1 and 4\); rename one")
    path = write(tmp_path / "log.csv", ",user,item,time,\n0,a,x,1318896000,\n")  # no name is no name
    assert load(path) == [("a", "x", 1318896000, 1)]


def test_zstd(tmp_path: Path) -> None:
    for name, text in (
        ("log.csv.zst", HEAD + "a,x,1318896000\n"),
        ("log.jsonl.zst", '{"user":"a","item":"x","time":1318896000}\n'),
    ):
        with pa.output_stream(str(tmp_path / name), compression="zstd") as stream:
            stream.write(text.encode())
        assert load(tmp_path / name) == [("a", "x", 1318896000, 1)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"user":"a"}\n{"user":\n', r"log\.jsonl, row 2 is not valid JSON"),
        ('{"user":"a"}\n\n[1]\n', r"log\.jsonl, row 2 is not a JSON object \{\.\.\.\}, but \[1\]"),
        (
            '{"user":1,"item":1,"time":1}\n{"user":true}\n',
            r"log\.jsonl, column 'user': row 2 holds true or false, row 1 text or a number",
        ),
        ('{"user":NaN}\n', r"log\.jsonl, row 1 is not valid JSON \(NaN is not a JSON value\)"),
        ('[{"user":"a"}]\n', r"log\.jsonl is one JSON array; write one object a line"),
    ],
)
def test_lines_that_are_no_json_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    refused(write(tmp_path / "log.jsonl", text), sentence)


def test_ids_in_json_may_be_text_and_numbers(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.jsonl",
        '{"user":"a","item":1,"time":1318896000}\n{"user":7,"item":123456789012345678901,"time":1318896001}\n',
    )
    assert [row[:2] for row in load(path)] == [("a", "1"), ("7", "123456789012345678901")]


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ([1.0, 1.5], r"column 'user' holds decimals, and '1\.5' in row 2 is not a whole number below 2\^53"),
        ([1.0, 2.0**53], r"'9007199254740992\.0' in row 2 is not a whole number below 2\^53"),
        ([[1], [2]], r"column 'user' holds List\(Int64\); source\.columns\.user needs text or whole numbers"),
        ([True, False], r"holds Boolean; source\.columns\.user needs text or whole numbers"),
    ],
)
def test_what_is_no_id_is_refused(tmp_path: Path, ids: list[Any], sentence: str) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user": ids, "item": ["x", "y"], "time": [1318896000, 1318896001]}).write_parquet(path)
    refused(path, sentence)
