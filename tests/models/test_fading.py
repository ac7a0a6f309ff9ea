from collections.abc import Callable

import pytest
import torch

from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.models.fading import Fading

DAY = 86_400
MakeHistories = Callable[..., Histories]


def test_a_plain_history_counts_every_event_once(make_histories: MakeHistories) -> None:
    weight_BL = Fading()(make_histories([1, 2, 1], [3], n_items=4, padding=1))
    assert weight_BL.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_steps_fade_from_the_last_event_on(make_histories: MakeHistories) -> None:
    weight_BL = Fading(fade=0.5)(make_histories([1, 2, 1], [3, 0], n_items=4))
    assert weight_BL.tolist() == [[0.25, 0.5, 1], [0.5, 1, 0]]


def test_time_fades_by_half_lives_and_with_the_steps(make_histories: MakeHistories) -> None:
    histories = make_histories([1, 2, 1], n_items=4, step=3 * DAY)
    torch.testing.assert_close(Fading(1.0, 6.0)(histories), torch.tensor([[0.5, 0.5**0.5, 1.0]]))
    torch.testing.assert_close(Fading(0.5, 3.0)(histories), torch.tensor([[0.25 * 0.25, 0.5 * 0.5, 1.0]]))


def test_the_time_since_the_last_event_changes_nothing(make_histories: MakeHistories) -> None:
    soon, late = (make_histories([1, 2], n_items=4, wait=wait) for wait in (0, 30 * 365 * DAY))
    assert torch.equal(Fading(0.7, 1.0)(soon), Fading(0.7, 1.0)(late))


@pytest.mark.parametrize(
    ("settings", "key"), [({"fade": 0.0}, "fade"), ({"fade": 1.1}, "fade"), ({"half_life": 0.0}, "half_life")]
)
def test_what_would_not_fade_is_refused(settings: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{key}="):
        Fading(**settings)
