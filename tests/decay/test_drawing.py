"""Labels come from a log, in any script: pictures show them, and nothing in them is markup."""

import logging
from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from ltsi.decay.drawing import LONGEST_LABEL, label, svg, write_png

# Not in DejaVu Sans, but in STIX, which comes with matplotlib too.
IN_ANOTHER_FONT = "\N{LATIN SMALL LETTER D WITH PALATAL HOOK}"
IN_NO_FONT = "\N{CUNEIFORM SIGN A}"


@pytest.fixture(autouse=True)
def own_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves matplotlib its own fonts, so that a machine's do not matter."""
    own = [font for font in font_manager.fontManager.ttflist if font.fname.startswith(matplotlib.get_data_path())]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


def drawn(text: str) -> Figure:
    figure = Figure()
    axis = figure.subplots()
    axis.plot([0, 1], label=label(text))
    axis.legend()
    axis.set_title(label(text))
    return figure


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("shoes", "shoes"),
        ("$5 off $", r"\$5 off \$"),
        ("a\tb\nc  d", "a b c d"),
        ("x" * LONGEST_LABEL, "x" * LONGEST_LABEL),
        ("x" * (LONGEST_LABEL + 1), "x" * (LONGEST_LABEL - 1) + "…"),
        ("服装", "服装"),
    ],
)
def test_label(text: str, shown: str) -> None:
    assert label(text) == shown


def test_a_legend_shows_a_label_that_begins_with_an_underscore() -> None:
    legend = drawn("_misc").axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().removeprefix("\N{ZERO WIDTH SPACE}") for text in legend.get_texts()] == ["_misc"]


@pytest.mark.parametrize("text", ["$5 off 100% today$", r"\frac{$", "a^{b}_$c", "服装", "a\tb", "_x"])
def test_any_label_can_be_drawn(tmp_path: Path, text: str) -> None:
    """Without a warning of the library: pytest makes an error of it."""
    assert write_png(drawn(text), tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in svg(drawn(text), "salt")


def test_letters_are_taken_from_a_font_that_has_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    figure = drawn(f"a{IN_ANOTHER_FONT}")
    write_png(figure, tmp_path / "a.png")
    assert figure.axes[0].title.get_fontfamily() == ["DejaVu Sans", "STIXGeneral"]
    assert not caplog.records


def test_letters_that_no_font_has_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ltsi"):
        write_png(drawn(f"a{IN_NO_FONT}"), tmp_path / "decay.png")
        svg(drawn(f"a{IN_NO_FONT}"), "")  # a browser has fonts of its own
    assert caplog.messages == [f"decay.png shows boxes for letters that no installed font has, such as: {IN_NO_FONT}"]
