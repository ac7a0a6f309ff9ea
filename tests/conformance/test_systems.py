"""Models and their settings, each on a log built so that it must win there, and whoever lacks what it has must lose."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from ltsi.models.interest import InterestModel
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store
from ltsi.workflows.experiment import build_model

MakeStore = Callable[..., Store]
Hits = Callable[..., float]
DAY = 86_400
ITEMS = 12


def built(name: str, *settings: str) -> InterestModel:
    overrides = [f"model={name}", f"n_items={ITEMS}", "max_length=12", *(f"model.{setting}" for setting in settings)]
    torch.manual_seed(1)
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        model = build_model(compose("train", overrides))
    assert isinstance(model, InterestModel)
    return model


def cut(make_store: MakeStore, users: Sequence[Sequence[tuple[int, int]]]) -> Split:
    return LeaveOneOut()(make_store(*users, n_items=ITEMS, category=["all"] * ITEMS))


def everyday(*items: int) -> list[tuple[int, int]]:
    return [(item, day * DAY) for day, item in enumerate(items)]


def signs(n_users: int, answer: Callable[[int, int], int]) -> tuple[list[list[tuple[int, int]]], np.ndarray]:
    """Write users who begin with a sign, 0 or 1, wander over 2 to 5, see a cue, 6 or 7, and then take the answer.

    Every sixth user is asked for the answer; the others show it in training.
    """
    random, users = np.random.default_rng(0), []
    for user in range(n_users):
        sign, cue = user // 6 % 2, 6 + user // 6 // 2 % 2
        shown = [] if user % 6 == 0 else [int(item) for item in random.integers(2, 6, 2)]
        users.append(everyday(sign, *map(int, random.integers(2, 6, 4)), cue, answer(sign, cue), *shown))
    return users, np.arange(n_users) % 6 == 0


def both(sign: int, cue: int) -> int:
    return 8 + 2 * sign + (cue - 6)


@pytest.mark.parametrize(
    ("system", "short_only"),
    [
        # A: two LSTMs, recurrent fusion.
        (("dual_lstm", "short_length=3"), ("lstm", "window=3")),
        # B: long LSTM, short Transformer.
        (("lstm_transformer", "short_length=3"), ("transformer", "window=3")),
    ],
)
def test_long_and_short_memory_together(
    make_store: MakeStore, hits: Hits, system: tuple[str, ...], short_only: tuple[str, ...]
) -> None:
    """The answer depends on the first event and on the last: four answers, of which the short view rules out two."""
    users, asked = signs(360, both)
    split = cut(make_store, users)
    assert hits(built(*system), split, asked, enough=0.9) > 0.9
    assert hits(built(*short_only), split, asked) < 0.7
    assert hits(built("exp_decay"), split, asked) < 0.1


def test_short_memory_is_enough_for_a_log_of_steps(make_store: MakeStore, hits: Hits) -> None:
    """What comes next is the last item plus one: what fades slowly or is popular does not know."""
    users = [everyday(*((start + step) % ITEMS for step in range(9))) for start in list(range(ITEMS)) * 8]
    split, asked = cut(make_store, users), np.ones(8 * ITEMS, dtype=bool)
    assert hits(built("lstm_transformer", "short_length=3"), split, asked, enough=0.9) > 0.9
    assert hits(built("exp_decay"), split, asked) < 0.3


def test_an_old_interest_comes_back(make_store: MakeStore, hits: Hits) -> None:
    """E, revival: after one cue the very first interest returns, after the other something new is taken."""
    users, asked = signs(360, lambda sign, cue: sign if cue == 6 else 9)
    split = cut(make_store, users)
    assert hits(built("lstm_attention"), split, asked, enough=0.9) > 0.9
    assert hits(built("exp_decay"), split, asked) < 0.6


@pytest.mark.parametrize(
    ("with_time", "without"),
    [(("time_lstm",), ("time_lstm", "wait=false")), (("transformer", "wait=true"), ("transformer",))],
)
def test_an_interest_fades(
    make_store: MakeStore, hits: Hits, with_time: tuple[str, ...], without: tuple[str, ...]
) -> None:
    """Who comes back soon goes on where they were, who comes back after months begins anew: the last wait decides."""
    random, users = np.random.default_rng(0), []
    for _ in range(600):
        day, events = 0, [(0, 0)]
        for _ in range(6):
            item, later = events[-1][0], bool(random.integers(2))
            day += 200 if later else 1
            events.append((6 + item % 6 if later else (item + 1) % 6, day * DAY))
            if later:
                events.append((item % 6, (day := day + 1) * DAY))
        users.append(events[:8])
    split, asked = cut(make_store, users), np.ones(600, dtype=bool)
    knows, guesses = hits(built(*with_time), split, asked, enough=0.9), hits(built(*without), split, asked)
    assert knows > 0.9
    assert guesses < knows - 0.2
