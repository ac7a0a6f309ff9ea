"""One contract for every model of the next item in `conf/model`; forecasters have theirs in test_forecasters.py."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import get_class
from torch import Tensor

import ltsi.conf
from ltsi.errors import DataError
from ltsi.evaluation.ranking import target_ranks
from ltsi.histories import Histories, RankingBatch
from ltsi.models.hybrid import Hybrid
from ltsi.models.interest import InterestModel
from ltsi.models.network import SequenceNetwork
from ltsi.models.popularity import count_items
from ltsi.objectives.next_item import NextItem
from ltsi.sequences.batches import RankingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

CONF = Path(ltsi.conf.__file__).parent / "model"
CLASSES = {path.stem: get_class(yaml.safe_load(path.read_text())["_target_"]) for path in sorted(CONF.glob("*.yaml"))}
MODELS = [name for name, found in CLASSES.items() if issubclass(found, InterestModel)]
MAX_LENGTH, N_ITEMS = 12, 12

# Every length from one event to the longest, recent and long ago.
SHOWN = [[3], [1, 2], [5, 5, 5], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2], [9, 7, 5, 3], [10], [11, 10, 0]]

Build = Callable[..., InterestModel]
Fit = Callable[..., InterestModel]
MakeHistories = Callable[..., Histories]
Log = Callable[..., Store]
Ranks = Callable[..., list[int]]
Hits = Callable[..., float]


def models_that(are: Callable[[type[InterestModel]], bool]) -> pytest.MarkDecorator:
    """Run a test for some of the models only, by their class."""
    return pytest.mark.parametrize("name", [name for name in MODELS if are(CLASSES[name])])


NEED_A_CLOCK = {"hstu", "slirec", "time_lstm", "tisasrec"}
every_model = pytest.mark.parametrize("name", MODELS)
pools = models_that(lambda found: issubclass(found, Hybrid))
calibrated_models = models_that(lambda found: found.calibrates)


@pytest.fixture
def shown(make_histories: MakeHistories) -> Histories:
    return make_histories(*SHOWN, n_items=N_ITEMS)


@torch.no_grad()
def distribution(model: InterestModel, histories: Histories) -> Tensor:
    score_BI: Tensor = model(histories)
    return score_BI.double().softmax(dim=1)


def assert_distribution(model: InterestModel, histories: Histories, n_items: int = N_ITEMS) -> None:
    with torch.no_grad():
        score_BI = model(histories)
    assert score_BI.shape == (len(histories), n_items)
    p_BI = score_BI.float().softmax(dim=1)
    assert p_BI.isfinite().all()
    torch.testing.assert_close(p_BI.sum(dim=1), torch.ones(len(histories)))


@every_model
def test_scores_are_a_distribution_over_the_catalogue(fitted: InterestModel, shown: Histories) -> None:
    assert_distribution(fitted, shown)


@every_model
def test_scores_can_be_asked_before_anything_was_learned(name: str, build: Build, shown: Histories, log: Log) -> None:
    model = build(name)
    model.fit_statistics(LeaveOneOut()(log()))
    assert_distribution(model, shown)


@every_model
def test_a_history_scores_alone_as_in_a_padded_batch(
    fitted: InterestModel, make_histories: MakeHistories, shown: Histories
) -> None:
    together = distribution(fitted, shown)
    for row, items in enumerate(SHOWN):
        for padding in (0, min(3, MAX_LENGTH - len(items))):
            alone = distribution(fitted, make_histories(items, n_items=N_ITEMS, padding=padding))
            torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-6)


@every_model
def test_order_in_the_batch_does_not_matter(fitted: InterestModel, make_histories: MakeHistories) -> None:
    forth, back = (make_histories(*SHOWN[::way], n_items=N_ITEMS) for way in (1, -1))
    torch.testing.assert_close(distribution(fitted, forth), distribution(fitted, back).flip(0), rtol=1e-4, atol=1e-6)


@every_model
def test_an_empty_history_is_answered_with_what_everybody_takes(
    fitted: InterestModel, log: Log, make_histories: MakeHistories
) -> None:
    alone = make_histories([], n_items=N_ITEMS)
    together = make_histories([3, 1], [], [1, 2, 3], [], n_items=N_ITEMS)
    assert_distribution(fitted, alone)
    assert_distribution(fitted, together)
    p_BI = distribution(fitted, together)
    for row in (1, 3):
        torch.testing.assert_close(distribution(fitted, alone)[0], p_BI[row], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        distribution(fitted, make_histories([3, 1], n_items=N_ITEMS))[0], p_BI[0], rtol=1e-4, atol=1e-6
    )
    with torch.no_grad():
        score_BI = fitted(together)
        assert fitted.evidence(score_BI, score_BI.logsumexp(1)).isfinite().all()
    count_I = count_items(LeaveOneOut()(log(name="again")))
    assert p_BI[1, count_I.argmax()] > p_BI[1, count_I > 0].mean() > p_BI[1, count_I == 0].max()


@models_that(lambda found: issubclass(found, SequenceNetwork))
def test_a_network_learns_from_the_states_it_answers_with(fitted: InterestModel, shown: Histories) -> None:
    """However windows are grouped or packed for training."""
    network, known = fitted, replace(shown, user_B=torch.arange(len(shown)))
    assert isinstance(network, SequenceNetwork)
    groups = [known.rows(slice(0, 4)), known.rows(slice(4, 7))]
    with torch.no_grad():
        expected_ND = torch.cat([network.answers(group)[group.real_BL()] for group in groups])
        torch.testing.assert_close(network.encoded(network.answers, groups), expected_ND, rtol=1e-4, atol=1e-5)


@every_model
def test_scoring_changes_nothing(fitted: InterestModel, shown: Histories) -> None:
    state = {key: value.clone() for key, value in fitted.state_dict().items()}
    item_BL, first = shown.item_BL.clone(), distribution(fitted, shown)
    assert torch.equal(first, distribution(fitted, shown))
    assert torch.equal(shown.item_BL, item_BL)
    assert_equal_states(state, fitted.state_dict())


@every_model
def test_scores_are_the_callers_to_change(fitted: InterestModel, shown: Histories) -> None:
    with torch.no_grad():
        before, score_BI = fitted(shown), fitted(shown)
        score_BI[0, 0] = 1e3
        assert torch.equal(score_BI[1:], before[1:])
        assert torch.equal(fitted(shown), before)


@every_model
def test_what_is_kept_beside_a_rank_is_one_number_a_history(fitted: InterestModel, shown: Histories) -> None:
    with torch.no_grad():
        score_BI, columns = fitted.scores_and_state(shown)
        assert torch.equal(score_BI.softmax(1), fitted(shown).softmax(1))
    assert all(column.shape == (len(shown),) and column.isfinite().all() for column in columns.values())


@every_model
def test_evidence_is_a_finite_number_a_history(fitted: InterestModel, shown: Histories) -> None:
    with torch.no_grad():
        score_BI = fitted(shown)
        evidence_B = fitted.evidence(score_BI, score_BI.logsumexp(1))
    assert evidence_B.shape == (len(shown),)
    assert evidence_B.isfinite().all()


def assert_equal_states(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@every_model
def test_a_state_dict_carries_all_that_was_learned(
    name: str, fitted: InterestModel, build: Build, shown: Histories, tmp_path: Path
) -> None:
    torch.save(fitted.state_dict(), tmp_path / "state.pt")
    fresh = build(name, seed=2)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    with torch.no_grad():
        assert torch.equal(fresh(shown), fitted(shown))


@every_model
def test_the_same_seed_gives_the_same_numbers(
    name: str, fitted: InterestModel, build: Build, fit: Fit, log: Log
) -> None:
    split = LeaveOneOut()(log(name="again"))
    again, other = (fit(build(name, seed=seed), split, seed=seed) for seed in (1, 2))
    assert_equal_states(fitted.state_dict(), again.state_dict())
    if fitted.learns:
        assert any(not torch.equal(a, b) for a, b in zip(fitted.parameters(), other.parameters(), strict=True))


@every_model
def test_statistics_see_the_training_part_only(name: str, build: Build, log: Log) -> None:
    states = []
    for store in (log(), log(change=lambda place: (4 * place, place == 1), name="changed")):
        model = build(name)
        model.fit_statistics(LeaveOneOut()(store))
        states.append(dict(model.state_dict()))
    assert_equal_states(*states)


@every_model
def test_nothing_that_is_learned_sees_the_test_part(
    name: str, fitted: InterestModel, build: Build, fit: Fit, log: Log
) -> None:
    split, changed = (
        LeaveOneOut()(store)
        for store in (log(name="a"), log(change=lambda place: (4, 3) if place == 1 else (0, 0), name="b"))
    )
    assert (split.store.item[split.test.event] != changed.store.item[changed.test.event]).all()
    assert_equal_states(fitted.state_dict(), fit(build(name), changed).state_dict())


@every_model
def test_a_log_with_an_order_and_no_clock(
    name: str, build: Build, fit: Fit, make_store: Callable[..., Store], make_histories: MakeHistories
) -> None:
    random = np.random.default_rng(0)
    users = [[(int(item), place) for place, item in enumerate(random.integers(0, 12, 8))] for _ in range(20)]
    split = LeaveOneOut()(make_store(*users, n_items=N_ITEMS, clock=False))
    if name in NEED_A_CLOCK:
        with pytest.raises(DataError, match="needs times"):
            fit(build(name), split)
        return
    model = fit(build(name), split)
    assert_distribution(model, make_histories(*SHOWN, n_items=N_ITEMS, step=1, wait=1))


@every_model
def test_users_with_one_training_event_do_not_break_statistics(
    name: str, build: Build, log: Log, shown: Histories
) -> None:
    model = build(name)
    model.fit_statistics(LeaveOneOut()(log(lengths=[3] * 5 + [1])))
    assert_distribution(model, shown)


@every_model
def test_a_catalogue_of_two(
    name: str, build: Build, fit: Fit, make_store: Callable[..., Store], make_histories: MakeHistories
) -> None:
    users = [[((user + place) % 2, place * 86_400) for place in range(6)] for user in range(10)]
    model = fit(build(name, n_items=2), LeaveOneOut()(make_store(*users, n_items=2)))
    assert_distribution(model, make_histories([0], [1, 0, 1], [0, 0], n_items=2), n_items=2)


@every_model
def test_events_of_the_same_second_and_a_now_before_the_last_event(
    fitted: InterestModel, make_histories: MakeHistories
) -> None:
    assert_distribution(fitted, make_histories([1, 2, 3], [4], n_items=N_ITEMS, step=0, wait=0))
    assert_distribution(fitted, make_histories([1, 2, 3], [4], n_items=N_ITEMS, wait=-86_400 * 5))


@every_model
def test_a_now_years_after_the_last_event(fitted: InterestModel, make_histories: MakeHistories) -> None:
    assert_distribution(fitted, make_histories([1, 2, 3], [4], n_items=N_ITEMS, wait=86_400 * 365 * 30))


@every_model
def test_half_precision_where_torch_chooses_it(fitted: InterestModel, shown: Histories) -> None:
    exact = distribution(fitted, shown)
    with torch.autocast("cpu", torch.bfloat16):
        assert_distribution(fitted, shown)
        assert (distribution(fitted, shown) - exact).abs().max() < 0.1
        with torch.no_grad():
            assert fitted(shown).dtype == torch.float32, "half precision has one score for many items"


@every_model
def test_ranks_do_not_depend_on_the_batch(
    fitted: InterestModel, log: Log, monkeypatch: pytest.MonkeyPatch, ranks: Ranks
) -> None:
    split = LeaveOneOut()(log(name="other"))
    whole = ranks(fitted, split)
    monkeypatch.setattr("ltsi.sequences.batches.SCORE_BUDGET", 1)
    monkeypatch.setattr("ltsi.sequences.batches.FEWEST_RANKED", 1)
    assert ranks(fitted, split) == whole


@every_model
def test_pieces_of_a_batch_are_ranked_as_the_whole(
    fitted: InterestModel, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU a batch is ranked in pieces, side by side, each with its own hidden items."""
    split = LeaveOneOut()(log(name="other"))
    task, (batch,) = NextItem().on(split, None), list(RankingBatches(split.store, split.test, MAX_LENGTH, True))
    fitted.eval()
    with torch.no_grad():
        whole = task.answers(fitted, batch)
        monkeypatch.setattr("ltsi.objectives.next_item.PIECE_SCORES", 3 * split.store.n_items)
        monkeypatch.setattr("ltsi.objectives.next_item.PIECE_ROWS", 1)
        pieces = task.answers(fitted, batch)
    score_BI = fitted(batch.histories).detach()
    rank_B = target_ranks(score_BI, batch.target_B, batch.hidden_row, batch.hidden_item)
    assert len(rank_B) > 3
    assert torch.equal(whole["rank"], rank_B)
    assert whole.keys() == pieces.keys()
    assert torch.equal(pieces["rank"], rank_B)
    assert torch.equal(pieces["index"], batch.index_B)


@pools
def test_the_parts_of_a_pool_add_up_to_its_score(fitted: InterestModel, shown: Histories) -> None:
    pool = fitted
    assert isinstance(pool, Hybrid)
    with torch.no_grad():
        parts, weight_BK = pool.parts(shown)
        total_BI = torch.stack(parts).double().sum(dim=0)
    assert len(parts) == weight_BK.shape[1] == len(pool.components)
    assert (weight_BK > 0).all()
    torch.testing.assert_close(total_BI.softmax(dim=1), distribution(pool, shown), rtol=1e-5, atol=1e-7)


@pools
@pytest.mark.parametrize("alone", [False, True])
def test_a_part_is_its_weight_times_what_its_component_says(
    fitted: InterestModel, shown: Histories, alone: bool
) -> None:
    pool = copy.deepcopy(fitted)
    assert isinstance(pool, Hybrid)
    pool.pool.memory_alone.fill_(alone)
    with torch.no_grad():
        parts, weight_BK = pool.parts(shown)
    floors, known = pool.pool.floor_K.tolist(), pool.pool.known_K.tolist()
    for place, model in enumerate(pool.components.values()):
        assert isinstance(model, InterestModel)
        log_BI = (distribution(model, shown) + floors[place]).log()
        if alone and not model.remembers:
            log_BI[shown.taken()] = known[place]
        torch.testing.assert_close(parts[place].double(), weight_BK[:, place, None] * log_BI, rtol=1e-3, atol=1e-3)


@calibrated_models
def test_calibrating_again_changes_nothing(fitted: InterestModel, log: Log) -> None:
    """A run that goes on after its end chooses its mixture a second time."""
    split = LeaveOneOut()(log(name="other"))
    states = []
    for _ in range(2):
        fitted.calibrate(validation(split))
        states.append({key: value.clone() for key, value in fitted.state_dict().items()})
    assert_equal_states(*states)


def validation(split: Split) -> list[RankingBatch]:
    settings: dict[str, Any] = {"max_length": MAX_LENGTH, "hide_seen": False}
    return list(RankingBatches(split.store, split.valid, **settings))
