"""`ltsi decay-fit`."""

from ._hydra import composed

decay_fit = composed(
    "decay_fit",
    """Fit how fast interest fades: the rate λ and the half-life per category, item, or for all together.

    * `ltsi decay-fit data=shop`
    * `ltsi decay-fit data=shop form=exponential_floor estimator=negative_binomial`
    * `ltsi decay-fit data=shop --format csv > half_lives.csv`
    """,
    subject="data",
)
