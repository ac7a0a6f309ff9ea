"""Item-based nearest neighbours: items are alike whose users are, or whose users took them close to each other.

The weighting and the neighbours are those of the library `implicit`; pairs that fade are counted here.

Shape suffixes: B histories, I items, E events of a block, P pairs of events.
Sources: Sarwar et al. 2001, "Item-Based Collaborative Filtering Recommendation Algorithms" (cosine); Robertson and
Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond"; Ding and Li 2005, "Time Weight Collaborative
Filtering" (fading histories).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize, tfidf_weight
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.errors import ConfigError
from ltsi.models.fading import Fading
from ltsi.models.linear import count_interactions, leave_out, without_users
from ltsi.models.neighbours import NeighbourModel
from ltsi.sequences.split import Split, TrainingBlock
from ltsi.sparse_sum import SparseSum

Weighting = Callable[[sparse.csr_matrix], sparse.coo_matrix]

# Of a table of items and users.
WEIGHTINGS: dict[str, Weighting] = {
    "cosine": normalize,
    "tfidf": lambda counts: normalize(tfidf_weight(counts)),
    "bm25": lambda counts: bm25_weight(counts, K1=1.2, B=0.75),
}

PAIR_STEPS = 100
"""Events of a user further apart than this are no pair, where pairs fade."""


class ItemKnn(NeighbourModel):
    """`s_i = Σ_j w_j · similarity(j, i)`, over the events j of the faded history w.

    `similarity(i, j) = Σ_u v_ui · v_uj`, over users u with weights v: counts made of length one for each item
    (`cosine`), the same with the weight of a user who took much lowered (`tfidf`), or saturated counts (`bm25`). Pairs
    may fade: each product is then multiplied by the mean, over the user's events of the two items, of
    `pair_fade^(steps between) · 2^(−time between / pair_half_life)`, so that what is taken close together is alike.

    Args:
        n_items: size of the catalogue.
        similarity: cosine, tfidf or bm25.
        neighbours: most similar items that an item votes for; itself is none of them.
        fade: weight of an event of the history relative to the one after it; 1: a plain history.
        half_life: days after which half of an event's weight is left; None: time does not matter.
        pair_fade: weight of a pair for each step between its events; 1: steps do not matter.
        pair_half_life: days between two events that halve the weight of their pair; None: time does not matter.

    Raises:
        ConfigError: a value is out of its range.
    """

    def __init__(
        self,
        n_items: int,
        similarity: str = "cosine",
        neighbours: int = 200,
        fade: float = 0.7,
        half_life: float | None = None,
        pair_fade: float = 0.8,
        pair_half_life: float | None = None,
    ) -> None:
        super().__init__(n_items, Fading(fade, half_life), neighbours)
        if similarity not in WEIGHTINGS:
            raise ConfigError(f"model.similarity={similarity} must be one of: {', '.join(WEIGHTINGS)}.")
        if not 0 < pair_fade <= 1:
            raise ConfigError(f"model.pair_fade={pair_fade} must be above 0 and at most 1; 1: steps do not matter.")
        if pair_half_life is not None and pair_half_life <= 0:
            raise ConfigError(f"model.pair_half_life={pair_half_life} must be above 0 days, or null.")
        self.similarity, self.pair_fade, self.pair_half_life = similarity, pair_fade, pair_half_life

    def fit_statistics(self, split: Split) -> None:
        """Compares all items on the training part, first without the users that the sharpness is fitted on.

        Raises:
            DataError: `half_life` or `pair_half_life` is given and the log has no clock.
        """
        super().fit_statistics(split)
        if self.pair_half_life is not None:
            split.store.require_clock("model.pair_half_life")
        counts = count_interactions(split)
        left_out = leave_out(split)
        if len(left_out):
            self.keep(self._rows(split, without_users(counts, left_out.targets.user)))
            self.fit_sharpness(left_out)
        self.keep(self._rows(split, counts))

    def _rows(self, split: Split, counts: sparse.csr_matrix) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields the similarities, pruned."""
        # An item that everybody took, or a user who took everything, can weigh nothing: 0 / 0.
        with np.errstate(divide="ignore", invalid="ignore"):
            weighted = sparse.csr_matrix(WEIGHTINGS[self.similarity](counts.T).T)
        weighted.data = np.nan_to_num(weighted.data)
        if self.pair_fade == 1 and self.pair_half_life is None:
            # One more, for the library counts the item itself.
            library = ItemItemRecommender(K=self.neighbours + 1)
            library.fit(weighted, show_progress=False)
            alike = library.similarity
        else:
            alike = self._fading_pairs(split, weighted)
        yield _strongest(alike, self.neighbours)

    def _fading_pairs(self, split: Split, weighted: sparse.csr_matrix) -> sparse.csr_matrix:
        """Adds up the pairs of all users, `(I, I)`."""
        pairs = SparseSum((self.n_items, self.n_items))
        for block in split.training_blocks():
            user_E, item_E = block.user(), block.item
            # Several events of a user and an item share its weight.
            _, same_E, count = np.unique(user_E * self.n_items + item_E, return_inverse=True, return_counts=True)
            value_E = np.asarray(weighted[user_E, item_E]).ravel() / count[same_E]
            for steps in range(1, min(PAIR_STEPS + 1, int(np.diff(block.offsets).max(initial=1)))):
                first_P = np.flatnonzero(user_E[steps:] == user_E[:-steps])
                weight_P = value_E[first_P] * value_E[first_P + steps] * self._left(block, first_P, steps)
                pairs.add(weight_P.astype(np.float32), item_E[first_P], item_E[first_P + steps])
        total = pairs.total()
        # The library knows matrices only.
        return sparse.csr_matrix(total + total.T)

    def _left(self, block: TrainingBlock, first_P: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
        """Returns what is left of pairs of events that are some steps apart, `(P,)`."""
        left_P = np.full(len(first_P), self.pair_fade**steps)
        if self.pair_half_life is not None:
            days_P = (block.time[first_P + steps] - block.time[first_P]) / SECONDS_PER_DAY
            left_P *= np.exp2(-days_P / self.pair_half_life)
        return left_P


def _strongest(weights: sparse.csr_matrix, n_kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keeps the largest weights of each row and none of the diagonal, as `ltsi.models.neighbours.strongest`."""
    coo = weights.tocoo()
    real = (coo.row != coo.col) & (coo.data != 0)
    row, column, value = coo.row[real], coo.col[real], coo.data[real]
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    size = np.bincount(row, minlength=weights.shape[0])
    kept = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size) < n_kept
    parts = (np.minimum(size, n_kept), column[kept], value[kept])
    sizes, columns, values = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    return sizes, columns, values
