"""From a node of the configuration to the object it describes."""

from __future__ import annotations

import re
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ltsi.errors import ConfigError, UserError
from ltsi.workflows.expected import require_expected


def build(node: DictConfig, **arguments: Any) -> Any:
    """Instantiates a node; `name` beside a `_target_` is a label and not an argument.

    Args:
        node: has a `_target_`, or holds nodes that do.
        arguments: further arguments of the target.

    Raises:
        UserError: the target has not a setting, or refuses its value, told without Hydra's wrapping.
    """
    require_expected(node, label=str(node.get("name", node.get("_target_", ""))))
    try:
        return instantiate(_without_labels(OmegaConf.to_container(node, resolve=True)), _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        # Sizes that make no sense end in torch's own errors.
        if isinstance(cause, (TypeError, ValueError, ArithmeticError, RuntimeError)):
            raise ConfigError(f"{_place(node, str(error))} {_refusal(cause)}") from error
        raise


def _place(node: DictConfig, text: str) -> str:
    """Names what could not be built: the group and its choice, else the key. Hydra tells where only in its text."""
    inside = re.search(r"full_key: (\S+)", text)
    key = ".".join(part for part in (node._get_full_key(None), inside[1] if inside else "") if part)
    name = node.get("name")
    return f"{key}={name}" if key and name and not inside else key or str(name or node.get("_target_"))


def _refusal(cause: Exception) -> str:
    # Of what hands its settings on, such as a published set to the source that reads it.
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(cause))
    if unknown is None:
        return f"cannot be built: {cause}"
    return f"has no setting '{unknown.group(1)}'; remove the override or config group that sets it."


def _without_labels(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_labels(value) for key, value in node.items() if not (key == "name" and "_target_" in node)
        }
    return [_without_labels(value) for value in node] if isinstance(node, list) else node
