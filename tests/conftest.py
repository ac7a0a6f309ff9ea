"""Fixtures for every test."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# As the command line does, and before anything imports torch: tests share their cores with the processes they start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Where several processes run tests there is one for each core, and a second thread only takes from the others.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import pytest
import torch

from ltsi.engines.polars import Polars
from ltsi.histories import Histories
from ltsi.metrics import summary
from ltsi.runs.folder import Evaluation, RunFolder
from ltsi.store import EncodedEvents, Store, store_path
from ltsi.store_writer import write_store


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Undo what Hydra does to logging: its handlers would write into streams that pytest has closed."""
    loggers = [logging.getLogger(name) for name in (None, "ltsi", "ltsi.failure")]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


@pytest.fixture(autouse=True)
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepare and open stores in the folder of the test, never in the checkout."""
    root = tmp_path / "data"
    monkeypatch.setenv("LTSI_DATA", str(root))
    return root


@pytest.fixture
def engine(tmp_path: Path) -> Polars:
    """Return the default engine, with a folder of its own."""
    folder = tmp_path / "engine"
    folder.mkdir()
    return Polars(folder)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Return the folder of real logs; tests that need it are skipped where there is none."""
    folder = os.environ.get("LTSI_REALDATA")
    if not folder:
        pytest.skip("LTSI_REALDATA does not say where the real logs are")
    path = Path(folder)
    if not path.is_dir():
        pytest.skip(f"LTSI_REALDATA={folder} is not a folder")
    return path


@pytest.fixture
def make_store() -> Callable[..., Store]:
    """Return a function that writes a store from `(item, time)` events, one list a user."""

    def make(
        *users: Sequence[tuple[int, int]],
        clock: bool = True,
        name: str = "log",
        n_items: int | None = None,
        category: Sequence[str | None] | None = None,
    ) -> Store:
        events = [event for user in users for event in user]
        item, time = np.array(events).reshape(-1, 2).T
        arrays = EncodedEvents(
            offsets=np.cumsum([0, *map(len, users)]),
            item=item.astype(np.int32),
            time=time.astype(np.int64),
            behavior=np.zeros(len(item), dtype=np.uint8),
        )
        items = {"item": [str(i) for i in range(n_items or item.max() + 1)]}
        return write_store(
            store_path(name),
            arrays,
            items=pl.DataFrame(items if category is None else {**items, "category": list(category)}),
            users=pl.DataFrame({"user": [str(u) for u in range(len(users))]}),
            manifest={"time": {"clock": clock}},
        )

    return make


@pytest.fixture
def make_histories() -> Callable[..., Histories]:
    """Return a function that makes a batch of histories from lists of items."""

    def make(
        *items: Sequence[int], n_items: int, step: int = 86_400, wait: int = 86_400, padding: int = 0
    ) -> Histories:
        """One event every `step` seconds, asked `wait` seconds after the last one, `padding` more than is needed."""
        width = max(1, *map(len, items)) + padding
        length_B = torch.tensor([len(row) for row in items])
        item_BL = torch.tensor([[*row, *[n_items] * (width - len(row))] for row in items])
        time_BL = 1_600_000_000 + torch.minimum(torch.arange(width), (length_B[:, None] - 1).clamp(min=0)) * step
        now_BL = torch.where(torch.arange(width) < length_B[:, None] - 1, time_BL + step, time_BL[:, -1:] + wait)
        time_BL[length_B == 0] = now_BL[length_B == 0]
        return Histories(item_BL, time_BL, length_B, now_BL)

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Returns a function that writes a run by hand, as training and evaluation leave it, below the test's folder."""

    def make(
        name: str,
        model: str = "lstm",
        *,
        ranks: Sequence[int] = (1, 2, 3),
        seed: int = 1,
        config: Mapping[str, Any] | None = None,
        environment: Mapping[str, Any] | None = None,
        users: Sequence[int | str] | None = None,
        targets: Sequence[int | str] | None = None,
        seen: str = "hide",
        part: str | None = "test",
    ) -> RunFolder:
        run, given = RunFolder(tmp_path / name), dict(config or {})
        settings = {"data": "shop", "seed": seed, "split": {"name": "leave_one_out", "min_events": 3}, **given}
        run.write_config({**settings, "model": {"name": model, "dim": 64, **given.get("model", {})}})
        facts = {"store": "shop", "fingerprint": "f00d", "seed": seed, "overrides": [f"model={model}", f"seed={seed}"]}
        cost = {
            "started": "2026-01-01T00:00:00+00:00",
            "n_parameters": 1000,
            "train_seconds": 2.0,
            "finished": "2026-01-01T00:00:02+00:00",
        }
        run.write_environment({**facts, **cost, **(environment or {})})
        if part is not None:
            n_users = len(ranks)
            columns = {
                "user": users or range(n_users),
                "target": targets or range(100, 100 + n_users),
                "rank": ranks,
                "history_length": [5] * n_users,
                "gap_seconds": [60] * n_users,
            }
            run.write_per_user(part, pl.DataFrame({key: list(values) for key, values in columns.items()}))
            metrics = summary(list(ranks), ["hr@10", "ndcg@10", "mrr"])
            run.write_evaluation(part, Evaluation(n_users, settings["split"]["name"], seen, 0.5, metrics))
        return run

    return make
