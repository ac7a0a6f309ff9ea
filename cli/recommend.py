"""`ltsi recommend`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ._errors import reported
from ._folders import named_folder
from ._hydra import DebugOption
from ._tables import Format, FormatOption, show


class Strategy(StrEnum):
    """How scores become recommendations."""

    plain = "plain"
    decay_aware = "decay-aware"


def recommend(
    directory: Annotated[Path, typer.Argument(metavar="DIR", parser=named_folder, help="The folder of a run.")],
    user: Annotated[str | None, typer.Option(help="Original id of a user.", show_default=False)] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Recommend for all users and write a file.")] = False,
    k: Annotated[int, typer.Option("--k", help="Items for each user.")] = 10,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Recommend as of this time, using only earlier events (ISO 8601 or seconds since 1970). Default: the "
            "end of the log.",
            show_default=False,
        ),
    ] = None,
    strategy: Annotated[
        Strategy,
        typer.Option(
            help="plain: rank by the model's score; decay-aware: also consider whether each interest is fading, "
            "dormant or revived."
        ),
    ] = Strategy.plain,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="With --all: the .parquet or .csv file. Default: recommendations.parquet in DIR.",
            show_default=False,
        ),
    ] = None,
    trust: Annotated[
        list[str],
        typer.Option(
            metavar="PACKAGE",
            help="A package besides ltsi, torch and Lightning whose classes the run may name; its code is run. Repeat "
            "for several.",
            show_default=False,
        ),
    ] = [],  # noqa: B006 - Typer reads the default, nothing changes it
    output: FormatOption = Format.terminal,
    debug: DebugOption = False,
) -> None:
    """Recommend items by the model of a run, with the parts that their scores are made of.

    * `ltsi recommend runs/hybrid --user 17850`
    * `ltsi recommend runs/hybrid --user 17850 --at 2011-11-01 --strategy decay-aware --format json`
    * `ltsi recommend runs/hybrid --all --k 20 --output everybody.csv`
    """
    with reported(debug):
        # Here, so that help and completion stay fast.
        from ltsi.workflows.recommend import run

        asked = {"user": user, "everybody": everybody, "k": k, "at": at, "strategy": strategy.value, "output": file}
        show(run(directory, **asked, trust=trust), output)  # type: ignore[arg-type]
