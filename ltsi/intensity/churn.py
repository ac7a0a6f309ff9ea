"""Who is about to leave: a user whose interests all fall silent.

Shape suffixes: S series, U users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.intensity.options import DORMANT, FALLING, STATES
from ltsi.intensity.states import InterestStates
from ltsi.store import Store

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Churn:
    """Users with an interest, in the order of their index.

    Attributes:
        user_U: int64, user index.
        risk_U: probability that nothing happens over the horizon in any interest, these being independent given their
            rates. A dormant interest counts with the rate of its silence.
        interests_U: how many interests.
        fading_U: how many of them are falling or dormant.
        forecast_U: events expected over the horizon.
    """

    user_U: Ints
    risk_U: Floats
    interests_U: Ints
    fading_U: Ints
    forecast_U: Floats


def churn(states: InterestStates) -> Churn:
    """Brings the interests of each user together.

    Args:
        states: what the interests are.
    """
    user_U, first = np.unique(states.series.user_S, return_index=True)
    if not len(user_U):
        nothing = np.empty(0)
        return Churn(user_U, nothing, user_U, user_U, nothing)
    fading_S = np.isin(states.state_S, (FALLING, DORMANT)).astype(np.int64)
    return Churn(
        user_U=user_U,
        risk_U=np.exp(np.add.reduceat(np.log(np.maximum(states.quiet_S, 1e-300)), first)),
        interests_U=np.diff(np.append(first, len(states))),
        fading_U=np.add.reduceat(fading_S, first),
        forecast_U=np.add.reduceat(states.forecast_S, first),
    )


def churn_table(found: Churn, states: InterestStates, store: Store) -> pl.DataFrame:
    """Returns one row a user, with original ids and how many of the interests are in each state.

    Args:
        found: users at risk.
        states: what they came from.
        store: has the ids.
    """
    place_S = np.searchsorted(found.user_U, states.series.user_S)
    counts = {
        name: np.bincount(place_S[states.state_S == index], minlength=len(found.user_U))
        for index, name in enumerate(STATES)
    }
    return pl.DataFrame(
        {
            "user": store.users["user"].gather(found.user_U),
            "risk": found.risk_U,
            "interests": found.interests_U,
            **counts,
            "forecast": found.forecast_U,
        }
    )
