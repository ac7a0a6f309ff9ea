"""What follows what: counts of consecutive pairs in training. The short view that needs no network.

Shape suffixes: B histories, I items, E different pairs, n recent events.
Source: Rendle et al. 2010, "Factorizing Personalized Markov Chains for Next-Basket Recommendation", section 4 (the
chain before it is factorised).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ltsi.histories import Histories
from ltsi.models.interest import InterestModel
from ltsi.models.popularity import count_items
from ltsi.models.votes import add_votes
from ltsi.sequences.split import Split

NO_VOTES = -50.0
"""Logarithm of all votes behind an empty history: the constant by which popularity is told from evidence."""


class Transitions(InterestModel):
    """p(item) in proportion to `Σ_k fade^k · count(k-th last item → item)`; uniform where nothing was ever counted.

    An empty history is answered with popularity.

    Args:
        n_items: size of the catalogue.
        steps: how many of the last events vote.
        fade: weight of each step back relative to the one after it.
    """

    offset_I: Tensor
    next_E: Tensor
    count_E: Tensor
    prior_I: Tensor

    def __init__(self, n_items: int, steps: int = 5, fade: float = 0.5) -> None:
        super().__init__()
        self.n_items, self.steps, self.fade = n_items, steps, fade
        self.register_buffer("offset_I", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("next_E", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("count_E", torch.zeros(0))
        self.register_buffer("prior_I", torch.full((n_items,), NO_VOTES))

    def fit_statistics(self, split: Split) -> None:
        """Counts consecutive pairs of each user's training events."""
        shape = (self.n_items, self.n_items)
        counts = sparse.csr_array(shape, dtype=np.float32)
        for block in split.training_blocks():
            inside = np.ones(len(block.item), dtype=bool)
            inside[block.offsets[:-1][np.diff(block.offsets) > 0]] = False
            to = np.flatnonzero(inside)
            pairs = (np.ones(len(to), dtype=np.float32), (block.item[to - 1], block.item[to]))
            counts = counts + sparse.csr_array(sparse.coo_array(pairs, shape=shape))
        counts.sort_indices()
        device = self.count_E.device
        self.prior_I = (count_items(split).log().log_softmax(0) + NO_VOTES).to(device)
        self.offset_I = torch.from_numpy(counts.indptr.astype(np.int64)).to(device)
        self.next_E = torch.from_numpy(counts.indices.astype(np.int64)).to(device)
        self.count_E = torch.from_numpy(counts.data.astype(np.float32)).to(device)

    def votes(self, histories: Histories) -> Tensor:
        """Returns the weighted counts, `(B, I)`: the evidence, before it is made a distribution."""
        item_Bn, _, real_Bn = histories.recent(self.steps)
        votes_BI = self.count_E.new_zeros(len(histories), self.n_items)
        for step in range(min(self.steps, item_Bn.shape[1])):
            row_R = torch.nonzero(real_Bn[:, step]).squeeze(1)
            item_R = item_Bn[row_R, step]
            say_R = votes_BI.new_full((len(row_R),), self.fade**step)
            add_votes(votes_BI, row_R, item_R, say_R, self.offset_I, self.next_E, self.count_E)
        return votes_BI

    def evidence(self, score_BI: Tensor, mass_B: Tensor) -> Tensor:
        """Returns the logarithm of the weighted counts behind each row, one more than counted, `(B,)`."""
        # Rows without a vote are all zeros, the logarithm of a uniform distribution's common factor.
        voted_B = score_BI.ne(0).any(dim=1)
        return torch.where(voted_B, mass_B.exp().log1p(), 0.0)

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        votes_BI = self.votes(histories)
        # Only voted cells take a logarithm: that of zero is many times slower, and nearly all cells are zero.
        row_P, item_P = votes_BI.nonzero(as_tuple=True)
        logarithm_P = votes_BI[row_P, item_P].log_()
        score_BI = votes_BI.fill_(0.0).index_fill_(0, row_P.unique(), -torch.inf)
        score_BI[row_P, item_P] = logarithm_P
        score_BI[histories.length_B == 0] = self.prior_I
        return score_BI
