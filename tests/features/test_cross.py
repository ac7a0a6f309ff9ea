from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.features.cross import Cross, CrossEncoder

MASK = 2**64 - 1
pairs = st.lists(st.tuples(st.integers(2, 2**40), st.integers(2, 2**40)), min_size=1, max_size=20)


def code(cross: CrossEncoder, rows: list[tuple[int, ...]]) -> list[int]:
    found: list[int] = cross.code(torch.tensor(rows), torch.tensor(cross.keys, dtype=torch.int64)).tolist()
    return found


NOBODY = torch.empty((0, 2), dtype=torch.int64)


def blocks(*rows: list[tuple[int, int]]) -> Iterator[Tensor]:
    return (torch.tensor(block) for block in rows)


def test_combinations_of_training_have_codes() -> None:
    """Sizes 4 × 5: (2, 3) is number 2·5 + 3 = 13, (3, 2) is 17."""
    cross = Cross(("user.a", "item.b")).fit(blocks([(3, 2), (2, 3)], [(2, 3), (0, 4), (1, 2)]), [4, 5], NOBODY)
    assert (cross.keys, cross.n_codes) == ([13, 17], 4)
    assert code(cross, [(2, 3), (3, 2), (2, 2), (3, 4)]) == [2, 3, 1, 1]


@pytest.mark.parametrize("buckets", [None, 10])
def test_missing_and_unseen_parts_decide(buckets: int | None) -> None:
    cross = Cross(("user.a", "item.b"), buckets).fit(blocks([(2, 2)]), [4, 5], NOBODY)
    assert code(cross, [(0, 2), (1, 3), (0, 1), (1, 0)]) == [0, 1, 0, 0]


def test_rare_combinations_are_unseen_and_counts_add_up_over_blocks() -> None:
    cross = Cross(("user.a", "item.b"), min_count=2).fit(blocks([(2, 2), (3, 3)], [(3, 3)]), [4, 5], NOBODY)
    assert code(cross, [(2, 2), (3, 3)]) == [1, 2]


def test_nothing_in_training_leaves_everything_unseen() -> None:
    cross = Cross(("user.a", "item.b")).fit(blocks([(0, 2)]), [4, 5], NOBODY)
    assert code(cross, [(2, 2), (0, 2)]) == [1, 0]


@pytest.mark.parametrize(("least", "chance"), [(1, 2 / 4), (2, 2 / 4), (3, 0)])
def test_the_chance_of_new_ones_is_that_of_the_last_events_without_themselves(least: int, chance: float) -> None:
    """(2, 2) and (2, 3) are met once, (3, 3) twice; what misses a part is no combination."""
    met = blocks([(2, 2), (3, 3), (3, 3), (2, 3), (0, 3)])
    last = torch.tensor([(2, 2), (3, 3), (2, 3), (3, 3), (0, 3)])
    cross = Cross(("user.a", "item.b"), min_count=least).fit(met, [4, 5], last)
    assert cross.new == chance


def splitmix(values: tuple[int, ...]) -> int:
    """The published mixing steps on unbounded integers."""
    state = 0
    for value in values:
        state = (state + value + 0x9E3779B97F4A7C15) & MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return state & (2**63 - 1)


@given(pairs, st.integers(2, 1_000))
def test_hashed_combinations(rows: list[tuple[int, ...]], buckets: int) -> None:
    cross = Cross(("user.a", "item.b"), buckets).fit(blocks(), [2**41, 2**41], NOBODY)
    assert cross.n_codes == 2 + buckets
    assert code(cross, rows) == [2 + splitmix(row) % buckets for row in rows]


def test_hashed_combinations_are_spread_evenly() -> None:
    rows: list[tuple[int, ...]] = [(a, b) for a in range(2, 102) for b in range(2, 102)]
    cross = Cross(("user.a", "item.b"), 100).fit(blocks(), [102, 102], NOBODY)
    counts = torch.bincount(torch.tensor(code(cross, rows)))[2:]
    # Poisson with mean 100: five standard deviations.
    assert int(counts.min()) > 50
    assert int(counts.max()) < 150


def test_too_many_combinations_to_number() -> None:
    with pytest.raises(ConfigError, match=r"features\.cross: user\.a × item\.b has too many combinations.*buckets=N"):
        Cross(("user.a", "item.b")).fit(blocks(), [2**32, 2**32], NOBODY)
