"""`ltsi train`."""

from ._hydra import composed

train = composed(
    "train",
    """Train one model on a prepared store, or with `-m` every combination of models, stores and seeds.

    * `ltsi train data=shop model=hybrid trainer.max_epochs=5`
    * `ltsi train -m data=shop model=lstm,transformer seed=1,2 hydra.sweep.dir=runs`
    * `ltsi train data=shop model=lstm --cfg job` prints the configuration.
    """,
    subject="data",
)
