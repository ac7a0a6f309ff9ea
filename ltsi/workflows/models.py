"""`ltsi models`: the models that `ltsi train model=NAME` knows, as their configuration and source describe them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from ltsi.errors import ConfigError, did_you_mean
from ltsi.tables import Entry, Result, Table
from ltsi.workflows.class_facts import ClassFacts, read_class

# What names a model is no setting of it.
NO_SETTINGS = ("_target_", "name", "defaults")

_KEY = re.compile(r"^( *)(\w+):")


def names() -> list[str]:
    """Returns the names of all models, sorted."""
    return _options(_folder())


def run(name: str | None = None) -> Result:
    """Describes one model, or lists all.

    Args:
        name: a model's name; None lists all.

    Raises:
        ConfigError: there is no model of that name.
    """
    if name is None:
        return _list([Description.read(known) for known in names()])
    if name not in names():
        raise ConfigError(f"There is no model '{name}'.{did_you_mean(name, names())} Models: {', '.join(names())}.")
    found = Description.read(name)
    code = found.code
    facts: list[list[Entry]] = [
        ["what it is", found.about],
        ["how it works", code.about],
        ["learns by", code.learns_by],
        ["source", code.source],
        ["class", found.target],
    ]
    settings: list[list[Entry]] = [
        [f"model.{key}", setting.default, setting.meaning] for key, setting in found.settings().items()
    ]
    choices: list[list[Entry]] = [[choice.key, choice.default, choice.options] for choice in found.choices]
    notes = [f"ltsi train data=STORE model={name} KEY=VALUE"]
    tables = [Table(name, ["", "about it"], facts), Table("Settings", ["key", "default", "meaning"], settings, notes)]
    if choices:
        tables.append(Table("Parts to choose", ["key", "default", "options"], choices))
    return Result(tables=tables)


@dataclass(frozen=True)
class Setting:
    """A key that can be set.

    Attributes:
        default: its value, as it would be written on the command line.
        meaning: what it is, or None where nothing says so.
    """

    default: str
    meaning: str | None


@dataclass(frozen=True)
class Choice:
    """A part of a model that is taken from a group.

    Attributes:
        key: how it is chosen on the command line.
        default: the option taken.
        options: all of the group, or "any model".
        package: where the option's keys lie below those of the model; None: they are told elsewhere.
        folder: the group.
    """

    key: str
    default: str
    options: str
    package: str | None
    folder: Traversable


@dataclass(frozen=True)
class Description:
    """A file of `conf/model` or of one of the groups below it.

    Attributes:
        about: its first comment.
        target: full name of its class; "" where it takes that of the file it is based on.
        own: its own keys that can be set, with dots, not those of the parts.
        bases: files of the same group that it is based on.
        choices: its parts.
    """

    about: str
    target: str
    own: dict[str, Setting]
    bases: list[Description]
    choices: list[Choice]

    @classmethod
    def read(cls, name: str, folder: Traversable | None = None) -> Description:
        """Reads a file by its name, below `conf/model` by default."""
        folder = folder or _folder()
        text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
        node = yaml.safe_load(text)
        target, code = node.get("_target_", ""), read_class(node.get("_target_", ""))
        comments = dict(_comments(text))
        own = {
            key: Setting(_written(value), comments.get(key) or _sentence(code.arguments.get(key)))
            for key, value in _flat(node)
            # What refers to another key is filled in.
            if not (isinstance(value, str) and value.startswith("${"))
        }
        entries = node.get("defaults", [])
        bases = [cls.read(entry, folder) for entry in entries if isinstance(entry, str) and entry != "_self_"]
        parts = [item for entry in entries if isinstance(entry, dict) for item in entry.items()]
        return cls(text.partition("\n")[0].removeprefix("#").strip(), target, own, bases, [_choice(*i) for i in parts])

    @property
    def code(self) -> ClassFacts:
        """What the source says of its class."""
        return read_class(self.target)

    def settings(self) -> dict[str, Setting]:
        """Returns the keys that can be set, those of its default parts among them."""
        found, below = dict(self.own), [base.settings() for base in self.bases]
        for choice in self.choices:
            if choice.package is not None:
                part = Description.read(choice.default, choice.folder).settings()
                below.append({f"{choice.package}.{key}": setting for key, setting in part.items()})
        for settings in below:
            for key, setting in settings.items():
                mine = self.own.get(key)
                # A part knows best what its key is, the model what it is set to.
                found[key] = Setting(
                    mine.default if mine else setting.default, setting.meaning or (mine or setting).meaning
                )
        return found

    def keys(self) -> str:
        """Returns its own keys and parts with their defaults, on one line."""
        own = [f"{key}={setting.default}" for key, setting in self.own.items()]
        return " ".join([*own, *(f"{choice.key}={choice.default}" for choice in self.choices)])


def _list(found: list[Description]) -> Result:
    known = names()
    what = [[name, one.about, one.code.learns_by, one.code.source] for name, one in zip(known, found, strict=True)]
    keys = [[name, one.keys()] for name, one in zip(known, found, strict=True)]
    notes = ["Keys are written with model. before them: model.dim=32; parts as they stand: model/items=content."]
    return Result(
        tables=[
            Table("Models", ["model", "what it is", "learns by", "source"], what, ["In full: ltsi models NAME."]),
            Table("What can be set", ["model", "keys and their defaults"], keys, notes),
        ]
    )


def _folder() -> Traversable:
    return files("ltsi.conf") / "model"


def _options(folder: Traversable) -> list[str]:
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _choice(group: str, default: str) -> Choice:
    """Reads an entry of a defaults list: `items: tied`, `encoder@long: lstm`, `/model@components.long: lstm`."""
    written, _, package = group.partition("@")
    if written.startswith("override "):
        # A part of the experiment that the model brings: `override /loss@_global_.loss: bce`.
        key = written.removeprefix("override /")
        return Choice(key, default, ", ".join(_options(files("ltsi.conf") / key)), None, files("ltsi.conf") / key)
    if written.startswith("/"):
        # A whole model; its keys are told where it stands itself.
        return Choice(f"{written[1:]}@model.{package}", default, "any model", None, _folder())
    folder = _folder() / written
    key = f"model/{written}" + (f"@model.{package}" if package else "")
    return Choice(key, default, ", ".join(_options(folder)), package or written, folder)


def _flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if prefix or key not in NO_SETTINGS:
            if isinstance(value, dict) and value:
                yield from _flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sentence(argument: str | None) -> str | None:
    """Turns what a docstring says of an argument into what is said of a key."""
    return argument and re.sub(r"\bNone\b", "null", argument[0].upper() + argument[1:])


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """Yields the comment above each key of a YAML file, by the key with dots; its first line is about the file."""
    above: list[str] = []
    place: list[tuple[int, str]] = []
    for line in text.splitlines()[1:]:
        if line.lstrip().startswith("#"):
            above.append(line.strip().removeprefix("#").strip())
        elif match := _KEY.match(line):
            indent = len(match[1])
            place = [(depth, key) for depth, key in place if depth < indent] + [(indent, match[2])]
            if above:
                yield ".".join(key for _, key in place), " ".join(above)
            above = []
        else:
            above = []
