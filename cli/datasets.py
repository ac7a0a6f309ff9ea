"""`ltsi datasets`."""

from typing import Annotated

import typer

from ._errors import reported
from ._hydra import DebugOption
from ._tables import Format, FormatOption, show


def _complete(incomplete: str) -> list[str]:
    from ltsi.workflows.datasets import names

    return [name for name in names() if name.startswith(incomplete)]


def datasets(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A data set to show in full.", autocompletion=_complete)
    ] = None,
    output: FormatOption = Format.terminal,
    debug: DebugOption = False,
) -> None:
    """List the published data sets: size, span, licence, what each is good for and how to get it.

    * `ltsi datasets`
    * `ltsi datasets movielens_1m`
    * `ltsi prepare source=movielens_1m` then downloads and prepares it.
    """
    with reported(debug):
        # Here, so that help and completion stay fast.
        from ltsi.workflows.datasets import run

        show(run(name), output)
