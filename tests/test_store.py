import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltsi.errors import DataError
from ltsi.store import (
    EncodedEvents,
    Store,
    available_stores,
    data_root,
    open_store,
    store_path,
    user_blocks,
)
from ltsi.store_writer import write_store


def write(name: str = "tiny", *, clock: bool = True, item: tuple[int, ...] = (0, 1, 1, 2, 0)) -> Store:
    """Write two users: three events and two."""
    events = EncodedEvents(
        offsets=np.array([0, 3, 5]),
        item=np.array(item, dtype=np.int32),
        time=np.array([10, 20, 20, 15, 40]),
        behavior=np.array([0, 1, 0, 0, 0], dtype=np.uint8),
        value=np.array([1, 2, np.nan, 4, 5], dtype=np.float32),
        behaviors=("buy", "view"),
    )
    tags = [["old", "rare"], [], None]
    items = pl.DataFrame({"item": ["a", "b", "c"], "category": ["x", None, "x"], "tags": tags})
    users = pl.DataFrame({"user": ["ann", "bob"]})
    return write_store(store_path(name), events, items=items, users=users, manifest={"time": {"clock": clock}})


def test_a_store_holds_what_was_written() -> None:
    write()
    store = open_store("tiny")
    assert (store.n_users, store.n_items, store.n_events) == (2, 3, 5)
    assert store.item.tolist() == [0, 1, 1, 2, 0]
    assert store.time.tolist() == [10, 20, 20, 15, 40]
    assert [store.behaviors[code] for code in store.behavior] == ["buy", "view", "buy", "buy", "buy"]
    assert store.value is not None
    assert store.value[3] == 4
    assert store.items["item"].to_list() == ["a", "b", "c"]
    assert store.users["user"].to_list() == ["ann", "bob"]
    assert store.truth is None
    assert store.manifest["time"] == {"clock": True, "first": 10, "last": 40}
    assert store.manifest["counts"]["repeats"] == 1  # ann has item b twice


def test_events_are_memory_mapped_and_read_only() -> None:
    store = write()
    for array in (store.offsets, store.item, store.time, store.behavior, store.value):
        assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.item[0] = 1


def test_the_fingerprint_follows_the_events_not_the_name() -> None:
    assert write("one").fingerprint == write("two").fingerprint
    assert write("one").fingerprint != write("three", item=(0, 1, 1, 2, 1)).fingerprint


def test_writing_again_replaces_the_store_and_leaves_nothing_beside_it() -> None:
    write()
    write(item=(2, 2, 2, 2, 2))
    assert open_store("tiny").item.tolist() == [2] * 5
    assert [path.name for path in (data_root() / "prepared").iterdir()] == ["tiny"]


def test_item_codes_label_missing_values() -> None:
    codes, labels = write().item_codes("category")
    assert [labels[code] for code in codes] == ["x", "(none)", "x"]


def test_item_codes_take_a_list_for_one_label() -> None:
    codes, labels = write().item_codes("tags")
    assert [labels[code] for code in codes] == ["old, rare", "(none)", "(none)"]


def test_item_codes_name_the_columns_that_there_are() -> None:
    with pytest.raises(DataError, match="no column 'brand'; they have: item, category"):
        write().item_codes("brand")


def test_a_log_without_a_clock_refuses_what_needs_one() -> None:
    store = write(clock=False)
    with pytest.raises(DataError, match=r"decay-fit needs times.*no clock \(store 'tiny'\)"):
        store.require_clock("decay-fit")
    write().require_clock("decay-fit")


def test_a_missing_store_is_named_with_the_nearest_one() -> None:
    write("beauty")
    with pytest.raises(DataError, match=r"no store 'beuty'.*Did you mean 'beauty'\?.*ltsi prepare"):
        open_store("beuty")


def test_a_missing_store_where_nothing_is_prepared() -> None:
    with pytest.raises(DataError, match="Nothing is prepared yet"):
        open_store("beauty")


@pytest.mark.parametrize("stem", ["offsets", "item", "time", "behavior", "value"])
@pytest.mark.parametrize("damage", ["missing", "cut", "junk", "other shape", "other type"])
def test_a_damaged_array_is_refused(stem: str, damage: str) -> None:
    file = write().path / f"{stem}.npy"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "junk":
        file.write_bytes(b"junk")
    elif damage == "other shape":
        np.save(file, np.load(file)[:-1])
    else:
        np.save(file, np.load(file).astype(np.float16))
    with pytest.raises(DataError, match=rf"{stem}\.npy.*prepare it again"):
        open_store("tiny")


@pytest.mark.parametrize("table", ["items", "users"])
def test_a_missing_table_is_refused(table: str) -> None:
    (write().path / f"{table}.parquet").unlink()
    with pytest.raises(DataError, match=rf"{table}\.parquet is not there.*prepare it again"):
        open_store("tiny")


def test_a_damaged_table_is_refused() -> None:
    (write().path / "items.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"items\.parquet cannot be read.*prepare it again"):
        _ = open_store("tiny").items


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}', "\x00\x01"])
def test_a_damaged_manifest_is_refused(text: str) -> None:
    (write().path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"manifest\.json is not a store's manifest.*prepare the store again"):
        open_store("tiny")


def test_a_store_of_another_schema_is_refused() -> None:
    file = write().path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 99}))
    with pytest.raises(DataError, match="has schema 99, this ltsi reads 1"):
        open_store("tiny")


KILLED = """
import os, signal, sys
import polars as pl
sys.path.insert(0, {tests!r})
import test_store
pl.DataFrame.write_parquet = lambda self, *args: os.kill(os.getpid(), signal.SIGKILL)
test_store.write(item=(2, 2, 2, 2, 2))
"""


@pytest.mark.parametrize("before", [False, True])
def test_a_killed_writer_leaves_nothing_visible(before: bool, data_root: Path) -> None:
    if before:
        write()
    script = KILLED.format(tests=str(Path(__file__).parent))
    environment = os.environ | {"LTSI_DATA": str(data_root)}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=False)
    assert ended.returncode == -9
    assert list((data_root / "prepared").glob(".tiny.*.partial")), "the writer was killed before it began"
    assert available_stores() == (["tiny"] if before else [])
    if before:
        assert open_store("tiny").item.tolist() == [0, 1, 1, 2, 0]
    write()
    assert open_store("tiny").n_events == 5


def test_a_folder_that_cannot_be_written_is_one_sentence(data_root: Path) -> None:
    data_root.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="could not be written"):
        write()


def test_user_blocks_are_whole_users_of_bounded_size() -> None:
    offsets = np.array([0, 3, 5, 15, 16, 18])
    assert list(user_blocks(offsets, max_events=5)) == [(0, 2), (2, 3), (3, 5)]
    assert list(user_blocks(offsets, max_events=100)) == [(0, 5)]
