"""Moments that a log is cut at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltsi.sequences import moments
from ltsi.sequences.moments import quantile, rows_before
from ltsi.store import Store

examples = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
times = st.lists(st.lists(st.integers(-(2**40), 2**40), max_size=12), min_size=1, max_size=5).filter(any)


@examples
@given(times, st.floats(0, 1), st.sampled_from([2, 10, 65_536]))
def test_counting_finds_what_sorting_finds(
    make_store: Callable[..., Store], users: list[list[int]], share: float, bins: int
) -> None:
    store = make_store(*([(0, time) for time in sorted(user)] for user in users))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "BINS", bins)
        assert quantile(store, share) == np.quantile(store.time, share, method="higher")


def test_rows_before_a_moment_end_each_users_past(make_store: Callable[..., Store]) -> None:
    store = make_store([(0, 1), (0, 5), (0, 5), (0, 9)], [(0, 7)], [(0, 2), (0, 4)])
    assert rows_before(store, 5).tolist() == [1, 4, 7]
    assert rows_before(store, 0).tolist() == [0, 4, 5]
