from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import ConfigError, DataError
from ltsi.histories import Histories
from ltsi.models.item_knn import ItemKnn
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

DAY = 86_400
N_ITEMS = 9
MakeStore = Callable[..., Store]


@pytest.fixture
def users() -> list[list[tuple[int, int]]]:
    """Items and days."""
    random = np.random.default_rng(1)
    return [
        list(zip(random.integers(0, N_ITEMS, n).tolist(), np.cumsum(random.integers(0, 9, n)).tolist(), strict=True))
        for n in random.integers(1, 8, 30)
    ]


@pytest.fixture
def split(users: list[list[tuple[int, int]]], make_store: MakeStore) -> Split:
    """The last two events of each user are held out, so they are added here."""
    return LeaveOneOut()(
        make_store(*([(i, day * DAY) for i, day in [*user, (0, 99), (0, 99)]] for user in users), n_items=N_ITEMS)
    )


def weights(split: Split, **settings: object) -> Tensor:
    model = ItemKnn(N_ITEMS, **settings)  # type: ignore[arg-type]
    model.fit_statistics(split)
    W = torch.zeros(N_ITEMS, N_ITEMS)
    W[torch.repeat_interleave(torch.arange(N_ITEMS), model.offset_I.diff()), model.next_E.long()] = model.weight_E
    return W


def table(users: list[list[tuple[int, int]]]) -> NDArray[np.float64]:
    counts = np.zeros((len(users), N_ITEMS))
    for row, events in enumerate(users):
        for item, _ in events:
            counts[row, item] += 1
    return counts


def test_plain_cosines_are_those_of_a_naive_product(split: Split, users: list[list[tuple[int, int]]]) -> None:
    unit = table(users)
    unit /= np.linalg.norm(unit, axis=0)
    expected = unit.T @ unit
    np.fill_diagonal(expected, 0)
    W = weights(split, pair_fade=1.0)
    torch.testing.assert_close(W.double().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "tfidf", "bm25"])
def test_pairs_that_hardly_fade_are_those_of_the_library(split: Split, similarity: str) -> None:
    plain, faded = (weights(split, similarity=similarity, pair_fade=fade) for fade in (1.0, 1 - 1e-7))
    torch.testing.assert_close(plain, faded, rtol=1e-4, atol=1e-5)
    assert plain.count_nonzero() > N_ITEMS


def test_pairs_fade_with_the_steps_and_the_days_between(split: Split, users: list[list[tuple[int, int]]]) -> None:
    counts, expected = table(users), np.zeros((N_ITEMS, N_ITEMS))
    unit = counts / np.linalg.norm(counts, axis=0)
    for row, events in enumerate(users):
        for a, (one, day) in enumerate(events):
            for b, (other, later) in enumerate(events):
                if one != other:
                    left = 0.5 ** abs(a - b) * 0.5 ** (abs(later - day) / 4)
                    share = unit[row, one] / counts[row, one] * unit[row, other] / counts[row, other]
                    expected[one, other] += share * left
    W = weights(split, pair_fade=0.5, pair_half_life=4.0)
    torch.testing.assert_close(W.double().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pair_fade", [1.0, 0.8])
def test_an_item_keeps_its_most_similar(split: Split, pair_fade: float) -> None:
    whole, pruned = (weights(split, pair_fade=pair_fade, neighbours=n) for n in (N_ITEMS, 2))
    torch.testing.assert_close(pruned[pruned > 0], whole[pruned > 0])
    torch.testing.assert_close(pruned.topk(2).values, whole.topk(2).values)
    assert (pruned > 0).sum(1).max() == 2


def test_what_is_taken_close_together_comes_first(
    make_store: MakeStore, make_histories: Callable[..., Histories]
) -> None:
    """Everybody takes 1, 2 on a day and 3, 4, 5 weeks later: only fading pairs tell 2 from the rest."""
    days = {1: 0, 2: 0, 3: 30, 4: 31, 5: 60, 0: 61}
    split = LeaveOneOut()(make_store(*[[(item, day * DAY) for item, day in days.items()]] * 8))
    models = [ItemKnn(6, pair_fade=1.0), ItemKnn(6, pair_fade=1.0, pair_half_life=5.0), ItemKnn(6, pair_fade=0.5)]
    for model in models:
        model.fit_statistics(split)
    plain, by_time, by_steps = (model(make_histories([1], n_items=6))[0] for model in models)
    assert plain[2] == pytest.approx(float(plain[3]))
    assert by_time.argmax() == by_steps.argmax() == 2
    assert by_time[3] > by_time[4] > 0


def test_a_catalogue_that_everybody_took_says_nothing(make_store: MakeStore) -> None:
    """An inverse document frequency of zero leaves 0 / 0."""
    split = LeaveOneOut()(make_store(*[[(0, 0), (1, 1), (0, 2), (1, 3)]] * 4))
    for similarity in ("tfidf", "bm25"):
        model = ItemKnn(2, similarity=similarity)
        model.fit_statistics(split)
        assert model.weight_E.isfinite().all()


@pytest.mark.parametrize("settings", [{"similarity": "jaccard"}, {"pair_fade": 0.0}, {"pair_half_life": -1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{next(iter(settings))}="):
        ItemKnn(N_ITEMS, **settings)  # type: ignore[arg-type]


def test_the_half_life_of_pairs_needs_a_clock(make_store: MakeStore) -> None:
    store = make_store(*[[(item, place) for place, item in enumerate([1, 2, 3, 0])]] * 4, clock=False)
    with pytest.raises(DataError, match=r"model\.pair_half_life needs times"):
        ItemKnn(4, pair_half_life=3.0).fit_statistics(LeaveOneOut()(store))
