"""A decay fit as a page to look at: one HTML file without scripts that asks nothing of any server."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from ltsi.decay.drawing import svg
from ltsi.decay.pictures import curves_figure, half_lives_figure, survival_figure
from ltsi.decay.result import DecayFit
from ltsi.tables import Cell, Entry, Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 1080px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
svg { width: 100%; height: auto; } figure { margin: 0; } .note { color: #666; font-size: 0.9em; }
div.table { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.87em; }
th, td { padding: 0.25em 0.7em; border-bottom: 1px solid #e4e4e4; text-align: left; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_SVG_HEAD = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>", re.DOTALL)
_MISSING = "–"


def decay_page(fit: DecayFit, title: str, tables: Sequence[Table]) -> str:
    """Writes the page.

    Args:
        fit: the fit.
        title: what was fitted.
        tables: the fit as a table, and whatever else belongs to it.

    Returns:
        HTML; every label in it is escaped.
    """
    pictures = [
        (
            "Decay by entity",
            curves_figure(fit),
            "Line: fitted, band: interval of the half-life, points: observed with 95 % bars, dotted: half-life.",
        ),
        (
            "Half-lives",
            half_lives_figure(fit),
            "Dark: all of the return rate is left, light: none. Dot: half-life, line: its interval.",
        ),
        (
            "Survival of interests",
            survival_figure(fit),
            "Share of visits that no return has followed by that age (Nelson-Aalen, 95 % band); the end of the log is "
            "taken out as censoring.",
        ),
    ]
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for number, (heading, figure, note) in enumerate(pictures):
        if figure is not None:
            parts.append(f"<h2>{html.escape(heading)}</h2>\n<figure>{_svg(figure, f'figure{number}')}</figure>")
            parts.append(f'<p class="note">{html.escape(note)}</p>')
    parts += [_table(table) for table in tables]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    )
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _svg(figure: Figure, salt: str) -> str:
    """Draws a figure as an element."""
    return _SVG_HEAD.sub("", svg(figure, salt))


def _table(table: Table) -> str:
    shown = [index for index, column in enumerate(table.columns) if column not in table.data_columns]
    head = "".join(f"<th>{html.escape(table.columns[index])}</th>" for index in shown)
    rows = "\n".join("<tr>" + "".join(_cell(row[index]) for index in shown) + "</tr>" for row in table.rows)
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    return (
        f'<h2>{html.escape(table.title)}</h2>\n<div class="table"><table><tr>{head}</tr>\n{rows}</table></div>\n{notes}'
    )


def _cell(entry: Entry) -> str:
    value = entry.value if isinstance(entry, Cell) else entry
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(entry, Cell) and entry.text is not None:
        text = entry.text
    elif value is None or (isinstance(value, float) and math.isnan(value)):
        text = _MISSING
    else:
        text = f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if number else str(value)
    return f'<td class="number">{html.escape(text)}</td>' if number else f"<td>{html.escape(text)}</td>"
