"""Behaviours with roles: the next buy, from views."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable

import numpy as np
import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.batches import RankingBatches, TrainingBatches, history_length
from ltsi.sequences.global_time import GlobalTime
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.roles import UNRESTRICTED, take_roles
from ltsi.sequences.split import Split
from ltsi.store import Store

MakeLog = Callable[..., Store]


@pytest.fixture
def store(make_log: MakeLog) -> Store:
    return make_log(
        # An event's time is its row.
        [
            (0, 0, "view"),
            (1, 1, "cart"),
            (2, 2, "buy"),
            (3, 3, "buy"),
            (4, 4, "view"),
            (5, 5, "view"),
            (6, 6, "buy"),
            (7, 7, "view"),
            (8, 8, "buy"),
            (9, 9, "cart"),
        ],
        [(0, 10, "buy"), (1, 11, "view"), (2, 12, "buy")],
        [(0, 13, "cart")],
    )


def learned(split: Split, max_length: int = 10) -> list[tuple[list[int], int, int]]:
    """Lists what is learned: the times of the events a target is predicted from, its own time, and its item."""
    found = []
    batches = TrainingBatches(split, max_length, batch_size=2, seed=1)
    n_items = split.store.n_items
    for batch in batches.epoch(0):
        n_targets = 0
        for group in batch.groups:
            for b, p in np.argwhere(group.target_BL.numpy() < n_items):
                shown = group.histories.time_BL[b, : p + 1].tolist()
                assert p < group.histories.length_B[b]
                found.append((shown, int(group.histories.now_BL[b, p]), int(group.target_BL[b, p])))
                n_targets += 1
        assert batch.n_targets == n_targets
    assert batches.n_targets == len(found)
    return sorted(found, key=lambda one: one[1])


def test_nothing_is_copied_where_nothing_is_restricted(store: Store) -> None:
    for inputs, targets in (
        (None, None),
        (["view", "buy", "cart"], None),
        (["cart", "view", "buy"], list(store.behaviors)),
    ):
        view, roles = take_roles(store, inputs, targets)
        assert view is store
        assert (roles.input_row, roles.target_code) == (None, None)
    assert not UNRESTRICTED.restricted


def test_events_of_neither_role_are_not_there(store: Store) -> None:
    view, roles = take_roles(store, ["view"], "buy")
    assert view.offsets.tolist() == [0, 8, 11, 11]
    assert view.time.tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12]
    assert view.item.tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2]
    assert view.value is not None
    assert view.value.tolist() == view.time.tolist()
    assert (view.n_users, view.n_items, view.fingerprint) == (3, 10, store.fingerprint)
    assert roles.input_row is not None
    assert view.time[roles.input_row].tolist() == [0, 4, 5, 7, 11]
    assert isinstance(view.item, np.memmap)


def test_where_every_event_that_is_left_is_shown_and_asked_for_nothing_is_indexed(store: Store) -> None:
    view, roles = take_roles(store, ["view"], ["view"])
    assert len(view.item) < len(store.item)
    assert (roles.input_row, roles.target_code) == (None, None)


def test_a_view_of_a_log_with_parts_has_the_parts(make_log: MakeLog) -> None:
    store = make_log([(0, 0, "view"), (1, 1, "cart"), (2, 2, "buy")], part=[0, 1, 2])
    view = take_roles(store, "view", "buy")[0]
    assert view.part is not None
    assert view.part.tolist() == [0, 2]


def test_the_next_buy_is_learned_from_the_views_before_it(store: Store) -> None:
    split = LeaveOneOut(input_behaviors=["view"], target_behaviors=["buy"])(store)
    # The last buy of user 0 is the test (8), the one before it the validation (6). User 1 has nothing to see before 10.
    assert split.store.time[split.valid.event].tolist() == [6]
    assert split.store.time[split.test.event].tolist() == [8]
    assert learned(split) == [([0], 2, 2), ([0], 3, 3), ([11], 12, 2)]
    (batch,) = RankingBatches(split.store, split.test, 10, hide_seen=True, roles=split.roles)
    assert batch.histories.time_BL.tolist() == [[0, 4, 5, 7]]
    assert batch.hidden_item.tolist() == [0, 4, 5, 7]
    assert (int(batch.target_B), int(batch.histories.now_B)) == (8, 8)
    assert history_length(split.store, split.valid, split.roles).tolist() == [3]


def test_what_leads_to_the_next_buy_is_shown_as_in_training(make_log: MakeLog) -> None:
    day = 86_400
    store = make_log(
        [(0, 0, "view"), (1, day, "view"), (1, 4 * day, "view"), (2, 4 * day + 9, "buy"), (0, 9 * day, "view"),
         (0, 9 * day + 9, "buy")],
        [(2, 9 * day, "view"), (0, 9 * day + 9, "buy")],  # never seen before the cuts
    )  # fmt: skip
    roles = {"input_behaviors": ["view"], "target_behaviors": ["buy"]}
    shown = {}
    for target in ("next", "all"):
        split = GlobalTime("1970-01-04", "1970-01-09", target=target, **roles)(store)
        for name in ("valid", "test"):
            part = split.part(name)
            batches = RankingBatches(split.store, part, 10, hide_seen=False, roles=split.roles)
            for batch in batches:
                for b, index in enumerate(batch.index_B.tolist()):
                    n = int(batch.histories.length_B[b])
                    user = int(part.user[index])
                    shown[target, name, user] = batch.histories.time_BL[b, :n].tolist()
    assert shown == {
        ("next", "valid", 0): [0, day, 4 * day],
        ("next", "test", 0): [0, day, 4 * day, 9 * day],
        ("next", "test", 1): [9 * day],
        ("all", "valid", 0): [0, day],
        ("all", "test", 0): [0, day, 4 * day],
    }


def test_buys_among_the_inputs_are_shown_and_predicted(store: Store) -> None:
    split = LeaveOneOut(input_behaviors=["view", "buy"], target_behaviors=["buy"])(store)
    assert learned(split) == [([0], 2, 2), ([0, 2], 3, 3), ([10, 11], 12, 2)]
    (batch,) = RankingBatches(split.store, split.test, 3, hide_seen=False, roles=split.roles)
    assert batch.histories.time_BL.tolist() == [[5, 6, 7]]


def test_everything_may_be_predicted_from_views(store: Store) -> None:
    split = LeaveOneOut(input_behaviors=["view"])(store)
    # Rows 8 and 9 are held out.
    assert learned(split) == [([0], t, t) for t in (1, 2, 3, 4)] + [
        ([0, 4], 5, 5),
        ([0, 4, 5], 6, 6),
        ([0, 4, 5], 7, 7),
    ]


def test_windows_of_bounded_length_miss_no_target(store: Store) -> None:
    split = LeaveOneOut(input_behaviors=["view"])(store)
    # Inputs of user 0 before the last target, 7: rows 0, 4, 5, two a window from the end.
    assert learned(split, max_length=2) == [([0], t, t) for t in (1, 2, 3, 4)] + [
        ([4], 5, 5),
        ([4, 5], 6, 6),
        ([4, 5], 7, 7),
    ]


@pytest.mark.parametrize("inputs", [["view"], ["view", "cart"], ["buy"], None])
@pytest.mark.parametrize("targets", [["buy"], ["view", "buy"], None])
@pytest.mark.parametrize("max_length", [1, 3, 50])
def test_each_training_target_is_learned_once_from_the_inputs_before_it(
    make_log: MakeLog, inputs: list[str] | None, targets: list[str] | None, max_length: int
) -> None:
    random, time, users = np.random.default_rng(5), 0, []
    for length in random.integers(1, 30, 12):
        users.append(
            [(int(random.integers(9)), time + i, str(random.choice(["view", "cart", "buy"]))) for i in range(length)]
        )
        time += length
    split = LeaveOneOut(input_behaviors=inputs, target_behaviors=targets)(make_log(*users))
    expected = {}
    for user, train_end in zip(users, split.train_end - split.store.offsets[:-1], strict=True):
        kept = [event for event in user if event[2] in {*(inputs or [event[2]]), *(targets or [event[2]])}]
        seen: list[int] = []
        for _, at, name in kept[:train_end]:
            if seen and name in (targets or [name]):
                expected[at] = seen.copy()
            if name in (inputs or [name]):
                seen.append(at)
    found = learned(split, max_length)
    assert [at for _, at, _ in found] == sorted(expected)
    for shown, at, _ in found:
        assert len(shown) <= max_length
        assert shown == expected[at][-len(shown) :]


def test_statistics_may_count_inputs_and_targets(store: Store) -> None:
    split = LeaveOneOut(input_behaviors=["view"], target_behaviors=["buy"])(store)
    (block,) = split.training_blocks()
    assert block.time.tolist() == [0, 2, 3, 4, 5, 10, 11, 12]
    assert [store.behaviors[code] for code in block.behavior[:3]] == ["view", "buy", "buy"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["by"],
            r"target_behaviors: store 'log' has no behaviour 'by'\. Did you mean 'buy'\? It has: view, cart, buy\.$",
        ),
        (["click"], r"has no behaviour 'click'\. It has: view, cart, buy\.$"),
        ([], r"split\.target_behaviors=\[\] names no behaviour; give some of view, cart, buy, or null for all"),
    ],
)
def test_unknown_behaviours_are_refused(store: Store, names: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        LeaveOneOut(target_behaviors=names)(store)
    with pytest.raises(ConfigError, match=sentence.replace("target", "input")):
        LeaveOneOut(input_behaviors=names)(store)


def test_a_role_that_no_event_has_is_told(make_log: MakeLog) -> None:
    store = make_log([(0, 0, "view"), (1, 1, "view"), (2, 2, "view")])
    with pytest.raises(DataError, match="Store 'log' has no event of buy, so there is nothing to show or to predict"):
        LeaveOneOut(target_behaviors="buy", input_behaviors="buy")(store)
    with pytest.raises(
        DataError, match=r"at least 3 events, 2 of them targets and not the first; store 'log' has none"
    ):
        LeaveOneOut(target_behaviors="buy")(store)


def test_nothing_to_learn_is_told(make_log: MakeLog) -> None:
    # Both buys are held out.
    split = LeaveOneOut(target_behaviors="buy")(make_log([(0, 0, "view"), (1, 1, "buy"), (2, 2, "buy")]))
    with pytest.raises(DataError, match="no user with a training target after an input"):
        TrainingBatches(split, 5, 2, seed=1)


def test_a_full_disk_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(DataError, match=r"\(No space left on device\); name a folder with more room in TMPDIR"):
        LeaveOneOut(input_behaviors="view")(store)
