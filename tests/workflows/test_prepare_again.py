"""Preparing again, side by side, dry, and after a kill."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hydra import compose, initialize_config_module

from ltsi.errors import ConfigError, DataError
from ltsi.store import available_stores, open_store, store_path
from ltsi.store_writer import writing
from ltsi.tables import Result
from ltsi.workflows import prepare

LOG = "user,item,time\na,x,1318896000\na,y,1318896001\nb,x,1318896002\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "log.csv"
    file.write_text(LOG)
    return file


def run(log: Path, *overrides: str) -> Result:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        return prepare.run(compose("prepare", ["source=table", f"source.path={log}", "name=log", *overrides]))


def written(name: str = "log") -> int:
    return (store_path(name) / "manifest.json").stat().st_mtime_ns


def test_the_same_again_is_nothing_to_do(log: Path) -> None:
    first = run(log)
    before = written()
    again = run(log)
    assert written() == before
    assert again.messages[-2].startswith("Nothing to do:")
    assert not any("Nothing to do" in message for message in first.messages)
    assert [table.rows for table in again.tables] == [table.rows for table in first.tables]


def test_another_engine_is_no_reason_to_prepare_again(log: Path) -> None:
    run(log)
    assert run(log, "engine=pandas").messages[-2].startswith("Nothing to do:")


@pytest.mark.parametrize("override", ["ties=item", "clean=duplicates", "source.time_unit=s"])
def test_other_settings_are(log: Path, override: str) -> None:
    run(log)
    before = written()
    assert run(log, override).messages[-2] == "Prepared again: its settings have changed."
    assert written() > before


def test_the_order_of_cleaning_steps_is_a_setting(log: Path) -> None:
    least = ["clean.k_core.user=1", "clean.k_core.item=1"]
    run(log, "clean=[duplicates,k_core]", *least)
    assert run(log, "clean=[k_core,duplicates]", *least).messages[-2] == "Prepared again: its settings have changed."


def test_a_changed_file_is_noticed(log: Path) -> None:
    run(log)
    touched = log.stat().st_mtime_ns + 10**9
    os.utime(log, ns=(touched, touched))
    assert run(log).messages[-2].startswith("Nothing to do:")  # a new date is no new content
    log.write_text(LOG + "b,y,1318896003\n")
    assert run(log).messages[-2] == f"Prepared again: {log} has changed."
    assert open_store("log").n_events == 4


def test_a_damaged_store_is_prepared_again(log: Path) -> None:
    run(log)
    (store_path("log") / "item.npy").unlink()
    assert "item.npy" in run(log).messages[-2]
    assert open_store("log").n_events == 3


def test_a_dry_run_says_what_it_would_read_and_writes_nothing(log: Path, data_root: Path) -> None:
    result = run(log, "dry_run=true")
    assert result.tables[0].rows == [[str(log), len(LOG) / 1e6]]
    assert "about 4 events" in result.messages[0]  # lines: the header counts
    assert str(store_path("log")) in result.messages[1]
    assert not data_root.exists()


def test_a_dry_run_refuses_what_a_run_would(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        run(tmp_path / "none.csv", "dry_run=true")


@pytest.mark.parametrize("dry", ["dry_run=true", "dry_run=false"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, dry: str) -> None:
    rows = "".join(f"u{n * 7919 % 1009},i{n % 7},{1318896000 + n}\n" for n in range(3000))
    whole = gzip.compress(f"user,item,time\n{rows}".encode())
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 0xFF
    damaged = {"cut.csv.gz": whole[: len(whole) // 2], "flipped.csv.gz": bytes(flipped), "log.parquet": b"PAR1 PAR1"}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} (is|cannot be read as a table; it may be) damaged or cut short"):
            run(tmp_path / name, dry)


def test_a_dry_run_without_files_gives_no_numbers() -> None:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        result = prepare.run(compose("prepare", ["source=shop", "dry_run=true"]))
    assert result.messages[0] == "source=shop reads no files to estimate from."


SCRIPT = """
import sys, time
from hydra import compose, initialize_config_module
from ltsi.workflows import prepare
{before}
with initialize_config_module("ltsi.conf", version_base="1.3"):
    print(prepare.run(compose("prepare", sys.argv[1:])).messages[-2:], flush=True)
"""


def process(*overrides: str, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(before=before), *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_at_once_wait_for_each_other(log: Path) -> None:
    overrides = ["source=table", f"source.path={log}", "name=log"]
    both = [process(*overrides) for _ in range(2)]
    said = [one.communicate(timeout=120)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted("Nothing to do" in text for text in said) == [False, True]
    assert available_stores() == ["log"]
    assert [file.name for file in store_path("log").parent.iterdir()] == ["log"]


HANG = """
import ltsi.store_writer, time
def hang(*arguments):
    print("writing", flush=True)
    time.sleep(600)
ltsi.store_writer.{where} = hang
"""


@pytest.mark.parametrize("where", ["_complete_manifest", "_swap_into_place"])
def test_a_killed_one_leaves_nothing_visible(log: Path, where: str) -> None:
    run(log, "ties=item")
    before = open_store("log").fingerprint
    killed = process("source=table", f"source.path={log}", "name=log", before=HANG.format(where=where))
    assert killed.stdout is not None
    assert killed.stdout.readline() == "writing\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert available_stores() == ["log"]
    assert open_store("log").fingerprint == before
    run(log)
    assert [file.name for file in store_path("log").parent.iterdir()] == ["log"]


def test_a_store_that_was_moved_aside_moves_back(log: Path) -> None:
    """What a kill between the two renames of a replacement leaves."""
    run(log)
    store_path("log").rename(store_path("log").with_name(".log.0123abcd.retired"))
    assert available_stores() == []
    with writing(store_path("log")):
        assert open_store("log").n_events == 3


def test_a_step_that_cannot_be_built_is_refused(log: Path) -> None:
    """And not looked into for ever: what is raised again from itself is behind itself."""
    with pytest.raises(ConfigError, match=r"clean.k_core.user=abc must be a whole number"):
        run(log, "clean=k_core", "clean.k_core.user=abc")


FULL = r"could not be written: No space left on device; free some room, or set LTSI_DATA to a folder with more"


@pytest.mark.parametrize("where", ["ltsi.store_writer.np.save", "ltsi.workflows.prepare.encode"])
def test_a_full_disk_is_one_sentence_and_keeps_the_store(
    log: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run(log)
    before = open_store("log").fingerprint

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "item.npy")

    monkeypatch.setattr(where, full)
    with pytest.raises(DataError, match=FULL):
        run(log, "ties=item")
    assert open_store("log").fingerprint == before
    assert [file.name for file in store_path("log").parent.iterdir()] == ["log"]


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_disk_that_fills_while_reading_is_not_blamed_on_the_file(tmp_path: Path, engine: str, suffix: str) -> None:
    draw = random.Random(1)
    rows = [(draw.randrange(10**6), draw.randrange(10**6), 1_318_896_000 + n) for n in range(20_000)]
    table, file = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"), tmp_path / f"log.{suffix}"
    table.write_csv(file) if suffix == "csv" else table.write_parquet(file)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    said = process("source=table", f"source.path={file}", f"engine={engine}", before=limit).communicate(timeout=120)[1]
    assert "could not be written: File too large; free some room" in said.splitlines()[-1]


def test_who_waits_says_so(log: Path) -> None:
    run(log)
    said = "import logging; logging.basicConfig(level=20)"
    with writing(store_path("log")):
        late = process("source=table", f"source.path={log}", "name=log", before=said)
        assert late.stderr is not None
        line = late.stderr.readline()
        while "waiting for it" not in line:
            line = late.stderr.readline()
            assert line
        assert late.poll() is None
    assert "Nothing to do" in late.communicate(timeout=60)[0]
