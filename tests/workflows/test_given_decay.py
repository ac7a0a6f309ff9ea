"""A fitted decay as the start of a model: what is read, what is refused, and that the run no longer needs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import Result

from ltsi.decay.artefact import DecayArtefact
from ltsi.errors import RunError
from ltsi.models.times import MILD_RATE
from ltsi.runs.fitted_decay import read_artefact
from ltsi.runs.folder import RunFolder
from ltsi.store import open_store
from ltsi.training.checkpoints import read_checkpoint

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Fit = Callable[..., Path]

CUT = ("split=global_time", "split.valid=0.4", "split.test=0.7")
SERIES = ("objective=intensity", "objective.horizon=2", "objective.least_active=2", *CUT)
"""Series of the shop that are cut by time."""


@pytest.fixture(scope="module")
def fitted_once() -> dict[tuple[str, ...], Path]:
    return {}


@pytest.fixture
def fit(
    ltsi: Ltsi, shop: Path, fitted_once: dict[tuple[str, ...], Path], tmp_path_factory: pytest.TempPathFactory
) -> Fit:
    """Put a fitted decay of the shop into the folder `decay`: the first test that asks for it fits it."""

    def run(*overrides: str) -> Path:
        if overrides in fitted_once:
            return Path(shutil.copytree(fitted_once[overrides], "decay"))
        ltsi("decay-fit", f"data={shop}", "replicates=0", "hydra.run.dir=decay", *overrides)
        fitted_once[overrides] = shutil.copytree("decay", tmp_path_factory.mktemp("fitted") / "decay")
        return Path("decay")

    return run


def rates_of(run: RunFolder, key: str = "rate_J") -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = read_checkpoint(run.checkpoint())["state_dict"][f"model.{key}"].numpy()
    return found


def test_a_model_fades_as_the_decay_it_was_given(fit: Fit, train: Train, ltsi: Ltsi, shop: Path) -> None:
    decay = read_artefact(fit("part=train", "form=exponential"))
    run = train("exp_decay", "decay=decay")
    store = open_store(str(shop))
    expected = [decay.rate_per_day.get(category, decay.pooled_rate_per_day) for category in store.items["category"]]
    assert rates_of(run)[:-1] * 86_400 == pytest.approx(expected, rel=1e-5)
    assert run.config["decay"] == "decay"
    assert run.config["decay_digests"] == {"decay": decay.digest}
    own = train("exp_decay", "hydra.run.dir=own")
    assert own.config["decay_digests"] == {}
    assert (rates_of(own) != rates_of(run)).any()
    # Statistics live in the checkpoint: the file is not needed again.
    shutil.rmtree("decay")
    ltsi("eval", "run=run")


def test_attention_starts_at_the_pooled_rate(fit: Fit, train: Train) -> None:
    decay = read_artefact(fit("part=train"))
    run = train("transformer", "decay=decay", "model.decay_bias=true", "model.heads=1", "optimizer.lr=1e-9")
    theta = rates_of(run, "encoder.decay.theta_H")
    assert np.log1p(np.exp(theta)) == pytest.approx([decay.pooled_rate_per_day], rel=1e-3)


def test_attention_over_a_series_starts_at_the_pooled_rate_too(fit: Fit, train: Train) -> None:
    decay = read_artefact(fit("part=train", "form=exponential", *CUT))
    biased = ("model.decay_bias=true", "model.heads=1", "optimizer.lr=1e-9", "trainer.max_epochs=1")
    run = train("transformer", *SERIES, *biased, "decay=decay")
    own = train("transformer", *SERIES, *biased, "hydra.run.dir=own")
    given, found = (np.log1p(np.exp(rates_of(one, "reader.encoder.decay.theta_H"))) for one in (run, own))
    assert given == pytest.approx([decay.pooled_rate_per_day], rel=1e-3)
    assert run.config["decay_digests"] == {"decay": decay.digest}
    assert abs(found / [MILD_RATE] - 1) > 0.01, "by itself it starts at that of the items"
    assert abs(found / given - 1) > 0.01


@pytest.mark.parametrize("model", ["exp_decay", "hybrid"])
def test_the_decay_of_a_series_is_its_own(ltsi: Ltsi, arguments: Callable[..., list[str]], model: str) -> None:
    command = arguments(model, *SERIES, "decay=decay")
    said = ltsi(*command, exit_code=2).stderr
    assert "decay=decay would not be used: with objective=intensity the decay of exp_decay" in said


@pytest.mark.parametrize(
    ("fitted", "trained", "sentence"),
    [
        (("form=simple",), (), "was fitted on the whole log (part=all), so it knows the events that are held out"),
        (("part=train", "split=global_time", "form=simple"), (), "training part of another split (global_time"),
        (("part=train", "form=simple"), ("model=popularity",), "decay=decay would not be used: no part"),
        (("part=train", "form=simple"), ("model=transformer",), "decay=decay would not be used: no part"),
    ],
)
def test_what_would_leak_or_change_nothing_is_refused(
    fit: Fit, ltsi: Ltsi, shop: Path, fitted: tuple[str, ...], trained: tuple[str, ...], sentence: str
) -> None:
    fit(*fitted)
    model = trained or ("model=exp_decay",)
    code = 2 if "not be used" in sentence else 1
    result = ltsi("train", f"data={shop}", *model, "decay=decay", "hydra.run.dir=run", exit_code=code)
    assert sentence in result.stderr
    assert not Path("run").exists()


def test_a_decay_of_another_log_is_refused(sound: Path, shop: Path) -> None:
    with pytest.raises(RunError, match="was fitted on another log than store 'shop'"):
        read_artefact(sound).require_fit_for(open_store(str(shop)), {"name": "leave_one_out"})


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "is not the run folder of a decay-fit"),
    "a truncated document": (
        lambda folder: (folder / "decay.json").write_bytes((folder / "decay.json").read_bytes()[:100]),
        "decay.json cannot be read",
    ),
    "a foreign document": (lambda folder: (folder / "decay.json").write_text("[1]"), "is not a fitted decay of ltsi"),
    "another schema": (lambda folder: change(folder, schema=9), "has schema 9, this ltsi reads 1"),
    "no table": (lambda folder: (folder / "decay.parquet").unlink(), "decay.parquet cannot be read"),
    "a truncated table": (
        lambda folder: (folder / "decay.parquet").write_bytes((folder / "decay.parquet").read_bytes()[:-50]),
        "is not the table that",
    ),
    "pooled is no record": (lambda folder: change(folder, pooled=3), "does not hold the rates of a decay"),
    "power laws throughout": (
        lambda folder: rewrite(folder, {"form": "power", "rate_per_day": None}, entity=["a"], rate_per_day=[None]),
        "has no rate, neither of an entity nor of all taken as one (form=power has none); fit it again with",
    ),
    "a negative rate": (lambda folder: change(folder, pooled={"rate_per_day": -1.0}), "a rate of -1.0 per day"),
}


def change(folder: Path, **facts: object) -> None:
    path = folder / "decay.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def rewrite(folder: Path, pooled: dict[str, object], **columns: list[Any]) -> None:
    table = folder / "decay.parquet"
    pl.DataFrame(columns).write_parquet(table)
    change(folder, pooled=pooled, table_sha256=sha256(table.read_bytes()).hexdigest())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a decay of three entities by hand, one of them without a rate."""
    folder = tmp_path_factory.mktemp("decay")
    table = folder / "decay.parquet"
    pl.DataFrame({"entity": ["a", "b", "c"], "rate_per_day": [0.1, None, 0.0]}).write_parquet(table)
    facts = {
        "kind": "ltsi decay",
        "schema": 1,
        "entity": "category",
        "part": "train",
        "split": {"name": "leave_one_out"},
        "store": "log",
        "fingerprint": "f00d",
        "pooled": {"rate_per_day": 0.02},
        "options": {},
        "table_sha256": sha256(table.read_bytes()).hexdigest(),
    }
    (folder / "decay.json").write_text(json.dumps(facts))
    return folder


def test_rates_by_label_fall_back_to_the_pooled_one(sound: Path) -> None:
    decay: DecayArtefact = read_artefact(sound)
    assert decay.rates_per_day(["c", "new", "a", "b"]).tolist() == [0.0, 0.02, 0.1, 0.02]


def test_where_many_rates_mix_to_a_power_law_the_middle_of_those_that_fall_stands_for_all(
    sound: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(sound, tmp_path / "copy")
    own, borrowed = [0.4, None, 0.0, None], [0.3, 0.1, 0.2, None]
    table: dict[str, list[Any]] = {"entity": list("abcd"), "rate_per_day": own, "pooled_rate_per_day": borrowed}
    rewrite(folder, {"form": "power", "rate_per_day": None}, **table)
    middle = (0.3 * 0.1) ** 0.5
    assert read_artefact(folder).rates_per_day([*"abcd", "new"]) == pytest.approx([0.3, 0.1, 0.0, middle, middle])


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_decay_is_refused_in_a_sentence(sound: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(sound, folder)
    spoil, sentence = DAMAGE[damage]
    spoil(folder)
    with pytest.raises(RunError) as refusal:
        read_artefact(folder)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
