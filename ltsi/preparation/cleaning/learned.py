"""Missing values learned from the rest of the log."""

from __future__ import annotations

import math
from dataclasses import dataclass

import narwhals as nw

from ltsi.errors import ConfigError, DataError
from ltsi.events import Events
from ltsi.preparation.cleaning.settings import GROUPS, require_value

SAMPLE = 100_000  # events that the regression is fitted on, at most, but for a few
SHARE = 0.2  # of the known values, at most
LEAST = 100  # known values
PRIOR = 1.0  # weight of the log's mean in the mean of a group, in events
# Fractions of multiples of the golden ratio spread evenly between 0 and 1: the sample needs no random numbers, and is
# the same on every engine and in every run.
GOLDEN = (math.sqrt(5) - 1) / 2
FEATURES = (*(f"_{group}_mean" for group in GROUPS), "_age")


@dataclass(frozen=True)
class FillLearned:
    """Gives events without a value the prediction of a Bayesian ridge regression (scikit-learn).

    It predicts a value from the mean values of its user, item and behavior and from its time. The regression is fitted
    on a sample of at most about 100,000 known values, none of which takes part in the means that explain it. It is
    linear, so that the engine itself predicts, out of core where it can. A prediction stays between the least and the
    largest value.
    """

    def __call__(self, events: Events) -> Events:
        """Returns the events, each with a value.

        Raises:
            ConfigError: scikit-learn is not installed.
            DataError: too few values are known.
        """
        require_value(events, "missing_learned")
        facts = _Facts.of(events)
        featured = _with_features(events, facts)
        weights, intercept = _fit(featured)
        predicted = sum((nw.col(name) * weight for name, weight in weights.items()), nw.lit(intercept))
        filled = nw.coalesce(nw.col("value"), predicted.clip(facts.least, facts.most))
        return featured.with_columns(value=filled).select(events.collect_schema().names())


@dataclass(frozen=True)
class _Facts:
    """What is known about the values of a log, and the first and last of its times."""

    known: int
    mean: float
    least: float
    most: float
    first: int
    last: int

    @classmethod
    def of(cls, events: Events) -> _Facts:
        value, time = nw.col("value"), nw.col("time")
        table = events.select(
            known=value.count(), mean=value.mean(), least=value.min(), most=value.max(),
            first=time.min(), last=time.max(),
        ).collect()  # fmt: skip
        if table.item(0, "known") < LEAST:
            raise DataError(
                f"clean=missing_learned: {table.item(0, 'known')} events have a value and {LEAST} are needed to learn "
                "from; use clean=missing_mean."
            )
        return cls(**{name: table.item(0, name) for name in table.columns})


def _with_features(events: Events, facts: _Facts) -> Events:
    """Adds FEATURES, and `_picked`, the value of the events that the regression is fitted on."""
    share = min(SHARE, SAMPLE / facts.known)
    turns = nw.col("row").cast(nw.Float64) * GOLDEN
    marked = events.with_columns(_picked=nw.when(turns - turns.floor() < share).then(nw.col("value")))
    value, picked = nw.col("value"), nw.col("_picked")
    featured = marked
    for group in GROUPS:
        sums = marked.group_by(group).agg(
            _sum=value.sum(), _n=value.count(), _picked_sum=picked.sum(), _picked_n=picked.count()
        )
        # An event that the regression is fitted on must not explain itself.
        total = nw.when(picked.is_null()).then(nw.col("_sum")).otherwise(nw.col("_sum") - nw.col("_picked_sum"))
        n = nw.when(picked.is_null()).then(nw.col("_n")).otherwise(nw.col("_n") - nw.col("_picked_n"))
        mean = (total + PRIOR * facts.mean) / (n + PRIOR)
        joined = featured.join(sums, on=group, how="inner").with_columns(mean.alias(f"_{group}_mean"))
        featured = joined.drop("_sum", "_n", "_picked_sum", "_picked_n")
    return featured.with_columns(_age=(nw.col("time") - facts.first) / max(facts.last - facts.first, 1))


def _fit(featured: Events) -> tuple[dict[str, float], float]:
    """Returns the weight of each feature, and the intercept."""
    try:
        from sklearn.linear_model import BayesianRidge
    except ImportError as error:
        raise ConfigError("clean=missing_learned needs scikit-learn; install ltsi[impute].") from error
    sample = featured.filter(~nw.col("_picked").is_null()).select("row", "_picked", *FEATURES).collect().sort("row")
    model = BayesianRidge().fit(sample.select(*FEATURES).to_numpy(), sample["_picked"].to_numpy())
    return dict(zip(FEATURES, model.coef_.tolist(), strict=True)), float(model.intercept_)
