"""From an exception to one sentence on standard error and an exit code: 2 for usage, 1 for the rest."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from ltsi.errors import UserError

from ._compose import Composition
from ._refusals import explain
from ._visible import visible

INTERRUPTED, TERMINATED = 130, 143
"""The exit codes that shells give to processes ended by Ctrl-C and by SIGTERM."""


@contextmanager
def reported(
    debug: bool, composition: Composition | None = None, after_ending: Callable[[], str] = str
) -> Iterator[None]:
    """Turn an exception into a sentence and an exit code.

    Args:
        debug: Whether to show the traceback too.
        composition: What the command composes, for the near matches of a refused key.
        after_ending: Says what follows on "Interrupted" or "Terminated".

    Raises:
        typer.Exit: With the exit code.
    """
    try:
        yield
    except (typer.Exit, typer.BadParameter, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        _end(f"Interrupted{after_ending() or '.'}", INTERRUPTED)
    except SystemExit as error:
        # Lightning ends a training in order, but answers Ctrl-C by exit code 1, and a termination by success.
        if isinstance(error.__context__, KeyboardInterrupt):
            _end(f"Interrupted{after_ending() or '.'}", INTERRUPTED)
        if not error.code:
            _end(f"Terminated{after_ending() or '.'}", TERMINATED)
        raise
    except Exception as error:  # noqa: BLE001 - the last place that can say it in a sentence
        raise typer.Exit(report(error, debug=debug, composition=composition)) from None


def _end(sentence: str, exit_code: int) -> NoReturn:
    typer.echo(visible(sentence, lines=True), err=True)
    raise typer.Exit(exit_code) from None


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
    user_error = as_user_error(error, composition)
    if user_error is not None:
        typer.echo(visible(f"{label}: {user_error}", lines=True), err=True)
        return user_error.exit_code
    name, sentence = type(error).__name__, " ".join(str(error).split())
    hint = "" if debug else " (unexpected: run again with --debug for the traceback)"
    told = f"{label}: {name}: {sentence}{hint}" if sentence else f"{label}: {name}{hint}"
    typer.echo(visible(told, lines=True), err=True)
    return 1


def as_user_error(error: Exception, composition: Composition | None = None) -> UserError | None:
    """Tell what the user did wrong: an error that says so itself, or one of Hydra's, OmegaConf's or the file system's.

    Args:
        error: The exception.
        composition: What the command composes, for the near matches of a refused key.

    Returns:
        The mistake as one sentence; None where the error is not known to be the user's.
    """
    seen: BaseException | None = error
    # Instantiation by Hydra wraps what a constructor raises.
    while seen is not None:
        if isinstance(seen, UserError):
            return seen
        seen = seen.__cause__
    return explain(error, composition)
