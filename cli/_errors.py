"""From an exception to one sentence on standard error and an exit code: 2 for usage, 130 for Ctrl-C, otherwise 1."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ltsi.errors import UserError

from ._compose import Composition
from ._refusals import explain

INTERRUPTED = 130
"""The exit code that shells give to a process ended by Ctrl-C."""


@contextmanager
def reported(debug: bool, composition: Composition | None = None) -> Iterator[None]:
    """Turn an exception into a sentence and an exit code.

    Args:
        debug: Whether to show the traceback too.
        composition: What the command composes, for the near matches of a refused key.

    Raises:
        typer.Exit: With the exit code.
    """
    try:
        yield
    except (typer.Exit, typer.BadParameter, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except SystemExit as error:
        # Lightning answers Ctrl-C by an orderly end of the training and exit code 1.
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        typer.echo("Interrupted.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - the last place that can say it in a sentence
        raise typer.Exit(report(error, debug=debug, composition=composition)) from None


def report(error: Exception, *, debug: bool, label: str = "Error", composition: Composition | None = None) -> int:
    """Print what went wrong.

    Args:
        error: The exception.
        debug: Whether to show the traceback too.
        label: What the sentence starts with.
        composition: What the command composes, for the near matches of a refused key.

    Returns:
        The exit code that fits.
    """
    if debug:
        traceback.print_exception(error)
    user_error = find_user_error(error) or explain(error, composition)
    if user_error is not None:
        typer.echo(f"{label}: {user_error}", err=True)
        return user_error.exit_code
    name, sentence = type(error).__name__, " ".join(str(error).split())
    hint = "" if debug else " (unexpected: run again with --debug for the traceback)"
    typer.echo(f"{label}: {name}: {sentence}{hint}" if sentence else f"{label}: {name}{hint}", err=True)
    return 1


def find_user_error(error: BaseException) -> UserError | None:
    """Find the user's mistake inside an exception: instantiation by Hydra wraps what a constructor raises."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, UserError):
            return seen
        seen = seen.__cause__
    return None
