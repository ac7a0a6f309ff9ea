import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from ltsi.findings import Finding
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

Ltsi = Callable[..., Result]
FUTURE = Finding("error", "future_dates", 3, "Events later than today; drop them.")


class Leaky:
    """Trains on everything, the targets included; a `_target_` of a split."""

    def __call__(self, store: Store) -> Split:
        split = LeaveOneOut()(store)
        return Split(store, store.offsets[1:], split.valid, split.test)


def tables(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)["tables"]
    return found


def names(table: dict[str, Any]) -> list[str]:
    return [row["finding"] for row in table["rows"]]


def store_findings(store: Store, findings: Sequence[Finding]) -> None:
    """Writes findings into a manifest, as prepare does."""
    manifest = {**store.manifest, "audit": [finding.as_dict() for finding in findings]}
    (store.path / "manifest.json").write_text(json.dumps(manifest))


def test_the_stored_findings_are_shown(ltsi: Ltsi, shop: Path) -> None:
    (table,) = tables(ltsi("audit", f"data={shop}", "--format", "json"))
    assert table["title"] == "Audit of store 'shop'"
    stored = json.loads((shop / "manifest.json").read_text())["audit"]
    assert [row["detail"] for row in table["rows"]] == [finding["detail"] for finding in stored]
    assert {"events", "resolution", "drift"} <= set(names(table))


@pytest.mark.parametrize(
    ("split", "period"),
    [("leave_one_out", ["period_overlap"]), ("global_time", [])],
    ids=["leave_one_out", "global_time"],
)
def test_a_split_is_audited_if_one_is_chosen(ltsi: Ltsi, shop: Path, split: str, period: list[str]) -> None:
    _, table = tables(ltsi("audit", f"data={shop}", f"split={split}", "--format", "json"))
    assert table["title"] == f"Audit of split={split} of store 'shop'"
    kinds = ("targets", "cold_users", "cold_items", "target_repeats", "target_ties")
    assert names(table) == [f"{kind}_{part}" for part in ("valid", "test") for kind in kinds] + period + ["leakage"]
    assert table["rows"][-1]["value"] == "none"


def test_a_leak_is_shown_and_ends_in_an_error(ltsi: Ltsi, shop: Path, working_folder: Path) -> None:
    folder = working_folder / "conf" / "split"
    folder.mkdir(parents=True)
    (folder / "leaky.yaml").write_text(f"name: leaky\n_target_: {__name__}.Leaky\n")
    result = ltsi("audit", f"data={shop}", "split=leaky", "--config-dir", "conf", "--format", "json", exit_code=1)
    (leak,) = [row for row in tables(result)[1]["rows"] if row["severity"] == "error"]
    assert leak["finding"] == "training_order"
    assert result.stderr == (
        f"Error: The audit of split=leaky of store 'shop' found errors: training_order ({leak['value']}); "
        "the tables say what to do about them.\n"
    )
    assert not (working_folder / "outputs").exists()


def test_a_stored_error_fails_unless_it_was_overridden(ltsi: Ltsi, make_store: Callable[..., Store]) -> None:
    store = make_store([(0, 10), (1, 20)])
    store_findings(store, [FUTURE])
    assert "store 'log' found errors: future_dates (3)" in ltsi("audit", "data=log", exit_code=1).stderr
    store_findings(store, [Finding(**{**FUTURE.as_dict(), "overridden": True})])
    assert "error (overridden)" in ltsi("audit", "data=log").stdout


def test_a_store_without_an_audit_has_an_empty_table(ltsi: Ltsi, make_store: Callable[..., Store]) -> None:
    make_store([(0, 10), (1, 20)])
    assert tables(ltsi("audit", "data=log", "--format", "json"))[0]["rows"] == []


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (["data=nowhere"], 1, "There is no store 'nowhere'"),
        (["split=test"], 2, "split=test names a part, which only eval takes"),
        (["split=leave_one_ot"], 2, "leave_one_out"),
    ],
)
def test_a_mistake_is_one_sentence(ltsi: Ltsi, shop: Path, arguments: list[str], exit_code: int, sentence: str) -> None:
    result = ltsi("audit", f"data={shop}", *arguments, exit_code=exit_code)
    assert sentence in result.stderr
    assert result.stdout == ""
