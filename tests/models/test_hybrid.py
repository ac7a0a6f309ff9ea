"""A pool finds out whom to trust; that its parts add up is in tests/conformance."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.evaluation.ranking import target_ranks
from ltsi.histories import Histories, RankingBatch
from ltsi.losses.softmax import Softmax
from ltsi.metrics import summary
from ltsi.models.hybrid import Hybrid
from ltsi.models.interest import InterestModel
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.models.pooling import collect_evidence, standard_error
from ltsi.models.popularity import Popularity
from ltsi.models.transitions import Transitions
from ltsi.sequences.batches import RankingBatches, TrainingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

ITEMS = 60


class Follows(InterestModel):
    """Knows that the next item is the last one plus `step`, for users whose last item is in `knows`."""

    def __init__(self, step: int, knows: range = range(ITEMS), sure: float = 4.0) -> None:
        super().__init__()
        self.step, self.knows, self.sure = step, knows, sure

    def forward(self, histories: Histories) -> Tensor:
        last_B = histories.last(histories.item_BL)
        known_B = (last_B >= self.knows.start) & (last_B < self.knows.stop)
        score_BI = torch.zeros(len(histories), ITEMS)
        score_BI[torch.arange(len(histories)), (last_B + self.step) % ITEMS] = self.sure * known_B
        return score_BI


class Noise(InterestModel):
    """Is sure of something, and wrong."""

    def forward(self, histories: Histories) -> Tensor:
        generator = torch.Generator().manual_seed(int(histories.item_BL.sum()))
        return 4 * torch.randn(len(histories), ITEMS, generator=generator)


@pytest.fixture
def split(make_store: Callable[..., Store]) -> Split:
    """Write a log in which users with items of the lower half step by one, those of the upper half back by one."""
    users = []
    for user in range(300):
        down, start = user % 2, user // 2 % 30
        items = [30 + (start - i) % 30 if down else (start + i) % 30 for i in range(7)]
        users.append([(item, i * 86_400) for i, item in enumerate(items)])
    return LeaveOneOut()(make_store(*users, n_items=ITEMS))


def batches(split: Split, part: str) -> RankingBatches:
    return RankingBatches(split.store, split.part(part), 5, hide_seen=False)


def ndcg(model: InterestModel, split: Split) -> float:
    with torch.no_grad():
        ranks = [target_ranks(model(batch.histories), batch.target_B) for batch in batches(split, "test")]
    return summary(torch.cat(ranks).numpy(), ["ndcg@10"])["ndcg@10"]


def calibrated(split: Split, **components: InterestModel) -> Hybrid:
    model = Hybrid(components).eval()
    model.fit_statistics(split)
    model.calibrate(batches(split, "valid"))
    return model


def weights(model: Hybrid, split: Split) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([model.parts(batch.histories)[1] for batch in batches(split, "test")]).numpy()


def test_the_only_component_that_knows_gets_most_weight(split: Split) -> None:
    model = calibrated(split, noise=Noise(), transitions=Transitions(ITEMS), popularity=Popularity(ITEMS))
    found = weights(model, split)
    assert (found.argmax(axis=1) == 1).mean() > 0.9
    assert found[:, 1].mean() > 2 * found[:, [0, 2]].mean()


def test_a_pool_is_not_worse_than_its_best_component(split: Split) -> None:
    parts = {"noise": Noise(), "up": Follows(1, range(30)), "popularity": Popularity(ITEMS)}
    model = calibrated(split, **parts)
    assert ndcg(model, split) >= max(ndcg(part, split) for part in parts.values()) - 0.01


def test_the_gate_trusts_each_component_where_it_knows(split: Split) -> None:
    """Each knows half of the users and says so by being sure; together they know all."""
    up, down = Follows(1, range(30)), Follows(-1, range(30, ITEMS))
    model = calibrated(split, up=up, down=down)
    assert ndcg(up, split) < 0.7 > ndcg(down, split)
    assert ndcg(model, split) > 0.95


def test_what_is_the_same_for_all_held_out_events_tells_the_gate_nothing(
    split: Split, make_histories: Callable[..., Histories]
) -> None:
    """All histories of the log fill what the model is shown, so its length says nothing, there or later."""
    model = calibrated(split, up=Follows(1, range(30)), transitions=Transitions(ITEMS), popularity=Popularity(ITEMS))
    lengths = torch.cat([batch.histories.length_B for batch in batches(split, "valid")])
    assert lengths.unique().tolist() == [5], "or nothing is tested"
    usual = make_histories([0, 1, 2, 3, 4], n_items=ITEMS)
    shorter, empty = make_histories([3, 4], n_items=ITEMS), make_histories([], n_items=ITEMS)
    with torch.no_grad():
        of = [model.parts(histories)[1] for histories in (usual, shorter, empty)]
    assert (of[1] - of[0]).abs().max() < 1
    assert torch.stack(of).max() < 20


@pytest.mark.parametrize("name", ["pop", "items", "a.b"])
def test_a_name_that_torch_uses_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"A component cannot be called '{name}'"):
        Hybrid({name: Popularity(ITEMS)})


def test_each_network_learns_as_it_would_alone(split: Split) -> None:
    def network() -> Lstm:
        torch.manual_seed(0)
        # Inside a hybrid it knows the wait; alone it is told to.
        return Lstm(Items(ITEMS, 8), dim=8, hidden=8, layers=1, dropout=0.0, embedding_dropout=0.0, wait=True)

    alone, inside = network(), network()
    model = Hybrid({"network": inside, "transitions": Transitions(ITEMS)})
    model.fit_statistics(split)
    batch = next(TrainingBatches(split, 5, 64, seed=1).epoch(0))
    for one in (alone, model):
        one.training_loss(batch, Softmax()).backward()
    assert inside.wait is not None
    for a, b in zip(alone.parameters(), inside.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_the_weights_are_kept_beside_each_rank(split: Split) -> None:
    model = calibrated(split, up=Follows(1), down=Follows(-1))
    batch = next(iter(batches(split, "test")))
    with torch.no_grad():
        _, columns = model.scores_and_state(batch.histories)
        _, weight_BK = model.parts(batch.histories)
    assert list(columns) == ["weight_up", "weight_down"]
    torch.testing.assert_close(torch.stack(list(columns.values()), dim=1), weight_BK)


def test_the_named_parts_add_up_to_the_score(split: Split) -> None:
    model = calibrated(split, up=Follows(1), down=Follows(-1))
    histories = next(iter(batches(split, "test"))).histories
    with torch.no_grad():
        score_BI, parts = model.scores_and_parts(histories)
        assert torch.equal(score_BI, model(histories))
    assert list(parts) == ["up", "down"]
    torch.testing.assert_close(parts["up"] + parts["down"], score_BI)


def test_without_a_gate_the_weights_are_the_same_for_everybody(split: Split) -> None:
    model = Hybrid({"up": Follows(1, range(30)), "down": Follows(-1, range(30, ITEMS))}, gate=False).eval()
    model.calibrate(batches(split, "valid"))
    # A product with zero weights, whose rounding may differ between rows of a batch.
    assert np.ptp(weights(model, split), axis=0).max() < 1e-6


class Learnt(Follows):
    """Would learn: nothing is left to others below what it says."""

    learns = True


def test_networks_alone_are_weighed_without_floors(split: Split) -> None:
    model = calibrated(split, up=Learnt(1, range(30)), down=Learnt(-1, range(30, ITEMS)))
    assert (model.pool.floor_K == 0).all()
    assert ndcg(model, split) > 0.95


def test_how_many_targets_are_looked_at_together_changes_nothing(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = calibrated(split, up=Follows(1), down=Follows(-1), noise=Noise())
    monkeypatch.setattr("ltsi.models.pooling.BLOCK", 7)
    in_pieces = calibrated(split, up=Follows(1), down=Follows(-1), noise=Noise())
    for name, number in whole.pool.state_dict().items():
        torch.testing.assert_close(in_pieces.pool.state_dict()[name], number, rtol=1e-3, atol=1e-3)
    assert whole.pool.weight_FK.abs().max() > 0.1


class Past(InterestModel):
    """Remembers: what was taken comes back, the oldest most of all."""

    remembers = True

    def forward(self, histories: Histories) -> Tensor:
        score_BJ = torch.full((len(histories), ITEMS + 1), -4.0)
        for step in reversed(range(histories.item_BL.shape[1])):
            score_BJ.scatter_(1, histories.item_BL[:, step : step + 1], 4.0 - step)
        return score_BJ[:, :ITEMS]


def returning(make_store: Callable[..., Store], offsets: list[int]) -> Split:
    """Write a log whose users take five items and then some of these again, by their places in the last five."""
    users = []
    for user in range(300):
        items = [(7 * user + 11 * place) % ITEMS for place in range(5)]
        for offset in offsets:
            items.append(items[-5:][offset])
        users.append([(item, i * 86_400) for i, item in enumerate(items)])
    return LeaveOneOut()(make_store(*users, n_items=ITEMS))


def test_what_was_taken_is_left_to_memory_where_the_others_know_no_better(make_store: Callable[..., Store]) -> None:
    split = returning(make_store, [0, 0])
    parts = {"past": Past(), "noise": Noise(), "popularity": Popularity(ITEMS)}
    model = calibrated(split, **parts)
    assert model.pool.memory_alone
    assert ndcg(model, split) > 0.99
    histories = next(iter(batches(split, "test"))).histories
    row_N, item_N = histories.taken()
    with torch.no_grad():
        score_BI, of = model.scores_and_parts(histories)
    for name in ("noise", "popularity"):
        of_taken = of[name][row_N, item_N].view(len(histories), -1)
        assert (of_taken.amax(1) == of_taken.amin(1)).all(), "it does not tell apart what was taken"
        assert of[name].std(dim=1).min() > 0, "but what would be new"
    torch.testing.assert_close(score_BI, sum(of.values()))


class Again(Past):
    """Knows no more than the histories either, but that the item before the last one comes back."""

    remembers = False

    def forward(self, histories: Histories) -> Tensor:
        place_B1 = (histories.length_B[:, None] - 2).clamp(min=0)
        return torch.zeros(len(histories), ITEMS).scatter_(1, histories.item_BL.gather(1, place_B1), 6.0)


def test_all_are_heard_about_what_was_taken_where_that_ranks_better(make_store: Callable[..., Store]) -> None:
    split = returning(make_store, [3, 3])
    model = calibrated(split, past=Past(), again=Again())
    assert not model.pool.memory_alone
    assert ndcg(model, split) > 0.99 > ndcg(Past(), split) + 0.2


@pytest.mark.parametrize(("unlearned", "memory_alone"), [(0.0, False), (0.5, False), (0.9, True)])
def test_the_more_comes_after_training_the_less_is_what_is_known_by_heart_believed(
    make_store: Callable[..., Store], unlearned: float, memory_alone: bool
) -> None:
    """Memory alone ranks fourth what all rank first: 0.43, with all 2.3 times as much."""
    split = returning(make_store, [3, 3])
    model = calibrated(split, past=Past(), again=Again())
    model.unlearned = unlearned
    model.calibrate(batches(split, "valid"))
    assert bool(model.pool.memory_alone) == memory_alone


def test_the_hybrid_knows_how_much_comes_after_training(split: Split) -> None:
    """Of what is shown before the last event one event came after training."""
    model = Hybrid({"up": Follows(1)})
    model.fit_statistics(split)
    length = np.diff(split.store.offsets)[split.test.user] - 1
    assert model.unlearned == pytest.approx(float((1 / length).mean()))


def test_what_is_chosen_on_is_no_later_than_what_is_asked(split: Split) -> None:
    """As much comes after training in both parts, or more in the validation: nothing more is unlearned than seen."""
    for crafted in (replace(split, valid=split.test), replace(split, valid=split.test, test=split.valid)):
        model = Hybrid({"up": Follows(1)})
        model.fit_statistics(crafted)
        assert model.unlearned == 0.0


def test_what_is_new_is_not_behind_all_that_was_taken(
    make_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the users take the oldest of their items again, half go on to what `Follows` knows."""
    users = []
    for user in range(400):
        items = [(7 * user + 11 * place) % ITEMS for place in range(5)]
        for _ in range(2):
            items.append((items[-1] + 1) % ITEMS if user % 2 else items[-5])
        users.append([(item, i * 86_400) for i, item in enumerate(items)])
    split = LeaveOneOut()(make_store(*users, n_items=ITEMS))
    monkeypatch.setattr("ltsi.models.pooling.SURELY", np.inf)
    model = calibrated(split, past=Past(), follows=Follows(1, sure=6.0))
    assert model.pool.memory_alone
    assert ndcg(model, split) > 0.75, "first or second; sixth, behind all of the history, would make it 0.68"


def test_hidden_items_do_not_ask_for_memory(make_store: Callable[..., Store]) -> None:
    """Of what is hidden nobody needs to speak, whatever the components think of it."""
    users = [[(item, day * 86_400) for day, item in enumerate([u % 20, u % 7 + 20, (u + 1) % 20, (u + 2) % 20, u % 30])]
             for u in range(60)]  # fmt: skip
    split = LeaveOneOut()(make_store(*users, n_items=ITEMS))
    model = Hybrid({"past": Past(), "transitions": Transitions(ITEMS)}).eval()
    model.fit_statistics(split)
    model.calibrate(RankingBatches(split.store, split.valid, 5, hide_seen=True))
    assert model.pool.chosen
    assert not model.pool.memory_alone


def test_candidates_of_short_and_long_histories_fit_together(
    split: Split, make_histories: Callable[..., Histories]
) -> None:
    def asked(*histories: list[int]) -> RankingBatch:
        target_B = torch.tensor([3] * len(histories))
        hidden_H = torch.tensor([0]), torch.tensor([1])
        return RankingBatch(make_histories(*histories, n_items=ITEMS), target_B, target_B, *hidden_H)

    transitions = Transitions(ITEMS)
    transitions.fit_statistics(split)
    evidence = collect_evidence(
        ([model(batch.histories).log_softmax(1) for model in (Past(), transitions)], torch.zeros(2, 1), batch)
        for batch in (asked([1, 2], [4, 4, 5, 1, 2, 8]), asked([1, 3], []))
    )
    assert evidence.score_KNC.shape[1] == len(evidence.real_NC) == len(evidence.taken_NC) == 4
    taken = (evidence.taken_NC & evidence.real_NC).sum(1).tolist()
    assert taken == [1, 5, 1, 0], "item 1 of the first is hidden; 4 counts once; the target of the third was taken"


def test_the_targets_of_a_user_are_not_independent() -> None:
    value_N = torch.tensor([1.0, 2.0, 4.0, 7.0, 6.0])
    alone = standard_error(value_N, torch.arange(5))
    torch.testing.assert_close(alone, value_N.std() / 5**0.5)
    # Deviations from the mean of 4 are -3, -2, 0, 3, 2: together -5, 0 and 5.
    torch.testing.assert_close(standard_error(value_N, torch.tensor([7, 7, 9, 2, 2])), torch.tensor(75**0.5 / 5))
    assert standard_error(value_N, torch.zeros(5)) == torch.inf


def test_a_target_that_is_not_ranked_tells_nothing(make_store: Callable[..., Store]) -> None:
    split = returning(make_store, [0, 0])
    model = Hybrid({"past": Past(), "popularity": Popularity(ITEMS)}).eval()
    model.calibrate(RankingBatches(split.store, split.valid, 5, hide_seen=True))
    assert not model.pool.chosen, "every target is of the history, and hidden"


def test_a_mixture_is_no_component() -> None:
    """Nobody would choose its weights."""
    inner = Hybrid({"up": Follows(1), "down": Follows(-1)})
    with pytest.raises(ConfigError, match=r"components\.short is itself a mixture"):
        Hybrid({"short": inner, "up": Follows(1)})


def test_components_can_be_left_out() -> None:
    components = {"up": Follows(1), "down": Follows(-1)}
    assert list(Hybrid(components, without=["up"]).components) == ["down"]
    with pytest.raises(ConfigError, match="names 'left', but the components are: up, down"):
        Hybrid(components, without=["left"])
    with pytest.raises(ConfigError, match="leaves no component"):
        Hybrid(components, without=["up", "down"])


def test_a_pool_of_two_opinions_beats_both(split: Split) -> None:
    """Each knows half of what decides: only their product has its peak where the target is."""

    class Half(InterestModel):
        def __init__(self, even: bool) -> None:
            super().__init__()
            self.even = even

        def forward(self, histories: Histories) -> Tensor:
            last_B = histories.last(histories.item_BL)
            step_B = torch.where(last_B < 30, 1, -1)
            place_I = torch.arange(ITEMS)
            far_BI = (place_I - (last_B + step_B)[:, None]).abs()
            return -1.0 * (far_BI % 7 if self.even else far_BI // 7)

    one, other = Half(True), Half(False)
    assert ndcg(calibrated(split, one=one, other=other), split) > max(ndcg(one, split), ndcg(other, split)) + 0.2


def test_networks_answer_alone_until_the_weights_are_chosen(split: Split) -> None:
    torch.manual_seed(0)
    networks = {
        name: Lstm(Items(ITEMS, 8), dim=8, hidden=8, layers=1, dropout=0.0, embedding_dropout=0.0)
        for name in ("one", "other")
    }
    model = Hybrid({**networks, "transitions": Transitions(ITEMS)}).eval()
    model.fit_statistics(split)
    histories = next(iter(batches(split, "valid"))).histories
    with torch.no_grad():
        expected = sum(network(histories).log_softmax(1) for network in networks.values())
        assert isinstance(expected, Tensor)
        torch.testing.assert_close(model(histories).softmax(1), (expected / 2).softmax(1))
        model.calibrate(batches(split, "valid"))
        assert not torch.allclose(model(histories).softmax(1), (expected / 2).softmax(1))
