"""Recommendations that consider the state of each interest: fading ones give way, revived and new ones move up.

The parts of a score add up to the score. Shape suffixes: B histories, I items, C categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import ConfigError

INTEREST = "interest"
"""Name of the part of a score that the state of an interest adds."""

NO_STATE = -1
"""In place of a `State`, for items without a category."""

LEAST = 1e-30
"""A probability below this counts as this, so that what new categories gain stays a number."""


class State(IntEnum):
    """How the interest of a user in a category stands."""

    new = 0
    steady = 1
    rising = 2
    falling = 3
    dormant = 4
    revived = 5


class InterestStates(Protocol):
    """Knows how the interests of users stand at one time."""

    def __call__(self, user_B: NDArray[np.int64]) -> NDArray[np.int8]:
        """Returns the `State` of each user's interest in each category, `(B, C)`.

        `new` is a category of which the user has had nothing before that time.
        """
        ...


@dataclass(frozen=True)
class DecayAware:
    """Adds the logarithm of the interest's state to each score: `score' = score + log m(state of the item's category)`.

    With `p = softmax(score)` over the items that may be recommended:

    - `rising`, `steady`: m = 1;
    - `falling` (past its decay point): m = `falling`;
    - `dormant`: m = `dormant`;
    - `revived`: m = `revived`;
    - `new`: `m = 1 + F / P`, where `F = Σ p(i) · (1 − m(i))` over the items of falling and dormant categories is the
      probability that these have given up, and `P` the probability of all items of new categories. So what is given up
      goes to new categories and nowhere else, in proportion to what the model gives their items.

    Somebody whose interests neither fade nor revive gets the plain order; so does somebody without a history.

    Attributes:
        category_I: category of each item, -1: of none. Nothing is known of the interest in such an item: m = 1.
        states: how the interests stand.
        falling: share of its probability that a falling interest keeps, above 0 and at most 1.
        dormant: share of its probability that a dormant interest keeps, above 0 and at most 1.
        revived: factor on the probability of a revived interest, at least 1.

    Raises:
        ConfigError: a factor is out of its range.
    """

    category_I: NDArray[np.int64]
    states: InterestStates
    falling: float = 0.5
    dormant: float = 0.1
    revived: float = 2.0

    def __post_init__(self) -> None:
        """Refuses factors that would do the contrary."""
        for name in ("falling", "dormant"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name}={getattr(self, name)} must be above 0 and at most 1: the share that is kept."
                )
        if not self.revived >= 1:
            raise ConfigError(f"revived={self.revived} must be at least 1: how many times more probable it becomes.")

    def interest(self, score_BI: Tensor, user_B: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int8]]:
        """Weighs the interests.

        Args:
            score_BI: scores of the model; minus infinity where an item may not be recommended.
            user_B: whose they are.

        Returns:
            The part that is added to each score, `(B, I)`, and the state of each interest, `(B, C)`.
        """
        state_BC = self.states(user_B)
        category_I = torch.from_numpy(self.category_I)
        factor_C = torch.ones(len(State))
        factor_C[State.falling], factor_C[State.dormant], factor_C[State.revived] = (
            self.falling,
            self.dormant,
            self.revived,
        )
        state_BI = torch.from_numpy(state_BC.astype(np.int64))[:, category_I]
        none_I = category_I < 0
        m_BI = torch.where(none_I, 1.0, factor_C[state_BI])
        # Where nothing may be recommended there are no probabilities, and nothing to weigh.
        p_BI = score_BI.softmax(dim=1).nan_to_num(0.0)
        given_up_B1 = (p_BI * (1 - m_BI)).clamp(min=0).sum(dim=1, keepdim=True)
        new_BI = (state_BI == State.new) & ~none_I
        p_new_B1 = (p_BI * new_BI).sum(dim=1, keepdim=True)
        grown_B1 = 1 + given_up_B1 / p_new_B1.clamp(min=LEAST)
        return torch.where(new_BI, grown_B1, m_BI).log(), state_BC
