"""What every model of the next item that learns must do in training, and be able to learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import get_class
from torch import Tensor

import ltsi.conf
from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.losses.next_item import Catalogue
from ltsi.losses.softmax import Softmax
from ltsi.models.interest import InterestModel
from ltsi.sequences.batches import TrainingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

CONF = Path(ltsi.conf.__file__).parent / "model"
CLASSES = {path.stem: get_class(yaml.safe_load(path.read_text())["_target_"]) for path in sorted(CONF.glob("*.yaml"))}
MODELS = [name for name, found in CLASSES.items() if issubclass(found, InterestModel) and found.learns]
N_ITEMS = 12

Build = Callable[..., InterestModel]
MakeHistories = Callable[..., Histories]
Log = Callable[..., Store]
Hits = Callable[..., float]

every_model = pytest.mark.parametrize("name", MODELS)


def training_batch(items: Sequence[int], make_histories: MakeHistories) -> TrainingBatch:
    histories = make_histories(items[:-1], n_items=N_ITEMS)
    target_BL = torch.tensor([items[1:]])
    return TrainingBatch([TrainingGroup(histories, target_BL)], len(items) - 1)


def training_states(model: InterestModel, items: Sequence[int], make_histories: MakeHistories) -> list[Tensor]:
    """Asks a model's loss which states it compares: one tensor `(L, D)` for each loss it takes."""
    taken: list[Tensor] = []

    def loss(state_NE: Tensor, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        assert target_N.tolist() == list(items[1:])
        assert catalogue.vectors().shape == (catalogue.n_items, state_NE.shape[1]) == (N_ITEMS, state_NE.shape[1])
        taken.append(state_NE.detach())
        return state_NE.sum()

    model.training_loss(training_batch(items, make_histories), loss)
    return taken


@every_model
def test_no_training_position_sees_its_future(fitted: InterestModel, make_histories: MakeHistories) -> None:
    items = [0, 3, 1, 4, 2, 5, 6, 7, 8, 9, 0, 1]
    before = training_states(fitted, items, make_histories)
    assert before
    for place in range(1, len(items) - 1):
        changed = [*items[:place], (items[place] + 1) % N_ITEMS, *items[place + 1 :]]
        for one, other in zip(before, training_states(fitted, changed, make_histories), strict=True):
            torch.testing.assert_close(one[:place], other[:place], rtol=1e-5, atol=1e-6)
            assert not torch.allclose(one[place], other[place]), "a position must see its own event"


def windows(group: TrainingGroup) -> Iterator[TrainingGroup]:
    """Takes a group apart into windows without padding."""
    shown = group.histories
    for row, length in enumerate(shown.length_B.tolist()):
        one, real = slice(row, row + 1), slice(length)
        columns = (shown.item_BL[one, real], shown.time_BL[one, real], shown.length_B[one], shown.now_BL[one, real])
        alone = Histories(*columns, None if shown.user_B is None else shown.user_B[one])
        yield TrainingGroup(alone, group.target_BL[one, real])


@every_model
def test_the_loss_is_the_mean_over_the_real_targets_of_a_batch(fitted: InterestModel, log: Log) -> None:
    batch = next(TrainingBatches(LeaveOneOut()(log(lengths=[5, 6, 7, 8, 9, 10, 11, 14])), 12, 8, seed=1).epoch(0))
    assert any(not group.histories.real_BL().all() for group in batch.groups)
    alone = [window for group in batch.groups for window in windows(group)]
    with torch.no_grad():
        whole = fitted.training_loss(batch, Softmax())
        parts = [fitted.training_loss(TrainingBatch([window], batch.n_targets), Softmax()) for window in alone]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


@every_model
def test_every_weight_takes_part_in_the_loss(fitted: InterestModel, make_histories: MakeHistories) -> None:
    """Training on several devices waits for the gradient of every weight."""
    fitted.training_loss(training_batch([1, 2, 3, 4], make_histories), Softmax()).backward()
    assert [key for key, weight in fitted.named_parameters() if weight.requires_grad and weight.grad is None] == []


@every_model
def test_half_precision_where_torch_chooses_it(fitted: InterestModel, make_histories: MakeHistories) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = fitted.training_loss(training_batch([1, 2, 3, 4], make_histories), Softmax())
        assert loss.isfinite()
        loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fitted.parameters())


@every_model
def test_an_order_is_learned_by_whoever_learns(name: str, build: Build, hits: Hits, cycle: Store) -> None:
    model, split = build(name, n_items=10), LeaveOneOut()(cycle)
    assert hits(model, split, enough=0.95, epochs=12, lr=1e-2, batch_size=8) > 0.95


@every_model
def test_a_sign_from_some_time_ago_is_remembered(
    name: str, build: Build, hits: Hits, make_store: Callable[..., Store]
) -> None:
    """What comes after 6 is 7 or 8 as the history began with 0 or 1; most users show it in training, some are asked."""
    random, users = np.random.default_rng(0), []
    for user in range(360):
        sign, shown = user // 6 % 2, [2, 2, 2, 2, 1, 0][user % 6]
        events = [sign, *random.integers(2, 6, 4), 6, 7 + sign, *[9] * shown]
        users.append([(int(item), day * 86_400) for day, item in enumerate(events)])
    split, asked = LeaveOneOut()(make_store(*users)), np.arange(360) % 6 == 5
    assert hits(build(name, n_items=10), split, asked, enough=0.9) > 0.9
