"""LazyAdamW against AdamW itself: rows that wait end where rows that are moved at every step end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer

from ltsi.losses.sampled_softmax import SampledSoftmax
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.objectives.next_item import NextItem
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store
from ltsi.training.averaging import WeightAverage
from ltsi.training.lazy_adamw import LazyAdamW
from ltsi.training.module import InterestModule

ROWS, WIDTH = 200, 6
SETTINGS: dict[str, Any] = {"lr": 4e-3, "weight_decay": 0.2}


class Problem:
    """Rows of a table, looked up ever more rarely, and a matrix behind them, that learn to be others."""

    def __init__(self) -> None:
        self.start = torch.randn(ROWS, WIDTH)
        self.target = torch.randn(ROWS, WIDTH)
        self.chance = 1.0 / torch.arange(1, ROWS + 1) ** 1.5

    def parameters(self) -> list[nn.Parameter]:
        return [nn.Parameter(self.start.clone()), nn.Parameter(torch.eye(WIDTH))]

    def rows(self, steps: int) -> Iterator[Tensor]:
        for _ in range(steps):
            yield self.chance.multinomial(12, replacement=True).unique()

    def back(self, parameters: list[nn.Parameter], row_R: Tensor, sparse: bool, scale: float = 1.0) -> None:
        table, matrix = parameters
        table.grad = matrix.grad = None
        found_RD = functional.embedding(row_R, table, sparse=sparse) @ matrix
        (scale * (found_RD - self.target[row_R]).square().sum()).backward()

    def learn(self, parameters: list[nn.Parameter], optimizer: Optimizer, row_R: Tensor, sparse: bool = True) -> None:
        if isinstance(optimizer, LazyAdamW):
            optimizer.settle(parameters[0], row_R)
        self.back(parameters, row_R, sparse)
        optimizer.step()


@pytest.fixture
def problem() -> Problem:
    torch.manual_seed(0)
    return Problem()


def largest(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().abs().max())


# The last one makes gradients so small that what is added to the root of the second moment counts: there a mean stands
# for what changes from step to step.
@pytest.mark.parametrize(("steps", "scale", "tolerance"), [(30, 1.0, 5e-5), (800, 1.0, 5e-5), (60, 1e-9, 1e-3)])
def test_rows_end_where_adamw_brings_them(problem: Problem, steps: int, scale: float, tolerance: float) -> None:
    plain, lazy = problem.parameters(), problem.parameters()
    one, other = AdamW(plain, **SETTINGS), LazyAdamW(lazy, **SETTINGS)
    for row_R in problem.rows(steps):
        other.settle(lazy[0], row_R)
        assert largest(plain[0][row_R], lazy[0][row_R]) < tolerance, "as it is looked up"
        problem.back(plain, row_R, sparse=False, scale=scale)
        problem.back(lazy, row_R, sparse=True, scale=scale)
        one.step()
        other.step()
    assert largest(plain[0], lazy[0]) > 1e-3, "rows wait"
    other.settle_all()
    assert largest(plain[0], lazy[0]) < tolerance
    assert largest(plain[1], lazy[1]) < tolerance
    assert largest(plain[0], problem.start) > 0.05


@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.5, 0.9), (0.99, 0.999)])
def test_other_momenta(problem: Problem, betas: tuple[float, float]) -> None:
    plain, lazy = problem.parameters(), problem.parameters()
    one, other = AdamW(plain, **SETTINGS, betas=betas), LazyAdamW(lazy, **SETTINGS, betas=betas)
    for row_R in problem.rows(300):
        problem.learn(plain, one, row_R, sparse=False)
        problem.learn(lazy, other, row_R)
    other.settle_all()
    assert largest(plain[0], lazy[0]) < 2e-4


def test_rows_are_settled_in_one_go_or_in_several(problem: Problem) -> None:
    lazy = problem.parameters()
    optimizer = LazyAdamW(lazy, **SETTINGS)
    several = [nn.Parameter(each.detach().clone()) for each in lazy]
    twin = LazyAdamW(several, **SETTINGS)
    for row_R in problem.rows(40):
        twin.settle_all()
        problem.learn(lazy, optimizer, row_R)
        problem.learn(several, twin, row_R)
    for each in (optimizer, twin):
        each.settle_all()
    assert largest(lazy[0], several[0]) < 1e-5


def test_a_gradient_of_the_whole_table_now_and_then(problem: Problem) -> None:
    plain, lazy = problem.parameters(), problem.parameters()
    one, other = AdamW(plain, **SETTINGS), LazyAdamW(lazy, **SETTINGS)
    for number, row_R in enumerate(problem.rows(40)):
        problem.learn(plain, one, row_R, sparse=False)
        problem.learn(lazy, other, row_R, sparse=number % 5 > 0)
    other.settle_all()
    assert largest(plain[0], lazy[0]) < 5e-5


def test_it_goes_on_from_a_checkpoint(problem: Problem) -> None:
    lazy = problem.parameters()
    optimizer = LazyAdamW(lazy, **SETTINGS)
    rows = list(problem.rows(20))

    for row_R in rows[:10]:
        problem.learn(lazy, optimizer, row_R)
    resumed = [nn.Parameter(each.detach().clone()) for each in lazy]
    second = LazyAdamW(resumed, **SETTINGS)
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for parameters, each in ((lazy, optimizer), (resumed, second)):
        for row_R in rows[10:]:
            problem.learn(parameters, each, row_R)
        each.settle_all()
    assert torch.equal(lazy[0], resumed[0])


@pytest.mark.parametrize("most", [0.0, 0.5, 1e6])
def test_gradients_are_clipped_as_torch_clips_them(problem: Problem, most: float) -> None:
    plain, lazy = problem.parameters(), problem.parameters()
    row_R = torch.tensor([3, 4, 3, 9])
    problem.back(plain, row_R, sparse=False)
    problem.back(lazy, row_R, sparse=True)
    LazyAdamW(lazy, **SETTINGS).clip(most)
    if most:
        nn.utils.clip_grad_norm_(plain, most)
    for one, other in zip(plain, lazy, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad.to_dense(), one.grad)


class Losses(Callback):
    """Notes the loss of every step, the item vectors that validation sees, and whether their gradients were sparse."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.averages: list[Tensor] = []
        self.sparse: set[bool] = set()

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Any) -> None:
        gradient = module.get_parameter("model.items.embedding.weight").grad
        assert gradient is not None
        self.sparse.add(gradient.is_sparse)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any) -> None:
        self.losses.append(float(outputs["loss"]))

    def on_validation_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        self.averages.append(module.get_parameter("model.items.embedding.weight").detach().clone())


def trained(
    make_store: Callable[..., Store],
    optimizer: Callable[..., Any],
    clip: float | None = 1.0,
    sparse: bool = False,
    negatives: int = 8,
) -> tuple[Losses, InterestModule]:
    random = torch.Generator().manual_seed(0)
    users = [torch.randint(0, 400, (12,), generator=random).tolist() for _ in range(60)]
    split = LeaveOneOut()(make_store(*([(item, i) for i, item in enumerate(user)] for user in users), n_items=400))
    torch.manual_seed(0)
    model = Lstm(Items(400, 8), dim=8, hidden=8, layers=1, dropout=0.0, embedding_dropout=0.0)
    task = NextItem().on(split, None)
    module = InterestModule(task, model, SampledSoftmax(negatives), optimizer, ["hr@1"], seed=1)
    losses = Losses()
    if sparse:
        model.items.wait_for(lambda _: None)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[WeightAverage(0.9), losses],
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        gradient_clip_val=clip,
        **quiet,
    )
    trainer.fit(module, SplitDataModule(task, 12, 8, False, seed=1))
    return losses, module


def test_a_training_has_the_same_losses(make_store: Callable[..., Store]) -> None:
    plain, _ = trained(make_store, partial(AdamW, **SETTINGS))
    lazy, module = trained(make_store, partial(LazyAdamW, **SETTINGS))
    assert (plain.sparse, lazy.sparse) == ({False}, {True})
    assert lazy.losses == pytest.approx(plain.losses, rel=1e-5)
    items = module.model.items
    assert isinstance(items, Items)
    assert (items.settle, items.embedding.sparse) == (None, False), "afterwards nobody waits"


# Of 700 draws some 330 are different, and 72 targets: now fewer than there are items, now more.
@pytest.mark.parametrize(("negatives", "sparse"), [(8, {True}), (700, {True, False})])
def test_rows_that_rest_are_averaged_as_if_they_were_not(
    make_store: Callable[..., Store], negatives: int, sparse: set[bool]
) -> None:
    """Plain gradient descent leaves rows without a gradient where they are: the averages must be the same."""
    descent = partial(SGD, lr=0.5)
    whole, _ = trained(make_store, descent, clip=None, negatives=negatives)
    rows, _ = trained(make_store, descent, clip=None, sparse=True, negatives=negatives)
    assert (whole.sparse, rows.sparse) == ({False}, sparse)
    assert len(whole.averages) > 1
    for one, other in zip(whole.averages, rows.averages, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
