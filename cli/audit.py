"""`ltsi audit`."""

from ._hydra import composed

audit = composed(
    "audit",
    """Show what is known about a store, and what is cold or leaks in a split of it; exit with code 1 on errors.

    * `ltsi audit data=shop` shows what `ltsi prepare` found.
    * `ltsi audit data=shop split=global_time` looks at a split as well.
    """,
    subject="data",
)
