"""Texts as they were typed.

Hydra's grammar reads `2024_05` as the number 202405, `8e12` as a float, `true` and `null` as what YAML means by them,
and refuses letters beyond ASCII. A name, a path, an id or a column may be any of these. So what is given to a setting
that is a text is quoted before Hydra sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

GROUPS = ("experiment", "model", "source", "split")
"""Groups of configurations whose files users write and name."""

NEVER_NONE = (*GROUPS, "data", "name", "decay", "entity", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
"""Texts that there always are: `null` is one of them. It means none for all others."""

TEXTS = (
    *NEVER_NONE,
    "hydra.output_subdir",
    "run",
    "user",
    "now",
    "pool",
    "clean.time_window.first",
    "clean.time_window.last",
    "model.category",
    "*.decay",
    "objective.entity",
    "objective.labels.positive",
    "source.name",
    "source.path",
    "source.mirror",
    "source.category",
    "source.times",
    "source.columns.*",
    "source.item_columns",
    "source.user_columns",
    "source.header",
    "source.codes",
    "source.delimiter",
    "source.field_separator",
    "source.seq_separator",
    "source.quote",
    "source.time_format",
    # Of the tables beside the log, when they are given as a whole.
    "source.items.*",
    "source.users.*",
    "source.filters.column",
    "source.filters.reason",
    "source.filters.startswith",
    "source.filters.not_startswith",
    "split.target_behaviors",
    "split.input_behaviors",
)
"""Settings that are free texts, or lists of them. Words that are chosen from a few look like no number."""

_OVERRIDE = re.compile(r"(?P<prefix>\+{0,2})(?P<key>[^=~+@]+)=(?P<value>.*)", re.DOTALL)
_OF_ELEMENTS = ("choice", "shuffle", "sort", "str", "tag")
"""Hydra's functions whose arguments are values of the setting."""


def as_typed(overrides: list[str], subject: str | None = None) -> list[str]:
    """Quote what is given to settings that are texts, where Hydra would take it for something else.

    Args:
        overrides: What the user set, in Hydra's grammar.
        subject: The setting that the command cannot do without, which therefore is never none.

    Returns:
        The overrides, in the same order.
    """
    return [_as_typed(override, (*NEVER_NONE, *([subject] if subject else []))) for override in overrides]


def _as_typed(override: str, never_none: tuple[str, ...]) -> str:
    match = _OVERRIDE.fullmatch(override)
    if match is None or not _may_hold_texts(match["key"]):
        return override
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    text = override
    # From behind, so that the places in front stay where they are.
    for first, last, key, is_null in reversed(list(_bare_values(override, match["key"]))):
        if _is_text(key) and not (is_null and key not in never_none):
            text = f"{text[:first]}'{text[first : last + 1]}'{text[last + 1 :]}"
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException:
        return _quoted_whole(match)
    return _listed(match, parsed, text) if _is_text(match["key"]) else text


def _is_text(key: str) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in TEXTS)


def _may_hold_texts(key: str) -> bool:
    return _is_text(key) or any(pattern.startswith(f"{key}.") for pattern in TEXTS)


def _quoted_whole(match: re.Match[str]) -> str:
    """Quote a text that Hydra cannot read, unless it may be meant as a list, a sweep or something quoted already."""
    value = match["value"].strip()
    if not _is_text(match["key"]) or value.startswith(("[", "{", "'", '"')) or "," in value or "${" in value:
        return match.string
    return f"{match['prefix']}{match['key']}={_quoted(value)}"


def _listed(match: re.Match[str], parsed: Override, text: str) -> str:
    """Write a sweep by a function as the list of its values: of quotes, Hydra keeps only those in a list."""
    from hydra.core.override_parser.types import QuotedString, ValueType

    functions = (ValueType.CHOICE_SWEEP, ValueType.RANGE_SWEEP)
    sweep: Any = parsed.value()
    if parsed.value_type not in functions or sweep.tags:
        return text
    values = [value.text if isinstance(value, QuotedString) else value for value in parsed.sweep_iterator()]
    if not all(isinstance(value, str | int | float) for value in values):
        return text
    return f"{match['prefix']}{match['key']}={','.join(_quoted(str(value)) for value in values)}"


def _quoted(text: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single).with_quotes()


def _bare_values(override: str, key: str) -> Iterator[tuple[int, int, str, bool]]:
    """Find what Hydra reads as a number, a truth value or null.

    Yields:
        The places of its first and last character, the setting that it is given to, and whether it is null.
    """
    from antlr4 import CommonTokenStream, InputStream  # type: ignore[import-untyped]
    from hydra.grammar.gen.OverrideLexer import OverrideLexer
    from hydra.grammar.gen.OverrideParser import OverrideParser

    kinds = (OverrideLexer.INT, OverrideLexer.FLOAT, OverrideLexer.BOOL, OverrideLexer.NULL)

    def walk(node: Any, key: str) -> Iterator[tuple[int, int, str, bool]]:
        children: list[Any] = list(node.getChildren())
        if isinstance(node, OverrideParser.PrimitiveContext):
            # Several tokens are one text.
            tokens = [child.symbol for child in children if child.symbol.type != OverrideLexer.WS]
            if len(tokens) == 1 and tokens[0].type in kinds:
                yield tokens[0].start, tokens[0].stop, key, tokens[0].type == OverrideLexer.NULL
            return
        if isinstance(node, OverrideParser.FunctionContext) and children[0].getText() not in _OF_ELEMENTS:
            return
        if isinstance(node, OverrideParser.DictKeyValuePairContext):
            key = f"{key}.{children[0].getText().strip()}"
        for child in children:
            if child.getChildCount():
                yield from walk(child, key)

    lexer: Any = OverrideLexer(InputStream(override))
    parser: Any = OverrideParser(CommonTokenStream(lexer))
    for one in (lexer, parser):
        one.removeErrorListeners()  # they print; what cannot be read is found out by Hydra
    yield from walk(parser.override(), key)
