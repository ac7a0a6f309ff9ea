"""Runs into a table: what is shown, in which order, against what, and what is refused."""

import json
from collections.abc import Callable, Sequence
from math import log2
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ltsi.cli.main import app
from ltsi.errors import ConfigError, RunError
from ltsi.evaluation.significance import bootstrap_means, holm, paired_p_values, percentile_interval
from ltsi.metrics import per_user
from ltsi.runs.folder import RunFolder
from ltsi.tables import Cell, Table
from ltsi.workflows.compare import run

MakeRun = Callable[..., RunFolder]
METRICS = ["hr@10", "ndcg@10", "mrr"]


def records(table: Table) -> dict[str, dict[str, object]]:
    """Raw values by model and column."""
    rows = [[entry.value if isinstance(entry, Cell) else entry for entry in row] for row in table.rows]
    return {str(row[0]): dict(zip(table.columns, row, strict=True)) for row in rows}


def texts(table: Table, column: str) -> dict[str, str | None]:
    """What a person reads in a column, by model."""
    at = list(table.columns).index(column)
    cells = [(row[0], row[at]) for row in table.rows]
    return {str(name.value): cell.text for name, cell in cells if isinstance(name, Cell) and isinstance(cell, Cell)}


def bold(table: Table) -> set[tuple[str, str]]:
    found = set()
    for row in table.rows:
        assert isinstance(row[0], Cell)
        found |= {(str(row[0].value), c) for c, e in zip(table.columns, row) if isinstance(e, Cell) and e.bold}
    return found


def one_table(directory: Path, **options: object) -> Table:
    (table,) = run([directory], **{"metrics": METRICS, **options}).tables  # type: ignore[arg-type]
    return table


def noisy(better_by: int, seed: int, n_users: int = 400) -> Sequence[int]:
    ranks: list[int] = np.maximum(1, np.random.default_rng(seed).integers(1, 40, n_users) - better_by).tolist()
    return ranks


def test_numbers_by_hand(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("s/0", "exp_decay", seed=1, ranks=[2, 20], environment={"train_seconds": 1.0, "n_parameters": 0})
    make_run("s/1", "lstm", seed=1, ranks=[1, 20], environment={"train_seconds": 10.0})
    make_run("s/2", "lstm", seed=2, ranks=[1, 3], environment={"train_seconds": 20.0})
    table = one_table(tmp_path / "s")
    assert table.title == "shop: test of leave_one_out, 2 users"
    lstm, exp_decay = records(table).values()
    assert list(records(table)) == ["lstm", "exp_decay"]
    assert (lstm["seeds"], exp_decay["seeds"]) == (2, 1)
    # Mean over seeds of each user, then over users.
    assert lstm["hr@10"] == pytest.approx((1 + 1 / 2) / 2)
    assert lstm["ndcg@10"] == pytest.approx((1 + (0 + 1 / 2) / 2) / 2)
    assert lstm["mrr"] == pytest.approx((1 + (1 / 20 + 1 / 3) / 2) / 2)
    assert exp_decay["ndcg@10"] == pytest.approx((1 / log2(3) + 0) / 2)
    assert (lstm["parameters"], lstm["train s"], exp_decay["parameters"]) == (1000, 15.0, 0)
    assert (exp_decay["gain %"], exp_decay["p"]) == (None, None)
    # Two users have four sign assignments, of which the observed one and its opposite are as far from zero.
    assert lstm["p"] == pytest.approx(1 / 2, abs=0.03)


def test_users_with_several_targets_are_one_draw_each(make_run: MakeRun, tmp_path: Path) -> None:
    """The mean is over targets, the sample is of users: a user's targets come and go together."""
    users, ours, base = [1, 1, 1, 2, 3], [1, 1, 20, 20, 1], [20, 20, 20, 20, 1]
    make_run("s/0", "lstm", users=users, ranks=ours)
    make_run("s/1", "exp_decay", users=users, ranks=base)
    table = one_table(tmp_path / "s", metrics=["hr@10"])
    assert table.title == "shop: test of leave_one_out, 5 targets of 3 users"
    lstm = records(table)["lstm"]
    assert lstm["hr@10"] == pytest.approx(3 / 5)
    drawn = bootstrap_means(np.array([[2.0, 3.0], [0.0, 1.0], [1.0, 1.0]]), 10_000)  # hits and targets of each user
    low, high = percentile_interval(drawn[:, :1] / drawn[:, 1:])
    assert (lstm["hr@10 low"], lstm["hr@10 high"]) == pytest.approx((low[0], high[0]), abs=0.05)
    assert lstm["p"] == 1.0  # one user alone differs, so both signs are as far from zero


def test_interval_is_the_bootstrap_over_users_of_seed_means(make_run: MakeRun, tmp_path: Path) -> None:
    first, second, base = noisy(8, 1), noisy(8, 2), noisy(4, 3)
    make_run("s/0", "lstm", seed=1, ranks=first)
    make_run("s/1", "lstm", seed=2, ranks=second)
    make_run("s/2", "exp_decay", ranks=base)
    table = one_table(tmp_path, metrics=["hr@10"])
    per_user = np.array([(np.array(first) <= 10) / 2 + (np.array(second) <= 10) / 2, np.array(base) <= 10]).T
    means = bootstrap_means(per_user.astype(float), 1000)
    low, high = percentile_interval(means)
    row = records(table)["lstm"]
    assert (row["hr@10 low"], row["hr@10 high"]) == pytest.approx((low[0], high[0]))
    half = (high[0] - low[0]) / 2
    assert texts(table, "hr@10")["lstm"] == f"{per_user[:, 0].mean():.4f} ±{half:.4f}"
    ratio_low, ratio_high = np.quantile(100 * (means[:, 0] / means[:, 1] - 1), [0.025, 0.975])
    assert row["gain %"] == pytest.approx(100 * (per_user[:, 0].mean() / per_user[:, 1].mean() - 1))
    assert (row["gain % low"], row["gain % high"]) == pytest.approx((ratio_low, ratio_high))
    assert table.data_columns == ["hr@10 low", "hr@10 high", "gain % low", "gain % high"]


def test_best_is_bold_and_the_order_is_that_of_ndcg(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay", ranks=[1, 11, 11])
    make_run("b", "lstm", ranks=[9, 9, 11])
    make_run("c", "gru", ranks=[9, 9, 11])
    table = one_table(tmp_path)
    assert list(records(table)) == ["exp_decay", "lstm", "gru"]
    # Equal bests are both bold.
    assert bold(table) == {("exp_decay", "ndcg@10"), ("exp_decay", "mrr"), ("lstm", "hr@10"), ("gru", "hr@10")}
    by_hits = one_table(tmp_path, metrics=["hr@10", "mrr"])
    assert list(records(by_hits)) == ["lstm", "gru", "exp_decay"]
    assert "Gain: hr@10 over exp_decay" in by_hits.notes[1]


def test_a_stopped_training_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", ranks=[1, 2, 3])
    stopped = make_run("b", ranks=[1, 2, 3], seed=2)
    facts = {key: value for key, value in stopped.environment.items() if key != "finished"}
    stopped.write_environment(facts)
    notes = " ".join(one_table(tmp_path).notes)
    assert f"Stopped before the end of the training, shown as of their best epoch: {stopped.path}." in notes


def test_p_values_are_corrected_for_the_number_of_models(make_run: MakeRun, tmp_path: Path) -> None:
    ranks = {"exp_decay": noisy(4, 0), "gru": noisy(4, 2), "lstm": noisy(6, 1), "mf": noisy(5, 3)}
    for name, found in ranks.items():
        make_run(name, name, ranks=found)
    table = one_table(tmp_path)
    gains = {name: per_user("ndcg@10", found) for name, found in ranks.items()}
    base = gains.pop("exp_decay")
    p_values = paired_p_values(np.stack([gain - base for gain in gains.values()], axis=1))
    assert p_values.min() < 0.2  # else there is nothing to correct
    assert [records(table)[name]["p"] for name in gains] == pytest.approx(holm(p_values).tolist())
    assert "Holm-corrected for 3 comparisons" in table.notes[1]


def test_clear_gain_has_a_small_p_value(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay", ranks=noisy(0, 0))
    make_run("b", "hybrid", ranks=noisy(15, 1))
    table = one_table(tmp_path)
    row = records(table)["hybrid"]
    assert isinstance(row["gain % low"], float)
    assert row["gain % low"] > 0
    assert texts(table, "p")["hybrid"] == "<0.001"
    assert str(texts(table, "gain %")["hybrid"]).startswith("+")


def test_protocol_is_told(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay", seen="keep", environment={"order_warning": "4 of 9 steps of a user stay in one day."})
    make_run("b", "lstm", seen="keep")
    make_run("c", "lstm", seen="keep")
    notes = " ".join(one_table(tmp_path).notes)
    for said in ("ties in score count half", "ranked like all others (seen=keep)", "4 of 9 steps", "1 earlier run(s)"):
        assert said in notes


def test_absent_baseline_is_told_and_no_gain_is_shown(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "lstm")
    make_run("b", "gru")
    table = one_table(tmp_path)
    assert not {"gain %", "p"} & set(table.columns)
    assert "the baseline 'exp_decay' is not among these runs (gru, lstm)" in table.notes[1]
    assert "gain %" in one_table(tmp_path, baseline="gru").columns


def test_a_baseline_that_is_none_of_the_runs_is_refused_with_the_near_match(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay")
    make_run("b", "lstm")
    with pytest.raises(
        ConfigError, match=r"exp_dcay is not among these runs\. Did you mean 'exp_decay'\? They are: exp_decay"
    ):
        one_table(tmp_path, baseline="exp_dcay")


def test_lone_baseline_has_nothing_to_beat(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay")
    table = one_table(tmp_path)
    assert records(table)["exp_decay"]["gain %"] is None
    assert "only the baseline exp_decay was found" in table.notes[1]
    assert bold(table) == set()


def test_gain_over_nothing_is_not_a_percentage(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay", ranks=[50] * 30)
    make_run("b", "lstm", ranks=[1] * 30)
    table = one_table(tmp_path)
    assert (records(table)["lstm"]["gain %"], records(table)["lstm"]["p"]) == (None, pytest.approx(1e-4, abs=1e-6))
    assert "ndcg@10 of exp_decay is zero" in table.notes[1]


def test_baseline_in_several_configurations_must_be_named(make_run: MakeRun, tmp_path: Path) -> None:
    for dim in (8, 16):
        overrides = {"overrides": ["model=exp_decay", f"model.dim={dim}"]}
        make_run(f"{dim}", "exp_decay", config={"model": {"dim": dim}}, environment=overrides)
    said = r"several configurations: 'exp_decay \(model.dim=8\)'; 'exp_decay \(model.dim=16\)'"
    with pytest.raises(ConfigError, match=said):
        one_table(tmp_path)
    table = one_table(tmp_path, baseline="exp_decay (model.dim=8)")
    assert records(table)["exp_decay (model.dim=8)"]["gain %"] is None
    assert records(table)["exp_decay (model.dim=16)"]["gain %"] == 0


def test_one_table_a_store(make_run: MakeRun, tmp_path: Path) -> None:
    for store in ("yelp", "beauty"):
        for model in ("exp_decay", "lstm"):
            make_run(f"{store}/{model}", model, environment={"store": store, "fingerprint": store})
    tables = run([tmp_path], metrics=METRICS).tables
    assert [table.title.split(":")[0] for table in tables] == ["beauty", "yelp"]
    assert all(len(table.rows) == 2 for table in tables)


def test_runs_without_the_part_are_named(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    unfinished = make_run("b", "gru", part="valid")
    (message,) = run([tmp_path], metrics=METRICS).messages
    assert message == f"Left out, not evaluated on test: {unfinished.path} (`ltsi eval run={unfinished.path}`)."
    (table,) = run([tmp_path], metrics=METRICS, split="valid").tables
    assert list(records(table)) == ["gru"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": ["ndgc@10"]}, "did you mean 'ndcg@10'"),
        ({"metrics": []}, "no metric to show"),
        ({"split": "train"}, "split=train is not a part that can be compared"),
    ],
)
def test_wrong_options_are_refused(make_run: MakeRun, tmp_path: Path, options: dict[str, object], said: str) -> None:
    make_run("a")
    with pytest.raises(ConfigError, match=said):
        one_table(tmp_path, **options)


def test_metric_named_twice_is_shown_once(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    assert list(one_table(tmp_path, metrics=["mrr", "mrr"]).columns).count("mrr") == 1


def test_lost_per_user_results_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    (make_run("a").path / "per_user" / "test.parquet").unlink()
    with pytest.raises(RunError, match=r"has no per_user/test.parquet; run `ltsi eval"):
        one_table(tmp_path)


def test_same_runs_give_the_same_table(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay", ranks=noisy(2, 0))
    make_run("b", "lstm", ranks=noisy(4, 1))
    assert one_table(tmp_path) == one_table(tmp_path)


def test_command_prints_half_widths_for_people_and_bounds_for_programs(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay", ranks=noisy(2, 0))
    make_run("b", "lstm", ranks=noisy(4, 1))
    shown = CliRunner().invoke(app, ["compare", str(tmp_path)])
    assert shown.exit_code == 0
    assert "±" in shown.stdout
    assert "ndcg@10 low" not in shown.stdout
    printed = CliRunner().invoke(app, ["compare", str(tmp_path), "--format", "json"])
    row = json.loads(printed.stdout)["tables"][0]["rows"][0]
    assert row["ndcg@10 low"] < row["ndcg@10"] < row["ndcg@10 high"]


def test_command_refuses_a_folder_that_is_no_run(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["compare", str(tmp_path)])
    assert refused.exit_code == 1
    assert "There is no run in" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_users_with_text_ids_are_matched(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "exp_decay", users=["x", "y", "z"], targets=["p", "q", "r"], ranks=[1, 2, 30])
    make_run("b", "lstm", users=["z", "y", "x"], targets=["r", "q", "p"], ranks=[30, 2, 1])
    table = one_table(tmp_path)
    row = records(table)["lstm"]
    assert (row["gain %"], row["p"]) == (0, 1)
    # Three users: in some resamples the baseline hits nothing, and a gain over nothing has no bounds.
    assert texts(table, "gain %")["lstm"] == "+0.0"
    assert str(row["gain % low"]) == str(row["gain % high"]) == "nan"
