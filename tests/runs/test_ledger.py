"""Which runs may stand together, and which are one model under several seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltsi.errors import RunError
from ltsi.runs.folder import RunFolder
from ltsi.runs.ledger import Ledger, read_ledgers

MakeRun = Callable[..., RunFolder]


def only(directory: Path, *more: Path) -> Ledger:
    ledgers, left_out = read_ledgers([directory, *more], "test")
    assert left_out == []
    (ledger,) = ledgers
    return ledger


def labels(ledger: Ledger) -> dict[str, list[int]]:
    """Seeds by label."""
    return {entry.label: [record.seed for record in entry.records] for entry in ledger.entries}


def test_seeds_of_a_model_are_one_entry_and_its_users_keep_their_place(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("sweep/0", "lstm", seed=2, ranks=[5, 6, 7], users=["b", "c", "a"], targets=[12, 13, 11])
    make_run("sweep/1", "lstm", seed=1, ranks=[1, 2, 3], users=["a", "b", "c"], targets=[11, 12, 13])
    make_run("sweep/2", "gru", seed=1, ranks=[9, 8, 7], users=["c", "b", "a"], targets=[13, 12, 11])
    ledger = only(tmp_path / "sweep")
    assert labels(ledger) == {"lstm": [1, 2], "gru": [1]}
    assert ledger.n_users == 3
    lstm, gru = sorted(ledger.entries, key=lambda entry: entry.label, reverse=True)
    assert ledger.ranks(lstm).tolist() == [[1, 2, 3], [7, 5, 6]]
    assert ledger.ranks(gru).tolist() == [[7, 8, 9]]


def test_a_run_reached_twice_counts_once(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("sweep/0")
    assert labels(only(tmp_path, run.path, tmp_path / "sweep" / ".." / "sweep")) == {"lstm": [1]}


def test_a_repeated_run_replaces_the_earlier_one(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", ranks=[1, 1], environment={"started": "2026-01-02T00:00:00+00:00"})
    make_run("b", ranks=[2, 2], environment={"started": "2026-01-01T00:00:00+00:00"})
    ledger = only(tmp_path)
    assert (labels(ledger), ledger.n_repeated) == ({"lstm": [1]}, 1)
    assert ledger.ranks(ledger.entries[0]).tolist() == [[1, 1]]


def test_a_run_that_was_stopped_does_not_replace_a_finished_one(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", ranks=[1, 1], environment={"started": "2026-01-01T00:00:00+00:00"})
    stopped = make_run("b", ranks=[2, 2], environment={"started": "2026-01-02T00:00:00+00:00"})
    stopped.write_environment({key: value for key, value in stopped.environment.items() if key != "finished"})
    ledger = only(tmp_path)
    assert ledger.n_repeated == 1
    assert ledger.ranks(ledger.entries[0]).tolist() == [[1, 1]]


def overrides(*texts: str) -> dict[str, Any]:
    return {"overrides": list(texts)}


def test_configurations_of_a_model_are_told_apart_by_what_was_typed(make_run: MakeRun, tmp_path: Path) -> None:
    common = ("model=lstm", "trainer.max_epochs=5")
    for seed in (1, 2):
        make_run(f"a{seed}", seed=seed, environment=overrides(*common, f"seed={seed}"))
        typed = overrides(f"seed={seed}", "model.dim=32", *common, "+model.cell=gru", "hydra.run.dir=x")
        make_run(f"b{seed}", seed=seed, config={"model": {"dim": 32, "cell": "gru"}}, environment=typed)
    make_run("other", "gru", environment=overrides("model=gru", "trainer.max_epochs=5", "seed=1"))
    assert labels(only(tmp_path)) == {"lstm": [1, 2], "lstm (model.dim=32, +model.cell=gru)": [1, 2], "gru": [1]}


def test_configurations_that_differ_by_more_than_was_typed_show_their_settings(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", config={"optimizer": {"lr": 0.01}})
    make_run("b", config={"optimizer": {"lr": 0.02}})
    assert labels(only(tmp_path)) == {"lstm (optimizer.lr=0.01)": [1], "lstm (optimizer.lr=0.02)": [1]}


def test_what_is_not_of_the_model_does_not_split_it(make_run: MakeRun, tmp_path: Path) -> None:
    plain = {"trainer": {"max_epochs": 3}, "model": {"seed": 1}, "metrics": ["mrr"]}
    make_run("a", seed=1, config=plain)
    make_run("b", seed=2, config={**plain, "model": {"seed": 2}, "test": True, "resume": True, "metrics": ["hr@1"]})
    assert labels(only(tmp_path)) == {"lstm": [1, 2]}


def test_steps_of_augmentation_in_another_order_make_another_model(make_run: MakeRun, tmp_path: Path) -> None:
    crop, mask = ("crop", {"least": 0.5}), ("mask", {"share": 0.2})
    make_run("a", config={"augmentation": dict([crop, mask])})
    make_run("b", config={"augmentation": dict([mask, crop])})
    ledger = only(tmp_path)
    assert labels(ledger) == {
        "lstm (augmentation=['crop', 'mask'])": [1],
        "lstm (augmentation=['mask', 'crop'])": [1],
    }
    assert ledger.n_repeated == 0


def test_stores_are_kept_apart(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", ranks=[1, 2], environment={"store": "yelp", "fingerprint": "a"})
    make_run("b", ranks=[1, 2, 3], environment={"store": "beauty", "fingerprint": "b"}, seen="keep")
    ledgers, _ = read_ledgers([tmp_path], "test")
    assert [(ledger.store, ledger.n_users) for ledger in ledgers] == [("beauty", 3), ("yelp", 2)]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"environment": {"fingerprint": "beef"}}, "store 'shop' had other contents"),
        ({"seen": "keep"}, "seen is hide in the first and keep in the second"),
        ({"ranks": [1, 2]}, "the number of targets is 3 in the first and 2 in the second"),
        (
            {"config": {"split": {"name": "leave_one_out", "min_events": 5}}},
            r"split is leave_one_out \(min_events=3, .* and leave_one_out \(min_events=5, ",
        ),
        ({"config": {"split": {"name": "global_time"}}}, "and global_time"),
    ],
)
def test_runs_that_answer_other_questions_are_refused(
    make_run: MakeRun, tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    make_run("a")
    make_run("b", "gru", **other)
    with pytest.raises(RunError, match=rf"Runs \S+/a and \S+/b cannot be compared in one table: .*{said}"):
        only(tmp_path)


@pytest.mark.parametrize("other", [{"users": [0, 1, 7]}, {"targets": [100, 101, 999]}])
def test_runs_on_other_targets_are_refused(make_run: MakeRun, tmp_path: Path, other: dict[str, Any]) -> None:
    make_run("a")
    make_run("b", "gru", **other)
    ledger = only(tmp_path)
    assert ledger.ranks(ledger.entries[0]).tolist() == [[1, 2, 3]]
    with pytest.raises(
        RunError, match=r"Runs \S+/a and \S+/b cannot .*: they were evaluated on different users or targets in test"
    ):
        ledger.ranks(ledger.entries[1])


def test_a_users_targets_follow_each_other(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", users=[2, 1, 2], targets=[100, 101, 102], ranks=[1, 2, 3])
    ledger = only(tmp_path)
    assert (ledger.n_users, ledger.n_targets) == (2, 3)
    assert ledger.first_targets.tolist() == [0, 1]
    assert ledger.ranks(ledger.entries[0]).tolist() == [[2, 1, 3]]


def folded(fold: int) -> dict[str, Any]:
    return {"split": {"name": "rolling_origin", "fold": fold}}


def given_decay(fold: int, decay: str) -> dict[str, Any]:
    """The configuration of a fold that was given a decay, fitted on its own training part."""
    return {**folded(fold), "decay": decay, "decay_digests": {decay: f"digest of {decay}"}}


def test_each_fold_may_be_given_a_decay_of_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in (1, 2):
        for fold in (0, 1):
            make_run(f"given-{seed}-{fold}", seed=seed, config=given_decay(fold, f"fits/{fold}"))
            make_run(f"auto-{seed}-{fold}", seed=seed, config={**folded(fold), "decay": "auto", "decay_digests": {}})
    ledger = only(tmp_path)
    assert labels(ledger) == {"lstm (decay=auto)": [1, 1, 2, 2], "lstm (decay=given)": [1, 1, 2, 2]}
    assert [record.fold for record in ledger.entries[0].records] == [0, 1, 0, 1]


def test_which_of_several_decays_of_a_fold_is_meant_is_not_guessed(make_run: MakeRun, tmp_path: Path) -> None:
    for fold in (0, 1):
        for by in ("item", "category"):
            make_run(f"{by}-{fold}", config=given_decay(fold, f"fits/{by}-{fold}"))
    with pytest.raises(RunError, match="has no run on fold"):
        only(tmp_path)


def test_a_given_decay_makes_another_model_where_there_are_no_folds(make_run: MakeRun, tmp_path: Path) -> None:
    for by in ("item", "category"):
        make_run(by, config={"decay": by, "decay_digests": {by: f"digest of {by}"}})
    assert len(labels(only(tmp_path))) == 2


def test_folds_are_put_together_and_a_users_targets_follow_each_other(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in (2, 1):
        of = 10 * seed
        make_run(f"b{seed}", seed=seed, config=folded(1), users=["c", "a"], targets=[1, 2], ranks=[of + 3, of + 4])
        make_run(f"a{seed}", seed=seed, config=folded(0), users=["a", "b"], targets=[1, 9], ranks=[of + 1, of + 2])
    make_run("gru0", "gru", config=folded(0), users=["b", "a"], targets=[9, 1], ranks=[2, 1])
    make_run("gru1", "gru", config=folded(1), users=["a", "c"], targets=[2, 1], ranks=[4, 3])
    ledger = only(tmp_path)
    assert (ledger.folds, ledger.n_users, ledger.n_targets) == ((0, 1), 3, 4)
    assert ledger.first_targets.tolist() == [0, 2, 3]
    lstm, gru = sorted(ledger.entries, key=lambda entry: entry.label, reverse=True)
    assert (lstm.seeds, gru.seeds) == ((1, 2), (1,))
    assert ledger.ranks(lstm).tolist() == [[11, 14, 12, 13], [21, 24, 22, 23]]
    assert ledger.ranks(gru).tolist() == [[1, 4, 2, 3]]


def test_a_fold_that_a_model_lacks_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    for fold in (0, 1):
        make_run(f"lstm{fold}", config=folded(fold))
    make_run("gru", "gru", config=folded(0))
    with pytest.raises(RunError, match=r"gru with seed=1 has no run on fold 1, .*/gru is its first run\): train it"):
        only(tmp_path)


def test_other_targets_in_one_fold_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    for fold in (0, 1):
        make_run(f"lstm{fold}", config=folded(fold), targets=[100, 101, 102 + fold])
        make_run(f"gru{fold}", "gru", config=folded(fold), targets=[100, 101, 102])
    ledger = only(tmp_path)
    with pytest.raises(
        RunError, match=r"Runs \S+/(lstm|gru)1 and \S+/(lstm|gru)1 cannot .*: they were evaluated on different"
    ):
        [ledger.ranks(entry) for entry in ledger.entries]


def test_runs_not_evaluated_are_left_out_and_named(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", "gru", part=None)
    ledgers, left_out = read_ledgers([tmp_path], "test")
    assert [labels(ledger) for ledger in ledgers] == [{"lstm": [1]}]
    assert left_out == [tmp_path / "b"]


def test_no_run_evaluated_says_how_to(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", part="valid")
    with pytest.raises(RunError, match=r"Run \S+/a has no test.json; run `ltsi eval run=\S+/a` first"):
        read_ledgers([tmp_path], "test")
    assert len(read_ledgers([tmp_path], "valid")[0]) == 1


@pytest.mark.parametrize("key", ["store", "fingerprint", "seed"])
def test_environment_without_a_needed_fact_is_refused(make_run: MakeRun, tmp_path: Path, key: str) -> None:
    run = make_run("a")
    facts = {name: value for name, value in run.environment.items() if name != key}
    (run.path / "environment.json").unlink()
    run.write_environment(facts)
    with pytest.raises(RunError, match=f"environment.json has no '{key}'"):
        only(tmp_path)


def test_configuration_without_a_model_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a").write_config({"seed": 1})
    with pytest.raises(RunError, match=r"config\.yaml has no model\.name"):
        only(tmp_path)


def test_costs_are_means_over_seeds(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", seed=1, environment={"train_seconds": 1.0})
    make_run("b", seed=2, environment={"train_seconds": 4.0, "n_parameters": None})
    (entry,) = only(tmp_path).entries
    assert entry.mean_of("train_seconds") == np.mean([1.0, 4.0])
    assert entry.mean_of("n_parameters") is None
