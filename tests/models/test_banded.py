"""Attention in blocks is attention under a mask."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ltsi.histories import Histories
from ltsi.models.banded import banded_attention, worth_a_band
from ltsi.models.items import Items
from ltsi.models.transformer import Transformer


@pytest.mark.parametrize("events", [1, 3, 64, 70, 100])
@pytest.mark.parametrize("length", [1, 63, 128, 129, 301])
def test_a_band_is_a_mask(events: int, length: int) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 2, length, 4, requires_grad=True)
    place = torch.arange(length)
    visible = (place <= place[:, None]) & (place > place[:, None] - events)
    found = banded_attention(q, k, v, events, lambda weight: weight)
    expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    gradients = [torch.autograd.grad((out * weight).sum(), (q, k, v)) for out in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def transformer(window: int) -> Transformer:
    torch.manual_seed(0)
    return Transformer(Items(9, 8), 1500, 8, 2, 2, 0.2, 0.0, window=window, positions="rotary")


def long_history(length: int) -> Histories:
    torch.manual_seed(1)
    item_BL, time_BL = torch.randint(9, (1, length)), torch.arange(length)[None]
    return Histories(item_BL, time_BL, torch.tensor([length]), time_BL + 1)


def test_a_long_history_is_seen_through_the_same_window_as_a_short_one() -> None:
    model, shown = transformer(5).eval(), long_history(400)
    with torch.no_grad():
        assert worth_a_band(400, 5)
        assert not worth_a_band(100, 5)
        # Through two layers a position sees 1 + 2 · 4 events.
        end = model.states(Histories(shown.item_BL[:, -60:], shown.time_BL[:, -60:], torch.tensor([60]), shown.now_BL))
        torch.testing.assert_close(model.states(shown)[:, -50:], end[:, -50:])


def test_training_keeps_no_more_for_an_event_of_a_long_history() -> None:
    def kept(length: int) -> int:
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            transformer(20).states(long_history(length))
        return total

    assert kept(1280) < 2.1 * kept(640)
