"""The one place that prints: a result for people in the terminal, or as JSON, CSV, Markdown or LaTeX."""

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltsi.tables import Cell, Entry, Result, Scalar, Table

from ._visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_MISSING = "–"
_UNBOUNDED = 1000
"""A width in characters that no table reaches."""

_READABLE = 24
"""Characters of a text that a narrow terminal leaves on a line."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "±": r"$\pm$",
    "λ": r"$\lambda$",
    "×": r"$\times$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "<": "$<$",
    ">": "$>$",
    **{character: "\\" + character for character in "&%$#_{}"},
}


class Format(StrEnum):
    """How a result is printed."""

    terminal = "terminal"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"


FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        help="Output format of the tables; in a sweep, json prints one line with one document per job.",
    ),
]


def show(result: Result, format: Format, job: str | None = None) -> None:  # noqa: A002 - named like its option
    """Print a result on standard output; with a format for programs, messages go to standard error.

    Args:
        result: What a workflow returned.
        format: How to print it.
        job: Name of the job of a sweep, to tell its result from the others'.
    """
    if format is Format.terminal:
        _show_terminal(result, job)
        return
    for message in result.messages:
        typer.echo(visible(message, lines=True), err=True)
    if format is Format.json:
        # Jobs of a sweep are one document a line.
        document = {"job": job, **_document(result)} if job else _document(result)
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=None if job else 2) + "\n"
    else:
        writer, named = _WRITERS[format], job if format is Format.csv else job and visible(job)
        text = "\n".join(writer(table, named) for table in result.tables)
    # In one go, so that jobs that run side by side do not mix.
    sys.stdout.write(text)
    sys.stdout.flush()


def _show_terminal(result: Result, job: str | None) -> None:
    from rich.console import Console
    from rich.text import Text

    # In a file or a pipe a table is as wide as it needs to be; rich would cut it to 80 characters.
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _UNBOUNDED)
    if job:
        console.print(Text(visible(job), style="bold"))
    for table in map(_for_people, result.tables):
        console.print(Text(table.title, style="bold"))
        for places in _blocks(table, console):
            console.print(_grid(table, places))
        for note in table.notes:
            console.print(Text(note, style="dim"))
        console.print()
    for text in (*result.figures, *result.messages):
        typer.echo(visible(text, lines=True))


def _grid(table: Table, places: Sequence[int]) -> "RichTable":
    """Draw some columns of a table. Numbers never wrap, and of a text so much stays that it can be told from others."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    for index in places:
        numeric = _is_numeric(table, index)
        longest = max([len(table.columns[index]), *(len(_text(row[index])) for row in table.rows)])
        grid.add_column(
            Text(table.columns[index]),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            min_width=longest if numeric else min(longest, _READABLE),
            overflow="fold",
        )
    for row in table.rows:
        grid.add_row(*(Text(_text(row[i]), style="bold" if _is_bold(row[i]) else "") for i in places))
    return grid


def _blocks(table: Table, console: "Console") -> Iterator[list[int]]:
    """Deal the columns of a table to as many blocks as the terminal asks for, each with what tells the rows apart."""
    from rich.measure import Measurement

    def fits(places: Sequence[int]) -> bool:
        unbounded = console.options.update(max_width=_UNBOUNDED)
        return Measurement.get(console, unbounded, _grid(table, places)).minimum <= console.width

    every = list(range(len(table.columns)))
    if console.width == _UNBOUNDED or fits(every):
        yield every
        return
    texts = [index for index in every if not _is_numeric(table, index)]
    first = texts[0] if texts else 0
    names = [index for index in every if index <= first or all(place in texts for place in every[first : index + 1])]
    while len(names) > 1 and not fits(names):
        names.pop()
    block = list(names)
    for index in (index for index in every if index not in names):
        if len(block) > len(names) and not fits([*block, index]):
            yield block
            block = list(names)
        block.append(index)
    yield block


def _document(result: Result) -> dict[str, Any]:
    tables = [
        {
            "title": table.title,
            "columns": list(table.columns),
            "rows": [dict(zip(table.columns, map(_value, row), strict=True)) for row in table.rows],
            "notes": list(table.notes),
        }
        for table in result.tables
    ]
    return {"tables": tables, "messages": list(result.messages), "value": _value(result.value)}


def _csv(table: Table, job: str | None) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*(["job"] if job else []), *table.columns])
    for row in table.rows:
        values = ["" if value is None else value for value in map(_value, row)]
        writer.writerow([*([job] if job else []), *values])
    return buffer.getvalue()


def _for_people(table: Table) -> Table:
    """Leave out the columns that only programs read, and show the control characters of all texts."""
    kept = [index for index, column in enumerate(table.columns) if column not in table.data_columns]
    columns = [visible(table.columns[index]) for index in kept]
    rows = [[_visible_entry(row[index]) for index in kept] for row in table.rows]
    return Table(visible(table.title), columns, rows, [visible(note, lines=True) for note in table.notes])


def _visible_entry(entry: Entry) -> Entry:
    if isinstance(entry, Cell):
        return replace(entry, text=visible(_text(entry)))
    return visible(entry) if isinstance(entry, str) else entry


def _markdown(table: Table, job: str | None) -> str:
    table = _for_people(table)

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    def cell(entry: Entry) -> str:
        text = _text(entry).replace("|", "\\|")
        return f"**{text}**" if _is_bold(entry) else text

    rules = ["---:" if _is_numeric(table, index) else "---" for index in range(len(table.columns))]
    rows = [line([cell(entry) for entry in row]) for row in table.rows]
    heading = f"### {table.title}" + (f": {job}" if job else "")
    notes = "".join(f"\n{note}\n" for note in table.notes)
    return "\n".join([heading, "", line([cell(column) for column in table.columns]), line(rules), *rows]) + "\n" + notes


def _latex(table: Table, job: str | None) -> str:
    table = _for_people(table)

    def cell(entry: Entry) -> str:
        text = _escape_latex(_text(entry))
        return rf"\textbf{{{text}}}" if _is_bold(entry) else text

    def line(cells: Sequence[str]) -> str:
        return "    " + " & ".join(cells) + r" \\"

    alignment = "".join("r" if _is_numeric(table, index) else "l" for index in range(len(table.columns)))
    caption = " ".join([f"{table.title}" + (f": {job}" if job else ""), *table.notes])
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{_escape_latex(caption)}}}",
            rf"  \begin{{tabular}}{{{alignment}}}",
            r"    \toprule",
            line([cell(column) for column in table.columns]),
            r"    \midrule",
            *(line([cell(entry) for entry in row]) for row in table.rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


_WRITERS: dict[Format, Callable[[Table, str | None], str]] = {
    Format.csv: _csv,
    Format.markdown: _markdown,
    Format.latex: _latex,
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _value(entry: Entry) -> Scalar:
    """Return the raw value, with None for a number that JSON cannot hold."""
    value = entry.value if isinstance(entry, Cell) else entry
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(entry: Entry) -> str:
    """Return what a person reads: the text of a cell, else the value, floats to four digits."""
    if isinstance(entry, Cell) and entry.text is not None:
        return entry.text
    value = entry.value if isinstance(entry, Cell) else entry
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else value


def _is_bold(entry: Entry) -> bool:
    return isinstance(entry, Cell) and entry.bold


def _is_numeric(table: Table, index: int) -> bool:
    """Tell whether a column is read by its digits: all its values are numbers or missing, and one is a number."""
    values = [entry.value if isinstance(entry, Cell) else entry for entry in (row[index] for row in table.rows)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return bool(numbers) and len(numbers) == sum(value is not None for value in values)
