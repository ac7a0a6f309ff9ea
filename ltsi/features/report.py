"""What was fitted, and how much of it validation and test know, as a table."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.features.encoded import EncodedFeatures
from ltsi.features.encoder import MISSING, UNSEEN
from ltsi.features.numeric import NumericEncoder
from ltsi.features.space import Feature, FeatureSpace, training_counts, training_events
from ltsi.sequences.split import PARTS, Split
from ltsi.tables import Scalar, Table

COLUMNS = ("feature", "kind", "size", "center", "spread", "missing", *(f"unseen_{part}" for part in PARTS))
NOTES = (
    "size: codes (missing and unseen among them), or numbers of a vector; center and spread of the normalisation, of "
    "logarithms for log1p.",
    "missing: share of training events. unseen: share of the part's targets whose label, tags (all) or combination "
    "were not met in training, or whose number is outside the training range.",
)


def report(space: FeatureSpace, features: EncodedFeatures, split: Split) -> Table:
    """Reports on fitted features.

    Args:
        space: what was fitted.
        features: the same, encoded for the split's store.
        split: the split it was fitted on.
    """
    count_U, count_I = training_counts(split)
    parts = [_targets(split, part) for part in PARTS]
    rows = _of_table(space.user, features.user_table.place_IF, count_U, [user for user, _, _ in parts])
    rows += _of_table(space.item, features.item_table.place_IF, count_I, [item for _, item, _ in parts])
    sizes = space.layout.categorical
    rows += [[name, kind, sizes[name], None, None, 0.0, *[0.0] * len(parts)] for name, kind in space.event.items()]
    return Table("Features", COLUMNS, rows + _of_crosses(space, features, split), NOTES)


def _of_table(
    fitted: tuple[Feature, ...], place_IF: Tensor, count: NDArray[np.int64], targets: list[Tensor]
) -> list[list[Scalar]]:
    rows: list[list[Scalar]] = []
    for feature, place_I in zip(fitted, place_IF.unbind(dim=1), strict=True):
        missing = np.average(place_I.numpy()[: len(count)] == MISSING, weights=count)
        unseen = [_share(place_I[index] == UNSEEN) for index in targets]
        rows.append([feature.name, feature.kind, *_facts(feature), float(missing), *unseen])
    return rows


def _of_crosses(space: FeatureSpace, features: EncodedFeatures, split: Split) -> list[list[Scalar]]:
    if not space.cross:
        return []
    unseen = [features.crosses_of(features.codes(*_targets(split, part))) == UNSEEN for part in PARTS]
    missing_X, n_events = torch.zeros(len(space.cross), dtype=torch.int64), 0
    for events in training_events(split):
        missing_X += (features.crosses_of(features.codes(*events)) == MISSING).sum(dim=0)
        n_events += len(events[0])
    return [
        [
            cross.name,
            "cross",
            cross.n_codes,
            None,
            None,
            int(missing) / n_events,
            *(_share(part[:, x]) for part in unseen),
        ]
        for x, (cross, missing) in enumerate(zip(space.cross, missing_X, strict=True))
    ]


def _facts(feature: Feature) -> tuple[int, float | None, float | None]:
    """Returns size, center and spread."""
    encoder, layout = feature.encoder, feature.encoder.layout(feature.name)
    if isinstance(encoder, NumericEncoder):
        return (1, None, None) if encoder.knots else (1, encoder.center, encoder.spread)
    sizes = layout.categorical | layout.tags | layout.vector
    return sizes[feature.name], None, None


def _targets(split: Split, part: str) -> tuple[Tensor, Tensor, Tensor]:
    """Returns user, item and time of the targets of a part, int64 `(N,)` each."""
    targets, store = split.part(part), split.store
    columns = (targets.user, store.item[targets.event], store.time[targets.event])
    user, item, time = (torch.from_numpy(np.array(column, dtype=np.int64)) for column in columns)
    return user, item, time


def _share(holds: Tensor) -> float | None:
    return float(holds.double().mean()) if len(holds) else None
