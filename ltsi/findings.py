"""What is worth knowing about a log: facts with a severity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ltsi.errors import DataError
from ltsi.tables import Cell, Entry, Table

Severity = Literal["info", "warn", "error"]


@dataclass(frozen=True)
class Finding:
    """One fact about a log.

    Attributes:
        severity: info is worth knowing, warn changes what a result means, error is certainly wrong.
        finding: name of the fact.
        value: a count, a share (every float is one, between 0 and 1), a date, or a word.
        detail: what it means and what can be done about it, one sentence.
        overridden: whether it is an error that the user chose to live with.
    """

    severity: Severity
    finding: str
    value: str | int | float
    detail: str
    overridden: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Returns the finding as the manifest keeps it."""
        return asdict(self)


def refuse(findings: Sequence[Finding], *, override: bool) -> list[Finding]:
    """Refuses a log that is certainly wrong, unless the user chose to live with it.

    Args:
        findings: what the audit found.
        override: what the user chose, audit=warn.

    Returns:
        The findings; errors are flagged as overridden.

    Raises:
        DataError: there are errors and no override; names all of them.
    """
    errors = unresolved(findings)
    if errors and not override:
        reasons = "; ".join(f"{one.finding} ({one.value}): {one.detail.rstrip('.')}" for one in errors)
        raise DataError(f"The audit refuses this log ({reasons}); audit=warn prepares it as it is.")
    return [replace(one, overridden=True) if one in errors else one for one in findings]


def unresolved(findings: Sequence[Finding]) -> list[Finding]:
    """Returns the errors that nobody chose to live with."""
    return [one for one in findings if one.severity == "error" and not one.overridden]


def findings_table(title: str, findings: Sequence[Finding]) -> Table:
    """Returns findings as a table in their order; shares are shown in percent, what is not info stands out."""
    rows: list[list[Entry]] = []
    for one in findings:
        severity = Cell(
            one.severity, f"{one.severity} (overridden)" if one.overridden else None, one.severity != "info"
        )
        value = Cell(one.value, f"{one.value:.1%}") if isinstance(one.value, float) else one.value
        rows.append([severity, one.finding, value, one.detail])
    return Table(title, ("severity", "finding", "value", "detail"), rows)
