"""Spectral vectors against a naive count and a dense decomposition; what is held out has no say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ltsi.models import spectral
from ltsi.models.items import Items
from ltsi.models.spectral import spectral_vectors
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

MakeStore = Callable[..., Store]
ITEMS = 30


def random_split(make_store: MakeStore, seed: int = 0, held_out: tuple[int, int] = (0, 0), name: str = "log") -> Split:
    random = np.random.default_rng(seed)
    users = [[*random.integers(0, ITEMS - 1, length).tolist(), *held_out] for length in random.integers(1, 25, 40)]
    return LeaveOneOut()(
        make_store(*([(item, i) for i, item in enumerate(user)] for user in users), n_items=ITEMS, name=name)
    )


def naive_information(split: Split) -> np.ndarray:
    count = np.zeros((ITEMS, ITEMS))
    for start, end in zip(split.store.offsets[:-1], split.train_end, strict=True):
        history = split.store.item[start:end]
        for at, one in enumerate(history):
            for other in history[at + 1 : at + 1 + spectral.WINDOW]:
                count[one, other] += one != other
                count[other, one] += one != other
    total = count.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(count * total.sum() / np.outer(total, total))
    return np.where(count > 0, np.maximum(information, 0), 0)


def test_vectors_are_the_largest_factors_of_the_positive_information(make_store: MakeStore) -> None:
    split, dim = random_split(make_store), 4
    value, vector = np.linalg.eigh(naive_information(split))
    factor = vector[:, ::-1][:, :dim] * np.sqrt(np.maximum(value[::-1][:dim], 0))
    length = np.linalg.norm(factor, axis=1, keepdims=True)
    expected = np.divide(factor, length, out=np.zeros_like(factor), where=length > 1e-6)
    found = spectral_vectors(split, dim)
    # Factors are known up to their sign; products between items do not depend on it.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)


def test_what_is_taken_together_lies_together(make_store: MakeStore) -> None:
    random = np.random.default_rng(0)
    users = [random.permutation(10)[:6] + 10 * (user % 2) for user in range(60)]
    split = LeaveOneOut()(make_store(*([(item, i) for i, item in enumerate(user)] for user in users), n_items=20))
    vector_ID = spectral_vectors(split, 4)
    cosine = vector_ID @ vector_ID.T
    assert min(cosine[:10, :10].mean(), cosine[10:, 10:].mean()) > cosine[:10, 10:].mean() + 0.3


def test_held_out_events_have_no_say(make_store: MakeStore) -> None:
    one = spectral_vectors(random_split(make_store, held_out=(0, 1), name="one"), 4)
    other = spectral_vectors(random_split(make_store, held_out=(7, 3), name="other"), 4)
    np.testing.assert_array_equal(one, other)


def test_an_item_without_company_is_zero_and_keeps_its_random_vector(make_store: MakeStore) -> None:
    split, items = random_split(make_store), Items(ITEMS, 4, start="counts", tied=False)
    assert items.output_ID is not None
    before_ID, output_ID = items.embedding.weight.clone(), items.output_ID.clone()
    items.fit_statistics(split)
    vector_ID = torch.from_numpy(spectral_vectors(split, 4))
    assert not vector_ID[ITEMS - 1].any()
    assert vector_ID[: ITEMS - 1].any(dim=1).all()
    for now_ID, earlier_ID in ((items.embedding.weight, before_ID), (items.output_ID, output_ID)):
        torch.testing.assert_close(now_ID[: ITEMS - 1], vector_ID[: ITEMS - 1])
        torch.testing.assert_close(now_ID[ITEMS - 1 :], earlier_ID[ITEMS - 1 :])


def test_an_item_without_company_changes_nothing_for_the_others(make_store: MakeStore) -> None:
    users = [[(item, i) for i, item in enumerate(user)] for user in np.random.default_rng(0).integers(0, 20, (40, 9))]
    small, large = (LeaveOneOut()(make_store(*users, n_items=n, name=str(n))) for n in (20, 200_000))
    vector_ID = spectral_vectors(large, 4)
    # A dense decomposition of so many items would need 320 GB.
    np.testing.assert_allclose(vector_ID[:20] @ vector_ID[:20].T, (v := spectral_vectors(small, 4)) @ v.T, atol=2e-3)
    assert not vector_ID[20:].any()


def test_fewer_items_with_company_than_the_vectors_are_wide(make_store: MakeStore) -> None:
    users = [[(0, 0), (1, 1), (2, 2), (3, 3), (3, 4)], [(1, 0), (2, 1), (0, 2), (3, 3), (3, 4)]]
    vector_ID = spectral_vectors(LeaveOneOut()(make_store(*users, n_items=40)), 8)
    assert vector_ID.shape == (40, 8)
    assert not vector_ID[:, 3:].any()
    assert not vector_ID[4:].any()


def test_a_catalogue_hardly_larger_than_the_vectors_are_wide_stays_at_random(make_store: MakeStore) -> None:
    items = Items(ITEMS, ITEMS // 2, start="counts")
    before = items.embedding.weight.clone()
    items.fit_statistics(random_split(make_store))
    torch.testing.assert_close(items.embedding.weight, before)


def test_a_log_without_company_starts_at_random(make_store: MakeStore) -> None:
    split = LeaveOneOut()(make_store(*([(user, 0), (user, 1), (user, 2)] for user in range(5)), n_items=5))
    assert not spectral_vectors(split, 2).any()


def test_random_vectors_stay_as_they_were(make_store: MakeStore) -> None:
    items = Items(ITEMS, 4, start="random")
    before = items.embedding.weight.clone()
    items.fit_statistics(random_split(make_store))
    torch.testing.assert_close(items.embedding.weight, before)


def test_another_start_is_refused() -> None:
    with pytest.raises(ValueError, match="start=middle is not one of: counts, random"):
        Items(ITEMS, 4, start="middle")
