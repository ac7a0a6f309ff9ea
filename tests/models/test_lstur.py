"""Facts of the paper on LSTUR."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.lstur import Lstur
from ltsi.models.users import UserVectors
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

ITEMS, DIM = 10, 6
MakeHistories = Callable[..., Histories]


def lstur(join: str = "ini", masked: float = 0.5, dropout: float = 0.0, embedding_dropout: float = 0.0) -> Lstur:
    torch.manual_seed(0)
    model = Lstur(Items(ITEMS, DIM), DIM, join, masked, dropout, embedding_dropout)
    model.users.make_room(4)
    with torch.no_grad():
        model.users.common.normal_()
        model.users.own.weight[1:].normal_()
    return model.eval()


def of_user(histories: Histories, *users: int) -> Histories:
    user_B = torch.tensor(users)
    return Histories(histories.item_BL, histories.time_BL, histories.length_B, histories.now_BL, user_B)


def gru(layer: nn.GRU, state: Tensor, x_LD: Tensor) -> list[Tensor]:
    (w_r, w_z, w_n), (u_r, u_z, u_n), (a_r, a_z, a_n), (b_r, b_z, b_n) = (part.chunk(3) for part in layer.parameters())
    states = []
    for x in x_LD:
        r = torch.sigmoid(w_r @ x + a_r + u_r @ state + b_r)
        z = torch.sigmoid(w_z @ x + a_z + u_z @ state + b_z)
        state = (1 - z) * torch.tanh(w_n @ x + a_n + r * (u_n @ state + b_n)) + z * state
        states.append(state)
    return states


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("join", ["ini", "con"])
def test_the_state_is_the_formula_with_dropout_on_items_and_on_the_gru(
    join: str, training: bool, make_histories: MakeHistories
) -> None:
    model = lstur(join, masked=0.0, dropout=0.25, embedding_dropout=0.5).train(training)
    drop, drop_embedded = Dropout(0.25).train(training), Dropout(0.5).train(training)
    shown = of_user(make_histories([3, 1, 4, 1], n_items=ITEMS), 2)
    x_LD = drop_embedded(model.items.embedding(shown.item_BL[0]))
    user_D = model.users.common + model.users.own.weight[3]
    states = drop(torch.stack(gru(model.gru, user_D if join == "ini" else torch.zeros(DIM), x_LD)))
    if model.both is not None:
        states = model.both(torch.cat([states, user_D.expand_as(states)], dim=1))
    torch.testing.assert_close(model.states(shown)[0], model.norm(states))


@pytest.mark.parametrize("join", ["ini", "con"])
def test_whoever_is_not_known_is_all_users_in_common(join: str, make_histories: MakeHistories) -> None:
    model = lstur(join)
    shown = make_histories([3, 1], [3, 1], [3, 1], n_items=ITEMS)
    with torch.no_grad():
        found = model.states(of_user(shown, 1, -1, 99))
        nobody = model.states(shown)
        assert not torch.allclose(found[0], nobody[0])
        torch.testing.assert_close(found[1:], nobody[1:])
        model.users.own.weight[2].zero_()
        # A user that was never trained on, too.
        torch.testing.assert_close(model.states(of_user(shown, 1, 1, 1)), nobody)


def test_users_are_masked_at_random_while_training_only() -> None:
    torch.manual_seed(0)
    users = UserVectors(3, masked=0.25)
    users.make_room(2)
    torch.nn.init.ones_(users.own.weight)
    size = 4000
    empty = torch.zeros(size, 1, dtype=torch.int64)
    shown = Histories(empty, empty, torch.ones(size, dtype=torch.int64), empty, torch.ones(size, dtype=torch.int64))
    own_BD = users(shown).detach()
    assert own_BD.unique().tolist() == [0.0, 1.0], "a user is there or not, and is not made larger for it"
    assert torch.equal(own_BD[:, 0], own_BD[:, 2]), "a user is masked as a whole"
    assert abs(float(own_BD[:, 0].mean()) - 0.75) < 0.03
    assert users.eval()(shown).eq(1).all()


def test_the_store_says_how_many_users_there_are(make_store: Callable[..., Store]) -> None:
    model = lstur()
    model.fit_statistics(LeaveOneOut()(make_store(*[[(i, i * 86_400) for i in range(5)]] * 7, n_items=ITEMS)))
    assert model.users.own.weight.shape == (8, DIM)
    assert model.users.own.weight.eq(0).all()


def test_a_way_to_join_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="join=sum must be one of: ini, con"):
        lstur("sum")
