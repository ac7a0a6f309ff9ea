"""Audit of fitted features: whether they know more than the training part says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ltsi.features.declarations import Declarations
from ltsi.features.space import FeatureSpace
from ltsi.findings import Finding
from ltsi.sequences.split import Split


def audit_features(space: FeatureSpace, split: Split, declarations: Declarations) -> list[Finding]:
    """Fits the features anew on the training part and compares.

    Args:
        space: what a model is given, wherever it was fitted.
        split: the split that the model is judged on.
        declarations: what was declared.

    Returns:
        One finding: an error that names the features whose vocabulary or statistics differ, or that there is none.
    """
    given, own = _fitted(space), _fitted(FeatureSpace.fit(split, declarations))
    names = sorted(name for name in {*given, *own} if given.get(name) != own.get(name))
    if not names:
        return [
            Finding("info", "features_fitted_on", "training", "Every vocabulary and statistic is the training part's.")
        ]
    sentence = f"Not fitted on this training part alone: {', '.join(names)}; fit them on the split that judges them."
    return [Finding("error", "features_fitted_on_test", len(names), sentence)]


def _fitted(space: FeatureSpace) -> Mapping[str, Any]:
    """Returns what was fitted by the name of the feature."""
    state = space.state()
    fitted = {entry["name"]: entry for side in ("item", "user") for entry in state[side]}
    return fitted | {f"cross {i}: {cross}": entry for i, (cross, entry) in enumerate(_crosses(space, state))}


def _crosses(space: FeatureSpace, state: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(cross.name, entry) for cross, entry in zip(space.cross, state["cross"], strict=True)]
