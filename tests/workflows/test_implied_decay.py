"""The decay that a trained model implies, and the page of a fit, from the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from typer.testing import Result

from ltsi.runs.folder import RunFolder
from ltsi.store import open_store
from ltsi.training.checkpoints import read_checkpoint

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Refused = Callable[..., str]


def test_exp_decay_over_items_gives_its_own_rate_back(ltsi: Ltsi, train: Train, shop: Path) -> None:
    # One rate for all items, so that the pooled curve has one rate too.
    ltsi(
        "decay-fit", f"data={shop}", "entity=all", "part=train", "form=exponential", "replicates=0", "hydra.run.dir=fit"
    )
    run = train("exp_decay", "decay=fit", "model.category=item")
    rate = float(read_checkpoint(run.checkpoint())["state_dict"]["model.rate_J"][0]) * 86_400
    options = ("entity=item", "form=exponential_floor", "replicates=0", "hydra.run.dir=implied")
    shown = json.loads(ltsi("decay-fit", "run=run", *options, "--format", "json").stdout)
    row = shown["tables"][0]["rows"][0]
    assert row["item"] == "(all)"
    assert row["half_life_days"] == pytest.approx(0.693147 / rate, rel=0.05)
    table = pl.read_parquet("implied/implied.parquet")
    assert table["half_life_days"][0] == row["half_life_days"]
    assert table["entity"][0] == "(all)"
    assert set(table["entity"][1:]) <= set(open_store(str(shop)).items["item"])


def test_a_model_that_does_not_look_at_time_implies_none(ltsi: Ltsi, trained: Train) -> None:
    trained("transitions")
    shown = ltsi("decay-fit", "run=run", "replicates=0", "hydra.run.dir=implied").stdout
    assert "transitions implies no decay: 60 histories aged by up to" in shown
    assert not Path("implied/implied.parquet").exists()


def test_where_every_history_holds_everything_there_is_nothing_to_compare(ltsi: Ltsi, trained: Train) -> None:
    trained("exp_decay")
    shown = ltsi("decay-fit", "run=run", "entity=all", "hydra.run.dir=implied", exit_code=2)
    assert "entity=all: every history holds every one, so there is nothing to compare an interest with" in shown.stderr
    assert not Path("implied").exists()


@pytest.mark.parametrize("typed", ["data=shop", "part=train", "split=global_time"])
def test_a_run_is_of_its_own_store_and_split(refused: Refused, trained: Train, typed: str) -> None:
    trained("popularity")
    sentence = refused("decay-fit", "run=run", typed, "hydra.run.dir=implied", exit_code=2)
    assert f"{typed} cannot be combined with run=DIR" in sentence


def test_the_page_lies_in_the_run_folder(ltsi: Ltsi, shop: Path) -> None:
    ltsi("decay-fit", f"data={shop}", "replicates=0", "report=true", "hydra.run.dir=fit")
    page = Path("fit/report.html").read_text(encoding="utf-8")
    assert "Interest decay in &#x27;shop&#x27; by category" in page
    assert not list(Path("fit").glob("*.partial"))
    # Its risks are those of `ltsi interests`.
    said = json.loads(ltsi("interests", f"data={shop}", "entity=category", "--format", "json").stdout)
    (most, *_) = said["tables"][1]["rows"]
    risk = f"{most['risk']:.4g}"
    assert f'<td>{most["user"]}</td><td class="number">{risk}</td>' in page
    assert "Risks are calibrated on the 4 weeks before now" in page
    # What a training part knows nothing of is not told of it.
    ltsi("decay-fit", f"data={shop}", "replicates=0", "report=true", "part=train", "form=simple", "hydra.run.dir=cut")
    assert "Users at risk" in page
    assert "Users at risk" not in Path("cut/report.html").read_text(encoding="utf-8")


def test_items_without_a_label_imply_no_decay(ltsi: Ltsi, train: Train, shop: Path) -> None:
    path = shutil.copytree(shop, Path("patchy")) / "items.parquet"
    items = pl.read_parquet(path)
    gone = sorted(items["category"].unique())[:2]
    items.with_columns(pl.col("category").replace(dict.fromkeys(gone))).write_parquet(path)
    train("exp_decay", "data=./patchy", "model.category=item")
    options = ("entity=category", "form=exponential", "replicates=0", "hydra.run.dir=implied", "--format", "json")
    (table,) = json.loads(ltsi("decay-fit", "run=run", *options).stdout)["tables"]
    histories = {row["category"]: row["histories"] for row in table["rows"]}
    assert histories.keys() == {"(all)", *items["category"].unique()} - {*gone}
    assert histories.pop("(all)") == sum(histories.values())
    count = items["category"].is_in(gone).sum()
    assert any(note.startswith(f"Items without a value in 'category': {count} of 60") for note in table["notes"])
