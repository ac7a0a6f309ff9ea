"""From a node of the configuration to the object it describes."""

from __future__ import annotations

import re
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ltsi.errors import ConfigError, UserError


def build(node: DictConfig, **arguments: Any) -> Any:
    """Instantiates a node; `name` beside a `_target_` is a label and not an argument.

    Args:
        node: has a `_target_`, or holds nodes that do.
        arguments: further arguments of the target.

    Raises:
        UserError: the target refuses its arguments, told without Hydra's wrapping.
    """
    try:
        return instantiate(_without_labels(OmegaConf.to_container(node, resolve=True)), _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        # Sizes that make no sense end in torch's own errors.
        if isinstance(cause, (TypeError, ValueError, ArithmeticError, RuntimeError)):
            raise ConfigError(f"{node.get('name', node.get('_target_'))} {_refusal(cause)}") from error
        raise


def _refusal(cause: Exception) -> str:
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(cause))
    if unknown is None:
        return f"cannot be built: {cause}"
    setting = unknown.group(1)
    return f"has no setting '{setting}'; leave out what sets it, an override or a group such as ablation=no_gate."


def _without_labels(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_labels(value) for key, value in node.items() if not (key == "name" and "_target_" in node)
        }
    return [_without_labels(value) for value in node] if isinstance(node, list) else node
