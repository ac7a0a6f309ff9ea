"""Facts of the paper on SLi-Rec; the layer's formula is in test_networks."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ltsi.errors import DataError
from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.pair_score import PairScore
from ltsi.models.slirec import SliRec
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

MakeHistories = Callable[..., Histories]
ITEMS, DIM, HIDDEN, SHORT = 10, 6, 5, 3
DAY = 86_400


def slirec(dropout: float = 0.0, embedding_dropout: float = 0.0) -> SliRec:
    torch.manual_seed(0)
    return SliRec(Items(ITEMS, DIM), DIM, HIDDEN, SHORT, dropout, embedding_dropout).eval()


def trusting(view: str) -> SliRec:
    """Make a model whose gate lets one view through alone."""
    model = slirec()
    with torch.no_grad():
        weight, bias = list(model.gate.parameters())[-2:]
        weight.zero_()
        bias.fill_(1e4 if view == "long" else -1e4)
    return model


def at(items: list[int], days: list[float], wait: float = 1.0) -> Histories:
    time_BL = (torch.tensor([days]) * DAY).long()
    now_BL = torch.cat([time_BL[:, 1:], time_BL[:, -1:] + int(wait * DAY)], dim=1)
    return Histories(torch.tensor([items]), time_BL, torch.tensor([len(items)]), now_BL)


def test_a_pair_is_scored_by_a_net_on_both_their_difference_and_their_product() -> None:
    torch.manual_seed(0)
    pair, x_BLD, query_BQ = PairScore(4, 3), torch.randn(2, 5, 4), torch.randn(2, 3)
    v_BLQ, q_BLQ = pair.event(x_BLD), query_BQ[:, None].expand(-1, 5, -1)
    of_difference = torch.randn(3, 3)
    matrix = torch.cat(
        [
            pair.of_event.weight - of_difference,
            pair.of_query.weight + of_difference,
            of_difference,
            pair.of_product.weight,
        ],
        dim=1,
    )
    seen = torch.cat([v_BLQ, q_BLQ, v_BLQ - q_BLQ, v_BLQ * q_BLQ], dim=2) @ matrix.T + pair.of_event.bias
    torch.testing.assert_close(pair(x_BLD, query_BQ), pair.score(seen.relu()).squeeze(2))


def embedded(model: SliRec, shown: Histories) -> Tensor:
    x_LD: Tensor = Dropout(0.5).train(model.training)(model.items.embedding(shown.item_BL[0]))
    return x_LD


def long_by_hand(model: SliRec, shown: Histories) -> Tensor:
    x_LD = DIM**0.5 * embedded(model, shown)
    logit_L = model.long_score(x_LD).squeeze(1)
    rows = [logit_L[: n + 1].softmax(0) @ x_LD[: n + 1] for n in range(len(x_LD))]
    long_LD: Tensor = model.long_norm(torch.stack(rows))
    return long_LD


def test_the_long_view_is_attention_over_all_items_so_far() -> None:
    model, shown = trusting("long"), at([3, 1, 4, 1, 5], [0, 1, 2, 30, 31])
    with torch.no_grad():
        torch.testing.assert_close(model.states(shown)[0], model.norm(long_by_hand(model, shown)))


def scaled(seconds_L: Tensor) -> Tensor:
    """Put times on the scale that the model has before it has seen a log."""
    return (seconds_L.float().log1p() - torch.log1p(torch.tensor(float(DAY)))) / 3.0


def window_by_hand(model: SliRec, x_LD: Tensor, time_L: Tensor, now: int) -> Tensor:
    """Encode one window as of its answer."""
    encoder = model.short.encoder
    gap_L = torch.cat([torch.zeros(1), scaled(time_L.diff())])
    output_LH = encoder.layer(x_LD[None], gap_L[None], scaled(now - time_L)[None])[0]  # type: ignore[operator]
    output_LH = Dropout(0.25).train(model.training)(output_LH)
    weight_L = encoder.score(output_LH[None], output_LH[-1:])[0].softmax(0)  # type: ignore[operator]
    return encoder.norm(encoder.out(weight_L @ output_LH))  # type: ignore[operator,no-any-return]


def short_by_hand(model: SliRec, shown: Histories) -> Tensor:
    x_LD, rows = embedded(model, shown), []
    for last, now in enumerate(shown.now_BL[0].tolist()):
        window = slice(max(0, last + 1 - SHORT), last + 1)
        rows.append(window_by_hand(model, x_LD[window], shown.time_BL[0, window], now))
    return torch.stack(rows)


def test_the_short_view_reads_the_last_events_as_of_the_time_they_are_asked_at() -> None:
    model, shown = trusting("short"), at([3, 1, 4, 1, 5], [0, 0.001, 2, 30, 31], wait=7)
    with torch.no_grad():
        torch.testing.assert_close(model.states(shown)[0], model.norm(short_by_hand(model, shown)))


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_a_state_is_a_share_of_the_long_view_and_the_rest_of_the_short_one(
    stir: Callable[[nn.Module], None], training: bool
) -> None:
    """Dropout stands on the embedded history, which both views read, and on what the LSTM returns."""
    model, shown = slirec(dropout=0.25, embedding_dropout=0.5), at([3, 1, 4, 1, 5], [0, 0.001, 2, 30, 31], wait=7)
    stir(model)
    model.train(training)
    with torch.no_grad():
        long_LD, short_LD = long_by_hand(model, shown), short_by_hand(model, shown)
        wait_L = scaled((shown.now_BL - shown.time_BL)[0])
        inner_LD = model.gate[0](torch.cat([long_LD, short_LD, wait_L[:, None]], dim=1)).relu()
        share_L1 = torch.sigmoid(model.gate[2](inner_LD))
        assert share_L1.min() > 0.2
        assert share_L1.max() < 0.8
        expected_LD = model.norm(share_L1 * long_LD + (1 - share_L1) * short_LD)
        torch.testing.assert_close(model.states(shown)[0], expected_LD)


def deaf() -> SliRec:
    """Make a model whose short view is the same whatever it is shown, so that only the gate can tell waits apart."""
    model = slirec()
    with torch.no_grad():
        model.short.encoder.norm.weight.zero_()  # type: ignore[union-attr,operator]
        model.short.encoder.norm.bias.normal_()  # type: ignore[union-attr,operator]
    return model


@pytest.mark.parametrize(
    ("model", "hears"),
    [(trusting("long"), False), (trusting("short"), True), (deaf(), True), (slirec(), True)],
    ids=["neither", "short view", "gate", "both"],
)
def test_the_answer_depends_on_the_wait_through_short_view_and_gate(model: SliRec, hears: bool) -> None:
    with torch.no_grad():
        one, other = (model.states(at([3, 1, 4], [0, 1, 2], wait))[0] for wait in (0.01, 400))
    assert torch.allclose(one[-1], other[-1]) != hears
    torch.testing.assert_close(one[:-1], other[:-1])


@pytest.mark.parametrize("seconds", [0, 1, 60, 3600, 10 * 365 * DAY, 20 * 365 * DAY])
def test_no_gap_is_too_short_or_too_long_to_tell(seconds: int) -> None:
    """The published code takes a minute and an hour for half a day."""
    gap_BL = slirec().log_gap(at([3, 1, 4], [0, seconds / DAY, seconds / DAY + 1]).time_BL)
    expected_L = torch.tensor([0.0, (math.log1p(seconds) - math.log1p(DAY)) / 3, 0.0])
    torch.testing.assert_close(gap_BL[0], expected_L, rtol=1e-5, atol=1e-5)


def test_a_log_without_a_clock_is_refused(make_store: Callable[..., Store]) -> None:
    split = LeaveOneOut()(make_store(*[[(i, i) for i in range(5)]] * 3, n_items=ITEMS, clock=False))
    with pytest.raises(DataError, match=r"model=slirec needs times.*prepare it from a source with times"):
        slirec().fit_statistics(split)
