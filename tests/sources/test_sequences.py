import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.engines.polars import Polars
from ltsi.errors import DataError
from ltsi.sources import sequences
from ltsi.sources.sequences import Sequences

WORK = TemporaryDirectory(prefix="ltsi-test-")
engine = Polars(Path(WORK.name))


IDS = st.integers(0, 10**12)
LOGS = st.dictionaries(IDS, st.lists(st.tuples(IDS, st.integers(10**8, 10**11 - 1)), min_size=1), min_size=1)


def write(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def rows(source: Sequences) -> list[tuple[Any, ...]]:
    return list(source.load(engine).events.select("user", "item", "time", "row").sort("row").collect().rows())


@given(log=LOGS, zipped=st.booleans(), blank=st.sampled_from([" ", "\t", "  "]), timed=st.booleans())
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    log: dict[int, list[tuple[int, int]]],
    zipped: bool,
    blank: str,
    timed: bool,
) -> None:
    folder = tmp_path_factory.mktemp("log")
    paths = []
    for column in (0, 1):
        text = "\n".join(blank.join(map(str, (user, *(e[column] for e in events)))) for user, events in log.items())
        path = folder / f"{column}.txt"
        path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
        paths.append(str(path))
    expected = [
        (str(user), str(item), time if timed else position)
        for user, events in log.items()
        for position, (item, time) in enumerate(events)
    ]
    found = rows(Sequences(paths[0], paths[1] if timed else None))
    assert found == [(*event, row) for row, event in enumerate(expected, start=1)]


def test_without_times_there_is_no_clock_and_it_is_said(tmp_path: Path) -> None:
    raw = Sequences(write(tmp_path / "log.txt", "7 1 2 1", "", "8 3")).load(engine)
    assert not raw.clock
    assert "has an order but no clock" in raw.notes[0]
    assert raw.events.collect()["time"].to_list() == [0, 1, 2, 0]
    assert [path.name for path in raw.inputs] == ["log.txt"]


def test_with_times_there_is_a_clock_and_their_unit_is_said(tmp_path: Path) -> None:
    items, times = write(tmp_path / "log.txt", "7 1 2"), write(tmp_path / "time.txt", "7 1318896000000 1318896001000")
    raw = Sequences(items, times).load(engine)
    assert raw.clock
    assert "numbers in ms since 1970" in raw.notes[0]
    assert raw.events.collect()["time"].to_list() == [1318896000, 1318896001]
    assert [path.name for path in raw.inputs] == ["log.txt", "time.txt"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], r"log\.txt is empty"),
        (["", "  "], r"log\.txt holds no lines 'user item item"),
        (["1 2 3", "2"], r"log\.txt, line 2: '2' has no items after it"),
        (["user,item,time", "1,2,3"], r"line 1: 'user,item,time' has no items .*source=table"),
        (["1 2 3", "2 4 shoe"], r"log\.txt, line 2 \(user 2\), position 2: the item 'shoe' is not an integer"),
        (
            ["1 2", "ann 2"],
            r"line 2: the user 'ann' is not an integer, .*reads only such ids; number them, or .*source=table",
        ),
        (["1 2 -3"], r"position 2: the item '-3' is not an integer"),
        (["1 2", "2 3", "1 4"], r"line 3: user 1 has a line already, line 1"),
    ],
)
def test_lines_that_are_no_sequences_are_refused(tmp_path: Path, lines: list[str], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        Sequences(write(tmp_path / "log.txt", *lines)).load(engine)


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        (["1 1318896000 1318896000"], r"not aligned: 2 users with items, 1 with times"),
        (["2 1318896000", "1 1318896000 1318896000"], r"not aligned: line 1 of the times is user 2, not user 1"),
        (["1 1318896000", "2 1318896000"], r"not aligned: user 1 \(line 1\) has 2 items and 1 times"),
        (["1 1318896000 1318896000", "2 soon"], r"time\.txt: the time 'soon' in line 2 \(user 2\), position 1"),
        (["1 1318896000 1318896", "2 1318896000"], r"mixes units.*'1318896' in line 1 \(user 1\), position 2"),
    ],
)
def test_times_that_do_not_belong_to_the_items_are_refused(tmp_path: Path, times: list[str], sentence: str) -> None:
    items = write(tmp_path / "log.txt", "1 5 6", "2 5")
    with pytest.raises(DataError, match=sentence):
        Sequences(items, write(tmp_path / "time.txt", *times)).load(engine)


def test_a_missing_file_is_named_with_the_key_to_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt does not exist; set source\.path=FILE"):
        Sequences(str(tmp_path / "none.txt")).load(engine)
    with pytest.raises(DataError, match=r"none\.txt does not exist; set source\.times=FILE"):
        Sequences(write(tmp_path / "log.txt", "1 2"), str(tmp_path / "none.txt")).load(engine)
    with pytest.raises(DataError, match=r"is a folder, not a file"):
        Sequences(str(tmp_path)).load(engine)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(f"{user} {user * 7919 % 1009} 3" for user in range(1000)).encode())
    path = tmp_path / "log.txt.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"log\.txt\.gz is damaged or cut short"):
        Sequences(str(path)).load(engine)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"1 2 3\n2 \xff\xfe 4\n")
    with pytest.raises(DataError, match=r"log\.txt is not UTF-8 text"):
        Sequences(str(path)).load(engine)


def test_lines_are_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "CHUNK_CHARS", 10)
    items = [f"{user} {user} {user + 1} {user}" for user in range(1, 30)]
    times = [f"{user} {10**9 + user} {10**9 + user + 1} {10**9 + user + 2}" for user in range(1, 30)]
    source = Sequences(write(tmp_path / "log.txt", *items), write(tmp_path / "time.txt", *times))
    assert rows(source)[-1] == ("29", "29", 10**9 + 31, 29 * 3)
    assert [row[3] for row in rows(source)] == list(range(1, 29 * 3 + 1))
    source = Sequences(write(tmp_path / "log.txt", *items, "7 1"), None)
    with pytest.raises(DataError, match=r"line 30: user 7 has a line already, line 7"):
        source.load(engine)
    late = Sequences(write(tmp_path / "log.txt", *items), write(tmp_path / "time.txt", *times[:-1], "29 1 2 soon"))
    with pytest.raises(DataError, match=r"'soon' in line 29 \(user 29\), position 3"):
        late.load(engine)


def test_compressed_by_zstd(tmp_path: Path) -> None:
    path = tmp_path / "log.txt.zst"
    with pa.output_stream(str(path), compression="zstd") as stream:
        stream.write(b"7 1 2\n")
    assert rows(Sequences(str(path))) == [("7", "1", 0, 1), ("7", "2", 1, 2)]
