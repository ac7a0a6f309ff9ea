"""Whether a tail is real: a curve pooled over different users or entities grows a floor that none of them has."""

from __future__ import annotations

import numpy as np

from ltsi.decay.contest import Contest
from ltsi.decay.estimators import estimate_forms
from ltsi.decay.families import POISSON, Family
from ltsi.decay.forms import FORMS, SIMPLE
from ltsi.decay.frailty import fit_frailty
from ltsi.decay.pairs import Pairs
from ltsi.decay.result import EntityDecay
from ltsi.decay.statistics import ReturnStatistics

JUDGED_USERS = 5_000
"""Users who are asked whether they differ: more do not change the answer."""

_NOTICEABLE = 3.84 / 2
"""Gain in log-likelihood by a floor that chance gives in one of twenty cases."""


def explained_floors(pooled: EntityDecay, statistics: ReturnStatistics) -> list[str]:
    """Says whether differences between users explain the floor of all entities together.

    The exponential with and without a floor is fitted twice, to users who are alike and to users who differ by a gamma
    factor, by Poisson's likelihood, which frailty is made of. A floor that is there only if users are taken to be alike
    is no floor.

    Args:
        pooled: the row of all entities taken as one.
        statistics: the statistics.
    """
    if pooled.form is None or statistics.n_users > statistics.n_groups:
        return []
    chosen = statistics.pooled().of_groups(JUDGED_USERS)
    returns, exposure = (total[0] for total in chosen.totals())
    found = estimate_forms(POISSON.name, SIMPLE, returns, exposure, chosen.edges)
    alike, pairs = [found[name] for name in SIMPLE], Pairs.of(chosen, np.array([0]))
    differ = [fit_frailty(FORMS[name], pairs, returns, found[name].theta) for name in SIMPLE]
    # No floor is the lowest floor, but for the bound that it is kept above.
    gains = [max(0.0, float(fits[1].log_likelihood[0] - fits[0].log_likelihood[0])) for fits in (alike, differ)]
    told = (
        f"a floor gains {gains[0]:.1f} in log-likelihood if users are taken to be alike and {gains[1]:.1f} if they "
        f"differ by a gamma factor (variance {float(differ[1].variance[0]):.2g})"
    )
    if gains[0] < _NOTICEABLE:
        return [f"All together: no floor to explain; {told}."]
    if gains[1] < _NOTICEABLE:
        return [f"All together: differences between users explain the floor; {told}."]
    return [f"All together: the floor stays when users may differ; {told}."]


def mixed_rates(rows: list[EntityDecay], statistics: ReturnStatistics, family: Family) -> list[str]:
    """Says whether differences between entities explain the floor of all of them together.

    Args:
        rows: rows of all entities, with the criteria of the exponential with and without a floor.
        statistics: the statistics.
        family: of these criteria.
    """
    fitted = [at for at, row in enumerate(rows) if set(SIMPLE) <= set(row.aic)]
    if len(fitted) < 2:
        return []
    returns, exposure = (total[0].sum(0, keepdims=True) for total in statistics.totals(np.array(fitted)))
    together = estimate_forms(family.name, SIMPLE, returns, exposure, statistics.edges)
    plain, floored = (float(together[name].aic()[0]) for name in SIMPLE)
    apart = [sum(rows[at].aic[name] for at in fitted) for name in SIMPLE]
    told = (
        f"a floor lowers the AIC by {plain - floored:.1f} with one curve for all and by {apart[0] - apart[1]:.1f} with "
        f"a curve for each of {len(fitted)} entities"
    )
    if plain - floored <= 0:
        return []
    if apart[0] <= apart[1]:
        return [f"Between entities: different rates explain the floor; {told}."]
    return [f"Between entities: the floor stays with a curve for each; {told}."]


def false_tail(apart: Contest, together: Contest) -> list[str]:
    """Says whether the form that wins as one curve over all entities is an artefact of taking them as one.

    It is if a simpler or other form, refuted for the one curve, wins with a curve for each and then says more of
    held-out users than the one curve does.

    Args:
        apart: the contest of all entities, each with parameters of its own.
        together: the contest on the same entities taken as one.
    """
    if together.winner == apart.winner or not together.refutes(apart.winner):
        return []
    gain = float(apart.score(apart.winner) - together.score(together.winner))
    if gain <= 0:
        return []
    return [
        f"Between entities: one curve for all looks like {together.winner}, but {apart.winner} with a curve for each "
        f"says more of held-out users, by {gain:,.0f} in log-likelihood: the tail of the one mixes rates."
    ]
