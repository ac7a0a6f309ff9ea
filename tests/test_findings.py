import re

import pytest

from ltsi.errors import DataError
from ltsi.findings import Finding, findings_table, refuse, unresolved
from ltsi.tables import Cell

FUTURE = Finding("error", "future_dates", 3, "Events later than today; drop them.")
ROUNDED = Finding("error", "precision_loss", 128, "Every time is rounded; read it again.")
TIES = Finding("warn", "same_time_steps", 0.4395, "4 of 10 steps.")


def test_errors_refuse_and_are_all_named() -> None:
    sentence = (
        "The audit refuses this log (future_dates (3): Events later than today; drop them; "
        "precision_loss (128): Every time is rounded; read it again); audit=warn prepares it as it is."
    )
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        refuse([FUTURE, TIES, ROUNDED], override=False)


def test_without_errors_nothing_changes() -> None:
    assert refuse([TIES], override=False) == refuse([TIES], override=True) == [TIES]


def test_an_override_is_recorded_and_holds() -> None:
    future, ties = refuse([FUTURE, TIES], override=True)
    assert future.as_dict() == {**FUTURE.as_dict(), "overridden": True}
    assert ties == TIES
    assert unresolved([future, ties, ROUNDED]) == [ROUNDED]
    assert refuse([Finding(**future.as_dict())], override=False) == [future]


def test_people_read_shares_in_percent_and_see_what_stands_out() -> None:
    (future,) = refuse([FUTURE], override=True)
    table = findings_table("Audit", [TIES, FUTURE, future])
    ties = [Cell("warn", bold=True), "same_time_steps", Cell(0.4395, "44.0%"), "4 of 10 steps."]
    assert list(table.rows[0]) == ties
    assert list(table.rows[1])[:3] == [Cell("error", bold=True), "future_dates", 3]
    assert table.rows[2][0] == Cell("error", "error (overridden)", bold=True)
