"""What earlier events with the item in question, or with its category, still leave: interest that fades.

Shape suffixes: B histories, L positions, E examples, I items, J items and padding, K rates, P events that match.
Source: Anderson et al. 2014, "The Dynamics of Repeat Consumption"; here the decay is `I(t) = I0 · exp(−λt)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.examples import Examples
from ltsi.sequences.split import Split
from ltsi.store import NO_LABEL

CATEGORY = "category"
"""The column of the item table that says what an item is."""

BLOCK = 2**22
"""Pairs of an example and an event that are compared at a time."""

SHORT = 0.1
"""Where the shortest half-life begins: at this quantile of a user's gaps. The longest begins at the longest span."""


class Traces(nn.Module):
    """The logarithm of one more than what events leave, for each of K half-lives, which are learned.

    `log(1 + Σ_l 2^(−age_l / half_life_k))`, over the events l of the history with the item, and over those with its
    category. Where negatives are drawn among what a user has not taken, whether the item was taken gives the answer
    away: there only other items of the category are looked at.

    Args:
        n_items: size of the catalogue.
        rates: K.
        of_items: whether events with the item itself are looked at, as such and among those with its category.
    """

    category_J: Tensor
    start_K: Tensor

    def __init__(self, n_items: int, rates: int, of_items: bool) -> None:
        super().__init__()
        self.n_items, self.rates, self.of_items = n_items, rates, of_items
        # Items without a category are of none: they match nothing.
        self.register_buffer("category_J", torch.full((n_items + 1,), -1))
        self.register_buffer("start_K", torch.full((rates,), float(SECONDS_PER_DAY)).log())
        # Relative to where they begin: weight decay pulls them there.
        self.change_K = nn.Parameter(torch.zeros(rates))

    @property
    def half_life_K(self) -> Tensor:
        """The half-lives in seconds, or in events where there is no clock, `(K,)`."""
        return (self.start_K + self.change_K).exp()

    @property
    def width(self) -> int:
        """Numbers for an example: K for the item, K for the category."""
        return 2 * self.rates

    @torch.no_grad()
    def fit_statistics(self, split: Split) -> None:
        """Reads the categories, and lets half-lives begin between the gaps and the spans of the training part."""
        if CATEGORY in split.store.items.columns:
            codes, labels = split.store.item_codes(CATEGORY)
            code_I = np.where(np.asarray(labels)[codes] == NO_LABEL, -1, codes.astype(np.int64))
            self.category_J[:-1] = torch.from_numpy(code_I).to(self.category_J.device)
        gaps, longest = [], 1.0
        for block in split.training_blocks():
            same = np.diff(block.user()) == 0
            gaps.append(np.diff(block.time)[same & (np.diff(block.time) > 0)])
            first = np.flatnonzero(np.append(True, ~same))
            last = np.append(first[1:], len(block.time)) - 1
            longest = max(longest, float((block.time[last] - block.time[first]).max(initial=0)))
        gap = np.concatenate([*gaps, np.empty(0, dtype=np.int64)])
        shortest = min(float(np.quantile(gap, SHORT)) if len(gap) else 1.0, longest)
        half_life_K = torch.from_numpy(np.geomspace(shortest, longest, self.rates))
        self.start_K.copy_(half_life_K.log())

    def forward(self, groups: Sequence[Examples]) -> Tensor:
        """Returns the traces of the examples, `(E, 2K)`, group after group."""
        return torch.cat([part for group in groups for part in self._of(group)])

    def _of(self, group: Examples) -> list[Tensor]:
        size = max(1, BLOCK // group.histories.item_BL.shape[1])
        return [self._block(group, rows) for rows in torch.arange(len(group), device=group.row_E.device).split(size)]

    def _block(self, group: Examples, which_E: Tensor) -> Tensor:
        shown, row_E = group.histories, group.row_E[which_E]
        position_E, asked_E = group.position_E[which_E], group.item_E[which_E]
        item_EL = shown.item_BL[row_E]
        earlier_EL = torch.arange(item_EL.shape[1], device=item_EL.device) <= position_E[:, None]
        earlier_EL &= item_EL < self.n_items
        category_E1 = self.category_J[asked_E, None]
        same_EL = item_EL == asked_E[:, None]
        alike_EL = (self.category_J[item_EL] == category_E1) & (category_E1 >= 0)
        if not self.of_items:
            alike_EL &= ~same_EL
            same_EL.zero_()
        now_E = shown.now_BL[row_E, position_E.clamp(min=0)]
        half_life_K, traces = self.half_life_K, []
        for match_EL in (same_EL, alike_EL):
            example_P, position_P = (match_EL & earlier_EL).nonzero(as_tuple=True)
            age_P = (now_E[example_P] - shown.time_BL[row_E[example_P], position_P]).clamp(min=0)
            left_PK = torch.exp2(-age_P[:, None].to(half_life_K.dtype) / half_life_K)
            trace_EK = left_PK.new_zeros(len(which_E), self.rates).index_add(0, example_P, left_PK)
            traces.append(trace_EK.log1p())
        return torch.cat(traces, dim=1)
