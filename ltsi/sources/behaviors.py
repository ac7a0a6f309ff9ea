"""What the user declares about behaviours: weights and roles, checked against the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ltsi.errors import ConfigError, DataError, did_you_mean
from ltsi.events import BEHAVIOR_ROLES, Behavior, BehaviorRole


def declared_behaviors(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Behavior]:
    """Reads `source.behaviors`.

    Raises:
        ConfigError: an entry is not of the form {weight: NUMBER, role: ROLE}.
    """
    return {str(name): _behavior(str(name), entry) for name, entry in entries.items()}


def completed_behaviors(declared: Mapping[str, Behavior], log: Sequence[str], origin: str) -> dict[str, Behavior]:
    """Checks what is declared against the log's behaviours; those that are not declared count 1 in both roles.

    Raises:
        DataError: the log has no such behaviour, or nothing is left to predict or to read.
    """
    for name in declared:
        if name not in log:
            raise DataError(
                f"{origin} has no behaviour '{name}', which source.behaviors declares; it has: "
                f"{', '.join(sorted(log))}.{did_you_mean(name, log)}"
            )
    found = {name: declared.get(name, Behavior()) for name in sorted(log)}
    for role, purpose in (("input", "predict"), ("target", "read")):
        if all(each.role == role for each in found.values()):
            raise DataError(
                f"source.behaviors gives every behaviour of {origin} the role {role}: none is left to {purpose}; "
                "set role: both."
            )
    return found


def _behavior(name: str, entry: Mapping[str, Any] | None) -> Behavior:
    where = f"source.behaviors.{name}"
    if entry is None or not isinstance(entry, Mapping):
        raise ConfigError(f"{where} reads {{weight: NUMBER, role: {'|'.join(BEHAVIOR_ROLES)}}}, not '{entry}'.")
    for key in entry:
        if key not in {"weight", "role"}:
            raise ConfigError(
                f"{where} has no setting '{key}'; it has weight and role.{did_you_mean(key, ('weight', 'role'))}"
            )
    weight, role = entry.get("weight", 1.0), entry.get("role", "both")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
        raise ConfigError(f"{where}.weight={weight} must be a number above 0.")
    if role not in BEHAVIOR_ROLES:
        hint = did_you_mean(str(role), BEHAVIOR_ROLES)
        raise ConfigError(f"{where}.role={role} must be one of: {', '.join(BEHAVIOR_ROLES)}.{hint}")
    return Behavior(float(weight), cast(BehaviorRole, role))
