"""What a user did wrong, in one sentence.

The command line prints the message of a `UserError` as it stands, without a traceback. So a message is one sentence
that names the thing, says where it is, and says how to put it right:

    raise DataError(f"column 'user_id' is not in {path}; found: {found}; set source.columns.user=NAME")
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class UserError(Exception):
    """A mistake of the user's, told in one clear sentence.

    Args:
        message: The sentence. It is the whole message, so that the error survives pickling between processes.
    """

    exit_code: ClassVar[int] = 1
    """Exit code of the process when a command ends with this error."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class DataError(UserError):
    """Raw data or a prepared store that cannot be used: missing, empty, unreadable or contradictory."""


class ConfigError(UserError):
    """A configuration value that cannot be used. A usage error, so the exit code is 2."""

    exit_code: ClassVar[int] = 2


class RunError(UserError):
    """A run folder or checkpoint that cannot be used: not a run, incomplete, or made from another store."""


class BusyError(RunError):
    """A run folder that another process works in: what lies there is not the refused command's."""


class UnwritableError(RunError):
    """A folder that does not take what is to be written."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Returns ` Did you mean 'NEAR'?`, to stand behind a sentence, or nothing where no known name is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
