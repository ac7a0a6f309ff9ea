"""Models as users get them, and logs to try them on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from ltsi.evaluation.ranking import target_ranks
from ltsi.losses.softmax import Softmax
from ltsi.models.interest import InterestModel
from ltsi.sequences.batches import RankingBatches, TrainingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store
from ltsi.workflows.experiment import build_model

MAX_LENGTH = 12
N_ITEMS = 12
DAY = 86_400

Build = Callable[..., InterestModel]
Fit = Callable[..., InterestModel]


@cache
def configuration(name: str, n_items: int) -> DictConfig:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        return compose("train", [f"model={name}", f"n_items={n_items}", f"max_length={MAX_LENGTH}"])


@pytest.fixture
def build() -> Build:
    """Build a model of `conf/model` as `ltsi train` does, ready to score."""

    def make(name: str, n_items: int = N_ITEMS, seed: int = 1) -> InterestModel:
        torch.manual_seed(seed)
        model = build_model(configuration(name, n_items))
        assert isinstance(model, InterestModel)
        return model.eval()

    return make


@pytest.fixture
def fit() -> Fit:
    """Take a model through all it can learn: statistics, weights, mixture. Leave it ready to score.

    Training ends early where `enough`, asked every second epoch, says that what is to be shown is shown.
    """

    def ready(model: InterestModel, split: Split) -> InterestModel:
        model.eval()
        if model.calibrates:
            model.calibrate(RankingBatches(split.store, split.valid, MAX_LENGTH, hide_seen=False))
        return model

    def run(
        model: InterestModel,
        split: Split,
        epochs: int = 1,
        lr: float = 1e-2,
        seed: int = 1,
        batch_size: int = 8,
        enough: Callable[[InterestModel], bool] = lambda model: False,
    ) -> InterestModel:
        torch.manual_seed(seed)
        model.fit_statistics(split)
        if model.learns:
            batches = TrainingBatches(split, MAX_LENGTH, batch_size, seed)
            optimizer = torch.optim.Adam(model.parameters(), lr)
            for epoch in range(epochs):
                model.train()
                for batch in batches.epoch(epoch):
                    optimizer.zero_grad()
                    model.training_loss(batch, Softmax()).backward()
                    optimizer.step()
                if epoch % 2 and enough(ready(model, split)):
                    break
        return ready(model, split)

    return run


@pytest.fixture
def ranks() -> Callable[..., list[int]]:
    """Rank the test targets, in the order of the split."""

    def run(model: InterestModel, split: Split) -> list[int]:
        found: dict[int, int] = {}
        with torch.no_grad():
            for batch in RankingBatches(split.store, split.test, MAX_LENGTH, hide_seen=False):
                rank_B = target_ranks(model(batch.histories), batch.target_B)
                found.update(zip(batch.index_B.tolist(), rank_B.tolist(), strict=True))
        return [found[i] for i in range(len(split.test))]

    return run


@pytest.fixture
def hits(fit: Fit, ranks: Callable[..., list[int]]) -> Callable[..., float]:
    """Train a model and say for which share of the asked users the test target comes first.

    Who is to win stops as soon as that is more than `enough`; who is to lose has all the epochs.
    """

    def run(
        model: InterestModel,
        split: Split,
        asked: np.ndarray | slice = np.s_[:],
        enough: float = 1.0,
        epochs: int = 20,
        lr: float = 4e-3,
        batch_size: int = 32,
    ) -> float:
        def share(model: InterestModel) -> float:
            return float(np.mean(np.array(ranks(model, split))[asked] == 1))

        def wins(model: InterestModel) -> bool:
            return enough < 1 and share(model) > enough

        return share(fit(model, split, epochs=epochs, lr=lr, batch_size=batch_size, enough=wins))

    return run


@pytest.fixture
def log(make_store: Callable[..., Store]) -> Callable[..., Store]:
    """Write a log of users who wander over the first ten of twelve items: the last two are cold."""

    def make(
        lengths: Iterable[int] = (1, 2, *range(3, 12), *[9] * 20),
        change: Callable[[int], tuple[int, int]] | None = None,
        **settings: object,
    ) -> Store:
        # `change` maps a place counted from a user's end (1 is the last) to shifts of its item and of its day.
        random, users = np.random.default_rng(3), []
        for length in lengths:
            item = np.cumsum(random.integers(1, 4, length)) % (N_ITEMS - 2)
            day = 18_500 + np.cumsum(random.integers(1, 5, length))
            if change and length >= 3:
                for place in (2, 1):
                    shift, days = change(place)
                    item[-place] = (item[-place] + shift) % (N_ITEMS - 2)
                    day[-place] += days
            users.append([(int(i), int(d) * DAY) for i, d in zip(item, day, strict=True)])
        return make_store(*users, n_items=N_ITEMS, category=list("abc" * 4), **settings)

    return make


@pytest.fixture
def cycle(make_store: Callable[..., Store]) -> Store:
    """Write a log in which the next item is the last one plus one, modulo ten."""
    users = [[((start + i) % 10, (start + i) * DAY) for i in range(9)] for start in list(range(10)) * 4]
    return make_store(*users)


@pytest.fixture(scope="session")
def fitted_once() -> dict[str, InterestModel]:
    return {}


@pytest.fixture
def fitted(
    name: str, build: Build, fit: Fit, log: Callable[..., Store], fitted_once: dict[str, InterestModel]
) -> InterestModel:
    """Fit a model to the log in the first test that asks for it, and give each test a copy of its own."""
    if name not in fitted_once:
        fitted_once[name] = fit(build(name), LeaveOneOut()(log()))
    return deepcopy(fitted_once[name])
