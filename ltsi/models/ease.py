"""EASE: the linear autoencoder over items, solved in closed form.

Shape suffixes: B histories, I items, K items that take part, N left-out users, R rows of a block.
Sources: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", eq. 8; Woodbury 1950, "Inverting Modified
Matrices", for the users that are left out at first.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.models.fading import Fading
from ltsi.models.linear import count_interactions, leave_out, without_users
from ltsi.models.neighbours import NeighbourModel, strongest
from ltsi.sequences.split import Split

BLOCK = 1024
"""Rows of the dense matrix that are worked on at a time."""


class Ease(NeighbourModel):
    """Each item is predicted from the other items of a user: `s = w · B`, for the faded history w.

    `B` minimises `‖X − X B‖² + l2 ‖B‖²` with a diagonal of zeros, where `X` says which user took which item:
    `B = I − P · diag(P)⁻¹`, with `P = (XᵀX + l2 · I)⁻¹`. One dense float32 matrix over the items is held while it is
    fitted, and worked on in place: 0.6 GB for 12,000 items, 1.6 GB for 20,000, and a time that grows with the cube. In
    a larger catalogue than `max_items` only the most taken items take part; the others neither vote nor are voted for.

    Args:
        n_items: size of the catalogue.
        l2: weight of the penalty, in users.
        fade: weight of an event of the history relative to the one after it; 1: a plain history.
        half_life: days after which half of an event's weight is left; None: time does not matter.
        neighbours: weights an item keeps, those of largest magnitude; 500 rank as well as all (Beauty, MovieLens-1M).
        max_items: items that take part, at most.

    Raises:
        ConfigError: a value is out of its range.
    """

    def __init__(
        self,
        n_items: int,
        l2: float = 50.0,
        fade: float = 0.7,
        half_life: float | None = None,
        neighbours: int = 500,
        max_items: int = 20_000,
    ) -> None:
        super().__init__(n_items, Fading(fade, half_life), neighbours)
        if l2 <= 0:
            raise ConfigError(f"model.l2={l2} must be above 0.")
        if max_items < 1:
            raise ConfigError(f"model.max_items={max_items} must be at least 1.")
        self.l2, self.max_items = l2, max_items

    def fit_statistics(self, split: Split) -> None:
        """Solves for B on the training part, first without the users that the sharpness is fitted on.

        Raises:
            DataError: `half_life` is given and the log has no clock.
        """
        super().fit_statistics(split)
        taken = count_interactions(split)
        taken.data[:] = 1.0
        taken_I = np.asarray(taken.sum(axis=0)).ravel()
        kept_K = np.sort(np.argsort(-taken_I, kind="stable")[: self.max_items])
        taken = taken[:, kept_K]
        left_out = leave_out(split)
        inverse_KK = _inverse(without_users(taken, left_out.targets.user), self.l2)
        if len(left_out):
            self.keep([self._weights(inverse_KK, kept_K)])
            self.fit_sharpness(left_out)
            _add_users(inverse_KK, taken[left_out.targets.user])
        self.keep([self._weights(inverse_KK, kept_K)])

    def _weights(self, inverse_KK: Tensor, kept_K: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns B, pruned: the number of weights of each item of the catalogue, their columns, their values."""
        scale_K, blocks = -1.0 / inverse_KK.diagonal(), []
        for first in range(0, len(kept_K), BLOCK):
            weight_RK = inverse_KK[first : first + BLOCK] * scale_K
            weight_RK.diagonal(first).zero_()
            blocks.append(strongest(weight_RK, self.neighbours))
        sizes, columns, values = (torch.cat(part) for part in zip(*blocks, strict=True))
        size_I = torch.zeros(self.n_items, dtype=torch.int64)
        size_I[torch.from_numpy(kept_K)] = sizes
        return size_I, torch.from_numpy(kept_K)[columns], values


def _inverse(taken: sparse.csr_matrix, l2: float) -> Tensor:
    """Returns `(XᵀX + l2 · I)⁻¹`, float32 `(I, I)`, the only dense matrix on the way."""
    n_items = taken.shape[1]
    users_of_item = sparse.csr_matrix(taken.T)
    matrix_II: NDArray[np.float32] = np.empty((n_items, n_items), dtype=np.float32)
    for first in range(0, n_items, BLOCK):
        matrix_II[first : first + BLOCK] = (users_of_item[first : first + BLOCK] @ taken).toarray()
    matrix_II[np.diag_indices(n_items)] += l2
    # LAPACK reads columns; the matrix is its own transpose, so nothing has to be copied.
    factor_II, failed = lapack.spotrf(matrix_II.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise ConfigError(f"model.l2={l2} is too small for single precision; give a larger one.")
    inverse_II, _ = lapack.spotri(factor_II, lower=1, overwrite_c=1)
    return _mirrored(torch.from_numpy(inverse_II.T))


def _mirrored(upper_II: Tensor) -> Tensor:
    """Fills the lower triangle with the upper one, in place."""
    for first in range(0, len(upper_II), BLOCK):
        last = first + BLOCK
        upper_II[last:, first:last] = upper_II[first:last, last:].T
        corner_RR = upper_II[first:last, first:last]
        corner_RR.copy_(corner_RR.triu() + corner_RR.triu(1).T)
    return upper_II


def _add_users(inverse_II: Tensor, taken_NI: sparse.csr_matrix) -> None:
    """Brings users into an inverse that was computed without them, in place, by Woodbury's identity."""
    seen_NI = torch.from_numpy(taken_NI @ inverse_II.numpy())
    core_NN = torch.from_numpy(taken_NI @ seen_NI.T.numpy())
    core_NN.diagonal().add_(1.0)
    half_NI = torch.linalg.solve_triangular(torch.linalg.cholesky(core_NN), seen_NI, upper=False)
    inverse_II.addmm_(half_NI.T, half_NI, alpha=-1.0)
