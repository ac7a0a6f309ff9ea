"""`ltsi prepare`."""

from ._hydra import composed

prepare = composed(
    "prepare",
    """Turn raw logs into a prepared store: read, audit, clean, encode.

    The store is written to `$LTSI_DATA/prepared/NAME` (default `./data/prepared/NAME`).

    * `ltsi prepare source=shop` makes the synthetic shop, whose truth is known.
    * `ltsi prepare source=movielens_1m` fetches a published set; `ltsi datasets` lists them.
    * `ltsi prepare source=table source.path=log.csv source.columns.user=customer name=mine` reads your own log.
    * `ltsi prepare source=sequences source.path=users.txt` reads one user per line.
    * `ltsi prepare --dry-run source=table source.path=logs/` says what it would read and how long that takes.
    """,
    subject="source",
    can_run_dry=True,
)
