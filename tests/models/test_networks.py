"""What sets the networks apart; what they share is in tests/conformance."""

from collections.abc import Callable

import pytest
import torch

from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.losses.softmax import Softmax
from ltsi.models.fusion import Gate
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.models.lstm_transformer import LstmTransformer
from ltsi.models.network import SequenceNetwork
from ltsi.models.transformer import Transformer

MakeHistories = Callable[..., Histories]
ITEMS = 20


def lstm(**settings: int) -> Lstm:
    torch.manual_seed(0)
    return Lstm(
        Items(ITEMS, 8), **{"dim": 8, "hidden": 16, "layers": 1, **settings}, dropout=0.0, embedding_dropout=0.0
    ).eval()


def transformer(**settings: int) -> Transformer:
    torch.manual_seed(0)
    sizes = {"max_length": 10, "dim": 8, "layers": 1, "heads": 2, **settings}
    return Transformer(Items(ITEMS, 8), **sizes, dropout=0.0, embedding_dropout=0.0).eval()


def lstm_transformer(short_length: int = 3) -> LstmTransformer:
    torch.manual_seed(0)
    sizes = {"dim": 8, "hidden": 16, "heads": 2, "layers": 1, "short_length": short_length}
    return LstmTransformer(Items(ITEMS, 8), 10, Gate(8), **sizes, dropout=0.0, embedding_dropout=0.0).eval()


def moved(network: SequenceNetwork, make_histories: MakeHistories, place: int) -> float:
    """Says how far the last state moves when the event `place` steps before the last one is another item."""
    items = [1, 2, 3, 4, 5, 6, 7, 8]
    changed = [*items]
    changed[-1 - place] = 15
    with torch.no_grad():
        one, other = (network.states(make_histories(row, n_items=ITEMS))[0, -1] for row in (items, changed))
    return float((one - other).abs().max())


def test_an_lstm_and_a_transformer_see_the_whole_history(make_histories: MakeHistories) -> None:
    for network in (lstm(), lstm(layers=2), transformer(), transformer(layers=2)):
        assert all(moved(network, make_histories, place) > 0 for place in range(8))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_windowed_transformer_sees_its_window_of_each_layer(make_histories: MakeHistories, layers: int) -> None:
    network = transformer(window=3, layers=layers)
    seen = [moved(network, make_histories, place) > 0 for place in range(8)]
    reach = 1 + 2 * layers
    assert seen == [True] * reach + [False] * (8 - reach)


def test_the_short_view_sees_the_last_events_and_the_long_view_all(make_histories: MakeHistories) -> None:
    both = lstm_transformer(short_length=3)
    assert all(moved(both, make_histories, place) > 0 for place in range(8))
    with torch.no_grad():  # a gate that lets the short view through alone
        both.fusion.gate.weight.zero_()  # type: ignore[union-attr,operator]
        both.fusion.gate.bias.fill_(-1e4)  # type: ignore[union-attr,operator]
    assert [moved(both, make_histories, place) > 0 for place in range(8)] == [True] * 3 + [False] * 5


@pytest.mark.parametrize("network", [lstm(), transformer(), lstm_transformer()], ids=lambda n: type(n).__name__)
def test_scores_compare_the_last_state_with_the_embeddings(
    network: SequenceNetwork, make_histories: MakeHistories
) -> None:
    asked = make_histories([1, 2, 3], [4], n_items=ITEMS)
    state_BLD = network.states(asked)
    expected = torch.stack([state_BLD[0, 2], state_BLD[1, 0]]) @ network.items.embedding.weight[:ITEMS].T
    torch.testing.assert_close(network(asked), expected)


def test_padding_is_no_item_and_stays_at_zero(make_histories: MakeHistories) -> None:
    network = lstm()
    network(make_histories([1, 2], [3], n_items=ITEMS)).sum().backward()
    gradient = network.items.embedding.weight.grad
    assert gradient is not None
    assert network.items.embedding.weight[ITEMS].eq(0).all()
    assert gradient[ITEMS].eq(0).all()


def test_positions_matter_to_a_transformer(make_histories: MakeHistories) -> None:
    network = transformer()
    one, other = network(make_histories([1, 2, 3], [2, 1, 3], n_items=ITEMS)).detach()
    assert not torch.allclose(one, other)


def test_positions_without_a_target_do_not_count(make_histories: MakeHistories) -> None:
    histories = make_histories([1, 2, 3, 4], [5, 6], n_items=ITEMS)
    target_BL = torch.tensor([[ITEMS, 3, ITEMS, 7], [6, ITEMS, ITEMS, ITEMS]])
    batch = TrainingBatch([TrainingGroup(histories, target_BL)], 3)
    for network in (lstm(), transformer(), lstm_transformer()):
        with torch.no_grad():
            log_p_BLI = (network.states(histories) @ network.items.vectors().T).log_softmax(-1)
            expected = -(log_p_BLI[0, 1, 3] + log_p_BLI[0, 3, 7] + log_p_BLI[1, 0, 6]) / 3
            torch.testing.assert_close(network.training_loss(batch, Softmax()), expected)
