"""Published models beside references that know one history and nothing of batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.layers import Dropout
from ltsi.models.network import SequenceNetwork

Reference = Callable[[Tensor, int], Tensor]
SHOWN = [[1, 2, 3, 2, 5, 6, 7], [8], [4, 4, 9]]


@pytest.fixture
def stir() -> Callable[[nn.Module], None]:
    """Move every weight: norms begin alike and biases at zero, and one that is left out would not be missed."""

    def move(module: nn.Module) -> None:
        with torch.no_grad():
            for weight in module.parameters():
                weight.add_(0.3 * torch.randn_like(weight))

    return move


@pytest.fixture
def visible_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let dropout bend numbers, the more the higher its share, instead of drawing: a formula tells where it stands.

    No matrix and no norm lets what is bent pass as if it were bent behind it; zero stays zero, as in dropout.
    """

    def bend(dropout: Dropout, x: Tensor) -> Tensor:
        # The power of the absolute value, with a slope at zero, too.
        return x * (x.square() + 1e-12) ** (dropout.p / 2) if dropout.training else x

    monkeypatch.setattr(Dropout, "forward", bend)


@pytest.fixture
def assert_states(make_histories: Callable[..., Histories]) -> Callable[..., None]:
    """Hold the state at every position of a padded batch against a reference that is shown the events up to it."""

    def check(model: SequenceNetwork, reference: Reference, training: bool = False) -> None:
        """The reference takes embedded events, `(t, D)`, oldest first, and the row of the user."""
        shown = replace(make_histories(*SHOWN, n_items=model.items.n_items, padding=2), user_B=torch.arange(len(SHOWN)))
        model.train(training)
        with torch.no_grad():
            state_BLD = model.states(shown)
            for row, items in enumerate(SHOWN):
                x_LD = model.items(torch.tensor(items))
                for t in range(1, len(items) + 1):
                    expected_D = reference(x_LD[:t], row)
                    torch.testing.assert_close(state_BLD[row, t - 1], expected_D, rtol=1e-4, atol=1e-5)

    return check
