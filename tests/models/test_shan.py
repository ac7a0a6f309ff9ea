"""What the paper says of SHAN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.shan import Shan
from ltsi.models.views import LastEvents

DIM = 6


def made(short: int = 2, events: int = 5, user_dropout: float = 0.5) -> Shan:
    torch.manual_seed(0)
    model = Shan(Items(12, DIM, tied=False), LastEvents(events), short, DIM, user_dropout, embedding_dropout=0.25)
    model.users.make_room(3)
    nn.init.normal_(model.users.own.weight)
    return model


def attended(user_D: Tensor, part: nn.Module, x_LD: Tensor) -> Tensor:
    """Weigh vectors by `softmax(u · relu(W x + b))`."""
    logits = torch.stack([user_D @ part(x_D).relu() for x_D in x_LD])
    mixed_D: Tensor = logits.softmax(0) @ x_LD
    return mixed_D


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("short", "events"), [(2, 5), (5, 2), (1, 1), (20, 20)])
def test_states_are_those_of_the_paper_of_embeddings_with_dropout(
    assert_states: Callable[..., None], short: int, events: int, training: bool
) -> None:
    """The recent past is no longer than either bound; who has no long past has the recent one alone."""
    model, recent = made(short, events, user_dropout=0.0), min(short, events)
    drop = Dropout(0.25).train(training)

    def reference(x_LD: Tensor, row: int) -> Tensor:
        x_LD, user_D = drop(x_LD), model.users.own.weight[row + 1]
        long_LD, short_LD = x_LD[:-recent], x_LD[-recent:]
        if len(long_LD):
            short_LD = torch.cat([attended(user_D, model.long, long_LD)[None], short_LD])
        return attended(user_D, model.both, short_LD)

    assert_states(model, reference, training)


def test_order_shows_in_nothing_but_what_is_recent(make_histories: Callable[..., Histories]) -> None:
    model = made(short=2).eval()
    shown = make_histories([1, 2, 3, 4], [2, 1, 4, 3], [1, 3, 2, 4], n_items=12)
    with torch.no_grad():
        one, other, third = model(shown)
    torch.testing.assert_close(one, other)
    assert not torch.allclose(one, third)


def test_the_recent_past_is_of_one_event_at_least() -> None:
    with pytest.raises(ValueError, match="short_length=0 must be at least 1"):
        made(short=0)
