"""Matrix factorisation by the library `implicit`: alternating least squares, or Bayesian personalised ranking.

Shape suffixes: B histories, L positions, I items, J items and padding, D width, U users.
Sources: Hu et al. 2008, "Collaborative Filtering for Implicit Feedback Datasets", eq. 4 (als); Rendle et al. 2009,
"BPR: Bayesian Personalized Ranking from Implicit Feedback" (bpr).
"""

from __future__ import annotations

import threadpoolctl
import torch
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy import sparse
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.models.fading import Fading
from ltsi.models.linear import LinearModel, count_interactions, leave_out, without_users
from ltsi.sequences.split import Split

ITERATIONS = {"als": 15, "bpr": 100}
"""Passes over the data by algorithm, as the library has them."""


class MatrixFactorisation(LinearModel):
    """`s_i = user · item_i + bias_i`, where the user is folded in from the faded history: nobody has to be known.

    `als`: the user solves the library's own equations for the confidences `alpha · w` of the items in the history, `w`
    being the sum of their faded weights: `(YᵀY + Σ_i c_i y_i y_iᵀ + regularization · I) user = alpha Σ_i w_i y_i`, with
    `c_i = alpha w_i − min(1, w_i)`. For a plain history that is what the library does; an event that has faded away is
    as good as none. No bias.

    `bpr`: the user is the weighted mean of the items in the history, stretched by one number: that which brings such
    means closest to the vectors that the library learned for the training users.

    Args:
        n_items: size of the catalogue.
        algorithm: als or bpr.
        factors: width of the vectors.
        regularization: weight of the squared norms.
        iterations: passes over the data; None: 15 of als, 100 of bpr.
        alpha: confidence of an event (als).
        learning_rate: step size (bpr).
        fade: weight of an event of the history relative to the one after it; 1: a plain history.
        half_life: days after which half of an event's weight is left; None: time does not matter.

    Raises:
        ConfigError: a value is out of its range.
    """

    item_ID: Tensor
    bias_I: Tensor
    stretch: Tensor

    def __init__(
        self,
        n_items: int,
        algorithm: str = "als",
        factors: int = 128,
        regularization: float = 0.01,
        iterations: int | None = None,
        alpha: float = 20.0,
        learning_rate: float = 0.05,
        fade: float = 0.7,
        half_life: float | None = None,
    ) -> None:
        super().__init__(n_items, Fading(fade, half_life))
        if algorithm not in ITERATIONS:
            raise ConfigError(f"model.algorithm={algorithm} must be one of: {', '.join(ITERATIONS)}.")
        self.algorithm, self.factors, self.regularization = algorithm, factors, regularization
        self.iterations = iterations if iterations is not None else ITERATIONS[algorithm]
        self.alpha, self.learning_rate = alpha, learning_rate
        for name in ("factors", "regularization", "iterations", "alpha", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"model.{name}={getattr(self, name)} must be above 0.")
        self.register_buffer("item_ID", torch.zeros(n_items, factors))
        self.register_buffer("bias_I", torch.zeros(n_items))
        self.register_buffer("stretch", torch.tensor(1.0))

    def fit_statistics(self, split: Split) -> None:
        """Factorises the training part, first without the users that the sharpness is fitted on.

        Raises:
            DataError: `half_life` is given and the log has no clock.
        """
        super().fit_statistics(split)
        # torch is seeded by the run, the library wants a seed of its own.
        seed = int(torch.randint(2**31, ()))
        counts = count_interactions(split)
        left_out = leave_out(split)
        if len(left_out):
            self._factorise(without_users(counts, left_out.targets.user), seed)
            self.fit_sharpness(left_out)
        self._factorise(counts, seed)

    def linear_scores(self, histories: Histories) -> Tensor:
        """Compares the user with the catalogue, `(B, I)`."""
        weight_BL = self.fading(histories)
        fold_in = self._solve if self.algorithm == "als" else self._mean
        # Equations are not for half precision.
        with torch.autocast(weight_BL.device.type, enabled=False):
            return torch.addmm(self.bias_I, fold_in(histories, weight_BL), self.item_ID.T)

    def _factorise(self, counts: sparse.csr_matrix, seed: int) -> None:
        # The library parallelises by itself, and warns of a BLAS that does as well.
        with threadpoolctl.threadpool_limits(1, "blas"):
            library = self._library(seed)
            library.fit(counts, show_progress=False)
        item_ID = torch.from_numpy(library.item_factors)
        bias_I = torch.zeros(self.n_items)
        if self.algorithm == "bpr":
            # The library keeps the bias in the last column, and 1 in that of the users.
            item_ID, bias_I = item_ID[:, :-1], item_ID[:, -1]
            mean_UD = torch.from_numpy(_rows_of_length_one(counts) @ item_ID.numpy())
            user_UD = torch.from_numpy(library.user_factors[:, :-1])
            stretch = (mean_UD * user_UD).sum() / mean_UD.square().sum().clamp(min=1e-12)
            self.stretch = stretch.clamp(min=0).to(self.stretch.device)
        self.item_ID = item_ID.contiguous().to(self.item_ID.device)
        self.bias_I = bias_I.contiguous().to(self.bias_I.device)

    def _library(self, seed: int) -> AlternatingLeastSquares | BayesianPersonalizedRanking:
        if self.algorithm == "als":
            return AlternatingLeastSquares(
                self.factors, self.regularization, self.alpha, iterations=self.iterations, random_state=seed
            )
        # Its threads write over each other: with one, the same seed gives the same numbers.
        return BayesianPersonalizedRanking(
            self.factors,
            self.learning_rate,
            self.regularization,
            iterations=self.iterations,
            num_threads=1,
            random_state=seed,
        )

    def _mean(self, histories: Histories, weight_BL: Tensor) -> Tensor:
        mean_BL = weight_BL / weight_BL.sum(dim=1, keepdim=True).clamp(min=1e-30)
        return torch.bmm(mean_BL[:, None], self._items_of(histories))[:, 0] * self.stretch

    def _solve(self, histories: Histories, weight_BL: Tensor) -> Tensor:
        item_BLD = self._items_of(histories)
        # What all events of an item weigh together; each of them brings its share.
        total_BJ = weight_BL.new_zeros(len(histories), self.n_items + 1).scatter_add_(1, histories.item_BL, weight_BL)
        share_BL = weight_BL / total_BJ.gather(1, histories.item_BL).clamp(min=1.0)
        more_BL = self.alpha * weight_BL - share_BL
        matrix_BDD = torch.bmm((item_BLD * more_BL[..., None]).mT, item_BLD)
        matrix_BDD += self.item_ID.T @ self.item_ID
        matrix_BDD.diagonal(dim1=1, dim2=2).add_(self.regularization)
        right_BD = torch.bmm(self.alpha * weight_BL[:, None], item_BLD)[:, 0]
        solution_BD: Tensor = torch.linalg.solve(matrix_BDD, right_BD)
        return solution_BD

    def _items_of(self, histories: Histories) -> Tensor:
        """Returns the vectors of a history's items, `(B, L, D)`; padding weighs nothing, so it may be any item."""
        return self.item_ID[histories.item_BL.clamp(max=self.n_items - 1)]


def _rows_of_length_one(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divides each user's counts by their sum."""
    total = counts.sum(axis=1).A1
    total[total == 0] = 1.0
    return sparse.csr_matrix(counts.multiply(1.0 / total[:, None]), dtype=counts.dtype)
