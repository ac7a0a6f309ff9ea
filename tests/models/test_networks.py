"""What sets the networks apart; what they share is in tests/conformance."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ltsi.errors import DataError
from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.losses.softmax import Softmax
from ltsi.models.clsr import Clsr
from ltsi.models.fusion import Attention, Concat, Fusion, Gate, Recurrent
from ltsi.models.gru import Gru, GruEncoder
from ltsi.models.hstu import Hstu
from ltsi.models.items import Items
from ltsi.models.lru import Lru
from ltsi.models.lstm import Lstm, LstmEncoder
from ltsi.models.lstm_attention import LstmAttention, LstmAttentionEncoder
from ltsi.models.lstur import Lstur
from ltsi.models.network import SequenceNetwork
from ltsi.models.recurrent import RecurrentModel
from ltsi.models.rnn import Rnn
from ltsi.models.slirec import SliRec
from ltsi.models.time_lstm import TimeGate, TimeLstm, TimeLstmLayer
from ltsi.models.tisasrec import TiSasRec
from ltsi.models.transformer import Transformer, TransformerEncoder
from ltsi.models.two_views import TwoViews
from ltsi.models.views import LastDays, LastEvents, LastSession, View
from ltsi.sequences.batches import TrainingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

MakeHistories = Callable[..., Histories]
ITEMS = 20


def quiet(model: SequenceNetwork) -> SequenceNetwork:
    """Let a network score, with all that begins at zero drawn at random: else it has no effect to be seen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.eq(0).all():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def lstm(kind: type[RecurrentModel] = Lstm, **settings: Any) -> SequenceNetwork:
    torch.manual_seed(0)
    sizes = {"dim": 8, "hidden": 16, "layers": 1, **settings}
    return quiet(kind(Items(ITEMS, 8), **sizes, dropout=0.0, embedding_dropout=0.0))


def transformer(**settings: Any) -> SequenceNetwork:
    torch.manual_seed(0)
    sizes = {"max_length": 10, "dim": 8, "layers": 1, "heads": 2, **settings}
    return quiet(Transformer(Items(ITEMS, 8), **sizes, dropout=0.0, embedding_dropout=0.0))


def time_lstm(layers: int = 1) -> SequenceNetwork:
    torch.manual_seed(0)
    return quiet(TimeLstm(Items(ITEMS, 8), dim=8, hidden=16, layers=layers, dropout=0.0, embedding_dropout=0.0))


def lstm_attention() -> SequenceNetwork:
    torch.manual_seed(0)
    return quiet(LstmAttention(Items(ITEMS, 8), dim=8, hidden=[16, 12], dropout=0.0, embedding_dropout=0.0))


def two_views(short: str = "lstm", fusion: Fusion | None = None, view: View | None = None, **settings: Any) -> TwoViews:
    torch.manual_seed(0)
    long = LstmEncoder(8, 16, 1, 0.0)
    encoder = LstmEncoder(8, 12, 1, 0.0) if short == "lstm" else TransformerEncoder(8, 1, 2, 0.0, 10)
    chosen = (fusion or Gate(8), view or LastEvents(3))
    both = TwoViews(Items(ITEMS, 8), long, encoder, *chosen, 8, 3, embedding_dropout=0.0, **settings)
    quiet(both)
    return both


def published(kind: Callable[..., SequenceNetwork], **settings: Any) -> SequenceNetwork:
    torch.manual_seed(0)
    return quiet(kind(Items(ITEMS, 8), dim=8, **settings, embedding_dropout=0.0))


NETWORKS = {
    "lstm": lstm(layers=2),
    "windowed lstm": lstm(window=3),
    "waiting lstm": lstm(wait=True),
    "gru": lstm(Gru),
    "rnn": lstm(Rnn),
    "lstm_attention": lstm_attention(),
    "time_lstm": time_lstm(2),
    "transformer": transformer(layers=2),
    "windowed transformer": transformer(window=3),
    "rotary": transformer(positions="rotary", layers=2),
    "time_gap": transformer(positions="time_gap"),
    "no positions": transformer(positions="none", window=4),
    "decay_bias": transformer(decay_bias=True, layers=2),
    "lstm_transformer": two_views("transformer"),
    "session of a transformer": two_views("transformer", Attention(8), LastSession(60 * 24)),
    "dual_lstm": two_views(fusion=Recurrent(8)),
    "scalar": two_views(fusion=Recurrent(8, "scalar"), reverse=True),
    "tisasrec": published(TiSasRec, layers=2, heads=2, dropout=0.0, max_length=10, max_interval=9),
    "hstu": published(Hstu, layers=2, heads=2, dropout=0.0, distances=5),
    "lru": published(Lru, layers=2, dropout=0.0),
    "lstur": published(Lstur, join="ini", masked=0.5, dropout=0.0),
    "slirec": published(SliRec, hidden=6, short_length=3, dropout=0.0),
    "clsr": published(Clsr, short=GruEncoder(8, 6, 1, 0.0), recent=2, contrast=0.1, min_length=3),
    "days": two_views(fusion=Concat(8), view=LastDays(3), reverse=True, user_vector=True),
}
every_network = pytest.mark.parametrize("network", list(NETWORKS.values()), ids=list(NETWORKS))


def moved(network: SequenceNetwork, make_histories: MakeHistories, place: int) -> float:
    """Says how far the last state moves when the event `place` steps before the last one is another item."""
    items = [1, 2, 3, 4, 5, 6, 7, 8]
    changed = [*items]
    changed[-1 - place] = 15
    with torch.no_grad():
        one, other = (network.states(make_histories(row, n_items=ITEMS))[0, -1] for row in (items, changed))
    return float((one - other).abs().max())


def irregular(*items: list[int], n_items: int = ITEMS, padding: int = 0) -> Histories:
    """Make histories with gaps from seconds to days."""
    width = max(map(len, items)) + padding
    gap_L = torch.tensor([0, 5, 90_000, 0, 700, 200_000, 3, 100_000, 60, 7])[:width]
    length_B = torch.tensor([len(row) for row in items])
    place_BL = torch.minimum(torch.arange(width), length_B[:, None] - 1)
    time_BL = gap_L.cumsum(0)[place_BL]
    item_BL = torch.tensor([[*row, *[n_items] * (width - len(row))] for row in items])
    now_BL = torch.cat([time_BL[:, 1:], time_BL[:, -1:]], dim=1)
    now_BL[torch.arange(width) >= length_B[:, None] - 1] += 5_000
    return Histories(item_BL, time_BL, length_B, now_BL)


@every_network
def test_no_position_sees_a_later_item_or_a_later_time(network: SequenceNetwork) -> None:
    """Up to the time of the next event, which is when a position is asked."""
    shown = irregular([1, 2, 3, 4, 5, 6, 7, 8])
    with torch.no_grad():
        before = network.states(shown)[0]
        for place in range(1, 8):
            item_BL, time_BL = shown.item_BL.clone(), shown.time_BL.clone()
            item_BL[0, place] = 15
            time_BL[0, place + 1 :] += 40_000
            now_BL = torch.cat([time_BL[:, 1:], shown.now_BL[:, -1:]], dim=1)
            after = network.states(Histories(item_BL, time_BL, shown.length_B, now_BL))[0]
            torch.testing.assert_close(before[:place], after[:place])
            assert not torch.allclose(before[place], after[place])


@every_network
def test_a_history_alone_is_encoded_as_in_a_padded_batch(network: SequenceNetwork) -> None:
    rows = [[1, 2, 3, 4, 5], [6], [7, 8, 9]]
    with torch.no_grad():
        together = network.states(irregular(*rows, padding=2))
        for row, items in enumerate(rows):
            torch.testing.assert_close(network.states(irregular(items))[0], together[row, : len(items)])


def test_whoever_has_no_window_sees_the_whole_history(make_histories: MakeHistories) -> None:
    networks = (lstm(), lstm(layers=2), lstm(Gru), lstm(Rnn), lstm_attention(), time_lstm(), transformer())
    published_ones = [NETWORKS[name] for name in ("tisasrec", "hstu", "lru", "lstur", "slirec", "clsr")]
    more = (transformer(positions="rotary"), transformer(decay_bias=True), two_views(), *published_ones)
    for network in (*networks, *more):
        assert all(moved(network, make_histories, place) > 0 for place in range(8))


def test_a_windowed_lstm_sees_its_window(make_histories: MakeHistories) -> None:
    seen = [moved(lstm(window=3, layers=2), make_histories, place) > 0 for place in range(8)]
    assert seen == [True] * 3 + [False] * 5


@pytest.mark.parametrize(
    ("name", "past", "wait"),
    [
        ("lstm", False, False),
        ("transformer", False, False),
        ("rotary", False, False),
        ("decay_bias", True, False),
        ("time_gap", True, False),
        ("waiting lstm", False, True),
        ("time_lstm", True, True),
        ("tisasrec", True, False),
        ("hstu", True, False),
        ("slirec", False, True),
    ],
)
def test_who_looks_at_times(name: str, past: bool, wait: bool) -> None:
    """`past`: the gap between earlier events; `wait`: how long ago the last one was."""
    shown, network = irregular([1, 2, 3, 4, 5]), NETWORKS[name]
    time_BL = shown.time_BL.clone()
    time_BL[0, 0] -= 300_000
    with torch.no_grad():
        state_BLD = network.answers(shown)
        other = network.answers(Histories(shown.item_BL, time_BL, shown.length_B, shown.now_BL))
        later = network.answers(Histories(shown.item_BL, shown.time_BL, shown.length_B, shown.now_BL + 10**6))
    assert torch.equal(state_BLD[0, -1], other[0, -1]) != past
    assert torch.equal(state_BLD, later) != wait


@pytest.mark.parametrize("spans", [False, True])
def test_a_time_aware_lstm_is_the_formula(spans: bool) -> None:
    torch.manual_seed(0)
    layer, x_LD, gap_L, span_L = TimeLstmLayer(3, 4, spans), torch.randn(6, 3), torch.randn(6), torch.randn(6)
    w_i, w_f, w_o, w_c = layer.of_input.weight.chunk(4)
    b_i, b_f, b_o, b_c = layer.of_input.bias.chunk(4)
    u_i, u_f, u_o, u_c = layer.of_state.T.chunk(4)

    def gate(by: TimeGate | None, x: torch.Tensor, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if by is None:
            return torch.ones(4), torch.zeros(4)
        v_o, v_t = by.of_time.weight.chunk(2)
        delta = torch.tanh(by.time.weight[:, 0] * time + by.time.bias)
        return torch.sigmoid(by.of_input(x) + v_t @ delta), v_o @ delta

    h, c, expected = torch.zeros(4), torch.zeros(4), []
    for x, gap, span in zip(x_LD, gap_L, span_L, strict=True):
        (keep, by_gap), (admit, by_span) = gate(layer.by_gap, x, gap), gate(layer.by_span, x, span)
        i, f = torch.sigmoid(w_i @ x + u_i @ h + b_i), torch.sigmoid(w_f @ x + u_f @ h + b_f)
        o = torch.sigmoid(w_o @ x + u_o @ h + by_gap + by_span + b_o)
        c = f * keep * c + i * admit * torch.tanh(w_c @ x + u_c @ h + b_c)
        h = o * torch.tanh(c)
        expected.append(h)
    found = layer(x_LD[None], gap_L[None], span_L[None] if spans else None)[0]
    torch.testing.assert_close(found, torch.stack(expected))


def test_lstm_attention_needs_a_layer() -> None:
    with pytest.raises(ValueError, match=r"hidden=\[\] must name the width of at least one LSTM layer"):
        LstmAttentionEncoder(8, [], 0.0)


def test_positions_are_of_a_kind_that_there_is() -> None:
    with pytest.raises(ValueError, match="positions=sinus must be one of: learned, rotary, time_gap, none"):
        transformer(positions="sinus")


def test_without_positions_order_shows_in_the_last_event_alone(make_histories: MakeHistories) -> None:
    network = transformer(positions="none")
    one, other, third = network(make_histories([1, 2, 3], [2, 1, 3], [1, 3, 2], n_items=ITEMS)).detach()
    torch.testing.assert_close(one, other)
    assert not torch.allclose(one, third)


def test_attention_reads_in_no_direction() -> None:
    with pytest.raises(ValueError, match="reverse=true: attention reads in no direction"):
        two_views("transformer", reverse=True)


@pytest.mark.parametrize(("key", "value"), [("positions", "time_gap"), ("decay_bias", True)])
def test_a_transformer_that_asks_for_times_refuses_a_log_without(
    key: str, value: str | bool, make_store: Callable[..., Store]
) -> None:
    split = LeaveOneOut()(make_store(*[[(i, i) for i in range(5)]] * 3, clock=False))
    with pytest.raises(DataError, match=f"model.{key}={str(value).lower()} needs times.*prepare it from a source with"):
        transformer(**{key: value}).fit_statistics(split)


def test_users_have_vectors_of_their_own_and_strangers_the_common_one(make_store: Callable[..., Store]) -> None:
    split = LeaveOneOut()(make_store(*[[(i, i * 86_400) for i in range(5)]] * 3))
    both = two_views(user_vector=True)
    both.fit_statistics(split)
    batch = next(TrainingBatches(split, 10, 2, seed=1).epoch(0))
    trained = sorted(user for group in batch.groups for user in group.histories.user_B.tolist())  # type: ignore[union-attr]
    optimizer = torch.optim.Adam(both.parameters(), 0.1)
    both.training_loss(batch, Softmax()).backward()
    optimizer.step()
    shown = irregular([1, 2], [1, 2], [1, 2], [1, 2], [1, 2])
    user_B = torch.tensor([*range(3), -1, 77])
    with torch.no_grad():
        found = both(Histories(shown.item_BL, shown.time_BL, shown.length_B, shown.now_BL, user_B))
        nobody = both(shown)
    assert len(trained) == 2
    own = [not torch.allclose(row, nobody[0]) for row in found]
    assert own == [user in trained for user in range(3)] + [False, False]
    fresh = two_views(user_vector=True)
    fresh.load_state_dict(both.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(shown), nobody)
    assert torch.equal(both.users(shown), both.users.common.expand(5, -1))  # type: ignore[misc,union-attr]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_windowed_transformer_sees_its_window_of_each_layer(make_histories: MakeHistories, layers: int) -> None:
    network = transformer(window=3, layers=layers)
    seen = [moved(network, make_histories, place) > 0 for place in range(8)]
    reach = 1 + 2 * layers
    assert seen == [True] * reach + [False] * (8 - reach)


def test_the_short_view_sees_the_last_events_and_the_long_view_all(make_histories: MakeHistories) -> None:
    both = two_views("transformer")
    assert all(moved(both, make_histories, place) > 0 for place in range(8))
    with torch.no_grad():  # a gate that lets the short view through alone
        both.fusion.gate.weight.zero_()  # type: ignore[union-attr,operator]
        both.fusion.gate.bias.fill_(-1e4)  # type: ignore[union-attr,operator]
    assert [moved(both, make_histories, place) > 0 for place in range(8)] == [True] * 3 + [False] * 5


@every_network
def test_scores_compare_the_last_state_with_the_embeddings(
    network: SequenceNetwork, make_histories: MakeHistories
) -> None:
    asked = make_histories([1, 2, 3], [4], n_items=ITEMS)
    state_BLD = network.answers(asked)
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
    for network in (lstm(), transformer(), two_views("transformer")):
        with torch.no_grad():
            log_p_BLI = (network.answers(histories) @ network.items.vectors().T).log_softmax(-1)
            expected = -(log_p_BLI[0, 1, 3] + log_p_BLI[0, 3, 7] + log_p_BLI[1, 0, 6]) / 3
            torch.testing.assert_close(network.training_loss(batch, Softmax()), expected)
