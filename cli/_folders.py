"""Folders that a user names on the command line."""

from pathlib import Path

import typer


def named_folder(text: str) -> Path:
    """Read the argument of a folder; an empty one would be the current folder to Python.

    Args:
        text: As typed.

    Returns:
        The folder.

    Raises:
        typer.BadParameter: It is empty.
    """
    if not text:
        raise typer.BadParameter("it is empty, as of a shell variable that is not set; give a folder (. is this one).")
    return Path(text)
