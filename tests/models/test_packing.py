"""Windows packed into rows against the same windows in rows of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltsi.histories import Histories
from ltsi.models import network, packing
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.models.network import SequenceNetwork
from ltsi.models.packing import pack
from ltsi.models.sasrec import Sasrec
from ltsi.models.transformer import Transformer

ITEMS, LONGEST, DAY = 20, 9, 86_400


def windows(lengths: list[int], seed: int = 0) -> Histories:
    """Make windows, padded to the longest, whose events are days and less apart."""
    generator = torch.Generator().manual_seed(seed)
    length_B, shape = torch.tensor(lengths), (len(lengths), max(lengths))
    item_BL = torch.randint(ITEMS, shape, generator=generator)
    item_BL[torch.arange(shape[1]) >= length_B[:, None]] = ITEMS
    time_BL = torch.randint(3 * DAY, shape, generator=generator).cumsum(1) + 10_000 * DAY
    return Histories(item_BL, time_BL, length_B, time_BL + 60)


def groups() -> list[Histories]:
    return [windows([9, 7, 8], 1), windows([4, 5, 4, 5], 2), windows([1, 2, 1, 1, 2, 1], 3)]


def rows_of(histories: Histories) -> list[tuple[Any, ...]]:
    """List items, times and nows of the windows that lie in rows, row after row."""
    found: list[tuple[Any, ...]] = []
    for row, fill in enumerate(histories.length_B.tolist()):
        first_L = torch.zeros(fill) if histories.first_BL is None else histories.first_BL[row, :fill]
        sizes = first_L.unique_consecutive(return_counts=True)[1].tolist()
        columns = (getattr(histories, name)[row, :fill] for name in ("item_BL", "time_BL", "now_BL"))
        found += zip(*([part.tolist() for part in column.split(sizes)] for column in columns), strict=True)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 90), min_size=1, max_size=40), min_size=1, max_size=4))
def test_every_window_is_somewhere_and_whole(lengths: list[list[int]]) -> None:
    given_groups = [windows(of_group, seed) for seed, of_group in enumerate(lengths)]
    packed = pack(given_groups, ITEMS)
    before = [window for group in given_groups for window in rows_of(group)]
    after = [window for part in packed.parts for window in rows_of(part)]
    assert sorted(before) == sorted(after)
    item_N = torch.cat([part.item_BL[part.real_BL()] for part in packed.parts])[packed.order_N]
    assert torch.equal(item_N, torch.cat([group.item_BL[group.real_BL()] for group in given_groups]))
    for part in packed.parts:
        assert (part.item_BL[~part.real_BL()] == ITEMS).all()
        assert packing.NARROWEST <= part.item_BL.shape[1] <= max(packing.NARROWEST, *map(max, lengths))
        assert part.first_BL is not None
        assert (part.first_BL <= torch.arange(part.item_BL.shape[1])).all()


def test_hardly_anything_is_padding_and_parts_are_equally_large() -> None:
    """Lengths as in Amazon Beauty: most windows have three events or four, and few have fifty."""
    generator = torch.Generator().manual_seed(0)
    lengths = (1 + torch.empty(256).exponential_(0.2, generator=generator)).long().clamp(max=50).tolist()
    for copies, n_parts in ((1, 2), (2, 4), (30, 8)):
        sizes = [part.item_BL.numel() for part in pack([windows(lengths * copies)], ITEMS).parts]
        assert copies * sum(lengths) > 0.97 * sum(sizes)
        assert len(sizes) == n_parts
        assert max(sizes) < 1.1 * min(sizes)


def filled(lengths: list[int]) -> dict[int, list[int]]:
    """Return how many positions of each row are filled, by the width of the row."""
    found: dict[int, list[int]] = {}
    for part in pack([windows(lengths)], ITEMS).parts:
        found.setdefault(part.item_BL.shape[1], []).extend(part.length_B.tolist())
    return found


def test_rows_are_as_wide_as_the_longest_window_until_two_of_those_left_fit_in() -> None:
    assert filled([100, 90, 51, 50, 49, 8, 7]) == {100: [100, 98, 100], 50: [50, 7]}
    assert filled([65, 32, 9]) == {65: [65], packing.NARROWEST: [32, 9]}
    assert filled([64, 32, 9]) == {64: [64, 41]}, "narrow enough for what is shorter"
    assert filled([3, 2, 1]) == {packing.NARROWEST: [6]}


def made(kind: Callable[..., SequenceNetwork], **settings: Any) -> SequenceNetwork:
    torch.manual_seed(0)
    model = kind(Items(ITEMS, 8), max_length=LONGEST, dim=8, layers=2, heads=2, embedding_dropout=0.5, **settings)
    return model.train()


PACKING: dict[str, Callable[[], SequenceNetwork]] = {
    "learned": lambda: made(Transformer, dropout=0.25),
    "rotary": lambda: made(Transformer, dropout=0.25, positions="rotary"),
    "none": lambda: made(Transformer, dropout=0.25, positions="none"),
    "decay bias": lambda: made(Transformer, dropout=0.25, decay_bias=True, wait=True),
    "torch's attention": lambda: made(Transformer, dropout=0.0),
    "torch's attention, decay bias": lambda: made(Transformer, dropout=0.0, decay_bias=True),
    "sasrec": lambda: made(Sasrec, dropout=0.25),
}


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("name", PACKING)
def test_states_and_gradients_are_those_of_windows_in_rows_of_their_own(
    name: str, monkeypatch: pytest.MonkeyPatch, stir: Callable[[torch.nn.Module], None]
) -> None:
    model, packed = PACKING[name](), []
    stir(model)

    def watch(*given: Any) -> packing.Packed:
        packed.append(pack(*given))
        return packed[-1]

    monkeypatch.setattr(network, "pack", watch)
    parameters = list(model.parameters())
    plain_ND = torch.cat([model.answers(histories)[histories.real_BL()] for histories in groups()])
    state_ND = model.encoded(model.answers, groups())
    assert sum(len(part) for part in packed[0].parts) < 13, "windows share rows"
    torch.testing.assert_close(state_ND, plain_ND, rtol=1e-4, atol=1e-5)
    weight_ND = torch.randn_like(plain_ND)
    plain, ours = (
        torch.autograd.grad((each_ND * weight_ND).sum(), parameters, allow_unused=True)
        for each_ND in (plain_ND, state_ND)
    )
    for mine, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        made(Transformer, dropout=0.25, positions="time_gap"),
        made(Transformer, dropout=0.25, window=3),
        Lstm(Items(ITEMS, 8), dim=8, hidden=8, layers=1, dropout=0.25, embedding_dropout=0.5),
    ],
    ids=["gaps", "window", "recurrent"],
)
def test_a_model_that_looks_beyond_a_history_keeps_rows_of_its_own(
    model: SequenceNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "pack", None)
    assert not model.packs
    assert model.encoded(model.answers, groups()).isfinite().all()


def test_dropout_does_not_depend_on_the_number_of_threads() -> None:
    model, before = made(Transformer, dropout=0.5), torch.get_num_threads()
    states: list[Tensor] = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            torch.manual_seed(7)
            states.append(model.encoded(model.answers, groups()))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
