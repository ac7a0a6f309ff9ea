import csv
import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from ltsi import __version__
from ltsi.errors import ConfigError, DataError, UserError
from ltsi.evaluation.leakage import audit_split
from ltsi.findings import Finding
from ltsi.models.popularity import count_items
from ltsi.sequences.column import Column
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store, available_stores, open_store
from ltsi.tables import Cell, Result
from ltsi.workflows import prepare

SMALL = ["source.users=50", "source.items=80", "source.events=1000"]


def config(*overrides: str) -> DictConfig:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        return compose("prepare", list(overrides))


def run(*overrides: str) -> Result:
    return prepare.run(config(*overrides))


def audit_of(store: Store) -> dict[str, Any]:
    return {finding["finding"]: finding["value"] for finding in store.manifest["audit"]}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_is_the_shop() -> None:
    result = run(*SMALL)
    store = open_store("shop")
    assert (store.n_events, store.n_users) == (1000, 50)
    assert store.behaviors == ("buy", "cart", "view")
    assert store.items.columns == ["item", "category", "brand", "price"]
    assert store.truth is not None
    assert store.truth["category"].to_list()[:2] == ["snacks", "coffee"]
    assert result.tables[0].title == "Audit of store 'shop'"
    assert any("1,000 events" in message for message in result.messages)


def test_the_same_configuration_gives_the_same_store() -> None:
    run(*SMALL, "name=one")
    run(*SMALL, "name=two")
    run(*SMALL, "name=three", "source.seed=8")
    one, two, three = (open_store(name).fingerprint for name in ("one", "two", "three"))
    assert one == two != three


def test_the_manifest_says_where_a_store_came_from(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.csv", "who,what,at,price\nann,hat,2011-01-02,3\nann,cap,2011-01-03,0\nann,hat,2011-01-04,3\n"
    )
    run(
        "source=table", f"source.path={log}", "source.columns={user: who, item: what, time: at}", "name=mine",
        "source.filters=[{column: price, greater_than: 0, reason: free}]",
    )  # fmt: skip
    manifest = open_store("mine").manifest
    assert manifest["source"] == "table"
    assert manifest["tool_version"] == __version__
    assert manifest["inputs"] == [{"path": str(log), "sha256": hashlib.sha256(log.read_bytes()).hexdigest()}]
    assert manifest["config"]["source"]["columns"]["user"] == "who"
    assert manifest["steps"] == [{"step": "free", "dropped": 1, "left": 2, "changed": 0}]
    assert manifest["counts"] == {"users": 1, "items": 1, "events": 2, "repeats": 1}
    assert manifest["time"] == {"clock": True, "first": 1293926400, "last": 1294099200}
    assert "is read as dates" in manifest["notes"][0]


def test_cleaning_steps_are_chosen_by_name_and_counted(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item,time\n" + "a,x,1318896000\n" * 3 + "a,x,1318896001\nb,y,1318896000\n")
    result = run(
        "source=table", f"source.path={log}", "clean=[duplicates,k_core]", "clean.k_core.user=2", "clean.k_core.item=1"
    )
    (dropped,) = [table for table in result.tables if table.title == "Cleaning"]
    assert list(dropped.rows) == [["duplicates", 2, 0, 3], ["k_core", 1, 0, 2]]
    assert open_store("table").n_events == 2


VIEWS = "user,item,time,how\n" + "".join(
    f"{user},{item},{1318896000 + n},{how}\n"
    for user in "ab"
    for n, (item, how) in enumerate(
        [("x", "view"), ("y", "view"), ("x", "buy"), ("z", "view"), ("y", "buy"), ("x", "buy")]
    )
)


def test_declared_behaviors_reach_splits_and_counts(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", VIEWS)
    run(
        "source=table", f"source.path={log}", "source.columns.behavior=how", "name=mine",
        "source.behaviors={view: {role: input}, buy: {weight: 4, role: target}}",
    )  # fmt: skip
    store = open_store("mine")
    assert store.manifest["roles"] == {"buy": {"weight": 4, "role": "target"}, "view": {"weight": 1, "role": "input"}}
    assert (store.behaviors_in_role("input"), store.behaviors_in_role("target")) == (("view",), ("buy",))
    split = LeaveOneOut()(store)
    assert store.items["item"].gather(split.store.item[split.test.event]).to_list() == ["x", "x"]  # the last buys
    # Trained on until before the last but one purchase: views of x, y and z, and the purchase of x, which counts 4.
    assert count_items(split).tolist() == [2 * (1 + 4), 2 * 1, 2 * 1]


def test_the_users_own_split_goes_through(tmp_path: Path) -> None:
    parts = ["train", "train", "valid", "test"]
    rows = "".join(f"{user},i{n},{1318896000 + n},{part}\n" for user in "ab" for n, part in enumerate(parts))
    log = write(tmp_path / "log.csv", "user,item,time,part\n" + rows)
    run("source=table", f"source.path={log}", "source.columns.part=part", "name=mine")
    split = Column()(open_store("mine"))
    assert [int(event) for event in (*split.valid.event, *split.test.event)] == [2, 6, 3, 7]


def test_a_share_is_shown_in_percent_and_kept_as_a_number(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item,time\na,x,1318896000\na,y,1318896000\na,z,1318896001\n")
    table = run("source=table", f"source.path={log}").tables[0]
    (value,) = [row[2] for row in table.rows if row[1] == "same_time_steps"]
    assert value == Cell(0.5, "50.0%")


FUTURE = "user,item,time\na,x,1318896000\na,y,4070908800\n"


def test_what_is_certainly_wrong_is_refused_by_name(tmp_path: Path, data_root: Path) -> None:
    log = write(tmp_path / "log.csv", FUTURE)
    with pytest.raises(DataError, match=r"The audit refuses this log \(future_dates \(1\): .*audit=warn"):
        run("source=table", f"source.path={log}")
    assert not data_root.exists()


def test_an_override_is_recorded(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", FUTURE)
    result = run("source=table", f"source.path={log}", "audit=warn")
    (found,) = [finding for finding in open_store("table").manifest["audit"] if finding["finding"] == "future_dates"]
    assert found["overridden"] is True
    assert any(row[1] == "future_dates" for row in result.tables[0].rows)


def test_an_audit_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"audit=ignore must be one of: refuse, warn"):
        run(*SMALL, "audit=ignore")


def test_a_log_without_a_clock_says_so(tmp_path: Path) -> None:
    log = write(tmp_path / "log.txt", "1 5 6 5\n2 6 7 8\n")
    result = run("source=sequences", f"source.path={log}", "name=ordered")
    assert not open_store("ordered").has_clock
    assert "order but no clock" in result.messages[0]


@pytest.mark.parametrize(
    ("text", "overrides", "error", "sentence"),
    [
        (None, [], DataError, r"log\.csv does not exist; set source\.path=FILE"),
        ("", [], DataError, r"log\.csv is empty"),
        ("user,item,time\n", [], DataError, r"has a header and no rows"),
        ("who,item,time\na,x,1\n", [], DataError, r"has no column .user.; it has: who, item, time; set source"),
        ("user,item,time\na,x,soon\n", [], DataError, r"column 'time': the time 'soon' in row 1"),
        ("user,item,time\na,x,1318896000\na,x,1318896000000\n", [], DataError, r"mixes units"),
        ("user,item,time\na,x,1318896000\n", ["clean=k_core"], DataError, r"'k_core' .* leaves none of 1 events"),
        ("user,item,time\na,x,1318896000\n", ["name=../up"], ConfigError, r"name=\.\./up is not a valid store name"),
        ("user,item,time\na,x,1318896000\n", ["source.filters=[{column: x, is: 1}]"], ConfigError, r"no operator 'is'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, data_root: Path, text: str | None, overrides: list[str], error: type[UserError], sentence: str
) -> None:
    log = tmp_path / "log.csv"
    if text is not None:
        write(log, text)
    with pytest.raises(Exception, match=sentence) as caught:
        run("source=table", f"source.path={log}", *overrides)
    assert isinstance(caught.value, error)
    assert not data_root.exists()


def test_a_source_without_its_file_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match=r"source=sequences needs source\.path; set source\.path=VALUE"):
        run("source=sequences")


def test_a_mistake_leaves_the_store_of_that_name_alone(tmp_path: Path) -> None:
    run(*SMALL, "name=mine")
    before = open_store("mine").fingerprint
    with pytest.raises(DataError):
        run("source=sequences", f"source.path={write(tmp_path / 'log.txt', '1 2 x')}", "name=mine")
    assert open_store("mine").fingerprint == before


def test_every_source_is_known_by_name() -> None:
    assert {"shop", "table", "sequences", "online_retail"} <= set(prepare.source_names())


def test_a_source_is_prepared_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepare.prepare_source("shop")
    assert store.name == "shop"
    assert available_stores() == ["shop"]
    run("name=composed")
    assert store.fingerprint == open_store("composed").fingerprint


def test_a_source_that_needs_settings_is_not_prepared_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"source=online_retail needs source\.path"):
        prepare.prepare_source("online_retail")


def test_an_unknown_source_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"no source 'shoop'\. Did you mean 'shop'\? Sources: "):
        prepare.prepare_source("shoop")


def test_beauty(realdata: Path) -> None:
    folder = realdata / "amazon-beauty"
    run(
        "source=sequences",
        f"source.path={folder}/Beauty.txt.gz",
        f"source.times={folder}/Beauty_time.txt.gz",
        "name=beauty",
    )
    store = open_store("beauty")
    assert (store.n_users, store.n_items, store.n_events) == (22_363, 12_101, 198_502)
    found = audit_of(store)
    assert found["resolution"] == "day"
    assert found["same_time_steps"] == pytest.approx(0.439, abs=0.0005)
    assert not store.has_repeats


def test_online_retail(realdata: Path) -> None:
    result = run("source=online_retail", f"source.path={realdata}/uci-online-retail/online_retail.csv.gz")
    store = open_store("online_retail")
    assert (store.n_events, store.n_users, store.n_items) == (397_884, 4_338, 3_665)
    dropped = {row[0]: row[1] for table in result.tables if table.title == "Cleaning" for row in table.rows}
    assert dropped["cancellation"] == 9_288
    assert sum(dropped.values()) == 541_909 - 397_884  # type: ignore[arg-type]
    assert audit_of(store)["first_time"] == "2010-12-01 08:26:00"
    assert json.loads((store.path / "manifest.json").read_text())["inputs"][0]["sha256"].startswith("737745256ddb")


def test_names_that_look_like_numbers_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"2011": "196,242,3,x\n186,302,4,y\n", "2012": "242,9\n302,8\n"}.items():
        Path(name).write_text(text)
    overrides = [
        "source=table",
        "source.path=2011",
        "source.header=[1,2,3,4]",
        "source.columns={user: 1, item: 2, time: null, value: 3}",
        "source.item_columns=[4]",
        "source.items={path: 2012, key: 10, columns: [11], header: [10,11]}",
        "source.filters=[{column: 3, at_least: 4}]",
        "name=2024",
    ]
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        prepare.run(compose("prepare", [*overrides, "dry_run=true"]))
        prepare.run(compose("prepare", overrides))
    assert open_store("2024").items.rows() == [("302", "y", 8)]
    (tmp_path / "log.csv").write_text("196,242,881250949\n1,2,881250950\n")
    columns = "source.columns={user: 196, item: 242, time: 881250949}"
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        prepare.run(compose("prepare", ["source=table", "source.path=log.csv", columns]))
    assert open_store("table").n_events == 1


@pytest.mark.parametrize(
    ("ties", "whose"),
    [("file", "the file's"), ("shuffle", r"random \(ties=shuffle\)"), ("item", r"that of the items \(ties=item\)")],
)
def test_the_audits_say_whose_the_order_of_ties_is(tmp_path: Path, ties: str, whose: str) -> None:
    rows = "".join(f"u{n % 5},i{n % 7},{1_600_000_000 + n // 20 * 86_400}\n" for n in range(200))
    (tmp_path / "log.csv").write_text("user,item,time\n" + rows)
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        prepare.run(compose("prepare", ["source=table", f"source.path={tmp_path}/log.csv", f"ties={ties}"]))
    store = open_store("table")
    found = [Finding(**record) for record in store.manifest["audit"]]
    found += audit_split(LeaveOneOut()(store), by_time=False)
    told = {finding.finding: finding.detail for finding in found}
    assert re.search(rf"stay at one time; their order is {whose}\.", told["same_time_steps"])
    assert re.search(rf"follows their order, which is {whose}\.", told["target_ties_test"])


@pytest.mark.parametrize("name", ["time", "bought at", "a,b's", 'so "called"', "null", "7"])
def test_a_setting_that_an_error_names_can_be_pasted_into_a_shell(tmp_path: Path, name: str) -> None:
    rows = [["user", "item", name], ["a", "x", "1318896000"], ["b", "x", ""], ["c", "x", "1318896001"]]
    path = tmp_path / "log.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    quoted = name.replace('"', r"\"")
    settings = ["source=table", f"source.path={path}", f'source.columns.time="{quoted}"']
    with pytest.raises(DataError) as refused:
        run(*settings)
    (pasted,) = shlex.split(str(refused.value).split("drop them with ")[1].removesuffix("."))
    run(*settings, pasted)
    assert open_store("table").users["user"].to_list() == ["a", "c"]
