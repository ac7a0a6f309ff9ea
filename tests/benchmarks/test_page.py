"""The page of the quality table: intervals, targets in words, and text that stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import quality
from quality import Session, measure_all, plan
from quality_table.cells import CellError, Results
from quality_table.comparison import compare, not_beaten, read_comparison
from quality_table.page import MARKERS, ablation, interval, render, section
from quality_table.questions import Data

EMPTY = "\n".join(["before", *MARKERS["quality"], "between", *MARKERS["ablation"], "after", ""])


def cell(model: str, seed: int, ndcg: float, configuration: str = "c1", finished: str = "1") -> dict[str, Any]:
    return {
        "data": "beauty",
        "model": model,
        "seed": seed,
        "configuration": configuration,
        "finished": finished,
        "metrics": {"test": {"hr@10": 2 * ndcg, "ndcg@10": ndcg}},
        "n_targets": {"test": 22363},
        "train_seconds": 90.0,
        "seconds": 100.0,
        "n_parameters": 1_234_567,
        "cpu_count": 2,
        "order_warning": None,
    }


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


def keep(results: Results, *cells: dict[str, Any], folder: str = "beauty", name: str | None = None) -> None:
    for facts in cells:
        results.write(Path(f"{folder}/{name or facts['model']}-{facts['seed']}"), facts)


def test_the_interval_is_students() -> None:
    # Deviation 0.1, t of two degrees of freedom 4.302653: 4.302653 * 0.1 / sqrt(3).
    mean, half = interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2)
    assert half == pytest.approx(0.2484138, abs=1e-6)
    assert interval([0.7]) == (0.7, None)


def test_a_row_has_means_over_seeds_minutes_and_parameters(log: Data, results: Results) -> None:
    keep(results, *(cell("lstm", seed, ndcg) for seed, ndcg in ((1, 0.05), (2, 0.06), (3, 0.07))))
    # 4.302653 * 0.01 / sqrt(3) = 0.0248.
    assert "| `lstm` | 3 | 0.1200 ± 0.0497 | 0.0600 ± 0.0248 | 1.5 | 1,234,567 |" in section(log, results)


def test_minutes_are_of_the_seeds_that_had_most_cores(log: Data, results: Results) -> None:
    alone = {**cell("lstm", 2, 0.06), "cpu_count": 1, "train_seconds": 300.0}
    keep(results, alone)
    assert "| 5.0, one core | 1,234,567 |" in section(log, results)
    keep(results, cell("lstm", 1, 0.06))
    assert "| 1.5 | 1,234,567 |" in section(log, results)


def test_reference_rows_and_commands_stand_in_a_section(log: Data, results: Results) -> None:
    text = section(log, results)
    assert "| *floor: counted transitions* |  |  | 0.0476 |  |  |" in text
    assert "| *best published: BSARec* |  | 0.1008 | 0.0611 |  |  |" in text
    assert "Published: a log file." in text
    assert (
        "ltsi train data=beauty split=leave_one_out model=MODEL seed=SEED hydra.run.dir=runs/beauty/MODEL-SEED" in text
    )


@pytest.mark.parametrize(
    ("ndcg", "told"),
    [
        ([0.25], "**reached**, 0.2500 (one seed)"),
        ([0.24, 0.27], "**reached**, 0.2550 (mean of 2 seeds)"),
        ([0.24999], "**missed** by 0.00001, 0.2500 (one seed)"),
        ([], "not measured yet"),
    ],
)
def test_targets_are_told_in_words(log: Data, results: Results, ndcg: list[float], told: str) -> None:
    keep(results, *(cell("hybrid", seed, value) for seed, value in enumerate(ndcg, start=1)))
    assert f"- Target: `hybrid` at NDCG@10 0.2500 or more: {told}." in section(log, results)


def test_seeds_of_an_older_configuration_are_left_out(log: Data, results: Results) -> None:
    keep(results, cell("lstm", 1, 0.5, "old", "1"), cell("lstm", 2, 0.5, "old", "2"), cell("lstm", 3, 0.1, "new", "3"))
    assert "| `lstm` | 1 | 0.2000 | 0.1000 |" in section(log, results)


def test_the_ablation_tells_the_change(log: Data, results: Results) -> None:
    keep(results, cell("hybrid", 1, 0.10))
    keep(results, cell("hybrid", 1, 0.08), folder="ablation/beauty", name="no_long")
    text = ablation(log, results)
    assert "| no long | 1 | 0.1600 | 0.0800 | 1.5 | 1,234,567 | -20.0 % |" in text
    assert "| no short |  | not measured yet |  |  |  |  |" in text


def test_text_around_the_tables_stays_and_rendering_twice_changes_nothing(results: Results) -> None:
    page = render(EMPTY, results)
    pieces = ["before\n", "\nbetween\n", "\nafter\n"]
    assert all(piece in page for piece in pieces)
    assert "No cell has been measured yet." in page
    assert render(page, results) == page


def test_a_page_without_markers_is_refused(results: Results) -> None:
    with pytest.raises(ValueError, match="the page needs the lines"):
        render(EMPTY.replace(MARKERS["ablation"][1], ""), results)


def test_the_page_in_docs_shows_the_kept_cells() -> None:
    page = (quality.ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert render(page, Results(quality.ROOT / "benchmarks" / "results" / "quality")) == page


@pytest.fixture
def compared(log: Data) -> Data:
    return replace(log, targets={}, compared=True, published=None, floor=None, seeds=(1,))


def test_the_hybrid_is_compared_once_and_the_outcome_told(compared: Data, session: Session, fake: Any) -> None:
    fake.ndcg = {"hybrid": 0.4, "popularity": 0.3}
    cells = plan([compared], ["popularity", "hybrid"], None)
    measure_all(cells, session)
    asked = "compare runs/beauty/popularity-1 runs/beauty/hybrid-1 --baseline hybrid -m ndcg@10 --format json"
    assert fake.commands[-1] == asked
    text = section(compared, session.results)
    assert "| `popularity` | 1 | 0.4000 | 0.3000 | 0.7 | 1,234 | -25.0 % | <0.001 |" in text
    assert "Holm-corrected p < 0.01: reached so far, without trend, transitions" in text
    fake.commands.clear()
    measure_all(cells, session)
    assert fake.commands == []


def test_a_comparison_of_other_runs_is_void(compared: Data, session: Session, fake: Any) -> None:
    measure_all(plan([compared], ["popularity", "hybrid"], None), session)
    assert read_comparison(session.results, compared) is not None
    session.results.write(Path("beauty/lstm-1"), cell("lstm", 1, 0.1))
    assert read_comparison(session.results, compared) is None
    with pytest.raises(CellError, match="beauty cannot be compared: the work folder lacks runs/beauty/lstm-1;"):
        compare(compared, session.results, fake, fake.work)


@pytest.mark.parametrize(
    ("ndcg", "p", "told"),
    [
        (0.3, 0.009, []),
        (0.3, 0.01, ["lstm (NDCG@10 0.3000, p = 0.0100)"]),
        (0.5, 0.001, ["lstm (NDCG@10 0.5000, p = 0.0010)"]),
    ],
)
def test_to_be_beaten_is_to_be_below_beyond_doubt(ndcg: float, p: float, told: list[str]) -> None:
    rows = [{"model": "hybrid", "ndcg@10": 0.4, "p": None}, {"model": "lstm", "ndcg@10": ndcg, "p": p}]
    assert not_beaten({"rows": rows}) == told
