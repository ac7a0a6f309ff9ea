"""Examples against a naive loop over the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch

from ltsi.errors import ConfigError
from ltsi.examples import Examples
from ltsi.features.declarations import read_declarations
from ltsi.features.encoder import UNSEEN
from ltsi.features.space import FeatureSpace
from ltsi.objectives.example_batches import ExampleMaker, PartExamples, TrainingExamples
from ltsi.objectives.labels.behavior import Behavior
from ltsi.objectives.labels.labels import Labels
from ltsi.objectives.labels.sampled import Sampled
from ltsi.sequences.batches import Shard
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.ratio import Ratio
from ltsi.sequences.split import Split
from ltsi.store import Store

FEATURES = {
    "item": {"category": "categorical"},
    "user": {"segment": "categorical"},
    "event": {"hour": "hour_of_day"},
    "cross": [["user.segment", "item.category"]],
}
ROLES = {"input_behaviors": ["view", "cart"], "target_behaviors": ["cart", "buy"]}

# user, item, label, history, now
Row = tuple[int, int, bool, tuple[int, ...], int]


def maker(split: Split, labels: Labels) -> ExampleMaker:
    space = FeatureSpace.fit(split, read_declarations(FEATURES, split.store))
    return ExampleMaker(split, labels.on(split), space.encode(split.store))


def test_a_cross_does_not_tell_drawn_negatives_by_what_no_event_has_met(random_log: Store) -> None:
    """In training as later, some of what is taken is a combination that was never met, and that is drawn anew."""
    split = LeaveOneOut()(random_log)
    declared = {"item": {"item": "categorical"}, "user": {"user": "categorical"}, "cross": [["user.user", "item.item"]]}
    space = FeatureSpace.fit(split, read_declarations(declared, split.store))
    made = ExampleMaker(split, Sampled(2).on(split), space.encode(split.store))
    taken = []
    for epoch in range(2):
        # Two processes, as one would.
        passes = [TrainingExamples(made, 50, 4, 1, Shard(rank, 2)).epoch(epoch) for rank in range(2)]
        groups = [group for each in passes for batch in each for group in batch.groups]
        columns = (torch.cat([getattr(group, name) for group in groups]) for name in ("label_E", "user_E", "item_E"))
        cross_E = torch.cat([group.features.cross_BX[:, 0] for group in groups])
        rows = zip(*(column.tolist() for column in columns), cross_E.tolist(), strict=True)
        taken.append([(user, item, code == UNSEEN) for label, user, item, code in rows if label])
    new = space.cross[0].new
    assert 0.5 < new < 1
    assert np.mean([unseen for _, _, unseen in taken[0]]) == pytest.approx(new, abs=0.1)
    assert Counter(taken[0]) != Counter(taken[1])
    # What is judged is what it is.
    part = list(PartExamples(made, "valid", 50, Shard()))
    asked = [space.encode(split.store).events(each.user_E, each.item_E, torch.zeros_like(each.item_E)) for each in part]
    assert all(torch.equal(each.features.cross_BX, own.cross_BX) for each, own in zip(part, asked, strict=True))


def read(groups: Iterable[Examples]) -> Iterator[Row]:
    for group in groups:
        item_BL, now_BL = group.histories.item_BL.tolist(), group.histories.now_BL.tolist()
        assert (group.position_E < group.histories.length_B[group.row_E]).all()
        columns = (group.user_E, group.item_E, group.label_E, group.row_E, group.position_E)
        for user, item, label, row, position in zip(*(column.tolist() for column in columns), strict=True):
            yield user, item, bool(label), tuple(item_BL[row][: position + 1]), now_BL[row][position]


def naive(split: Split, rows: Iterable[int], max_length: int, positive: str) -> Counter[Row]:
    store, names = split.store, split.store.behaviors
    inputs = names if split.roles.input_row is None else ("view", "cart")
    found: Counter[Row] = Counter()
    for row in rows:
        user = int(np.searchsorted(store.offsets, row, side="right")) - 1
        before = [r for r in range(store.offsets[user], row) if names[store.behavior[r]] in inputs][-max_length:]
        label = names[store.behavior[row]] == positive
        history = tuple(int(store.item[r]) for r in before)
        found[user, int(store.item[row]), label, history, int(store.time[row])] += 1
    return found


@pytest.mark.parametrize("roles", [{}, ROLES], ids=["all", "roles"])
def test_a_part_asks_each_event_when_it_happened(random_log: Store, roles: dict[str, list[str]]) -> None:
    split = Ratio(valid=0.5, test=0.7, target="all", **roles)(random_log)
    batches = PartExamples(maker(split, Behavior("buy")), "test", max_length=4, shard=Shard())
    assert Counter(read(batches)) == naive(split, split.test.event.tolist(), 4, "buy")


@pytest.mark.parametrize("roles", [{}, ROLES], ids=["all", "roles"])
def test_training_asks_every_target_once_from_what_came_before(random_log: Store, roles: dict[str, list[str]]) -> None:
    split = Ratio(target="all", **roles)(random_log)  # type: ignore[arg-type]
    batches = TrainingExamples(maker(split, Behavior("buy")), 50, 4, seed=1, shard=Shard())
    epoch = list(batches.epoch(0))
    assert len(epoch) == len(batches)
    store, roles_of = split.store, split.roles
    rows = []
    for user in range(store.n_users):
        for row in range(int(store.offsets[user]), int(split.train_end[user])):
            has_input = roles_of.position(np.array(row)) > roles_of.position(np.array(store.offsets[user]))
            if has_input and roles_of.is_target(store.behavior[row : row + 1])[0]:
                rows.append(row)
    assert Counter(read(group for batch in epoch for group in batch.groups)) == naive(split, rows, 50, "buy")
    assert sum(batch.n_targets for batch in epoch) == batches.n_targets == len(rows)


def test_features_are_those_of_the_user_the_item_and_the_moment(random_log: Store) -> None:
    split = LeaveOneOut()(random_log)
    made = maker(split, Sampled(2))
    for group in PartExamples(made, "valid", 5, Shard()):
        now = group.histories.now_BL[group.row_E, group.position_E]
        expected = made.features.events(group.user_E, group.item_E, now)
        assert torch.equal(group.features.categorical_BC, expected.categorical_BC)
        assert torch.equal(group.features.cross_BX, expected.cross_BX)
        hour = list(made.features.layout.categorical).index("event.hour")
        assert (group.features.categorical_BC[:, hour] == 2 + now // 3600 % 24).all()


def test_a_part_is_the_same_however_it_is_shared(random_log: Store) -> None:
    split = LeaveOneOut()(random_log)

    def rows(world: int, seen: int | None = None) -> list[tuple[int, int, int]]:
        found = []
        for rank in range(world):
            for group in PartExamples(maker(split, Sampled(2)), "test", 5, Shard(rank, world), seen):
                columns = (group.index_E, group.item_E, group.label_E)
                found += [(int(i), int(item), int(label)) for i, item, label in zip(*columns, strict=True)]
        return sorted(found)

    assert rows(1) == rows(2) == rows(3)
    assert [index for index, _, _ in rows(1)] == list(range(3 * len(split.test)))
    assert set(rows(1, seen=5)) < set(rows(1))


def test_training_draws_anew_each_epoch_and_shares_it(random_log: Store) -> None:
    split = LeaveOneOut()(random_log)

    def rows(epoch: int, world: int = 1, seed: int = 1) -> Counter[Row]:
        passes = [TrainingExamples(maker(split, Sampled(2)), 50, 4, seed, Shard(rank, world)) for rank in range(world)]
        return Counter(read(group for each in passes for batch in each.epoch(epoch) for group in batch.groups))

    assert rows(0) == rows(0, world=2)
    positives = [Counter({row: n for row, n in found.items() if row[2]}) for found in (rows(0), rows(1))]
    assert positives[0] == positives[1]
    assert rows(0) != rows(1)
    assert rows(0) != rows(0, seed=2)


def test_more_processes_than_events_are_refused(random_log: Store) -> None:
    made = maker(LeaveOneOut()(random_log), Sampled())
    with pytest.raises(ConfigError, match=r"trainer.devices=99 is more than"):
        PartExamples(made, "test", 5, Shard(0, 99))


def test_examples_move_whole(random_log: Store) -> None:
    made = maker(LeaveOneOut()(random_log), Sampled())
    batch = next(iter(TrainingExamples(made, 5, 4, 1, Shard()).epoch(0))).to(torch.device("meta"))
    group = batch.groups[0]
    places = {group.item_E.device, group.label_E.device, group.features.cross_BX.device, group.histories.now_BL.device}
    assert places == {torch.device("meta")}
