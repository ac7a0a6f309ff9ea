"""How the interests of all users stand, from a list of (user, category, state).

Shape suffixes: S interests, B users, C categories.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltsi.serving.decay_aware import State


class KnownStates:
    """Looks states up; what is not listed is new.

    Args:
        user_S: int64, index of the user, ascending.
        category_S: int64, code of the category.
        state_S: int8, the `State`.
        n_categories: C.
    """

    def __init__(
        self,
        user_S: NDArray[np.int64],
        category_S: NDArray[np.int64],
        state_S: NDArray[np.int8],
        n_categories: int,
    ) -> None:
        self.user_S, self.category_S, self.state_S, self.n_categories = user_S, category_S, state_S, n_categories

    def __call__(self, user_B: NDArray[np.int64]) -> NDArray[np.int8]:
        """Returns the state of each interest, `(B, C)`; see `InterestStates`."""
        state_BC = np.full((len(user_B), self.n_categories), State.new, dtype=np.int8)
        first_B = np.searchsorted(self.user_S, user_B, side="left")
        end_B = np.searchsorted(self.user_S, user_B, side="right")
        for row, (first, end) in enumerate(zip(first_B.tolist(), end_B.tolist(), strict=True)):
            state_BC[row, self.category_S[first:end]] = self.state_S[first:end]
        return state_BC
