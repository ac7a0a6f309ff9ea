"""`ltsi eval`."""

from ._hydra import composed

evaluate = composed(
    "eval",
    """Rank the full catalogue for every user of a run, or of every run in a sweep, and keep the metrics in its folder.

    * `ltsi eval run=outputs/train/2025-01-31/12-00-00-000000`
    * `ltsi eval run=runs split=valid --format json`
    """,
    subject="run",
)
