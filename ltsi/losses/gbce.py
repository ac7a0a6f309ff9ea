"""Generalised binary cross-entropy: what drawing few negatives does to the probabilities is put right.

Shape suffixes: N positions, k negatives of a position, E width of what is compared, I items.
Source: Petrov & Macdonald 2023, "gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative
Sampling" (the loss gBCE, and β by the calibration t).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ltsi.losses.drawn_logits import drawn_logits
from ltsi.losses.negatives import Negatives
from ltsi.losses.next_item import Catalogue


class Gbce:
    """`−(β log σ(s_target) + Σ_j log(1 − σ(s_j))) / (k + 1)`, over k uniform negatives of each position.

    `β = α (t (1 − 1/α) + 1/α)` with `α = k / (I − 1)`, the share of the negatives that is drawn. With t = 0 β is 1,
    which is plain binary cross-entropy; with t = 1 β is α, and σ(s) learns the true probability.

    A position never draws its own target; it may draw other items of its user, which a loss does not know.

    Args:
        negatives: k, items drawn for each position.
        t: calibration, from 0 to 1.
    """

    def __init__(self, negatives: int = 256, t: float = 0.75) -> None:
        if not 0 <= t <= 1:
            raise ValueError(f"t={t} must be from 0 to 1")
        self.negatives, self.t = Negatives(negatives), t

    def beta(self, n_items: int) -> float:
        """Returns β for a catalogue; more negatives than it has count as all of them."""
        alpha = min(1.0, self.negatives.count / max(n_items - 1, 1))
        return self.t * (alpha - 1) + 1

    def __call__(self, state_NE: Tensor, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        own_N, drawn_Nk = drawn_logits(self.negatives, state_NE, catalogue, target_N)
        own = self.beta(catalogue.n_items) * functional.softplus(-own_N).sum()
        return (own + functional.softplus(drawn_Nk).sum()) / (self.negatives.count + 1)
