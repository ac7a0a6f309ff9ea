from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ltsi.errors import ConfigError
from ltsi.objectives.next_item import NextItem
from ltsi.sequences import datamodule
from ltsi.sequences.datamodule import SplitDataModule
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store


@pytest.fixture
def split(make_store: Callable[..., Store]) -> Split:
    return LeaveOneOut()(make_store(*([(i % 7, i) for i in range(u, u + 9)] for u in range(20))))


def data(split: Split, **settings: Any) -> SplitDataModule:
    return SplitDataModule(
        NextItem().on(split, None), **{"max_length": 5, "batch_size": 4, "hide_seen": True, "seed": 1, **settings}
    )


def on_device(module: SplitDataModule, rank: int, world: int, epoch: int = 0) -> SplitDataModule:
    module.trainer = SimpleNamespace(global_rank=rank, world_size=world, current_epoch=epoch)  # type: ignore[assignment]
    return module


def test_each_loader_serves_its_part(split: Split) -> None:
    module = data(split)
    for loader, part in ((module.val_dataloader(), split.valid), (module.test_dataloader(), split.test)):
        targets = {int(i): int(t) for batch in loader for i, t in zip(batch.index_B, batch.target_B, strict=True)}
        assert targets == dict(enumerate(split.store.item[part.event].tolist()))
        assert len(list(loader)) == len(loader)


def test_every_epoch_has_its_own_order_and_starts_anew(split: Split) -> None:
    def first_targets(epoch: int) -> list[int]:
        loader = on_device(data(split), 0, 1, epoch).train_dataloader()
        assert len(list(loader)) == len(loader)
        return [int(time) for time in next(iter(loader)).groups[0].histories.now_BL.flatten()]

    assert first_targets(3) == first_targets(3) != first_targets(4)


def test_devices_share_training_and_ranking(split: Split) -> None:
    modules = [on_device(data(split), rank, 2) for rank in range(2)]
    index = [int(i) for module in modules for batch in module.test_dataloader() for i in batch.index_B]
    assert sorted(index) == list(range(len(split.test)))
    for parts in zip(*(module.train_dataloader() for module in modules), strict=True):
        shown = sum(int(group.histories.length_B.sum()) for part in parts for group in part.groups)
        assert shown == parts[0].n_targets == parts[1].n_targets


def test_mixing_is_chosen_on_the_same_validation_targets_by_every_process(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datamodule, "CALIBRATION_TARGETS", 6)
    of_rank = [
        [int(i) for batch in on_device(data(split), rank, 2).calibration_batches() for i in batch.index_B]
        for rank in range(2)
    ]
    assert of_rank[0] == of_rank[1]
    assert len(of_rank[0]) == 6
    valid = {int(row) for row in split.valid.event}
    assert {int(split.valid.event[i]) for i in of_rank[0]} <= valid


def test_seen_items_are_hidden_only_where_asked(split: Split) -> None:
    hidden, kept = (next(iter(data(split, hide_seen=hide).test_dataloader())) for hide in (True, False))
    assert len(hidden.hidden_row)
    assert not len(kept.hidden_row)


def test_whole_batches_move_to_a_device(split: Split) -> None:
    module, device = data(split), torch.device("meta")
    training = module.transfer_batch_to_device(next(iter(module.train_dataloader())), device, 0)
    ranking = module.transfer_batch_to_device(next(iter(module.test_dataloader())), device, 0)
    assert training.groups[0].histories.item_BL.device == training.groups[0].target_BL.device == device
    assert ranking.hidden_item.device == ranking.histories.now_B.device == device


@pytest.mark.parametrize("value", [0, -1, 2.5, "many"])
@pytest.mark.parametrize("key", ["max_length", "batch_size"])
def test_sizes_are_whole_numbers_from_one(split: Split, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{key}={value} must be a whole number from 1.$"):
        data(split, **{key: value})


def test_a_seed_is_a_whole_number_from_zero(split: Split) -> None:
    data(split, seed=0)
    with pytest.raises(ConfigError, match="seed=-1 must be a whole number from 0"):
        data(split, seed=-1)
    data(split, seed=2**32 - 1)
    with pytest.raises(ConfigError, match=f"seed={2**32} must be at most {2**32 - 1}"):
        data(split, seed=2**32)
