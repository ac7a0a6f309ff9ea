"""Every training event is a target once, every held-out target is ranked once, and no history shows its own target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltsi.errors import ConfigError, DataError
from ltsi.histories import RankingBatch, TrainingBatch
from ltsi.sequences import batches
from ltsi.sequences.batches import RankingBatches, Shard, TrainingBatches, history_length
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

MakeStore = Callable[..., Store]

examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
lengths = st.lists(st.integers(1, 30), min_size=1, max_size=12).filter(lambda found: max(found) >= 4)


def split_of(make_store: MakeStore, lengths: Iterable[int]) -> Split:
    """Cuts a log in which an event's time is its row, so that an event can be told from its time alone."""
    random, users, row = np.random.default_rng(0), [], 0
    for length in lengths:
        users.append([(int(item), row + i) for i, item in enumerate(random.integers(0, 9, length))])
        row += length
    return LeaveOneOut()(make_store(*users, n_items=9))


def windows(batch: TrainingBatch) -> Iterator[tuple[list[int], list[int], list[int], list[int], int]]:
    """Lists the windows of a batch without padding: items, rows, next items and their rows, and the now."""
    for group in batch.groups:
        shown = group.histories
        for b, length in enumerate(shown.length_B.tolist()):
            tensors = (shown.item_BL, shown.time_BL, group.target_BL, shown.now_BL)
            item, row, target, target_row = (tensor[b, :length].tolist() for tensor in tensors)
            yield item, row, target, target_row, int(shown.now_B[b])


def trained_rows(split: Split) -> list[int]:
    """Lists every training event but the first of each user."""
    return [row for a, b in zip(split.store.offsets, split.train_end, strict=False) for row in range(a + 1, b)]


@examples
@given(lengths, st.integers(1, 12), st.integers(1, 20), st.integers(0, 3))
def test_every_training_event_but_a_users_first_is_a_target_once(
    make_store: MakeStore, lengths: list[int], max_length: int, batch_size: int, epoch: int
) -> None:
    split = split_of(make_store, lengths)
    found = TrainingBatches(split, max_length, batch_size, seed=1)
    drawn = list(found.epoch(epoch))
    assert len(drawn) == len(found)
    rows = sorted(chain.from_iterable(window[3] for batch in drawn for window in windows(batch)))
    assert rows == trained_rows(split)
    assert found.n_targets == len(rows) == sum(batch.n_targets for batch in drawn)


@examples
@given(lengths, st.integers(1, 12))
def test_windows_are_consecutive_events_of_one_user(make_store: MakeStore, lengths: list[int], max_length: int) -> None:
    split = split_of(make_store, lengths)
    store = split.store
    for batch in TrainingBatches(split, max_length, 5, seed=1).epoch(0):
        for item, row, target, target_row, now in windows(batch):
            assert row == list(range(row[0], row[0] + len(row)))
            assert target_row == [r + 1 for r in row]
            assert item == store.item[row].tolist()
            assert target == store.item[target_row].tolist()
            assert now == target_row[-1]
            assert len(row) <= max_length
            user = np.searchsorted(store.offsets, row[0], side="right") - 1
            assert target_row[-1] < split.train_end[user]


def test_equally_long_windows_are_cut_into_groups_to_compute_side_by_side(make_store: MakeStore) -> None:
    (batch,) = TrainingBatches(split_of(make_store, [9] * 20), 12, 20, seed=1).epoch(0)
    assert [len(group.histories) for group in batch.groups] == [5, 5, 5, 5]


@examples
@given(lengths, st.integers(1, 12), st.integers(1, 20))
def test_less_than_half_of_a_group_is_padding_and_padding_says_so(
    make_store: MakeStore, lengths: list[int], max_length: int, batch_size: int
) -> None:
    split = split_of(make_store, lengths)
    for batch in TrainingBatches(split, max_length, batch_size, seed=1).epoch(0):
        for group in batch.groups:
            real_BL = group.histories.real_BL()
            assert real_BL.sum() > 0.5 * real_BL.numel()
            assert (group.histories.item_BL[~real_BL] == split.store.n_items).all()
            assert (group.target_BL[~real_BL] == split.store.n_items).all()
            assert (group.histories.item_BL[real_BL] < split.store.n_items).all()


@examples
@given(lengths, st.integers(1, 6), st.integers(1, 20), st.integers(1, 3))
def test_processes_share_the_batches_of_one(
    make_store: MakeStore, lengths: list[int], max_length: int, batch_size: int, world: int
) -> None:
    split = split_of(make_store, lengths)
    alone = TrainingBatches(split, max_length, batch_size, seed=1)
    if min(len(list(windows(batch))) for batch in alone.epoch(0)) < world:
        with pytest.raises(ConfigError, match=f"trainer.devices={world} is more than the .* use fewer devices"):
            TrainingBatches(split, max_length, batch_size, 1, Shard(0, world))
        return
    shards = [TrainingBatches(split, max_length, batch_size, 1, Shard(rank, world)) for rank in range(world)]
    for whole, *parts in zip(alone.epoch(2), *(shard.epoch(2) for shard in shards), strict=True):
        assert {part.n_targets for part in parts} == {whole.n_targets}
        assert all(part.groups for part in parts)
        together = chain.from_iterable(windows(part) for part in parts)
        assert Counter(tuple(window[1]) for window in together) == Counter(tuple(w[1]) for w in windows(whole))


def test_the_order_depends_on_seed_and_epoch_alone(make_store: MakeStore) -> None:
    split = split_of(make_store, [10] * 20)

    def rows(seed: int, epoch: int) -> list[list[int]]:
        return [window[1] for batch in TrainingBatches(split, 5, 4, seed).epoch(epoch) for window in windows(batch)]

    assert rows(1, 0) == rows(1, 0)
    assert rows(1, 0) != rows(1, 1)
    assert rows(1, 0) != rows(2, 0)


def test_batches_of_an_epoch_are_about_as_large_as_asked(make_store: MakeStore) -> None:
    split = split_of(make_store, [8] * 50)
    sizes = [len(list(windows(batch))) for batch in TrainingBatches(split, 10, 8, seed=1).epoch(0)]
    assert sum(sizes) == 50
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) < 1.5 * 8


def test_a_log_without_anything_to_learn_is_refused(make_store: MakeStore) -> None:
    split = split_of(make_store, [3, 3, 1])
    with pytest.raises(DataError, match="Store 'log' has no user with two training events"):
        TrainingBatches(split, 5, 4, seed=1)


def ranked(split: Split, part: str = "test", **settings: object) -> list[RankingBatch]:
    options: dict = {"max_length": 5, "hide_seen": False, **settings}
    return list(RankingBatches(split.store, split.part(part), **options))


@examples
@given(lengths, st.integers(1, 12), st.integers(1, 4), st.sampled_from(["valid", "test"]))
def test_every_target_is_ranked_once_over_all_processes(
    make_store: MakeStore, lengths: list[int], max_length: int, world: int, part: str
) -> None:
    split = split_of(make_store, lengths)
    if len(split.part(part)) < world:
        with pytest.raises(ConfigError, match=f"trainer.devices={world} is more than the"):
            ranked(split, part, shard=Shard(0, world))
        return
    shards = [ranked(split, part, max_length=max_length, shard=Shard(rank, world)) for rank in range(world)]
    assert all(shards), "a process without a batch would keep the others waiting"
    index = [i for shard in shards for batch in shard for i in batch.index_B.tolist()]
    assert sorted(index) == list(range(len(split.part(part))))


@examples
@given(lengths, st.integers(1, 12), st.sampled_from(["valid", "test"]))
def test_a_history_is_what_came_just_before_its_target(
    make_store: MakeStore, lengths: list[int], max_length: int, part: str
) -> None:
    split = split_of(make_store, lengths)
    store, targets = split.store, split.part(part)
    for batch in ranked(split, part, max_length=max_length):
        shown = batch.histories
        for b, index in enumerate(batch.index_B.tolist()):
            event, length = targets.event[index], int(shown.length_B[b])
            assert length == min(max_length, event - store.offsets[targets.user[index]])
            rows = list(range(event - length, event))
            assert shown.time_BL[b, :length].tolist() == rows
            assert shown.item_BL[b, :length].tolist() == store.item[rows].tolist()
            assert (shown.item_BL[b, length:] == store.n_items).all()
            assert int(shown.now_B[b]) == event
            assert int(batch.target_B[b]) == store.item[event]


@examples
@given(lengths, st.integers(1, 4))
def test_everything_before_a_target_is_hidden_however_little_is_shown(
    make_store: MakeStore, lengths: list[int], max_length: int
) -> None:
    split = split_of(make_store, lengths)
    store, targets = split.store, split.test
    for batch in ranked(split, max_length=max_length, hide_seen=True):
        for b, index in enumerate(batch.index_B.tolist()):
            seen = store.item[store.offsets[targets.user[index]] : targets.event[index]]
            assert Counter(batch.hidden_item[batch.hidden_row == b].tolist()) == Counter(seen.tolist())
    assert not any(len(batch.hidden_row) for batch in ranked(split, hide_seen=False))


def test_scores_held_at_a_time_are_bounded(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of(make_store, [5] * 30)
    monkeypatch.setattr(batches, "FEWEST_RANKED", 3)
    monkeypatch.setattr(batches, "SCORE_BUDGET", 4 * split.store.n_items)
    assert {len(batch.target_B) for batch in ranked(split)} == {4, 2}
    # However large the catalogue.
    monkeypatch.setattr(batches, "SCORE_BUDGET", 1)
    assert {len(batch.target_B) for batch in ranked(split)} == {3}


def test_positions_encoded_at_a_time_are_bounded(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of(make_store, [*[5] * 12, *[11] * 8, 40])
    whole = sorted(i for batch in ranked(split, max_length=50) for i in batch.index_B.tolist())
    monkeypatch.setattr(batches, "POSITION_BUDGET", 30)
    cut = list(ranked(split, max_length=50))
    shapes = [tuple(batch.histories.item_BL.shape) for batch in cut]
    assert all(rows * length <= 30 for rows, length in shapes if rows > 1)
    assert shapes[-1] == (1, 39), "a history that is longer than the budget comes alone"
    assert shapes[0] == (7, 4)
    assert sorted(i for batch in cut for i in batch.index_B.tolist()) == whole


def test_a_limit_spreads_over_the_users(make_store: MakeStore) -> None:
    split = split_of(make_store, [5] * 30)
    for limit in (1, 7, 29):
        index = sorted(i for batch in ranked(split, limit=limit) for i in batch.index_B.tolist())
        assert len(index) == len(set(index)) == limit
    assert (index[0], index[-1]) == (0, 29)
    assert sum(len(batch.target_B) for batch in ranked(split, limit=100)) == 30


def test_the_length_of_a_history_is_told_in_full(make_store: MakeStore) -> None:
    split = split_of(make_store, [8, 2, 3])
    assert history_length(split.store, split.test).tolist() == [7, 2]
    assert history_length(split.store, split.valid).tolist() == [6, 1]
