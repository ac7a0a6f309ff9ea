from __future__ import annotations

import pytest
import torch
from hydra import compose, initialize_config_module

from ltsi.errors import ConfigError
from ltsi.models.positions import Positions
from ltsi.workflows.experiment import build_model


def test_each_position_has_a_vector_of_its_own_from_the_start() -> None:
    positions, x_BLD = Positions(5, 4), torch.randn(2, 3, 4)
    torch.testing.assert_close(positions(x_BLD) - x_BLD, positions.weight[:3].expand(2, 3, 4))


def test_a_longer_history_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="A history of 4 events is longer than the 3 positions of this model"):
        Positions(3, 2)(torch.zeros(1, 4, 2))


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("transformer", "model.max_length"),
        ("lstm_transformer", "model.short.max_length"),
        ("hybrid", "model.components.short.max_length"),
    ],
)
def test_a_model_with_too_few_positions_is_refused_before_training(model: str, key: str) -> None:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        enough, few = (
            compose("train", [f"model={model}", "n_items=5", "max_length=50", f"{key}={n}"]) for n in (50, 49)
        )
    build_model(enough)
    with pytest.raises(ConfigError, match=f"^{key}=49 is below max_length=50, ".replace(".", r"\.")):
        build_model(few)
