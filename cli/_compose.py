"""Composing a configuration without running anything, to complete a word or to say what a user may have meant."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader


@dataclass(frozen=True, slots=True)
class Composition:
    """What a command composes.

    Args:
        config_name: Name of the root configuration, without ending.
        config_dir: Folder searched besides ltsi's own configuration, if any.
        overrides: What the user set, in Hydra's grammar.
        subject: The setting that the command cannot do without, which a word without a key is probably meant for.
    """

    config_name: str
    config_dir: Path | None = None
    overrides: list[str] = field(default_factory=list)
    subject: str | None = None

    @contextmanager
    def loader(self) -> Iterator[tuple["ConfigLoader", list[str]]]:
        """Yield Hydra's configuration loader and the overrides that complete its search path."""
        from hydra import initialize_config_dir, initialize_config_module
        from hydra.core.global_hydra import GlobalHydra

        folder = self.config_dir.absolute() if self.config_dir else None
        context: AbstractContextManager[None]
        # The root configuration has to lie where Hydra starts; the other place joins the search path.
        if folder is not None and (folder / f"{self.config_name}.yaml").is_file():
            context = initialize_config_dir(str(folder), version_base="1.3")
            search = ["hydra.searchpath=[pkg://ltsi.conf]"]
        else:
            context = initialize_config_module("ltsi.conf", version_base="1.3")
            search = [f"hydra.searchpath=['file://{folder}']"] if folder else []
        with context:
            yield GlobalHydra.instance().config_loader(), search

    def keys(self) -> list[str]:
        """List every group and key that can be set, dotted, with the groups that the user chose."""
        groups, values = self._defaults()
        return [*groups, *values]

    def options(self, group: str) -> list[str]:
        """List the options of a group."""
        with self.loader() as (loader, _):
            return loader.get_group_options(group)

    def meant(self, word: str) -> str | None:
        """Say what a word without a key was probably meant for: a group that has it, else the command's subject."""
        groups, values = self._defaults()
        options = {group: self.options(group) for group in groups if group in values or group == self.subject}
        key = next((group for group, names in options.items() if word in names), self.subject)
        return None if key is None else f"{key}={word}"

    def _defaults(self) -> tuple[list[str], dict[str, Any]]:
        """Compose with the groups that the user chose: return every group, and the value of every dotted key."""
        from hydra.types import RunMode
        from omegaconf import OmegaConf

        with self.loader() as (loader, search):
            groups = [group for group in loader.list_groups("") if not group.startswith("hydra")]
            chosen = [override for override in self.overrides if override.partition("=")[0] in groups]
            cfg = loader.load_configuration(self.config_name, [*chosen, *search], RunMode.MULTIRUN)
        values = _dotted(OmegaConf.to_container(cfg, resolve=False))
        return groups, {key: value for key, value in values.items() if key.partition(".")[0] != "hydra"}


def _dotted(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {}
    values = {}
    for name, value in node.items():
        values[f"{prefix}{name}"] = value
        values |= _dotted(value, f"{prefix}{name}.")
    return values
