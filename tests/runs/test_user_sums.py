"""What users add to metrics, by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltsi.errors import RunError
from ltsi.evaluation.significance import bootstrap_means
from ltsi.metrics import auc, gauc
from ltsi.runs.folder import Evaluation, RunFolder
from ltsi.runs.ledger import Ledger, read_ledgers
from ltsi.runs.user_sums import user_sums

MakeRun = Callable[..., RunFolder]

USER = ["a", "a", "a", "b", "b"]
LABEL = [1, 0, 0, 1, 0]


@pytest.fixture
def make_clicks(make_run: MakeRun) -> MakeRun:
    """Return a function that writes a run of clicks by hand."""

    def make(
        name: str, probability: Sequence[float], model: str = "lstm", item: str = "vwxyz", **settings: int
    ) -> RunFolder:
        objective = {"name": "click", "labels": {"name": "sampled", "negatives": 2, **settings}}
        run = make_run(name, model, config={"objective": objective}, part=None, seed=len(name))
        order = np.argsort(USER, kind="stable") if name != "z" else np.array([3, 4, 0, 1, 2])
        columns = {
            "user": USER, "item": list(item), "label": LABEL, "probability": list(probability),
            "history_length": [4] * 5, "gap_seconds": [9] * 5,
        }  # fmt: skip
        run.write_per_user("test", pl.DataFrame(columns)[order])
        run.write_evaluation("test", Evaluation(5, "leave_one_out", "keep", 0.1, {"auc": 0.5}, "click"))
        return run

    return make


def only(directory: Path) -> Ledger:
    (ledger,) = read_ledgers([directory], "test")[0]
    return ledger


def test_sums_are_over_each_users_examples(make_clicks: MakeRun, tmp_path: Path) -> None:
    probability = np.array([0.7, 0.8, 0.6, 0.4, 0.3])
    make_clicks("a", probability.tolist())
    ledger = only(tmp_path)
    names = ["accuracy", "precision", "auc", "gauc"]
    sums = user_sums(ledger, names)
    assert (ledger.objective, ledger.n_users, ledger.n_targets) == ("click", 2, 5)
    numerator_MU, denominator_MU = sums.numerator_EMU[0], sums.denominator_EMU[0]
    np.testing.assert_allclose(numerator_MU, np.array([[1, 1], [1, 0], [np.nan, np.nan], [3 * 0.5, 2 * 1.0]]))
    np.testing.assert_allclose(denominator_MU, [[3, 2], [3, 0], [0, 0], [3, 2]])
    user = np.array([0, 0, 0, 1, 1])
    label = np.array(LABEL) > 0
    expected = [2 / 5, 1 / 3, auc(label, probability), gauc(label, probability, user).value()]
    assert sums.value_EM.tolist() == [pytest.approx(expected)]
    assert [sums.paired(m) for m in range(4)] == [True, True, False, True]


def test_seeds_are_averaged_and_other_models_may_divide_by_else(make_clicks: MakeRun, tmp_path: Path) -> None:
    make_clicks("a", [0.9, 0.1, 0.1, 0.9, 0.1])
    make_clicks("bb", [0.1, 0.9, 0.1, 0.9, 0.1])
    make_clicks("z", [0.9, 0.9, 0.9, 0.9, 0.9], "gru")
    ledger = only(tmp_path)
    sums = user_sums(ledger, ["accuracy", "precision"])
    assert sorted(entry.label for entry in ledger.entries) == ["gru", "lstm"]
    lstm = next(e for e, entry in enumerate(ledger.entries) if entry.model == "lstm")
    np.testing.assert_allclose(sums.value_EM[lstm], [(1 + 3 / 5) / 2, (2 + 1) / (2 + 2)])
    np.testing.assert_allclose(sums.value_EM[1 - lstm], [2 / 5, 2 / 5])
    assert [sums.paired(m) for m in range(2)] == [True, False]
    replicates = sums.replicates(50)
    assert replicates.shape == (50, 2, 2)
    drawn = bootstrap_means(np.array([[3.0, 1.0], [2.0, 1.0]]), 50)  # right answers of gru: one of each user's
    np.testing.assert_allclose(replicates[:, 1 - lstm, 0], drawn[:, 1] / drawn[:, 0])


def test_a_metric_of_several_seeds_is_the_mean_of_theirs(make_clicks: MakeRun, tmp_path: Path) -> None:
    """Also where each divides by something else: a seed that calls nearly everything positive does not drown others."""
    probability_SN = [[0.9, 0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.9, 0.9, 0.9]]
    for name, probability in zip(("a", "bb"), probability_SN):
        make_clicks(name, probability)
    sums = user_sums(only(tmp_path), ["precision"])
    assert sums.value_EM[0, 0] == pytest.approx((1 / 1 + 2 / 5) / 2)
    # User b counts twice: two more examples called positive by the second seed alone, one of them rightly.
    weight_U = np.array([1.0, 2.0])
    moved = (sums.numerator_EMU[0, 0] @ weight_U) / (sums.denominator_EMU[0, 0] @ weight_U)
    assert moved == pytest.approx((1 / 1 + 3 / 7) / 2, abs=0.02)


def test_users_keep_their_place_and_other_examples_are_refused(make_clicks: MakeRun, tmp_path: Path) -> None:
    make_clicks("a", [0.9, 0.1, 0.2, 0.3, 0.4])
    make_clicks("z", [0.9, 0.1, 0.2, 0.3, 0.4], "gru")
    ledger = only(tmp_path)
    for entry in ledger.entries:
        assert ledger.probabilities(entry).tolist() == [[0.9, 0.1, 0.2, 0.3, 0.4]]
    assert ledger.labels.tolist() == [bool(label) for label in LABEL]
    make_clicks("b", [0.9, 0.1, 0.2, 0.3, 0.4], "rnn", item="vwxyy")
    other = only(tmp_path)
    with pytest.raises(RunError, match="they were evaluated on different users or targets"):
        user_sums(other, ["auc"])


def test_objectives_and_labels_are_kept_apart(make_clicks: MakeRun, make_run: MakeRun, tmp_path: Path) -> None:
    make_clicks("click/a", [0.5] * 5)
    make_run("next/a")
    with pytest.raises(
        RunError, match=r"objective is click \(name=sampled, .*\) in the first and next_item in the second"
    ):
        only(tmp_path)
    make_clicks("click/b", [0.5] * 5, negatives=9)
    with pytest.raises(RunError, match=r"negatives=2\) in the first and click \(name=sampled, negatives=9\)"):
        only(tmp_path / "click")
