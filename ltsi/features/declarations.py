"""From the configuration to declared features, checked against the columns that a store has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import polars as pl

from ltsi.errors import ConfigError, did_you_mean
from ltsi.features.buckets import Buckets, BucketsEncoder
from ltsi.features.categorical import Categorical, CategoricalEncoder
from ltsi.features.cross import Cross
from ltsi.features.encoder import Encoder, Kind
from ltsi.features.numeric import Numeric, NumericEncoder
from ltsi.features.tags import Tags, TagsEncoder
from ltsi.features.time_of_event import DayOfWeek, HourOfDay
from ltsi.features.vector import Vector, VectorEncoder
from ltsi.store import Store

KINDS: dict[str, tuple[type[Kind], type[Encoder]]] = {
    "categorical": (Categorical, CategoricalEncoder),
    "numeric": (Numeric, NumericEncoder),
    "buckets": (Buckets, BucketsEncoder),
    "tags": (Tags, TagsEncoder),
    "vector": (Vector, VectorEncoder),
}
"""Kinds of features of a column, and their encoders."""

EVENT_KINDS: dict[str, type[HourOfDay]] = {"hour_of_day": HourOfDay, "day_of_week": DayOfWeek}
"""Kinds of features of an event's time."""

CROSSABLE = ("categorical", "buckets", *EVENT_KINDS)
PARTS = ("item", "user", "event", "cross")


@dataclass(frozen=True)
class Declared:
    """A declared feature of the items or the users.

    Attributes:
        name: `item.price`.
        column: column of the table.
        kind: name of the kind.
        options: the kind's options.
    """

    name: str
    column: str
    kind: str
    options: Kind


@dataclass(frozen=True)
class Declarations:
    """What the configuration declares.

    Attributes:
        item: features of the items.
        user: features of the users.
        event: kind of each feature of the event's time, by name (`event.hour`).
        cross: crosses.
    """

    item: tuple[Declared, ...] = ()
    user: tuple[Declared, ...] = ()
    event: Mapping[str, str] = field(default_factory=dict)
    cross: tuple[Cross, ...] = ()


def read_declarations(config: Mapping[str, Any], store: Store) -> Declarations:
    """Reads the configuration key `features`, whose form the package's docstring shows.

    Args:
        config: plain containers, not a node of OmegaConf.
        store: has the tables and the clock.

    Raises:
        ConfigError: something is declared that there is not, or wrongly.
        DataError: an event feature is declared for a log without a clock.
    """
    for part in config:
        if part not in PARTS:
            there = f"There are: {', '.join(PARTS)}."
            raise ConfigError(f"features has no part '{part}'.{did_you_mean(part, PARTS)} {there}")
    item = _of_table(config.get("item"), "item", store.items, store.name)
    user = _of_table(config.get("user"), "user", store.users, store.name)
    event = _of_event(config.get("event"), store)
    kinds = {feature.name: feature.kind for feature in item + user} | event
    return Declarations(item, user, event, _crosses(config.get("cross"), kinds))


def _of_table(given: object, side: str, table: pl.DataFrame, store: str) -> tuple[Declared, ...]:
    where = f"features.{side}"
    if given == "auto":
        given = {name: _kind_of(where, name, dtype) for name, dtype in list(table.schema.items())[1:]}
    declared = []
    for name, entry in _named(given, where, "NAME: KIND, or auto").items():
        key = f"{where}.{name}"
        kind, options = _kind_and_options(entry, key, KINDS)
        column = options.pop("column", name)
        if column not in table.columns:
            hint, there = did_you_mean(column, table.columns), ", ".join(table.columns)
            raise ConfigError(
                f"{key}: the {side}s of store '{store}' have no column '{column}'.{hint} They have: {there}."
            )
        declared.append(Declared(f"{side}.{name}", column, kind, _build(KINDS[kind][0], options, key, kind)))
    return tuple(declared)


def _of_event(given: object, store: Store) -> dict[str, str]:
    event = {}
    for name, entry in _named(given, "features.event", "NAME: KIND").items():
        key = f"features.event.{name}"
        kind, options = _kind_and_options(entry, key, EVENT_KINDS)
        _build(EVENT_KINDS[kind], options, key, kind)
        store.require_clock(key)
        event[f"event.{name}"] = kind
    return event


def _crosses(given: object, kinds: Mapping[str, str]) -> tuple[Cross, ...]:
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigError(f"features.cross is a list such as [[user.segment, item.category]], not '{given}'.")
    crosses: dict[str, Cross] = {}
    for position, entry in enumerate(given):
        key = f"features.cross[{position}]"
        options = dict(entry) if isinstance(entry, Mapping) else {"of": entry}
        of = options.get("of")
        if isinstance(of, str) or not isinstance(of, Sequence):
            raise ConfigError(f"{key} names no features; write [user.segment, item.category], or {{of: [...]}}.")
        for name in of:
            _check_crossed(str(name), key, kinds)
        cross: Cross = _build(Cross, options | {"of": tuple(of)}, key, "cross")
        if cross.name in crosses:
            raise ConfigError(f"{key} crosses {cross.name} a second time; leave one out.")
        crosses[cross.name] = cross
    return tuple(crosses.values())


def _check_crossed(name: str, key: str, kinds: Mapping[str, str]) -> None:
    if name not in kinds:
        there = ", ".join(kinds) or "none"
        raise ConfigError(f"{key}: no feature '{name}' is declared.{did_you_mean(name, kinds)} Declared are: {there}.")
    if kinds[name] not in CROSSABLE:
        raise ConfigError(
            f"{key}: {name} is of kind {kinds[name]}, which cannot be crossed; these can: {', '.join(CROSSABLE)}."
        )


def _named(given: object, where: str, form: str) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}={given} is not of the form {{{form}}}.")
    return {str(name): entry for name, entry in given.items()}


def _kind_and_options(entry: object, key: str, kinds: Collection[str]) -> tuple[str, dict[str, Any]]:
    options = dict(entry) if isinstance(entry, Mapping) else {"kind": entry}
    kind = options.pop("kind", None)
    there = f"There are: {', '.join(kinds)}."
    if kind is None:
        raise ConfigError(f"{key} has no kind. {there}")
    if kind not in kinds:
        raise ConfigError(f"{key}: there is no kind '{kind}'.{did_you_mean(kind, kinds)} {there}")
    return str(kind), options


def _build(kind: type[Any], options: Mapping[str, Any], key: str, name: str) -> Any:
    known = [option.name for option in fields(kind)]
    for option in options:
        if option not in known:
            there = f"It takes: {', '.join(known)}" if known else "It takes none"
            raise ConfigError(f"{key}: {name} has no option '{option}'.{did_you_mean(option, known)} {there}.")
    try:
        return kind(**options)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}.") from error


def _kind_of(where: str, column: str, dtype: pl.DataType) -> str:
    """Returns the kind that `auto` gives a column."""
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null):
        return "categorical"
    if dtype.is_numeric() or dtype in (pl.Date, pl.Datetime):
        return "numeric"
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = dtype.inner
        if inner.is_float():
            return "vector"
        if inner == pl.String or inner.is_integer():
            return "tags"
    raise ConfigError(
        f"{where}=auto has no kind for column '{column}', which holds {dtype}; declare the columns you want instead."
    )
