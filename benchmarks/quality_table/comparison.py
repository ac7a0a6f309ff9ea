"""The hybrid against every other model, paired over users: what `ltsi compare` says, kept beside the cells."""

from __future__ import annotations

import json
from pathlib import Path

from ltsi.errors import UserError
from ltsi.runs.folder import RunFolder
from quality_table.cells import Cell, CellError, Facts, Results, written
from quality_table.measuring import SELECTED_BY, Ltsi
from quality_table.questions import HYBRID, Data

LEVEL = 0.01
KEPT = ("model", "seeds", SELECTED_BY, "gain %", "gain % low", "gain % high", "p")


def members(results: Results, data: Data) -> dict[str, str]:
    """Returns the finished cells of a log that stand in its table, and when each run ended."""
    cells = [facts for model in data.models for facts in results.of(data.name, model)]
    return {f"{facts['model']}-{facts['seed']}": str(facts["finished"]) for facts in cells}


def read_comparison(results: Results, data: Data) -> Facts | None:
    """Returns what is kept of a log's comparison; None if it is missing, or was made of other runs."""
    kept = results.read(_place(data))
    return kept if kept is not None and kept["finished"] == members(results, data) else None


def compare(data: Data, results: Results, ltsi: Ltsi, work: Path) -> None:
    """Compares the finished cells of a log and keeps the outcome, unless that is done or there is nothing to compare.

    Args:
        data: the log.
        results: the finished cells.
        ltsi: runs commands.
        work: the work folder, which holds the runs.

    Raises:
        CellError: the runs are not all in the work folder, or the command failed.
    """
    finished = members(results, data)
    every = [facts for model in data.models for facts in results.of(data.name, model)]
    cells = [Cell(data, str(facts["model"]), int(facts["seed"])) for facts in every]
    models = {cell.model for cell in cells}
    if HYBRID not in models or len(models) == 1 or read_comparison(results, data) is not None:
        return
    lost = [cell.run for cell in cells if _ended(work / cell.run) != finished[cell.place.name]]
    if lost:
        raise CellError(
            f"{data.name} cannot be compared: the work folder lacks {', '.join(lost)}; delete the JSON of these cells "
            "to measure them here"
        )
    words = ["compare", *(cell.run for cell in cells), "--baseline", HYBRID, "-m", SELECTED_BY, "--format", "json"]
    table = json.loads(ltsi(words))["tables"][0]
    facts = {
        "baseline": HYBRID,
        "metric": SELECTED_BY,
        "finished": finished,
        "rows": [{key: row[key] for key in KEPT} for row in table["rows"]],
        "notes": table["notes"],
        "command": written(words),
    }
    results.write(_place(data), facts)


def not_beaten(comparison: Facts) -> list[str]:
    """Returns the models that the hybrid is not above with p < 0.01, each with its p-value."""
    others = [row for row in comparison["rows"] if row["model"] != HYBRID]
    means = {row["model"]: row[SELECTED_BY] for row in comparison["rows"]}
    return [
        f"{row['model']} (NDCG@10 {row[SELECTED_BY]:.4f}, p = {row['p']:.4f})"
        for row in others
        if not (means[HYBRID] > row[SELECTED_BY] and row["p"] < LEVEL)
    ]


def _place(data: Data) -> Path:
    return Path(data.name) / "comparison"


def _ended(run: Path) -> str | None:
    try:
        return str(RunFolder(run).environment.get("finished"))
    except UserError:
        return None
