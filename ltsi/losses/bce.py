"""Binary cross-entropy against items drawn for each position.

Shape suffixes: N positions, k negatives of a position, E width of what is compared.
Source: Kang & McAuley 2018, "Self-Attentive Sequential Recommendation", section III-E (one negative a position).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ltsi.losses.drawn_logits import drawn_logits
from ltsi.losses.negatives import Negatives
from ltsi.losses.next_item import Catalogue


class Bce:
    """`−log σ(s_target) − Σ_j log(1 − σ(s_j))`, over the negatives that each position draws for itself.

    A position never draws its own target; it may draw other items of its user, which a loss does not know.

    Args:
        negatives: items drawn for each position.
        power: how drawing follows popularity; see `Negatives`.
    """

    def __init__(self, negatives: int = 1, power: float = 0.0) -> None:
        self.negatives = Negatives(negatives, power)

    def __call__(self, state_NE: Tensor, catalogue: Catalogue, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        own_N, drawn_Nk = drawn_logits(self.negatives, state_NE, catalogue, target_N)
        return functional.softplus(-own_N).sum() + functional.softplus(drawn_Nk).sum()
