"""Texts on a screen: the control characters of an id, a label or a name are shown, and do nothing to the terminal."""

import logging

_SHOWN = {code: chr(code).encode("unicode_escape").decode("ascii") for code in (*range(0x20), *range(0x7F, 0xA0))}
_SHOWN_BUT_NEW_LINES = {code: shown for code, shown in _SHOWN.items() if chr(code) != "\n"}


def visible(text: str, *, lines: bool = False) -> str:
    r"""Write control characters as in a Python string, such as `\x1b`.

    Args:
        text: The text.
        lines: Whether it may be of several lines; otherwise a new line is a control character like any other.

    Returns:
        The text in which every character is to be seen.
    """
    return text.translate(_SHOWN_BUT_NEW_LINES if lines else _SHOWN)


class VisibleFormatter(logging.Formatter):
    """Formats the messages of a log for the screen."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return visible(super().format(record), lines=True)
