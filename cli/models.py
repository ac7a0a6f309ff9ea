"""`ltsi models`."""

from typing import Annotated

import typer

from ._errors import reported
from ._hydra import DebugOption
from ._tables import Format, FormatOption, show


def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A model to show in full.")] = None,
    output: FormatOption = Format.terminal,
    debug: DebugOption = False,
) -> None:
    """List the models: what each is, how it learns, its settings and where it comes from.

    * `ltsi models`
    * `ltsi models hybrid`
    * `ltsi train model=hybrid` then trains it.
    """
    with reported(debug):
        # Here, so that help and completion stay fast.
        from ltsi.workflows.models import run

        show(run(name), output)
