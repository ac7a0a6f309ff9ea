"""The root of the command line."""

from typing import Annotated

import typer

from ltsi import __version__

app = typer.Typer(
    name="ltsi",
    help="Experiments with long- and short-term user interest.",
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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
    """Experiments with long- and short-term user interest."""


def run() -> None:
    """Run the command line."""
    app()
