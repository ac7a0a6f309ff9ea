"""What Hydra and OmegaConf refuse, as one sentence with the near match."""

import difflib
import errno
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ltsi.errors import ConfigError, UserError

from ._compose import Composition

if TYPE_CHECKING:
    from hydra.errors import InstantiationException
    from omegaconf.errors import OmegaConfBaseException

# Hydra tells what it refuses only in the text of its exceptions.
_UNKNOWN_KEY = re.compile(
    r"Could not (?:override '(?P<set>.*)'\.|delete from config\. '(?P<deleted>.*)' does not exist)"
)
_UNKNOWN_OPTION = re.compile(r"Could not find '(?P<choice>.*)'\s+Available options in '(?P<group>.*)':")
_NOT_LOADED = re.compile(r"Could not load '(?P<group>[^']+)/(?P<choice>[^'/]+)'")
_NO_CHOICE = re.compile(r"You must specify '(?P<group>.*)', e\.g")
_NO_ROOT = re.compile(r"Cannot find primary config '(?P<name>.*)'\.")
_SWEEP = re.compile(r"(?:Ambiguous value for argument|Sweep parameters) '(?P<override>.*)'")
_PRESENT = re.compile(r"An item is already at '(?P<key>.*)'\.")
_MERGE = re.compile(r"Error merging override (?P<override>.*)")
_NO_FOLDER = re.compile(r"Additional config directory '(?P<folder>.*)' not found")
_PLACES = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_UNWRITABLE = (errno.EROFS, errno.ENOSPC)
"""Python has no classes for these."""
_ALIKE = 0.6
"""From this share of common letters on, two words count as spelt alike (difflib's own default)."""
_OPTION = re.compile(r"^\t(?!\w+=)(?P<option>\S+)$", re.MULTILINE)


def explain(error: Exception, composition: Composition | None) -> UserError | None:
    """Say in one sentence what the user asked that cannot be.

    Args:
        error: What was raised.
        composition: What the command was composing, for the near matches of keys.

    Returns:
        The sentence as an error with its exit code; None where the mistake is not the user's.
    """
    if isinstance(error, _PLACES) or (isinstance(error, OSError) and error.errno in _UNWRITABLE):
        return UserError(f"cannot use {error.filename}: {_place_trouble(error)}") if error.filename else None
    # Not loaded: then it cannot have been raised.
    from hydra.errors import HydraException, InstantiationException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, OverrideParseException):
        return ConfigError(_unreadable(str(error.override), composition))
    if isinstance(error, InstantiationException):
        return _explain_instantiation(error)
    if isinstance(error, OmegaConfBaseException):
        return ConfigError(_explain_omegaconf(error))
    if isinstance(error, HydraException):
        return ConfigError(_explain_composition(error, composition))
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):
        given = " ".join(composition.overrides) if composition else ""
        return ConfigError(
            f"a configuration group takes the name of one of its options, not a number or null, in: {given}"
        )
    return None


def _place_trouble(error: OSError) -> str:
    """Say what is wrong with a place in the file system, and what to do where a file is in the way of a folder."""
    path = Path(str(error.filename))
    if isinstance(error, FileExistsError | NotADirectoryError):
        for place in (path, *path.parents):
            if place.exists() and not place.is_dir():
                return f"{'it' if place == path else place} is a file, not a folder; choose another folder"
    return str(error.strerror)


def _unreadable(override: str, composition: Composition | None) -> str:
    if "=" not in override and composition is not None:
        others = replace(composition, overrides=[text for text in composition.overrides if "=" in text])
        try:
            meant = others.meant(override)
        except Exception:  # noqa: BLE001 - the refusal itself matters more than its hint
            meant = None
        if meant is not None:
            return f"cannot read {override!r}: write KEY=VALUE; did you mean {meant}?"
    return (
        f"cannot read {override!r}: write KEY=VALUE, "
        "and quote a value that holds commas, brackets or equals signs as KEY='\"a,b\"'"
    )


def _explain_composition(error: Exception, composition: Composition | None) -> str:
    text = str(error)
    if match := _UNKNOWN_KEY.search(text):
        return _unknown_key(match["set"] or match["deleted"], composition)
    if match := _UNKNOWN_OPTION.search(text):
        return _unknown_option(match["group"], match["choice"], _OPTION.findall(text))
    if (match := _NOT_LOADED.search(text)) and composition is not None:
        return _unknown_option(match["group"], match["choice"], composition.options(match["group"]))
    if match := _NO_CHOICE.search(text):
        return f"choose a {match['group']}: {match['group']}=NAME, one of {', '.join(_OPTION.findall(text))}"
    if match := _NO_ROOT.search(text):
        return f"there is no root configuration {match['name']!r}: check --config-name and --config-dir"
    if match := _SWEEP.search(text):
        return (
            f"'{match['override']}' gives several values: add --multirun to try each, "
            "or write a list as KEY=[a,b] and a text with a comma as KEY='\"a,b\"'"
        )
    if match := _PRESENT.search(text):
        return f"{match['key']} is there already: set it without the leading +"
    if match := _NO_FOLDER.search(text):
        return f"--config-dir {match['folder']} is not a folder"
    if match := _MERGE.search(text):
        return f"cannot set {match['override']}: {_first_line(str(error.__cause__))}"
    return _first_line(text)


def _unknown_key(key: str, composition: Composition | None) -> str:
    try:
        keys = composition.keys() if composition is not None else []
    except Exception:  # noqa: BLE001 - the refusal itself matters more than its near match
        keys = []
    near = _near_keys(key, keys)
    if near:
        return f"there is no key {key!r} in the configuration: did you mean {near}?"
    return f"there is no key {key!r} in the configuration: see the keys with --cfg job, or add one with +{key}=VALUE"


def _unknown_option(group: str, choice: str, options: list[str]) -> str:
    name = choice.removeprefix(f"{group}/")
    near = difflib.get_close_matches(name, options, n=1)
    hint = f"did you mean {group}={near[0]}? " if near else ""
    return f"there is no {group} {name!r}: {hint}Options: {', '.join(options)}"


def _near_keys(key: str, keys: list[str]) -> str:
    """Name the keys that were probably meant: the same last part elsewhere, else one spelt alike."""
    last = key.rpartition(".")[2]
    moved = [known for known in keys if known.rpartition(".")[2] == last and known != key]
    if moved:
        return " or ".join(moved[:3])
    alike = [known for known in keys if _likeness(last, known.rpartition(".")[2]) >= _ALIKE]
    return max(alike, key=lambda known: _likeness(key, known), default="")


def _likeness(text: str, other: str) -> float:
    return difflib.SequenceMatcher(None, text, other).ratio()


def _explain_omegaconf(error: "OmegaConfBaseException") -> str:
    from omegaconf.errors import ConfigKeyError, MissingMandatoryValue

    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is not set: give {error.full_key}=VALUE"
    if isinstance(error, ConfigKeyError | AttributeError):
        return f"the configuration lacks {error.full_key or error.key}: {_first_line(str(error))}"
    where = f" (at {error.full_key})" if error.full_key else ""
    return f"{_first_line(str(error))}{where}"


def _explain_instantiation(error: "InstantiationException") -> UserError | None:
    """Explain a component that refused its configuration; other failures inside it are not the user's."""
    cause, text = error.__cause__, str(error)
    place = re.search(r"full_key: (\S+)", text)
    where = place[1] if place else "the configuration"
    if isinstance(cause, TypeError) and re.search(r"unexpected keyword|required (positional|keyword)", str(cause)):
        return ConfigError(f"the keys under {where} do not fit: {_first_line(str(cause))}")
    if isinstance(cause, ValueError):
        return ConfigError(f"a value under {where} cannot be used: {_first_line(str(cause))}")
    if text.startswith("Error locating target"):
        return ConfigError(f"{_first_line(text).partition(', set env var')[0]} of {where}: {_first_line(str(cause))}")
    return None


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    informative = [line for line in lines if not line.startswith(("See https", "Error parsing override", "full_key"))]
    return (informative or lines or [""])[0].rstrip(".")
