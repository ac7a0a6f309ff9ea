"""What settings are expected to be: by the annotations of the class they are for, or by their default."""

from __future__ import annotations

import inspect
import os
import re
import types
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from ltsi.errors import ConfigError, did_you_mean

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    types.NoneType: "null",
}
MANY = 12
"""More settings than these are not listed in a sentence."""
_ADDRESS = re.compile(r"\$\{([\w.]+)\}")


def require_expected(node: DictConfig, label: str = "") -> None:
    """Refuses settings of targets, and of targets inside, that these do not have or that are of another kind.

    What a class checks for itself, such as a range or a name of several, is left to it.

    Args:
        node: has a `_target_`, or holds nodes that do.
        label: what the settings are called if the node stands for itself.

    Raises:
        ConfigError: names the first such setting, what was given and what is expected.
    """
    raw, given = OmegaConf.to_container(node, resolve=False), OmegaConf.to_container(node, resolve=True)
    _require(raw, given, node._get_full_key(None) or label)


def require_kinds(cfg: DictConfig, defaults: Mapping[str, Any]) -> None:
    """Refuses values at the root of a configuration that are no number, or no truth value, where the default is one.

    Args:
        cfg: the composed configuration.
        defaults: the values of its file.

    Raises:
        ConfigError: names the first such value and what is expected.
    """
    for key, default in defaults.items():
        kind = type(default)
        value = cfg.get(key) if kind in {bool, int, float} else None
        if value is not None and not fits(value, kind):
            raise ConfigError(f"{key}={value} must be {WORDS[kind]}.")


def fits(value: object, expected: Any) -> bool:
    """Tells whether a value from a configuration can be what an annotation says; where it cannot tell, it can."""
    if expected in (inspect.Parameter.empty, Any, object) or isinstance(expected, str):
        return True
    origin = get_origin(expected)
    if origin in {Union, types.UnionType}:
        return any(fits(value, option) for option in get_args(expected))
    if origin is Literal:
        # Lightning takes precision=32 and '32' alike.
        return value in get_args(expected) or (isinstance(value, str) and value in map(str, get_args(expected)))
    if isinstance(origin, type):
        return _fits_container(value, origin, get_args(expected))
    return not isinstance(expected, type) or _fits_class(value, expected)


def _fits_container(value: object, origin: type, inner: tuple[Any, ...]) -> bool:
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if not issubclass(origin, Iterable):
        return True
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        return False
    return not inner or all(any(fits(one, kind) for kind in inner if kind is not ...) for one in value)


def _fits_class(value: object, expected: type) -> bool:
    if expected is bool:
        return isinstance(value, bool) or (isinstance(value, int) and value in {0, 1})
    if expected in {int, float}:
        return isinstance(value, int if expected is int else (int, float)) and not isinstance(value, bool)
    if issubclass(expected, (str, Enum, os.PathLike)):
        # A class that wants one word of several says which, whatever it is given.
        return value is not None and not isinstance(value, (list, dict))
    if expected is types.NoneType:
        return value is None
    return not _is_plain(value) or isinstance(value, expected) or getattr(expected, "_is_protocol", False)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _require(raw: Any, given: Any, where: str) -> None:
    if isinstance(given, dict):
        # A whole node may stand for another one: key: ${model}
        raw = raw if isinstance(raw, dict) else given
        parameters = _parameters(given["_target_"]) if "_target_" in given else None
        for key, value in given.items():
            place = f"{where}.{key}" if where else str(key)
            if parameters is not None and not (key.startswith("_") or key == "name"):
                _require_known(parameters, key, where, str(given.get("name", "")))
                _require_kind(parameters.get(key), value, raw[key], place)
            _require(raw[key], value, place)
    elif isinstance(given, list) and isinstance(raw, list):
        for index, value in enumerate(given):
            _require(raw[index], value, f"{where}[{index}]")


def _parameters(target: Any) -> Mapping[str, inspect.Parameter] | None:
    """Returns what a target takes by name; None if it is not there, which instantiation says, or cannot be known."""
    try:
        target = get_object(target) if isinstance(target, str) else target
        return inspect.signature(target, eval_str=True).parameters
    except (ImportError, ValueError):
        return None
    except (NameError, AttributeError, TypeError):
        # An annotation that only type checkers know.
        return inspect.signature(target).parameters if callable(target) else None


def _require_known(parameters: Mapping[str, inspect.Parameter], key: str, where: str, name: str) -> None:
    if key in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    owner = f"{where}={name}" if name not in {"", where} else where
    if target := _own_target(where):
        owner = f"{where}._target_={target}"  # the name is still that of the class in its place
    if hint := did_you_mean(key, parameters):
        raise ConfigError(f"{owner} has no setting '{key}'.{hint}")
    example = ", such as ablation=no_gate," if where == "model" else ""
    known = f" It has: {', '.join(parameters)}." if len(parameters) <= MANY else ""
    raise ConfigError(
        f"{owner} has no setting '{key}'; remove the override or config group{example} that sets it.{known}"
    )


def _own_target(where: str) -> str:
    """Returns the class that the command line put in the place of a group's own, if it did."""
    if not HydraConfig.initialized():
        return ""
    overrides = (text.lstrip("+").partition("=") for text in HydraConfig.get().overrides.task)
    return next((value for key, _, value in overrides if key == f"{where}._target_"), "")


def _require_kind(parameter: inspect.Parameter | None, value: Any, raw: Any, place: str) -> None:
    is_object = isinstance(value, dict) and "_target_" in value
    if parameter is None or is_object or fits(value, parameter.annotation):
        return
    address = _ADDRESS.fullmatch(raw) if isinstance(raw, str) else None
    setting, further = (address[1], f", for {place}") if address else (place, "")
    shown = "null" if value is None else value
    raise ConfigError(f"{setting}={shown} must be {_told(parameter.annotation)}{further}.")


def _told(expected: Any) -> str:
    """Says what an annotation allows."""
    # A class is nothing that a configuration can hold.
    said = dict.fromkeys(_options(expected))
    return " or ".join([word for word in said if " object" not in word] or said)


def _options(expected: Any) -> Iterable[str]:
    origin, inner = get_origin(expected), get_args(expected)
    if origin in {Union, types.UnionType}:
        words = [word for option in inner for word in _options(option) if option is not types.NoneType]
        return [*words, *(["null"] if types.NoneType in inner else [])]
    if origin is Literal:
        return map(str, inner)
    if expected in WORDS:
        return [WORDS[expected]]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return ["a mapping {key: value}"]
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return ["a list [a,b]"]
    return [f"a {getattr(expected, '__name__', expected)} object"]
