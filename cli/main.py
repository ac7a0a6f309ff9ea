"""The root of the command line: it registers the commands and imports neither torch nor Hydra nor pandas."""

from typing import Annotated

import typer

from ltsi import __version__

from .audit import audit
from .compare import compare
from .datasets import datasets
from .decay_fit import decay_fit
from .eval import evaluate
from .interests import interests
from .models import models
from .prepare import prepare
from .recommend import recommend
from .train import train

app = typer.Typer(
    name="ltsi",
    # Rich's own markup would eat the brackets of `KEY=[a,b]`.
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("prepare")(prepare)
app.command("audit")(audit)
app.command("decay-fit")(decay_fit)
app.command("interests")(interests)
app.command("train")(train)
app.command("eval")(evaluate)
app.command("compare")(compare)
app.command("recommend")(recommend)
app.command("datasets")(datasets)
app.command("models")(models)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ltsi {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Experiments with long- and short-term user interest.

    How long do interests last, and which model predicts the next one best?
    Commands that compose an experiment take `KEY=VALUE`; `ltsi COMMAND --help` shows examples.
    """


def run() -> None:
    """Run the command line."""
    app()
