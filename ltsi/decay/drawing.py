"""What the pictures of a decay fit share: colours, labels made of a log's own texts, and fonts that have their letters.

Figures belong to no window and no global state.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from ltsi.writing import written_whole

log = logging.getLogger(__name__)

BLUE, ORANGE, GREY = "#1f5fa8", "#d1601f", "#8a8a8a"

LONGEST_LABEL = 28
"""Letters of a label; longer ones would run into their neighbours."""

_USUAL = "DejaVu Sans"
_BOXES = "Last Resort"
"""The font that draws a box for every letter."""


def label(text: str) -> str:
    """Shortens a text of the log to a label in one line in which nothing is markup."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    text = text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
    # A dollar sign would begin a formula, and a legend leaves out what begins with an underscore.
    text = text.replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text


def write_png(figure: Figure, path: Path) -> Path:
    """Draws a figure into a file, whole or not at all, and returns its path.

    Raises:
        UnwritableError: the folder does not take it.
    """
    lacking = _choose_fonts(figure)
    if lacking:
        some = "".join(sorted(lacking)[:10])
        log.warning("%s shows boxes for letters that no installed font has, such as: %s", path.name, some)
    with written_whole(path) as partial, _without_glyph_warnings():
        FigureCanvasAgg(figure).print_figure(partial, format="png", dpi=120)
    return path


def svg(figure: Figure, salt: str) -> str:
    """Draws a figure as text; whoever shows it brings the fonts. The salt sets its names apart from other figures'."""
    _choose_fonts(figure)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}), _without_glyph_warnings():
        FigureCanvasSVG(figure).print_figure(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def _choose_fonts(figure: Figure) -> set[str]:
    """Puts the texts of a figure into fonts that have their letters; returns the letters that no font has."""
    texts = [each for each in figure.findobj(Text) if isinstance(each, Text)]
    families, lacking = _families({letter for each in texts for letter in each.get_text()})
    for each in texts:
        each.set_fontfamily([_USUAL, *families])
    return lacking


def _families(letters: Iterable[str]) -> tuple[list[str], set[str]]:
    """Returns fonts that have letters which the usual one has not, and the letters that none has."""
    usual = font_manager.get_font(font_manager.findfont(_USUAL))
    lacking = {letter for letter in letters if letter.isprintable() and not usual.get_char_index(ord(letter))}
    families: list[str] = []
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: (entry.name, entry.fname)):
        if not lacking:
            break
        if entry.style != "normal" or entry.name.startswith(_BOXES):
            continue
        font = font_manager.get_font(entry.fname)
        had = {letter for letter in lacking if font.get_char_index(ord(letter))}
        if had:
            families.append(entry.name)
            lacking -= had
    return families, lacking
