"""Augmented windows: what is asked stays true, and nothing is seen that was not seen before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltsi.errors import ConfigError
from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.sequences.augmentation import (
    Augmentation,
    AugmentedBatches,
    Crop,
    ItemDrop,
    Later,
    Mask,
    Reorder,
    ShuffleTies,
    augmented,
)
from ltsi.sequences.batches import Shard, TrainingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store
from ltsi.workflows.build import build

MakeStore = Callable[..., Store]
KINDS: list[Callable[[float], Augmentation]] = [Crop, ItemDrop, Later, Mask, Reorder]
LONGEST = 40
BOUGHT = [(5, 40, "buy"), (6, 50, "buy"), (7, 60, "buy")]

examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
lengths = st.lists(st.integers(1, 30), min_size=1, max_size=8).filter(lambda found: max(found) >= 4)
step = st.builds(lambda kind, share: kind(share), st.sampled_from(KINDS), st.floats(0, 1))
steps = st.lists(step, min_size=1, max_size=4)


def split_of(make_store: MakeStore, lengths: Sequence[int]) -> Split:
    """Cuts a log in which the time of an event is its row, and its item its place in the user's history."""
    users, row = [], 0
    for length in lengths:
        users.append([(place, row + place) for place in range(length)])
        row += length
    return LeaveOneOut()(make_store(*users, n_items=LONGEST))


def asked(batch: TrainingBatch) -> Iterator[tuple[list[int], list[int], int, int]]:
    """Lists what is asked: the items and rows that are seen, the target and its row."""
    for group in batch.groups:
        shown = group.histories
        for b, p in np.argwhere(group.target_BL.numpy() < LONGEST):
            assert p < shown.length_B[b]
            items, rows = (values_BL[b, : p + 1].tolist() for values_BL in (shown.item_BL, shown.time_BL))
            yield items, rows, int(group.target_BL[b, p]), int(shown.now_BL[b, p])


@examples
@given(lengths, st.integers(1, 12), st.integers(1, 20), steps)
def test_a_target_is_the_real_next_item_and_never_among_what_is_seen(
    make_store: MakeStore, lengths: list[int], max_length: int, batch_size: int, steps: list[Augmentation]
) -> None:
    split = split_of(make_store, lengths)
    store = split.store
    batches = AugmentedBatches(TrainingBatches(split, max_length, batch_size, seed=1), steps)
    drawn = list(batches.epoch(0))
    assert len(drawn) == len(batches)
    targets = []
    for batch in drawn:
        found = list(asked(batch))
        assert len(found) == batch.n_targets
        for items, rows, target, row in found:
            targets.append(row)
            assert store.item[row] == target
            user = int(np.searchsorted(store.offsets, row, side="right")) - 1
            assert store.offsets[user] <= rows[0]
            assert rows == sorted(set(rows))
            # Items tell places: what is seen came before the target, each event once.
            seen = [item for item in items if item < LONGEST]
            assert all(item < target for item in seen)
            assert len(set(seen)) == len(seen) <= max_length
            assert max(rows) < row < split.train_end[user]
    assert max(Counter(targets).values()) == 1


@examples
@given(lengths, st.integers(1, 12), st.integers(1, 20), steps)
def test_every_window_keeps_a_target_and_padding_says_so(
    make_store: MakeStore, lengths: list[int], max_length: int, batch_size: int, steps: list[Augmentation]
) -> None:
    batches = TrainingBatches(split_of(make_store, lengths), max_length, batch_size, seed=1)
    for before, after in zip(batches.epoch(0), AugmentedBatches(batches, steps).epoch(0), strict=True):
        for was, group in zip(before.groups, after.groups, strict=True):
            shown, real_BL = group.histories, group.histories.real_BL()
            assert len(shown) == len(was.histories)
            assert (group.target_BL < LONGEST).any(dim=1).all()
            assert (shown.item_BL[~real_BL] == LONGEST).all()
            assert (group.target_BL[~real_BL] == LONGEST).all()
            assert shown.item_BL.shape[1] <= was.histories.item_BL.shape[1]
            last_B1 = shown.length_B[:, None] - 1
            for values_BL in (shown.time_BL, shown.now_BL):
                assert (
                    torch.where(real_BL, values_BL.gather(1, last_B1), values_BL) == values_BL.gather(1, last_B1)
                ).all()


def seen_and_asked(batches: TrainingBatches | AugmentedBatches, epoch: int) -> list[Counter]:
    return [
        Counter((tuple(items), tuple(rows), target, row) for items, rows, target, row in asked(batch))
        for batch in batches.epoch(epoch)
    ]


@settings(examples, max_examples=12)
@given(lengths, st.integers(1, 6), st.integers(6, 20), st.integers(2, 3), steps)
def test_processes_share_the_augmented_batches_of_one(
    make_store: MakeStore, lengths: list[int], max_length: int, batch_size: int, world: int, steps: list[Augmentation]
) -> None:
    split = split_of(make_store, [*lengths, 9, 9, 9])
    cut = partial(TrainingBatches, split, max_length, batch_size, 1)
    whole = AugmentedBatches(cut(Shard()), steps)
    shards = [AugmentedBatches(cut(Shard(rank, world)), steps) for rank in range(world)]
    for batch, *parts in zip(*(found.epoch(2) for found in (whole, *shards)), strict=True):
        assert {part.n_targets for part in parts} == {batch.n_targets}
        assert all(part.groups for part in parts)
    together: list[Counter] = [
        sum(parts, Counter()) for parts in zip(*(seen_and_asked(shard, 2) for shard in shards), strict=True)
    ]
    assert together == seen_and_asked(whole, 2)


# Later has nothing to choose where every event has a time of its own.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Later])
def test_chance_depends_on_seed_and_epoch_alone(make_store: MakeStore, kind: Callable[[float], Augmentation]) -> None:
    split = split_of(make_store, [12] * 6)

    def drawn(seed: int, epoch: int) -> list[Counter]:
        # Of an epoch in one batch: the order of the windows does not count.
        return seen_and_asked(AugmentedBatches(TrainingBatches(split, 10, 99, seed), [kind(0.5)]), epoch)

    assert drawn(1, 0) == drawn(1, 0)
    assert drawn(1, 0) != drawn(1, 1)
    assert drawn(1, 0) != drawn(2, 0)


@pytest.fixture
def group(make_store: MakeStore) -> TrainingGroup:
    batches = TrainingBatches(split_of(make_store, [22] * 400), 20, 400, seed=1)
    (batch,) = batches.epoch(0)
    assert batch.groups[0].target_BL.shape == (100, 19)
    return batch.groups[0]


def test_a_crop_is_a_contiguous_part_of_any_size_from_the_least(group: TrainingGroup) -> None:
    length, shown = group.target_BL.shape[1], Crop(0.5)(group, np.random.default_rng(0), LONGEST).histories
    for row, n in enumerate(shown.length_B.tolist()):
        start = int(shown.item_BL[row, 0])
        assert shown.item_BL[row, :n].tolist() == list(range(start, start + n))
    assert (int(shown.length_B.min()), int(shown.length_B.max())) == (-(-length // 2), length)
    assert len(shown.item_BL[:, 0].unique()) > length // 3


def test_a_dropped_input_is_gone_and_its_place_is_asked_no_more(group: TrainingGroup) -> None:
    after, length = ItemDrop(0.3)(group, np.random.default_rng(0), LONGEST), group.target_BL.shape[1]
    real_BL = after.histories.real_BL()
    assert after.histories.length_B.float().mean() / length == pytest.approx(0.7, abs=0.05)
    assert (after.target_BL[real_BL] == after.histories.item_BL[real_BL] + 1).all()
    assert (after.histories.now_BL[real_BL] == after.histories.time_BL[real_BL] + 1).all()


def test_a_mask_hides_inputs_and_leaves_the_rest(group: TrainingGroup) -> None:
    after = Mask(0.3)(group, np.random.default_rng(0), LONGEST)
    hidden_BL = after.histories.item_BL == LONGEST
    assert hidden_BL.float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(after.histories.item_BL[~hidden_BL], group.histories.item_BL[~hidden_BL])
    assert torch.equal(after.histories.time_BL, group.histories.time_BL)
    assert torch.equal(after.target_BL, group.target_BL)


def test_a_reordered_stretch_is_asked_at_its_end_only(group: TrainingGroup) -> None:
    after, length = Reorder(0.25)(group, np.random.default_rng(0), LONGEST), group.target_BL.shape[1]
    moved_BL, quiet_BL = after.histories.item_BL != group.histories.item_BL, after.target_BL == LONGEST
    assert torch.equal(after.histories.item_BL.sort(dim=1).values, group.histories.item_BL)
    assert torch.equal(after.histories.time_BL, group.histories.time_BL)
    assert (quiet_BL.sum(dim=1) == round(length * 0.25) - 1).all()
    for moved_L, quiet_L in zip(moved_BL, quiet_BL, strict=True):
        first, last = quiet_L.nonzero()[[0, -1], 0].tolist()
        places = moved_L.nonzero()[:, 0].tolist()
        assert not places or first <= places[0] <= places[-1] <= last + 1
    assert moved_BL.any(dim=1).float().mean() > 0.9


def test_where_nothing_is_dropped_padding_stays_padding(make_histories: Callable[..., Histories]) -> None:
    group = TrainingGroup(
        make_histories([0, 1, 2], [7], n_items=LONGEST), torch.tensor([[1, 2, 3], [8, LONGEST, LONGEST]])
    )
    after = ItemDrop(0.0)(group, np.random.default_rng(0), LONGEST)
    assert after.histories.length_B.tolist() == [3, 1]
    assert torch.equal(after.histories.item_BL, group.histories.item_BL)
    assert torch.equal(after.target_BL, group.target_BL)


def test_the_smallest_stretch_that_is_reordered_holds_two(make_histories: Callable[..., Histories]) -> None:
    group = TrainingGroup(make_histories(*[[0, 1, 2]] * 40, n_items=LONGEST), torch.tensor([[1, 2, 3]] * 40))
    after = Reorder(0.0)(group, np.random.default_rng(0), LONGEST)
    assert {tuple(items) for items in after.histories.item_BL.tolist()} == {(0, 1, 2), (1, 0, 2), (0, 2, 1)}
    assert {tuple(targets) for targets in after.target_BL.tolist()} == {(LONGEST, 2, 3), (1, LONGEST, 3)}


def test_a_window_whose_only_target_would_be_reordered_stays(make_histories: Callable[..., Histories]) -> None:
    target_BL = torch.tensor([[1, LONGEST, LONGEST]] * 40)
    group = TrainingGroup(make_histories(*[[0, 1, 2]] * 40, n_items=LONGEST), target_BL)
    after = Reorder(1.0)(group, np.random.default_rng(0), LONGEST)
    assert torch.equal(after.histories.item_BL, group.histories.item_BL)
    assert torch.equal(after.target_BL, target_BL)


@pytest.mark.parametrize("kind", KINDS)
def test_windows_are_left_as_they_were(group: TrainingGroup, kind: Callable[[float], Augmentation]) -> None:
    item_BL, target_BL = group.histories.item_BL.clone(), group.target_BL.clone()
    kind(0.5)(group, np.random.default_rng(0), LONGEST)
    assert torch.equal(group.histories.item_BL, item_BL)
    assert torch.equal(group.target_BL, target_BL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "much", None])
def test_a_share_is_from_nothing_to_all(kind: Callable[[float], Augmentation], share: object) -> None:
    with pytest.raises(ConfigError, match=r"augmentation\.\w+\.\w+=.* must be from 0 to 1"):
        kind(share)  # type: ignore[arg-type]


def test_windows_with_roles_keep_a_target_and_see_no_future(make_log: Callable[..., Store]) -> None:
    # An event's time is its row, its item its place; only every third event is asked for.
    names = ["view", "view", "buy"]
    users = [[(place, 20 * user + place, names[place % 3]) for place in range(20)] for user in range(8)]
    split = LeaveOneOut(target_behaviors=["buy"], input_behaviors=["view"])(make_log(*users, n_items=LONGEST))
    for kind in KINDS:
        for batch in AugmentedBatches(TrainingBatches(split, 6, 4, seed=1), [kind(0.4)]).epoch(0):
            found = list(asked(batch))
            assert len(found) == batch.n_targets
            assert all((group.target_BL < LONGEST).any(dim=1).all() for group in batch.groups)
            for items, rows, target, row in found:
                assert target % 3 == 2
                assert row % 20 == target
                assert all(item < target and item % 3 != 2 for item in items if item < LONGEST)
                assert max(rows) < row


@examples
@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=20).map(sorted), min_size=1, max_size=6), st.data())
def test_what_was_done_at_one_moment_may_come_in_any_order_and_nothing_else_may(
    make_store: MakeStore, moments: list[list[int]], data: st.DataObject
) -> None:
    store = make_store(*([(place, time) for place, time in enumerate(times)] for times in moments), n_items=LONGEST)
    batches = TrainingBatches(LeaveOneOut()(store), data.draw(st.integers(1, 12)), 40, seed=1)
    for before, after in zip(batches.epoch(0), AugmentedBatches(batches, [ShuffleTies()]).epoch(0), strict=True):
        for was, group in zip(before.groups, after.groups, strict=True):
            assert torch.equal(was.histories.time_BL, group.histories.time_BL)
            assert torch.equal(was.histories.now_BL, group.histories.now_BL)
            assert torch.equal(group.histories.item_BL < LONGEST, group.histories.real_BL()), "padding stays padding"
            for row, n in enumerate(was.histories.length_B.tolist()):
                old, new = ([*each.histories.item_BL[row, :n], each.target_BL[row, n - 1]] for each in (was, group))
                clock = [*was.histories.time_BL[row, :n].tolist(), int(was.histories.now_BL[row, n - 1])]
                old, new = ([int(item) for item in items] for items in (old, new))
                if new[-1] == LONGEST:  # the window's first event, which nobody asks for, came last
                    new[-1] = (set(old) - set(new)).pop()
                assert sorted(zip(clock, new, strict=True)) == sorted(zip(clock, old, strict=True))
                (wanted,) = (group.target_BL[row, :n] < LONGEST).nonzero(as_tuple=True)
                assert len(wanted) >= max(1, n - 1)
                assert group.target_BL[row, wanted].tolist() == [new[place + 1] for place in wanted.tolist()]


def test_any_item_of_a_basket_may_come_first(make_store: MakeStore) -> None:
    split = LeaveOneOut()(make_store(*[[(9, 0), (1, 5), (2, 5), (3, 5), (8, 7), (8, 8)]] * 300, n_items=LONGEST))
    (batch,) = AugmentedBatches(TrainingBatches(split, 9, 300, seed=1), [ShuffleTies()]).epoch(0)
    first = Counter(int(group.target_BL[row, 0]) for group in batch.groups for row in range(len(group.target_BL)))
    assert set(first) == {1, 2, 3}
    assert min(first.values()) > 70
    assert batch.n_targets == 300 * 3


def test_what_nobody_asked_for_is_not_asked_for_when_it_comes_later(make_histories: Callable[..., Histories]) -> None:
    """Items 0 and 1 of one moment, 2 a day later; what came first of a window is no target wherever it lands."""
    group = TrainingGroup(make_histories(*[[0, 1]] * 40, n_items=LONGEST, step=0), torch.tensor([[1, 2]] * 40))
    after = ShuffleTies()(group, np.random.default_rng(0), LONGEST)
    pairs = zip(after.histories.item_BL.tolist(), after.target_BL.tolist(), strict=True)
    assert {(*items, *targets) for items, targets in pairs} == {(0, 1, 1, 2), (1, 0, LONGEST, 2)}


def test_ties_stay_where_a_target_is_not_the_next_input(make_log: Callable[..., Store]) -> None:
    users = [[(place, 7, ["view", "buy"][place % 2]) for place in range(20)] for _ in range(8)]
    split = LeaveOneOut(target_behaviors=["buy"], input_behaviors=["view"])(make_log(*users, n_items=LONGEST))
    batches = TrainingBatches(split, 6, 4, seed=1)
    for before, after in zip(batches.epoch(0), AugmentedBatches(batches, [ShuffleTies()]).epoch(0), strict=True):
        for was, group in zip(before.groups, after.groups, strict=True):
            assert torch.equal(was.histories.item_BL, group.histories.item_BL)
            assert torch.equal(was.target_BL, group.target_BL)


def test_ties_stay_where_a_target_only_looks_like_the_next_input(make_log: Callable[..., Store]) -> None:
    # Item 1 is bought at 20 and viewed again at 30, beside item 2: nobody bought item 2, and nothing else at 30.
    log = make_log(
        *[[(0, 10, "view"), (1, 20, "buy"), (1, 30, "view"), (2, 30, "view"), *BOUGHT]] * 30, n_items=LONGEST
    )
    batches = TrainingBatches(LeaveOneOut(target_behaviors=["buy"], input_behaviors=["view"])(log), 6, 30, seed=1)
    (batch,) = AugmentedBatches(batches, [ShuffleTies()]).epoch(0)
    assert {(*items, target, now) for items, _, target, now in asked(batch)} == {(0, 1, 20), (0, 1, 2, 5, 40)}


@pytest.mark.parametrize(
    ("before", "name"),
    [(ItemDrop(0.5), "item_drop"), (Mask(0.5), "mask"), (Reorder(0.5), "reorder"), (Later(0), "later")],
)
def test_ties_are_shuffled_before_the_order_is_lost(make_store: MakeStore, before: Augmentation, name: str) -> None:
    batches = TrainingBatches(split_of(make_store, [9] * 4), 5, 4, seed=1)
    with pytest.raises(ConfigError, match=rf"{name} comes before .* write augmentation=\[shuffle_ties,{name}\]\.$"):
        augmented(batches, [Crop(0.5), before, ShuffleTies()])
    assert isinstance(augmented(batches, [Crop(0.5), ShuffleTies(), before]), AugmentedBatches)


def test_what_came_at_the_same_moment_is_asked_as_often_as_it_is_said(make_store: MakeStore) -> None:
    baskets = [(item, moment) for moment in range(3) for item in range(moment * 10, moment * 10 + 10)]
    split = LeaveOneOut()(make_store(*[[*baskets, (30, 3), (31, 4)]] * 200, n_items=LONGEST))
    for within, expected in ((0.0, 0), (0.25, 0.25 * 27), (1.0, 27)):
        (batch,) = AugmentedBatches(TrainingBatches(split, 30, 200, seed=1), [Later(within)]).epoch(0)
        found = Counter(target % 10 == 0 for _, _, target, _ in asked(batch))
        assert found[True] == 2 * 200, "the first of the second and of the third basket"
        assert found[False] / 200 == pytest.approx(expected, abs=0.6)


def test_a_window_of_a_single_moment_is_asked_all_the_same(make_histories: Callable[..., Histories]) -> None:
    target_BL = torch.tensor([[1, 2]])
    group = TrainingGroup(make_histories([0, 1], n_items=LONGEST, step=0, wait=0), target_BL)
    assert torch.equal(Later(0.0)(group, np.random.default_rng(0), LONGEST).target_BL, target_BL)


def test_no_step_is_no_detour(make_store: MakeStore) -> None:
    batches = TrainingBatches(split_of(make_store, [9] * 4), 5, 4, seed=1)
    assert augmented(batches, []) is batches


def test_steps_run_in_the_order_that_they_are_given_in() -> None:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        built = build(compose("train", ["augmentation=[reorder,crop]", "augmentation.crop.least=0.9"]).augmentation)
        assert build(compose("train").augmentation) == {}
    assert [type(step) for step in built.values()] == [Reorder, Crop]
    assert built["crop"].least == 0.9
