"""What a workflow returns: plain data that the command line prints and a program can read.

Nothing here knows a terminal or a file format.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ltsi.errors import UserError

Scalar = str | int | float | bool | None
"""A raw value in a table."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a table whose text for people differs from its value.

    Args:
        value: The raw value, written to JSON and CSV.
        text: What a person reads (terminal, Markdown, LaTeX). None: the value, formatted.
        bold: Whether a person should see it stand out, for instance because it is the best of its column.
    """

    value: Scalar
    text: str | None = None
    bold: bool = False


Entry = Scalar | Cell
"""What a row holds. A float that is None or NaN is shown as missing."""


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table.

    Args:
        title: What the table shows, on one line.
        columns: Names of the columns, each different: they are the keys of the JSON records.
        rows: Rows, each with one entry per column.
        notes: Sentences printed under the table, such as the protocol behind the numbers.
        data_columns: Names of the columns that only programs read, such as the bounds of an interval: they are in JSON
            and CSV and not in what people read.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    notes: Sequence[str] = ()
    data_columns: Collection[str] = ()

    def __post_init__(self) -> None:
        """Refuse a table that could not be written as records."""
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"table {self.title!r} names a column twice: {list(self.columns)}")
        if unknown := set(self.data_columns) - set(self.columns):
            raise ValueError(f"table {self.title!r} has no columns {sorted(unknown)}")
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {index} of table {self.title!r} has {len(row)} entries for {len(self.columns)} columns"
                )


@dataclass(frozen=True, slots=True)
class Result:
    """What one workflow found out.

    Args:
        tables: The tables, in reading order.
        messages: Sentences about what was done, such as where a run was written.
        figures: Ready-made terminal text, such as a plotted curve. Shown in the terminal only.
        value: The number that a sweeper optimises, for instance the best validation metric.
        failure: What the command ends with once all this is shown, where the result itself is bad news.
    """

    tables: Sequence[Table] = field(default_factory=list)
    messages: Sequence[str] = field(default_factory=list)
    figures: Sequence[str] = field(default_factory=list)
    value: float | None = None
    failure: UserError | None = None
