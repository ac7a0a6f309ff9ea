"""Cross-entropy of two classes. Shape suffixes: E examples."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ltsi.losses.click import ClickLoss


class TwoClass(ClickLoss):
    """`−Σ [y log σ(z) + (1 − y) log(1 − σ(z))]`.

    One logit is a softmax over two classes: only the difference of two logits counts, `σ(z₁ − z₀) = softmax(z)₁`.
    Computed in single precision at least: mixed precision hands over logits of half precision.
    """

    def __call__(self, logit_E: Tensor, label_E: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `ClickLoss`."""
        return functional.binary_cross_entropy_with_logits(logit_E.to(label_E.dtype), label_E, reduction="sum")
