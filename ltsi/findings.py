"""What is worth knowing about a log: facts with a severity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["info", "warn", "error"]


@dataclass(frozen=True)
class Finding:
    """One fact about a log.

    Attributes:
        severity: info is worth knowing, warn changes what a result means, error makes most results impossible.
        finding: name of the fact.
        value: the number (shares between 0 and 1), a date, or a word.
        detail: what it means, one sentence.
    """

    severity: Severity
    finding: str
    value: str | int | float
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Returns the finding as the manifest keeps it."""
        return asdict(self)
