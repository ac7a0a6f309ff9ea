import threading
import time
from collections.abc import Iterator

import pytest
import torch

from ltsi.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_answers_come_in_the_order_of_the_parts() -> None:
    def slow_first(part: int) -> int:
        time.sleep(0.02 if part == 0 else 0)
        return part * part

    assert side_by_side(slow_first, range(5)) == [0, 1, 4, 9, 16]


def test_two_parts_run_at_a_time_and_each_on_one_thread() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(_: int) -> int:
        meeting.wait()  # breaks unless two are here at once
        return torch.get_num_threads()

    assert side_by_side(meet, [0, 1]) == [1, 1]
    assert torch.get_num_threads() == 2


def test_one_thread_and_one_part_stay_where_they_are() -> None:
    here = threading.get_ident()
    assert side_by_side(lambda _: threading.get_ident(), [0]) == [here]
    torch.set_num_threads(1)
    assert side_by_side(lambda _: threading.get_ident(), [0, 1, 2]) == [here] * 3


def test_parts_of_any_number_have_the_same_threads() -> None:
    torch.set_num_threads(5)
    found: set[int] = set()
    for parts in range(2, 9):
        found |= {*side_by_side(lambda _: threading.get_ident(), range(parts))}
    assert len(found) <= 5


def test_a_failure_is_raised() -> None:
    def fail(part: int) -> None:
        if part == 1:
            raise ValueError("part 1")

    with pytest.raises(ValueError, match="part 1"):
        side_by_side(fail, [0, 1, 2])


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_and_mixed_precision_are_on_or_off_as_for_the_caller(threads: int) -> None:
    def seen(_: int) -> tuple[bool, bool, torch.dtype]:
        product = torch.ones(2, 2, requires_grad=True) @ torch.ones(2, 2)
        return product.requires_grad, torch.is_autocast_enabled("cpu"), product.dtype

    torch.set_num_threads(threads)
    assert side_by_side(seen, [0, 1]) == [(True, False, torch.float32)] * 2
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert side_by_side(seen, [0, 1]) == [(False, True, torch.bfloat16)] * 2
    assert side_by_side(seen, [0, 1]) == [(True, False, torch.float32)] * 2
