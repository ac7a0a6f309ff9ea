"""`ltsi models`."""

from typing import Annotated

import typer

from ._errors import reported
from ._hydra import DebugOption
from ._tables import Format, FormatOption, show


def _complete(incomplete: str) -> list[str]:
    from ltsi.workflows.models import names

    return [name for name in names() if name.startswith(incomplete)]


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A model to show in full.", autocompletion=_complete)
    ] = None,
    output: FormatOption = Format.terminal,
    debug: DebugOption = False,
) -> None:
    """List the models: what each is, how it learns, what can be set, and the papers it comes from.

    * `ltsi models`
    * `ltsi models ease`
    * `ltsi train data=STORE model=ease model.fade=1` then counts and ranks with it.
    """
    with reported(debug):
        # Here, so that help and completion stay fast.
        from ltsi.workflows.models import run

        show(run(name), output)
