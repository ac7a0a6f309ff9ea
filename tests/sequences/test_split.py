from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ltsi.errors import ConfigError
from ltsi.sequences.split import Split, Targets
from ltsi.store import Store


@pytest.fixture
def split(make_store: Callable[..., Store]) -> Split:
    store = make_store([(0, 10), (1, 20), (2, 30)], [(3, 5)], [(1, 7), (4, 90)])
    # The last event of users 0 and 2 is held out, user 1 is trained on whole.
    test = Targets(*np.array([[0, 2], [2, 5], [2, 5], [30, 90]]))
    return Split(store, train_end=np.array([2, 4, 5]), valid=Targets.none(), test=test)


@pytest.mark.parametrize("max_events", [1, 2, 4, 100])
def test_training_blocks_hold_the_training_events_and_no_others(split: Split, max_events: int) -> None:
    blocks = list(split.training_blocks(max_events))
    assert np.concatenate([block.user() for block in blocks]).tolist() == [0, 0, 1, 2]
    assert np.concatenate([block.item for block in blocks]).tolist() == [0, 1, 3, 1]
    assert np.concatenate([block.time for block in blocks]).tolist() == [10, 20, 5, 7]
    assert [block.first_user + len(block.offsets) - 1 for block in blocks][-1] == 3


def test_a_block_knows_where_its_users_begin(split: Split) -> None:
    (block,) = split.training_blocks()
    assert block.offsets.tolist() == [0, 2, 3, 4]
    assert block.behavior.tolist() == [0, 0, 0, 0]


def test_the_training_ends_at_its_last_event(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    assert split.training_end_time() == 20
    whole = Split.training_blocks
    monkeypatch.setattr(Split, "training_blocks", lambda self: whole(self, 1))
    assert split.training_end_time() == 20, "whichever block it is in"
    nothing = replace(split, train_end=np.asarray(split.store.offsets[:-1]))
    assert nothing.training_end_time() == 0


def test_the_share_of_histories_that_came_after_training(split: Split) -> None:
    """User 0 has a history of two training events; of that of user 2 the first of two was trained on."""
    store = split.store
    later = Targets(*np.array([[0, 2], [2, 5], [2, 6], [30, 90]]))
    late = Split(store, train_end=np.array([2, 4, 5]), valid=split.test, test=later)
    assert late.unlearned_share("valid") == 0.0
    assert late.unlearned_share("test") == (0 + 1 / 2) / 2
    assert split.unlearned_share("valid") == 0.0, "nobody is asked"


def test_some_of_the_targets_are_spread_from_the_first_to_the_last() -> None:
    part = Targets(*np.tile(np.arange(5), (4, 1)))
    assert part.spread(3).event.tolist() == [0, 2, 4]
    assert part.spread(2).user.tolist() == [0, 4]
    assert part.spread(9).now.tolist() == [0, 1, 2, 3, 4], "no target twice"


def test_parts_by_name(split: Split) -> None:
    assert len(split.part("test")) == 2
    assert len(split.part("valid")) == 0
    with pytest.raises(ConfigError, match=r"split=train is not a part .* must be one of: valid, test"):
        split.part("train")
