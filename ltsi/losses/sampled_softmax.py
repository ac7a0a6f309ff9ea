"""Softmax cross-entropy against items drawn at random: a step's cost no longer grows with the catalogue.

Shape suffixes: N positions, D width, I items, S drawn items.
Sources: Bengio & Senécal 2008, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language
Model"; Klenitskiy & Vasilev 2023, "Turning Dross Into Gold Loss" (thousands of uniform negatives in place of one).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


class SampledSoftmax:
    """`log(exp(s_target) + Σ_{i≠target} exp(s_i)) − s_target`, with the sum estimated from items drawn for each batch.

    All positions of a batch share the drawn items, uniform and with repetition. The estimate
    `(I − 1) / S' · Σ_j exp(s_j)`, over the S' of them that are not the target, is the full sum on average; for uniform
    draws this constant is the whole logQ correction.

    Computed in the precision of the item vectors.

    Args:
        negatives: items drawn for each batch.
    """

    def __init__(self, negatives: int = 2048) -> None:
        if negatives < 1:
            raise ValueError(f"negatives={negatives} must be at least 1")
        self.negatives = negatives

    def __call__(self, state_ND: Tensor, vector_ID: Tensor, target_N: Tensor) -> Tensor:
        """Returns the summed loss, a scalar; see `NextItemLoss`."""
        state_ND, n_items = state_ND.to(vector_ID.dtype), len(vector_ID)
        drawn_S = torch.randint(n_items, (self.negatives,), device=vector_ID.device)
        logit_NS = state_ND @ functional.embedding(drawn_S, vector_ID).T
        hit_NS = drawn_S == target_N[:, None]
        logit_NS = logit_NS.masked_fill(hit_NS, -torch.inf)
        missed_N = (self.negatives - hit_NS.sum(dim=1)).clamp(min=1)
        others_N = logit_NS.logsumexp(dim=1) + (math.log(max(n_items - 1, 1)) - missed_N.log())
        target_logit_N = (state_ND * functional.embedding(target_N, vector_ID)).sum(dim=1)
        return (torch.logaddexp(target_logit_N, others_N) - target_logit_N).sum()
