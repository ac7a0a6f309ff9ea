"""Full ranking: the place of each target among the whole catalogue, without sorting.

Shapes: B targets in a batch, I items of the catalogue, H hidden (row, item) pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ltsi.errors import RunError

# Comparisons go through a buffer that stays in the cache of each core: one pass over the scores instead of three. A row
# is never cut, so a catalogue larger than this takes one row at a time.
_BLOCK_ELEMENTS_PER_CORE = 2**18
_BLOCK_ELEMENTS_OTHER_DEVICE = 2**24
_EXACT_IN_FLOAT32 = 2**24

MISSED = 2**31 - 1
"""Rank of a target that cannot be recommended: after every item of every catalogue, whatever the cut-off. Right behind
the last item it would be a hit at a cut-off beyond the catalogue."""


def target_ranks(
    scores_BI: Tensor, target_B: Tensor, hidden_rows_H: Tensor | None = None, hidden_items_H: Tensor | None = None
) -> Tensor:
    """Ranks each target among all items that may be recommended.

    `rank = 1 + #(score > target's) + floor(#(other items whose score equals the target's) / 2)`: ties count half, so
    that a model that gives every item the same score lands in the middle and not on top. Scores of −inf (the logarithm
    of a probability of zero) are ordinary scores: a target at −inf ties with all the others there.

    A hidden item (one the user has seen, when seen items are not to be recommended again) counts neither as greater nor
    as equal. A target that is itself hidden cannot be recommended: its rank is `MISSED`, a miss at every cut-off. The
    scores are not modified.

    Args:
        scores_BI: floating point `(B, I)`, the higher the better; any device.
        target_B: int64 `(B,)`, the item to be found.
        hidden_rows_H: int64 `(H,)`, row of each hidden pair; None hides nothing. Repeated pairs count once.
        hidden_items_H: int64 `(H,)`, item of each hidden pair.

    Returns:
        int64 `(B,)`, from 1 (best) to I, or `MISSED` where the target is hidden.

    Raises:
        RunError: a score is NaN, as after a training that diverged.
    """
    n_rows, n_items = scores_BI.shape
    target_score_B = scores_BI.gather(1, target_B[:, None]).squeeze(1)
    greater_B, equal_B = _count_greater_and_equal(scores_BI, target_score_B)
    missed_B = torch.zeros(n_rows, dtype=torch.bool, device=scores_BI.device)
    if hidden_rows_H is not None and hidden_items_H is not None and len(hidden_rows_H):
        pairs = torch.unique(hidden_rows_H * n_items + hidden_items_H)
        rows, items = pairs // n_items, pairs % n_items
        hidden_score, target_score = scores_BI[rows, items], target_score_B[rows]
        greater_B.index_add_(0, rows, -(hidden_score > target_score).long())
        equal_B.index_add_(0, rows, -(hidden_score == target_score).long())
        missed_B[rows[items == target_B[rows]]] = True
    others_B = equal_B - 1
    return torch.where(missed_B, MISSED, 1 + greater_B + others_B.div(2, rounding_mode="floor"))


def _count_greater_and_equal(scores_BI: Tensor, target_score_B: Tensor) -> tuple[Tensor, Tensor]:
    """Counts, for each row, the scores above and at the target's (the target itself included).

    Comparisons are written as floating point numbers because summing booleans is several times slower on a CPU; the
    sums are whole numbers that the type holds exactly.
    """
    n_rows, n_items = scores_BI.shape
    on_cpu = scores_BI.device.type == "cpu"
    budget = _BLOCK_ELEMENTS_PER_CORE * torch.get_num_threads() if on_cpu else _BLOCK_ELEMENTS_OTHER_DEVICE
    block = max(1, min(n_rows, budget // max(n_items, 1)))
    exact = torch.float32 if n_items < _EXACT_IN_FLOAT32 else torch.float64
    buffer = torch.empty((block, n_items), dtype=exact, device=scores_BI.device)
    greater_B, equal_B, largest_B = (torch.empty(n_rows, dtype=exact, device=scores_BI.device) for _ in range(3))
    for first in range(0, n_rows, block):
        rows = slice(first, min(first + block, n_rows))
        scores, target = scores_BI[rows], target_score_B[rows, None]
        compared = buffer[: len(scores)]
        torch.sum(torch.gt(scores, target, out=compared), dim=1, out=greater_B[rows])
        torch.sum(torch.eq(scores, target, out=compared), dim=1, out=equal_B[rows])
        largest_B[rows] = scores.amax(dim=1)  # a maximum passes NaN on, comparisons do not
    not_a_number = torch.isnan(largest_B).nonzero()
    if len(not_a_number):
        raise RunError(
            f"The model gives scores that are NaN (row {int(not_a_number[0])} of a batch of {n_rows} is the first): "
            "its training diverged; train again with a lower learning rate or gradient clipping."
        )
    return greater_B.long(), equal_B.long()
