"""Two stores have one fingerprint where no result can differ between them, and only there."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hydra import compose, initialize_config_module

from ltsi.store import open_store
from ltsi.store_fingerprint import fingerprint
from ltsi.workflows import prepare

LOG = """user,item,time,kind,price,age
ann,hat,1318896000,view,9.5,30
ann,cap,1318896100,buy,3,30
bob,hat,1318896200,view,9.5,41
"""
BASE = ["source=table", "source.columns.behavior=kind"]


def prepared(path: Path, *overrides: str, name: str = "log", log: str = LOG) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(log, encoding="utf-8")
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        prepare.run(compose("prepare", [*BASE, f"source.path={path}", f"name={name}", *overrides]))
    return open_store(name).fingerprint


@pytest.mark.parametrize(
    "overrides",
    [
        ["source.behaviors={buy: {weight: 4}}"],
        ["source.behaviors={view: {role: input}}"],
        ["source.item_columns=[price]"],
        ["source.user_columns=[age]"],
    ],
)
def test_a_store_that_says_something_else_is_another(tmp_path: Path, overrides: list[str]) -> None:
    log = tmp_path / "log.csv"
    assert prepared(log, *overrides, name="other") != prepared(log)


def test_a_store_whose_items_are_described_otherwise_is_another(tmp_path: Path) -> None:
    log, price = tmp_path / "log.csv", "source.item_columns=[price]"
    before = prepared(log, price)
    assert prepared(log, price, log=LOG.replace("9.5", "9.6")) != before
    assert prepared(log, log=LOG.replace("9.5", "9.6")) == prepared(log, name="same")  # nobody asked for the price


def test_what_changes_no_result_changes_no_fingerprint(tmp_path: Path) -> None:
    one = prepared(tmp_path / "log.csv", "source.item_columns=[price]")
    two = prepared(
        tmp_path / "elsewhere" / "copy.csv",
        "source.item_columns=[price]",
        "source.behaviors={buy: {weight: 1}, view: {role: both}}",
        "engine=pandas",
        name="copy",
    )
    assert one == two


def of(*values: Any, dtype: Any = None, name: str = "x") -> str:
    table = pl.DataFrame({name: pl.Series(list(values), dtype=dtype, strict=False)})
    return fingerprint({}, {"items": table}, [], {}, clock=True)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (of("ab", "c"), of("a", "bc")),
        (of("", None), of(None, "")),
        (of(["a", "b"], ["c"]), of(["a"], ["b", "c"])),
        (of([], None, dtype=pl.List(pl.String)), of(None, [], dtype=pl.List(pl.String))),
        (of(["a"]), of("a")),
        (of(1), of(1.0)),
        (of(0, None), of(None, 0)),
        (of(True, False), of(False, True)),
        (of([1.0, 2.0], dtype=pl.Array(pl.Float32, 2)), of([1.0, 2.5], dtype=pl.Array(pl.Float32, 2))),
        (of(dt.date(2024, 1, 1)), of(dt.date(2024, 1, 2))),
        (of(dt.timedelta(1)), of(dt.timedelta(2))),
        (of(Decimal("1.5")), of(Decimal("2.5"))),
        (of(b"\xff"), of(b"\xfe")),
        (of(1), of(1, name="y")),
    ],
)
def test_tables_differ_by_names_types_and_values(one: str, two: str) -> None:
    assert one != two


def test_text_is_text_however_it_is_kept() -> None:
    assert of("a", None, "b") == of("a", None, "b", dtype=pl.Categorical)


def test_a_store_without_a_clock_is_another() -> None:
    assert fingerprint({}, {}, [], {}, clock=True) != fingerprint({}, {}, [], {}, clock=False)
