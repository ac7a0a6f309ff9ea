"""Shell completion of configuration groups, their options and keys."""

from functools import partial
from pathlib import Path
from typing import Any

import typer

from ._compose import Composition

_MAX_EXPANSIONS = 3
"""How often a lone candidate such as `model=` is replaced by what may follow it."""


class _Piece(str):
    """The part of a candidate after `=`, where the shell has split the word there.

    Bash hands over `=` itself as the word to complete, but replaces what follows it. Typer drops candidates that do
    not start with the word.
    """

    __slots__ = ()

    def startswith(self, *_: object) -> bool:
        """Pass Typer's filter: only matching candidates are made."""
        return True


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete one override of a command that composes an experiment.

    Args:
        ctx: The context of the command so far; its name is the name of the root configuration.
        incomplete: The word under the cursor, which some shells split at `=`.

    Returns:
        The candidates; none where the configuration cannot be composed.
    """
    *before, word = _join_at_equals([*(ctx.params.get("overrides") or []), incomplete])
    cut = len(word) if incomplete == "=" else len(word) - len(incomplete)
    config_dir = ctx.params.get("config_dir")
    name = ctx.params.get("config_name") or str(ctx.info_name).replace("-", "_")
    composition = Composition(name, Path(config_dir) if config_dir else None, before)
    return [_Piece(candidate[cut:]) for candidate in _candidates(composition, word)]


def _join_at_equals(words: list[str]) -> list[str]:
    """Put together again what a shell split: `model`, `=`, `lstm` become `model=lstm`."""
    joined: list[str] = []
    glue = False
    for word in words:
        if joined and (glue or word == "="):
            joined[-1] += word
        else:
            joined.append(word)
        glue = word == "="
    return joined


def _candidates(composition: Composition, word: str) -> list[str]:
    """Ask Hydra's own completion, whose only entry is private: without it there is no candidate, and no error."""
    try:
        from hydra.core.plugins import Plugins
        from hydra.plugins.completion_plugin import CompletionPlugin

        with composition.loader() as (loader, search):
            plugin: Any = Plugins.instance().discover(CompletionPlugin)[0]
            before = " ".join([*search, *composition.overrides, ""])
            query = partial(plugin(loader)._query, composition.config_name)
            found: list[str] = query(before + word)
            # A shell adds a space after a lone candidate, where the user wants to write on.
            for _ in range(_MAX_EXPANSIONS):
                if len(found) != 1 or not found[0].endswith(("=", "/", ".")):
                    break
                found = query(before + found[0]) or found
    except Exception:  # noqa: BLE001 - a completion must not print errors into the user's prompt
        return []
    return [candidate for candidate in found if not candidate.startswith("hydra") or word.startswith("hydra")]
