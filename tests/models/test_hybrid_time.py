"""A hybrid without time does not know when it is asked, in no component and in no way that it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from ltsi.histories import Histories
from ltsi.losses.softmax import Softmax
from ltsi.models.exp_decay import ExpDecay
from ltsi.models.hybrid import Hybrid, _without_wait
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.models.return_hazard import ReturnHazard
from ltsi.models.trend import Trend
from ltsi.sequences.batches import RankingBatches, TrainingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

ITEMS, DAY = 30, 86_400
SHOWN: list[list[int]] = [[3, 10, 3, 5], [20]]
NOBODY: list[list[int]] = [[]]

MakeHistories = Callable[..., Histories]


@pytest.fixture
def split(make_store: Callable[..., Store]) -> Split:
    """Write a log of returns after times of every length."""
    random, users = np.random.default_rng(0), []
    for user in range(200):
        times = 1_590_000_000 + np.cumsum(random.exponential(20 * DAY, 7)).astype(int)
        items = random.choice([user % ITEMS, (user + 7) % ITEMS, (user + 11) % ITEMS], 7)
        users.append(list(zip(items.tolist(), times.tolist(), strict=True)))
    return LeaveOneOut()(make_store(*users, n_items=ITEMS))


def hybrid(split: Split, time: bool) -> Hybrid:
    """One component of each kind that looks at the now."""
    torch.manual_seed(0)
    network = Lstm(Items(ITEMS, 8), dim=8, hidden=8, layers=1, dropout=0.0, embedding_dropout=0.0, wait=True)
    counted = {"repeats": ExpDecay(ITEMS), "returns": ReturnHazard(ITEMS), "trend": Trend(ITEMS)}
    model = Hybrid({"network": network, **counted}, time=time).eval()
    model.fit_statistics(split)
    assert network.wait is not None
    torch.nn.init.normal_(network.wait.shift.weight)
    return model


def later(histories: Histories) -> Histories:
    """The same histories, asked 90 days later at every position."""
    return replace(histories, now_BL=histories.now_BL + 90 * DAY)


def to_rank(split: Split) -> RankingBatches:
    return RankingBatches(split.store, split.valid, 5, hide_seen=False)


@torch.no_grad()
@pytest.mark.parametrize("time", [True, False])
def test_without_time_it_does_not_matter_when_it_is_asked(
    split: Split, make_histories: MakeHistories, time: bool
) -> None:
    def changes(items: list[list[int]]) -> bool:
        soon, late = (model(make_histories(*items, n_items=ITEMS, wait=wait)) for wait in (60, 90 * DAY))
        return not torch.equal(soon, late)

    model = hybrid(split, time)
    assert changes(SHOWN) == time, "as long as networks answer alone"
    model.calibrate(to_rank(split))
    assert changes(SHOWN) == time
    assert changes(NOBODY) == time, "by the trend"


@pytest.mark.parametrize("time", [True, False])
def test_without_time_nothing_is_learned_from_it(split: Split, time: bool) -> None:
    model = hybrid(split, time)
    batch = next(TrainingBatches(split, 5, 400, seed=1).epoch(0))
    moved = replace(batch, groups=[replace(group, histories=later(group.histories)) for group in batch.groups])
    now, then = (model.training_loss(each, Softmax()).item() for each in (batch, moved))
    assert (now == then) is not time
    chosen = []
    for change in (lambda histories: histories, later):
        model.calibrate(replace(one, histories=change(one.histories)) for one in to_rank(split))
        chosen.append(torch.cat([number.flatten() for number in model.pool.state_dict().values()]))
    assert torch.equal(*chosen) is not time


def test_without_time_everybody_is_asked_a_second_after_each_event(make_histories: MakeHistories) -> None:
    shown = make_histories([3, 10], [20], [], n_items=ITEMS)
    asked = _without_wait(shown)
    assert torch.equal(asked.time_BL[:2], shown.time_BL[:2])
    assert asked.time_BL[2].eq(0).all(), "who has no event is asked before all time"
    assert torch.equal(asked.now_BL, asked.time_BL + 1)


@pytest.mark.parametrize("time", [True, False])
def test_networks_are_told_of_the_wait_where_time_counts(time: bool) -> None:
    network = Lstm(Items(ITEMS, 8), dim=8, hidden=8, layers=1, dropout=0.0, embedding_dropout=0.0)
    Hybrid({"network": network}, time=time)
    assert (network.wait is not None) is time


@torch.no_grad()
def test_without_a_clock_there_is_no_time_to_do_without(make_store: Callable[..., Store]) -> None:
    """Every question comes one position after the last event, whatever `time` says."""
    users = [[((user + 3 * place) % ITEMS, place) for place in range(6)] for user in range(40)]
    split = LeaveOneOut()(make_store(*users, n_items=ITEMS, clock=False))
    histories = next(iter(to_rank(split))).histories
    views = [hybrid(split, time).parts(histories)[0] for time in (True, False)]
    for with_time, without in zip(*views, strict=True):
        assert torch.equal(with_time, without)
