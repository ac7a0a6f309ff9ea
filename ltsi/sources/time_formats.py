"""Ways of writing times: patterns, units by magnitude, and formats that a text may have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
INTEGERS = 9.2e18  # where 64-bit integers end, nearly
# Numbers since 1970 by magnitude: each unit covers 1973 to 5138, and the ranges do not overlap.
MAGNITUDES = {"too small": 10**8, "s": 10**11, "ms": 10**14, "us": 10**17, "ns": INTEGERS, "too large": float("inf")}

# Only dates that exist, so that no engine has to say what it makes of a 30th of February; digits of ASCII only.
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_LONG = r"(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
_SHORT = r"(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
_DATE = rf"(?:[0-9]{{4}}-(?:{_LONG}|{_SHORT}|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
_MINUTE = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SECOND = rf"{_MINUTE}:[0-5][0-9](?:[.,][0-9]+)?"
_ZONE = r" ?(?:Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])"
KINDS = {
    "number": r"^-?[0-8]?[0-9]{1,18}(?:\.[0-9]{0,30})?$",
    "date": f"^{_DATE}$",
    "date and time": f"^{_DATE}{_SECOND}$",
    "date and time to the minute": f"^{_DATE}{_MINUTE}$",
    "date and time with zone": f"^{_DATE}{_SECOND}{_ZONE}$",
    "date and time to the minute with zone": f"^{_DATE}{_MINUTE}{_ZONE}$",
}

_DATES = (
    "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y", "%Y%m%d", "%Y-%m",
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%a %b %d %Y",
)  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", " %I:%M:%S %p", " %I:%M %p", ", %H:%M", ", %H:%M:%S")
CLOCK_DIRECTIVES = frozenset("HIMSTRXcfps")


def unit_of(size: float) -> str:
    """Returns the unit that a number since 1970 seems to have, given without its sign."""
    return next((unit for unit, high in MAGNITUDES.items() if size < high), "too large")


def fitting_formats(texts: Sequence[str]) -> list[str]:
    """Returns the common formats that fit all texts: two, where days and months can be taken for each other."""
    formats = [date + clock for date in _DATES for clock in _CLOCKS]
    formats += ["%Y%m%d%H%M%S", "%Y%m%d%H%M", "%a %b %d %H:%M:%S %z %Y"]
    for text in texts:
        formats = [each for each in formats if _fits(text, each)]
    return formats


def completed_format(written: str) -> tuple[str, str]:
    """Completes a format without a day, a month or a minute: engines want them.

    Returns:
        The format, and what to append to each text: `%Y` becomes `%Y-%m-%d`, with "-01-01".
    """
    suffix, directives = "", set(re.findall(r"%-?([A-Za-z])", written))
    if not directives & set("mbBhjUWDFcxs"):
        written, suffix = f"{written}-%m", f"{suffix}-01"
    if not directives & set("dejDFcxsuaAw"):
        written, suffix = f"{written}-%d", f"{suffix}-01"
    if directives & set("HI") and not directives & set("MTRXcs"):
        written, suffix = f"{written}:%M", f"{suffix}:00"
    return written, suffix


def _fits(text: str, written: str) -> bool:
    try:
        datetime.strptime(text, written)
    except ValueError:
        return False
    return True
