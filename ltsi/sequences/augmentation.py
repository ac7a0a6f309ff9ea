"""Augmentation: training windows changed at random, anew in every epoch, so that a network sees more than there is.

A target stays what it is, the real next item of its position, or is not asked for. What a position sees is always a
part of what it saw before, so no target comes among its inputs. A window that would lose its last target stays as it
is.

Shape suffixes: B windows, L positions.
Sources: Xie et al. 2022, "Contrastive Learning for Sequential Recommendation" (CL4SRec: crop, mask, reorder); Tan et
al. 2016, "Improved Recurrent Neural Networks for Session-based Recommendations" (dropped items, for the next item).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.sequences.batches import Shard, TrainingBatches


class Augmentation(Protocol):
    """A random change of training windows."""

    def __call__(self, group: TrainingGroup, random: np.random.Generator, n_items: int) -> TrainingGroup:
        """Returns changed windows, as many as there were.

        Args:
            group: the windows; left as they are.
            random: where chance comes from.
            n_items: what padding is in `item_BL` and `target_BL`.
        """
        ...


class Crop:
    """Shows a contiguous part of each window: anything from `least` of it to all.

    Args:
        least: smallest share of a window's positions that is shown.

    Raises:
        ConfigError: it is not from 0 to 1.
    """

    def __init__(self, least: float) -> None:
        self.least = _share("crop.least", least)

    def __call__(self, group: TrainingGroup, random: np.random.Generator, n_items: int) -> TrainingGroup:
        """Crops windows; see `Augmentation`."""
        length_B = group.histories.length_B
        share_B = self.least + (1 - self.least) * _uniform(random, length_B)
        start_B, end_B = _stretch((share_B * length_B).ceil().clamp(min=1), length_B, random)
        position_L = torch.arange(group.target_BL.shape[1])
        return _keep(group, (position_L >= start_B[:, None]) & (position_L < end_B[:, None]), n_items)


class ItemDrop:
    """Takes inputs out of each window, as if they had not happened; what remains is asked for its real next item.

    Args:
        share: probability of an input to be taken out.

    Raises:
        ConfigError: it is not from 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = _share("item_drop.share", share)

    def __call__(self, group: TrainingGroup, random: np.random.Generator, n_items: int) -> TrainingGroup:
        """Drops inputs; see `Augmentation`."""
        kept_BL = _uniform(random, group.target_BL) >= self.share
        return _keep(group, kept_BL & group.histories.real_BL(), n_items)


class Mask:
    """Hides which item an input was: it becomes padding, at its time and in its place.

    Args:
        share: probability of an input to be hidden.

    Raises:
        ConfigError: it is not from 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = _share("mask.share", share)

    def __call__(self, group: TrainingGroup, random: np.random.Generator, n_items: int) -> TrainingGroup:
        """Masks inputs; see `Augmentation`."""
        shown = group.histories
        hidden_BL = _uniform(random, group.target_BL) < self.share
        item_BL = shown.item_BL.masked_fill(hidden_BL, n_items)
        return TrainingGroup(replace(shown, item_BL=item_BL), group.target_BL)


class Reorder:
    """Shuffles the items of one stretch of each window; times stay in their order.

    Inside the stretch, before its end, a position might see its target or what came after it, and is not asked.

    Args:
        share: share of a window's positions that is shuffled, at least two of them.

    Raises:
        ConfigError: it is not from 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = _share("reorder.share", share)

    def __call__(self, group: TrainingGroup, random: np.random.Generator, n_items: int) -> TrainingGroup:
        """Reorders inputs; see `Augmentation`."""
        shown, target_BL = group.histories, group.target_BL
        start_B, end_B = _stretch((self.share * shown.length_B).round().clamp(min=2), shown.length_B, random)
        position_L = torch.arange(target_BL.shape[1])
        inside_BL = (position_L >= start_B[:, None]) & (position_L < end_B[:, None])
        asked_BL = target_BL.masked_fill(inside_BL & (position_L < end_B[:, None] - 1), n_items)
        changed_B = (asked_BL < n_items).any(dim=1)
        within_BL = start_B[:, None] + _uniform(random, target_BL) * (end_B - start_B)[:, None]
        place_BL = torch.where(inside_BL & changed_B[:, None], within_BL, position_L.double())
        item_BL = shown.item_BL.gather(1, place_BL.argsort(dim=1))
        target_BL = torch.where(changed_B[:, None], asked_BL, target_BL)
        return TrainingGroup(replace(shown, item_BL=item_BL), target_BL)


class ShuffleTies:
    """Puts what a user did at one moment in random order, targets included.

    Whatever the order of a basket is in a file, it says nothing of the user: any of its items might have come first. A
    window in which a target is not the next input stays as it is: its behaviors have roles.
    """

    def __call__(self, group: TrainingGroup, random: np.random.Generator, n_items: int) -> TrainingGroup:
        """Shuffles events that share a time, the one behind the last input among them; see `Augmentation`."""
        shown, target_BL = group.histories, group.target_BL
        wanted_BL, behind_B1 = target_BL < n_items, shown.length_B[:, None]
        event_BM = _append(shown.item_BL, behind_B1, shown.last(target_BL), n_items)
        time_BM = _append(shown.time_BL, behind_B1, shown.now_B, 0)
        wanted_BM = torch.nn.functional.pad(wanted_BL, (1, 0))
        # A target with roles may be of the next input's item, and of another time.
        real_BL = shown.real_BL()
        elsewhere_BL = (wanted_BL & (target_BL != event_BM[:, 1:])) | (real_BL & (shown.now_BL != time_BM[:, 1:]))
        foreign_B = elsewhere_BL.any(dim=1)
        # Padding and what is not known, because it lies behind the last input and is not asked for, have no moment.
        apart_BL = (time_BM.diff(dim=1) != 0) | (event_BM[:, 1:] == n_items)
        moment_BM = torch.nn.functional.pad(apart_BL.cumsum(dim=1), (1, 0))
        order_BM = (moment_BM + _uniform(random, moment_BM)).argsort(dim=1)
        event_BM, wanted_BM = event_BM.gather(1, order_BM), wanted_BM.gather(1, order_BM)
        asked_BL = event_BM[:, 1:].masked_fill(~wanted_BM[:, 1:], n_items)
        changed_B1 = ((asked_BL < n_items).any(dim=1) & ~foreign_B)[:, None]
        # What lies behind the last input was known here alone: to a model it stays padding.
        item_BL = torch.where(changed_B1 & real_BL, event_BM[:, :-1], shown.item_BL)
        return TrainingGroup(replace(shown, item_BL=item_BL), torch.where(changed_B1, asked_BL, target_BL))


class Later:
    """Asks what came at a later moment, and of what came at the same moment as the last input only a share.

    A part of a split that asks for the first event after a date never asks for the rest of a basket. A network that
    learns mostly from inside baskets learns little of what comes next time.

    Args:
        within: probability that a target at the moment of the input before it is asked for.

    Raises:
        ConfigError: it is not from 0 to 1.
    """

    def __init__(self, within: float) -> None:
        self.within = _share("later.within", within)

    def __call__(self, group: TrainingGroup, random: np.random.Generator, n_items: int) -> TrainingGroup:
        """Leaves targets out; see `Augmentation`."""
        shown, target_BL = group.histories, group.target_BL
        dropped_BL = (shown.now_BL <= shown.time_BL) & (_uniform(random, target_BL) >= self.within)
        asked_BL = target_BL.masked_fill(dropped_BL, n_items)
        some_B1 = (asked_BL < n_items).any(dim=1, keepdim=True)
        return TrainingGroup(shown, torch.where(some_B1, asked_BL, target_BL))


BREAKS_TIES: dict[type, str] = {ItemDrop: "item_drop", Later: "later", Mask: "mask", Reorder: "reorder"}
"""Steps after which the target of a position is no longer the next input: nothing is left to shuffle, or a reordered
item would be shown before what came earlier."""


class AugmentedBatches:
    """Training batches whose windows are augmented.

    Chance is drawn for the whole batch by every process, from the seed, the epoch and the batch's place in it: results
    depend neither on the number of processes nor on where a run was resumed.

    Args:
        batches: the batches; their shard is this process's part of the augmented ones.
        steps: what happens to the windows, in this order.
    """

    def __init__(self, batches: TrainingBatches, steps: Sequence[Augmentation]) -> None:
        self.whole, self.shard, self.steps = copy(batches), batches.shard, steps
        self.whole.shard = Shard()

    def __len__(self) -> int:
        return len(self.whole)

    def epoch(self, number: int) -> Iterator[TrainingBatch]:
        """Cuts and augments the batches of an epoch."""
        n_items = self.whole.store.n_items
        for nth, batch in enumerate(self.whole.epoch(number)):
            random, groups = np.random.default_rng([self.whole.seed, number, nth]), batch.groups
            for step in self.steps:
                groups = [step(group, random, n_items) for group in groups]
            n_targets = sum(int((group.target_BL < n_items).sum()) for group in groups)
            yield TrainingBatch(self._mine(groups), n_targets)

    def _mine(self, groups: Sequence[TrainingGroup]) -> list[TrainingGroup]:
        """Takes every world-th window."""
        first, mine = self.shard.rank, []
        for group in groups:
            row = torch.tensor(range(first, len(group.target_BL), self.shard.world), dtype=torch.int64)
            first = (first - len(group.target_BL)) % self.shard.world
            if len(row):
                mine.append(_rows(group, row))
        return mine


def augmented(batches: TrainingBatches, steps: Sequence[Augmentation]) -> TrainingBatches | AugmentedBatches:
    """Returns the batches, augmented if there is a step.

    Raises:
        ConfigError: ties would be shuffled in windows that no longer say what followed what.
    """
    for place, step in enumerate(steps):
        before = [BREAKS_TIES[type(earlier)] for earlier in steps[:place] if type(earlier) in BREAKS_TIES]
        if isinstance(step, ShuffleTies) and before:
            raise ConfigError(
                f"augmentation: {before[0]} comes before shuffle_ties, which then cannot tell what followed what; "
                f"write augmentation=[shuffle_ties,{before[0]}]."
            )
    return AugmentedBatches(batches, steps) if steps else batches


def _append(values_BL: Tensor, behind_B1: Tensor, value_B: Tensor, padding: int) -> Tensor:
    """Adds a column, and writes a value right behind what is real, `(B, L + 1)`."""
    wider_BM = torch.nn.functional.pad(values_BL, (0, 1), value=padding)
    return wider_BM.scatter(1, behind_B1, value_B[:, None])


def _share(key: str, value: float) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"augmentation.{key}={value} must be from 0 to 1.")
    return value


def _uniform(random: np.random.Generator, like: Tensor) -> Tensor:
    """Draws a number from 0 to 1 for each element, float64."""
    return torch.from_numpy(random.random(tuple(like.shape)))


def _stretch(size_B: Tensor, length_B: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Places a stretch of a given size in each window, anywhere: its start and end, int64 `(B,)`."""
    size_B = size_B.long().clamp(max=length_B)
    start_B = (_uniform(random, length_B) * (length_B - size_B + 1)).long()
    return start_B, start_B + size_B


def _keep(group: TrainingGroup, kept_BL: Tensor, n_items: int) -> TrainingGroup:
    """Moves the kept positions of each window together."""
    asked_B = (kept_BL & (group.target_BL < n_items)).any(dim=1)
    kept_BL = torch.where(asked_B[:, None], kept_BL, group.histories.real_BL())
    length_B = kept_BL.sum(dim=1)
    place_BL = (~kept_BL).to(torch.uint8).argsort(dim=1, stable=True)
    # Padding repeats the last kept position, but for item and target.
    last_B1 = place_BL.gather(1, length_B[:, None] - 1)
    real_BL = torch.arange(kept_BL.shape[1]) < length_B[:, None]
    place_BL = torch.where(real_BL, place_BL, last_B1)
    shown = group.histories
    item_BL, target_BL = (
        values_BL.gather(1, place_BL).masked_fill(~real_BL, n_items) for values_BL in (shown.item_BL, group.target_BL)
    )
    time_BL, now_BL = (values_BL.gather(1, place_BL) for values_BL in (shown.time_BL, shown.now_BL))
    shown = replace(shown, item_BL=item_BL, time_BL=time_BL, length_B=length_B, now_BL=now_BL)
    return _rows(TrainingGroup(shown, target_BL), torch.arange(len(length_B)))


def _rows(group: TrainingGroup, row: Tensor) -> TrainingGroup:
    """Returns some of the windows, no wider than the longest of them."""
    end = int(group.histories.length_B[row].max())

    def some(values: Any) -> Any:
        return None if values is None else values[row] if values.ndim == 1 else values[row, :end]

    columns = {field.name: some(getattr(group.histories, field.name)) for field in fields(Histories)}
    return TrainingGroup(Histories(**columns), group.target_BL[row, :end])
