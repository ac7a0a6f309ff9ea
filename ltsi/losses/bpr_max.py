"""BPR-max: the target against the best of many items drawn at random, by a softmax over them.

Shape suffixes: N positions, R positions of one block, U different items that were drawn, C columns: U, and the
target's own, K drawn items and targets, E width of what is compared.
Source: Hidasi & Karatzoglou 2018, "Recurrent Neural Networks with Top-k Gains for Session-based Recommendations"
(BPR-max with score regularisation, against additional samples).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ltsi.losses.blocks import BlockLoss, blocked_loss
from ltsi.losses.negatives import Negatives, SharedDraw
from ltsi.losses.next_item import Catalogue, own_logits


class BprMax:
    """`−log Σ_j w_j σ(s_target − s_j) + λ Σ_j w_j s_j²` with `w = softmax(s)` over the drawn items.

    All positions of a batch share the drawn items. Those that are the target of a position do not take part there; a
    position with no other item has a loss of zero.

    Computed in the precision of the item vectors.

    Args:
        negatives: items drawn for each batch.
        power: how drawing follows popularity; see `Negatives`.
        regularization: λ, what holds the scores of the drawn items near zero.
    """

    def __init__(self, negatives: int = 2048, power: float = 0.5, regularization: float = 1.0) -> None:
        if not regularization >= 0:
            raise ValueError(f"regularization={regularization} must be at least 0")
        self.negatives, self.regularization = Negatives(negatives, power), regularization

    def __call__(self, state_NE: Tensor, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        draw = self.negatives.shared(catalogue, target_N)
        vector_KE, place = catalogue.look_up(torch.cat([draw.item_U, target_N]))
        place_U, place_N = place.split([len(draw.item_U), len(target_N)])
        state_NE = state_NE.to(vector_KE.dtype)
        own_N, vector_UE = own_logits(state_NE, vector_KE, place_N), functional.embedding(place_U, vector_KE)
        return blocked_loss(_Block(draw, self.regularization), state_NE, vector_UE, own_N, draw.block)


class _Block(BlockLoss):
    """The loss of a block, and its gradient by autograd.

    Args:
        draw: the items.
        regularization: λ.
    """

    def __init__(self, draw: SharedDraw, regularization: float) -> None:
        self.draw, self.regularization, self.log_count_U = draw, regularization, draw.count_U.log()
        self.compared_N = draw.missed_N > 0

    def __call__(self, logit_RC: Tensor, rows: slice) -> tuple[Tensor, None]:
        """Computes loss and gradient; see `BlockLoss`."""
        compared_R = self.compared_N[rows]
        # Softmaxes are faster along what lies together.
        weighed_RU = logit_RC.new_zeros(len(logit_RC), logit_RC.shape[1] - 1)
        weighed_RU[self.draw.hits(rows)] = -torch.inf
        weighed_RU[~compared_R] = 0.0
        weighed_RU += self.log_count_U.to(logit_RC.dtype)
        with torch.enable_grad():
            leaf_RC = logit_RC.detach().contiguous().clone().requires_grad_()
            drawn_RU, own_R1 = leaf_RC[:, :-1], leaf_RC[:, -1:]
            log_weight_RU = (drawn_RU + weighed_RU).log_softmax(dim=1)
            gain_R = (log_weight_RU + functional.logsigmoid(own_R1 - drawn_RU)).logsumexp(dim=1)
            size_R = (log_weight_RU.exp() * drawn_RU.square()).sum(dim=1)
            loss = ((self.regularization * size_R - gain_R) * compared_R).sum()
            (grad_RC,) = torch.autograd.grad(loss, leaf_RC)
        logit_RC.copy_(grad_RC)
        return loss.detach(), None
