"""Traces against a plain loop over the events, and what a network of clicks makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ltsi.examples import Examples
from ltsi.features.encoded import FeatureBatch
from ltsi.features.encoder import Layout
from ltsi.histories import Histories
from ltsi.losses.two_class import TwoClass
from ltsi.metrics import auc
from ltsi.models import traces as module
from ltsi.models.click import ClickNetwork
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.models.traces import Traces
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

MakeHistories = Callable[..., Histories]
ITEMS, DAY = 6, 86_400
CATEGORIES = ["a", "b", "a", "b", "c", ""]


def examples(shown: Histories, asked: Sequence[tuple[int, int, int]], label: Sequence[int] | None = None) -> Examples:
    row_E, position_E, item_E = torch.tensor(asked).T
    size = len(item_E)
    none = FeatureBatch(
        torch.empty(size, 0, dtype=torch.int64), torch.empty(size, 0), (), torch.empty(size, 0),
        torch.empty(size, 0, dtype=torch.int64),
    )  # fmt: skip
    label_E = torch.tensor(label if label is not None else [0] * size, dtype=torch.float32)
    return Examples(shown, row_E, position_E, torch.zeros_like(row_E), item_E, label_E, torch.arange(size), none)


@pytest.fixture
def fitted(make_store: Callable[..., Store]) -> Traces:
    users = [[(item, DAY * at) for at, item in enumerate([0, 1, 2, 3, 4, 5, 0, 1])]]
    categories = [label or None for label in CATEGORIES]
    traces = Traces(ITEMS, 3, of_items=True)
    traces.fit_statistics(LeaveOneOut()(make_store(*users, n_items=ITEMS, category=categories)))
    return traces


def naive(traces: Traces, group: Examples) -> Tensor:
    shown, half_life_K = group.histories, traces.half_life_K.tolist()
    rows = []
    for row, position, item in zip(group.row_E.tolist(), group.position_E.tolist(), group.item_E.tolist(), strict=True):
        now = int(shown.now_BL[row, max(position, 0)])
        events = list(zip(shown.item_BL[row].tolist(), shown.time_BL[row].tolist(), strict=True))[: position + 1]
        same = [now - time for other, time in events if other == item and traces.of_items]
        alike = [
            now - time
            for other, time in events
            if other < ITEMS and CATEGORIES[item] and CATEGORIES[other] == CATEGORIES[item]
            if traces.of_items or other != item
        ]
        rows.append([np.log1p(sum(2 ** (-age / h) for age in ages)) for ages in (same, alike) for h in half_life_K])
    return torch.tensor(rows, dtype=torch.float32)


@pytest.mark.parametrize("of_items", [True, False])
@pytest.mark.parametrize("block", [1, 7, 2**22])
def test_traces_are_what_a_loop_over_the_events_finds(
    fitted: Traces, make_histories: MakeHistories, monkeypatch: pytest.MonkeyPatch, of_items: bool, block: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    fitted.of_items = of_items
    shown = make_histories([0, 2, 0, 5], [5, 5, 1], [], n_items=ITEMS, padding=1)
    asked = [(0, 3, 0), (0, 1, 0), (0, 3, 5), (0, 0, 4), (1, 2, 5), (1, 2, 3), (2, -1, 0), (0, 3, 2)]
    group, other = examples(shown, asked), examples(make_histories([4], n_items=ITEMS), [(0, 0, 4)])
    expected = torch.cat([naive(fitted, group), naive(fitted, other)])
    torch.testing.assert_close(fitted([group, other]).detach(), expected)
    assert bool((expected[0] > 0.1).any())


def test_half_lives_begin_between_the_gaps_and_the_span(fitted: Traces) -> None:
    # One event a day; the last two of eight are held out: the training part spans five days.
    assert fitted.half_life_K.tolist() == pytest.approx([DAY, DAY * 5**0.5, DAY * 5])


def test_half_lives_learn(fitted: Traces, make_histories: MakeHistories) -> None:
    group = examples(make_histories([0, 1, 0], n_items=ITEMS), [(0, 2, 0)])
    fitted([group]).sum().backward()
    gradient = fitted.change_K.grad
    assert gradient is not None
    assert bool((gradient > 0).all()), "the longer it lasts, the more is left"


def test_weight_decay_pulls_half_lives_to_where_they_began(fitted: Traces) -> None:
    began = fitted.half_life_K.detach()
    optimizer = torch.optim.AdamW(fitted.parameters(), lr=0.1, weight_decay=1.0)
    for _ in range(50):
        fitted.change_K.grad = torch.zeros(3)
        optimizer.step()
    torch.testing.assert_close(fitted.half_life_K.detach(), began)


@pytest.mark.parametrize(("users", "clock"), [([[(0, 5), (1, 5), (2, 5)]], True), ([[(0, 0), (1, 1), (2, 2)]], False)])
def test_a_log_of_one_moment_or_without_a_clock(
    make_store: Callable[..., Store], users: list[list[tuple[int, int]]], clock: bool
) -> None:
    traces = Traces(3, 4, of_items=True)
    traces.fit_statistics(LeaveOneOut()(make_store(*users, n_items=3, clock=clock)))
    assert bool(torch.isfinite(traces.half_life_K).all())
    assert bool((traces.category_J < 0).all()), "there is no such column"


def test_a_network_tells_what_was_taken_lately_from_what_was_taken_long_ago(make_histories: MakeHistories) -> None:
    """Which item it is says nothing, and neither does the order: only how long ago it was taken."""
    random = np.random.default_rng(0)

    def drawn() -> Examples:
        users = [random.permutation(ITEMS)[:4].tolist() for _ in range(200)]
        shown = make_histories(*users, n_items=ITEMS)
        # For every second user all of it is a hundred times as old.
        time_BL = shown.time_BL.clone()
        time_BL[::2] = shown.now_BL[::2, -1:] - (shown.now_BL[::2, -1:] - time_BL[::2]) * 100
        asked = [(row, 3, user[at]) for row, user in enumerate(users) for at in (0, 3)]
        return examples(replace(shown, time_BL=time_BL), asked, [row % 2 for row, *_ in asked])

    learned_from, judged_on = drawn(), drawn()

    def judged(traces: int) -> float:
        torch.manual_seed(0)
        lstm = Lstm(Items(ITEMS, 4), dim=4, hidden=4, layers=1, dropout=0.0, embedding_dropout=0.0)
        network = ClickNetwork(lstm, Layout(), 4, [8], 0.0, traces)
        optimizer, loss = torch.optim.Adam(network.parameters(), lr=0.02), TwoClass()
        for _ in range(80):
            optimizer.zero_grad()
            network.training_loss([learned_from], loss).backward()
            optimizer.step()
        with torch.no_grad():
            return auc(judged_on.label_E.numpy() > 0, network.logits([judged_on]).numpy())

    assert judged(4) > 0.99
    assert judged(0) < 0.6
