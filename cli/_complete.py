"""Shell completion of configuration groups, their options and keys."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import typer

from ._compose import Composition


def _stores() -> list[str]:
    from ltsi.store import available_stores

    return available_stores()


def _forms() -> list[str]:
    from ltsi.decay.forms import FORMS
    from ltsi.decay.result import AUTO, SIMPLE_FORM

    return [AUTO, SIMPLE_FORM, *FORMS]


_VALUES: dict[str, Callable[[], list[str]]] = {"data": _stores, "form": _forms}
"""Values of settings that are no groups of configurations."""

_MAX_EXPANSIONS = 3
"""How often a lone candidate such as `model=` is replaced by what may follow it."""


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete one override of a command that composes an experiment.

    Args:
        ctx: The context of the command so far; its name is the name of the root configuration.
        incomplete: The word under the cursor, which some shells split at `=`.

    Returns:
        The candidates; none where the configuration cannot be composed.
    """
    *before, word = _join_at_equals([*(ctx.params.get("overrides") or []), incomplete])
    # What the shell and Typer already hold as other words is not part of a candidate.
    cut = len(word) - len(incomplete)
    config_dir = ctx.params.get("config_dir")
    name = ctx.params.get("config_name") or str(ctx.info_name).replace("-", "_")
    composition = Composition(name, Path(config_dir) if config_dir else None, before)
    return [candidate[cut:] for candidate in _values(word) or _candidates(composition, word)]


def _values(word: str) -> list[str]:
    """List the values of a setting that begin as the word does, the last of a sweep."""
    head, equals, tail = word.partition("=")
    given, comma, last = tail.rpartition(",")
    if not equals or head not in _VALUES:
        return []
    try:
        return [f"{head}={given}{comma}{value}" for value in _VALUES[head]() if value.startswith(last)]
    except Exception:  # noqa: BLE001 - a completion must not print errors into the user's prompt
        return []


def _join_at_equals(words: list[str]) -> list[str]:
    """Put together again what bash splits: `model`, `=`, `lstm` become `model=lstm`.

    Typer drops a final `=`. It shows by a word that is no override: one without `=` that removes nothing.
    """
    joined: list[str] = []
    glue = False
    for word in words:
        if joined and (glue or word == "="):
            joined[-1] += word
        else:
            joined.append(word)
        glue = word == "="
    if len(joined) > 1 and not joined[-1] and "=" not in joined[-2] and not joined[-2].startswith("~"):
        joined[-2:] = [f"{joined[-2]}="]
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
