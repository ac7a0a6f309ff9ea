"""How a batch is ranked on a CPU: in pieces where every thread gets one, as a whole where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from ltsi.models.popularity import Popularity
from ltsi.objectives.next_item import PIECE_ROWS, NextItem
from ltsi.sequences.batches import RankingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store


@pytest.mark.parametrize(("threads", "pieces"), [(1, 3), (3, 3), (4, None)])
def test_a_batch_is_cut_where_there_is_a_piece_for_each_thread(
    random_log: Store, monkeypatch: pytest.MonkeyPatch, threads: int, pieces: int | None
) -> None:
    ranked: list[int] = []

    def one_by_one(task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        ranked.append(len(parts))
        return [task(part) for part in parts]

    split = LeaveOneOut()(random_log)
    model, task = Popularity(split.store.n_items), NextItem().on(split, None)
    model.fit_statistics(split)
    (batch,) = RankingBatches(split.store, split.test, 50, True)
    assert 2 * PIECE_ROWS < len(batch.target_B) <= 3 * PIECE_ROWS
    expected = task.answers(model, batch)
    # So many items that no piece has more than the fewest histories.
    monkeypatch.setattr("ltsi.objectives.next_item.PIECE_SCORES", 1)
    monkeypatch.setattr("ltsi.objectives.next_item.side_by_side", one_by_one)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    answers = task.answers(model, batch)
    assert ranked == ([] if pieces is None else [pieces])
    assert torch.equal(answers["rank"], expected["rank"])
    assert torch.equal(answers["index"], expected["index"])
