"""What every shipped split promises, on random logs: nobody learns from, or is shown, what they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from omegaconf import DictConfig

import ltsi.conf
from ltsi.errors import ConfigError, DataError
from ltsi.sequences.batches import RankingBatches
from ltsi.sequences.split import PARTS, Split, Targets
from ltsi.store import Store
from ltsi.workflows.build import build

NAMES = sorted(
    path.stem for path in (Path(ltsi.conf.__file__).parent / "split").glob("*.yaml") if path.stem not in PARTS
)
BY_TIME = ("global_time", "rolling_origin")
ROLES: list[dict[str, list[str] | None]] = [
    {"target_behaviors": targets, "input_behaviors": inputs}
    for targets, inputs in [
        (None, None),
        (["buy"], None),
        (["buy"], ["view"]),
        (["buy"], ["view", "buy"]),
        (None, ["view"]),
        (["buy"], ["buy"]),
    ]
]

# Why a random log may be refused, and no other reason: nobody is left to test.
NOBODY = ("no user of store", "has none", "no event of", "no time for")
RandomLog = Callable[[int], Store]

examples = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**32 - 1)
roles = st.sampled_from(ROLES)
wanted = st.sampled_from(["next", "all"])


@cache
def shipped(name: str) -> dict[str, Any]:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        return dict(compose("train", [f"split={name}"]).split)


def cut(name: str, store: Store, **changed: Any) -> Split:
    settings = {key: changed.get(key, value) for key, value in shipped(name).items()}
    try:
        split: Split = build(DictConfig(settings))(store)
    except (ConfigError, DataError) as refused:
        if not any(reason in str(refused) for reason in NOBODY):
            raise
        assume(False)
    return split


def names_of(split: Split, rows: NDArray[np.int64]) -> set[str]:
    return {split.store.behaviors[code] for code in split.store.behavior[rows]}


def history(split: Split, targets: Targets, index: int) -> NDArray[np.int64]:
    """Return the rows a model is shown for a target, by definition."""
    rows = np.arange(split.store.offsets[targets.user[index]], targets.history_end[index])
    return rows if split.roles.input_row is None else np.intersect1d(rows, split.roles.input_row)


@pytest.mark.parametrize("name", NAMES)
@examples
@given(seed=seeds, roles=roles, target=wanted)
def test_histories_end_before_their_targets(
    random_log: RandomLog, name: str, seed: int, roles: dict[str, Any], target: str
) -> None:
    split = cut(name, random_log(seed), target=target, **roles)
    store, inputs, asked = split.store, roles["input_behaviors"], roles["target_behaviors"]
    for targets in (split.valid, split.test):
        assert names_of(split, targets.event) <= set(asked or store.behaviors)
        assert (targets.now <= store.time[targets.event]).all()
        for index, event in enumerate(targets.event):
            shown = history(split, targets, index)
            assert len(shown)
            assert store.offsets[targets.user[index]] <= shown[0]
            assert shown[-1] < targets.history_end[index] <= event < store.offsets[targets.user[index] + 1]
            assert names_of(split, shown) <= set(inputs or store.behaviors)
            assert store.time[shown[-1]] <= targets.now[index]


@pytest.mark.parametrize("name", NAMES)
@examples
@given(seed=seeds, roles=roles, target=wanted)
def test_parts_follow_one_another_and_share_no_event(
    random_log: RandomLog, name: str, seed: int, roles: dict[str, Any], target: str
) -> None:
    split = cut(name, random_log(seed), target=target, **roles)
    trained = {row for a, b in zip(split.store.offsets, split.train_end, strict=False) for row in range(a, b)}
    valid, test = set(split.valid.event.tolist()), set(split.test.event.tolist())
    assert len(valid) == len(split.valid)
    assert len(test) == len(split.test)
    assert not trained & (valid | test)
    assert not valid & test
    for user in range(split.store.n_users):
        ours = [targets.event[targets.user == user] for targets in (split.valid, split.test)]
        order = [split.train_end[user] - 1, *np.sort(ours[0]), *np.sort(ours[1])]
        assert order == sorted(order)
        assert (split.test.history_end[split.test.user == user] >= split.train_end[user]).all()
        if target == "next" and name not in {"leave_one_out", "leave_n"}:
            assert max(map(len, ours)) <= 1


@pytest.mark.parametrize("name", BY_TIME)
@examples
@given(seed=seeds, roles=roles, target=wanted)
def test_no_training_event_is_at_or_after_the_cut(
    random_log: RandomLog, name: str, seed: int, roles: dict[str, Any], target: str
) -> None:
    split = cut(name, random_log(seed), target=target, **roles)
    store, report = split.store, split.report
    assert all((block.time < report["cut_valid"]).all() for block in split.training_blocks(max_events=7))
    borders = [report["cut_valid"], report["cut_test"], report.get("cut_end", int(store.time.max()) + 1)]
    for targets, low, high in zip((split.valid, split.test), borders, borders[1:]):
        time = store.time[targets.event]
        assert ((low <= time) & (time < high)).all()
        for index in range(len(targets)):
            shown = store.time[history(split, targets, index)]
            # Only what led to the next target may lie behind the cut.
            assert (shown <= targets.now[index] if target == "next" and split.roles.restricted else shown < low).all()


@examples
@given(seed=seeds, roles=roles, target=wanted, start=st.sampled_from([0.3, "1970-01-02"]))
def test_the_tests_of_all_folds_are_disjoint_and_ordered(
    random_log: RandomLog, seed: int, roles: dict[str, Any], target: str, start: float | str
) -> None:
    store = random_log(seed)
    folds = [cut("rolling_origin", store, target=target, folds=3, fold=fold, start=start, **roles) for fold in range(3)]
    assert [fold.report["cut_test"] for fold in folds[:-1]] == [fold.report["cut_valid"] for fold in folds[1:]]
    for earlier, later in pairwise(folds):
        assert (earlier.train_end <= later.train_end).all()
        assert earlier.store.time[earlier.test.event].max() < later.store.time[later.test.event].min()
        assert later.valid.event.tolist() == earlier.test.event.tolist()


@pytest.mark.parametrize("name", NAMES)
@examples
@given(seed=seeds, roles=roles, target=wanted)
def test_a_model_is_shown_the_history_and_the_now_of_the_target(
    random_log: RandomLog, name: str, seed: int, roles: dict[str, Any], target: str
) -> None:
    split = cut(name, random_log(seed), target=target, **roles)
    store, targets = split.store, split.test
    for batch in RankingBatches(store, targets, 5, hide_seen=True, roles=split.roles):
        assert batch.histories.now_B.tolist() == targets.now[batch.index_B.numpy()].tolist()
        for b, index in enumerate(batch.index_B.tolist()):
            rows = history(split, targets, index)
            length = int(batch.histories.length_B[b])
            assert batch.histories.item_BL[b, :length].tolist() == store.item[rows[-5:]].tolist()
            assert batch.histories.time_BL[b, :length].tolist() == store.time[rows[-5:]].tolist()
            assert sorted(batch.hidden_item[batch.hidden_row == b].tolist()) == sorted(store.item[rows].tolist())
            assert int(batch.target_B[b]) == store.item[targets.event[index]]


@pytest.mark.parametrize("name", NAMES)
@examples
@given(seed=seeds, roles=roles, target=wanted)
def test_the_report_counts_what_is_ranked_and_what_is_cold(
    random_log: RandomLog, name: str, seed: int, roles: dict[str, Any], target: str
) -> None:
    split = cut(name, random_log(seed), target=target, **roles)
    trained = {int(item) for block in split.training_blocks() for item in block.item}
    for part in PARTS:
        targets = split.part(part)
        assert split.report[f"targets_{part}"] == len(targets)
        assert split.report[f"users_{part}"] == len(set(targets.user.tolist()))
        assert split.report[f"cold_items_{part}"] == sum(
            i not in trained for i in split.store.item[targets.event].tolist()
        )
        assert 0 <= split.report[f"cold_users_{part}"] <= split.store.n_users - split.report[f"users_{part}"]
