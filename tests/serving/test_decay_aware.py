import numpy as np
import pytest
import torch

from ltsi.errors import ConfigError
from ltsi.serving.decay_aware import DecayAware, State
from ltsi.serving.known_states import KnownStates

CATEGORY = np.array([0, 0, 1, 2, 3])


def aware(*states: State, **factors: float) -> DecayAware:
    """One user whose interests in the four categories stand as given."""
    known = KnownStates(np.zeros(4, np.int64), np.arange(4), np.array(states, np.int8), 4)
    return DecayAware(CATEGORY, known, **factors)


def test_what_fading_interests_give_up_goes_to_new_ones() -> None:
    strategy = aware(State.falling, State.dormant, State.new, State.steady, falling=0.5, dormant=0.1)
    p = [0.3, 0.1, 0.2, 0.1, 0.3]
    interest_BI, state_BC = strategy.interest(torch.tensor([p]).log(), np.array([0]))
    given_up = 0.5 * (0.3 + 0.1) + 0.9 * 0.2
    expected = [0.5 * 0.3, 0.5 * 0.1, 0.1 * 0.2, 0.1 + given_up, 0.3]
    torch.testing.assert_close((torch.tensor([p]).log() + interest_BI).exp(), torch.tensor([expected]))
    assert sum(expected) == pytest.approx(1.0)
    assert state_BC.tolist() == [[State.falling, State.dormant, State.new, State.steady]]


def test_revived_interests_rise_and_rising_ones_stay() -> None:
    strategy = aware(State.revived, State.rising, State.steady, State.steady, revived=3.0)
    interest_BI, _ = strategy.interest(torch.zeros(1, 5), np.array([0]))
    torch.testing.assert_close(interest_BI.exp(), torch.tensor([[3.0, 3.0, 1.0, 1.0, 1.0]]))


def test_who_has_no_history_gets_the_plain_order() -> None:
    interest_BI, state_BC = aware(*[State.falling] * 4).interest(torch.randn(1, 5), np.array([7]))
    assert (state_BC == State.new).all()
    assert (interest_BI == 0).all()


def test_where_nothing_may_be_recommended_nothing_is_weighed() -> None:
    hidden = torch.full((1, 5), -torch.inf)
    interest_BI, _ = aware(State.falling, State.new, State.new, State.new).interest(hidden, np.array([0]))
    assert interest_BI.isfinite().all()


@pytest.mark.parametrize("factors", [{"falling": 0.0}, {"dormant": 1.5}, {"revived": 0.9}])
def test_factors_that_do_the_contrary_are_refused(factors: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(factors))):
        aware(*[State.steady] * 4, **factors)


def test_nothing_is_known_of_interest_in_items_of_no_category() -> None:
    known = KnownStates(np.zeros(2, np.int64), np.arange(2), np.array([State.falling, State.dormant], np.int8), 3)
    strategy = DecayAware(np.array([0, 2, -1]), known, falling=0.5)
    interest_BI, _ = strategy.interest(torch.tensor([[0.4, 0.4, 0.2]]).log(), np.array([0]))
    # What the first gives up goes to the second, which is new, and not to the third.
    torch.testing.assert_close(interest_BI.exp(), torch.tensor([[0.5, 1 + 0.2 / 0.4, 1.0]]))
