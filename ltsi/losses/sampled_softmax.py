"""Softmax cross-entropy against items drawn at random: a step's cost no longer grows with the catalogue.

Shape suffixes: N positions, R positions of one block, E width of what is compared, I items, U different items that were
drawn, K drawn items and targets, C columns: U, and the target's own.
Sources: Bengio & Senécal 2008, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language
Model" (the logQ correction); Klenitskiy & Vasilev 2023, "Turning Dross Into Gold Loss" (thousands of negatives in place
of one).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ltsi.losses.blocks import BlockLoss, blocked_loss
from ltsi.losses.negatives import Negatives, SharedDraw
from ltsi.losses.next_item import Catalogue, own_logits
from ltsi.losses.softmax import LN_2, CrossEntropy


class SampledSoftmax:
    """`log(exp(s_target) + Σ_{i≠target} exp(s_i)) − s_target`, with the sum estimated from items drawn for each batch.

    All positions of a batch share the drawn items, drawn with repetition by `q_i ∝ popularity_i ^ power`. The estimate
    `(1 − q_target) / S' · Σ_j exp(s_j) / q_j`, over the S' draws that are not the target, is the full sum on average:
    a draw that hits the target does not count against it, and those that miss it are draws among the others.

    Computed in the precision of the item vectors.

    Args:
        negatives: items drawn for each batch.
        power: how drawing follows popularity; see `Negatives`.
    """

    def __init__(self, negatives: int = 2048, power: float = 0.0) -> None:
        self.negatives = Negatives(negatives, power)

    def __call__(self, state_NE: Tensor, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        draw = self.negatives.shared(catalogue, target_N)
        vector_KE, place = catalogue.look_up(torch.cat([draw.item_U, target_N]))
        place_U, place_N = place.split([len(draw.item_U), len(target_N)])
        state_NE = state_NE.to(vector_KE.dtype) / LN_2
        # What multiplies the sum of a position is taken off its own logit: a softmax looks at differences only.
        missed_N = draw.missed_N
        log_scale_N = torch.where(missed_N > 0, torch.log1p(-draw.p_N) - missed_N.log(), 0.0)
        own_N = own_logits(state_NE, vector_KE, place_N) - log_scale_N.to(vector_KE.dtype) / LN_2
        loss = _DrawnCrossEntropy(draw, vector_KE.dtype)
        return blocked_loss(loss, state_NE, functional.embedding(place_U, vector_KE), own_N, draw.block)


class _DrawnCrossEntropy(BlockLoss):
    """Cross-entropy of the own column against those of the drawn items, corrected, without those that are the target.

    Of logits in bits; see `CrossEntropy`.

    Args:
        draw: the items.
        dtype: precision of the logits.
    """

    def __init__(self, draw: SharedDraw, dtype: torch.dtype) -> None:
        self.draw = draw
        self.bits_U = (draw.count_U.log2() - draw.p_U.log2()).to(dtype)
        self.cross_entropy = CrossEntropy(torch.full_like(draw.column_N, len(draw.item_U)))

    def __call__(self, logit_RC: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """Computes loss and gradient; see `BlockLoss`."""
        logit_RC[:, :-1] += self.bits_U
        logit_RC[self.draw.hits(rows)] = -torch.inf
        return self.cross_entropy(logit_RC, rows)
