"""The quality table: every model on every real log, cell by cell, and the page that shows it, `docs/results.md`.

    LTSI_REALDATA=DIR python benchmarks/quality.py --work DIR [--only uci,lastfm] [--models ease,hybrid] [--seeds 1]
                                                   [--budget MINUTES] [--ablation DATA]
    python benchmarks/quality.py --table

LTSI_REALDATA is the folder of the real logs; those that are not there are skipped. The work folder keeps stores and
runs. A cell is `ltsi prepare`, `ltsi train` and `ltsi eval`, as a user would type them: the choice of the epoch reads
the validation part, then the test part is read once. A finished cell is one JSON in `benchmarks/results/quality/`, and
is not measured again while its configuration stays the same; a killed one goes on where it was. To measure a cell
again, delete its JSON and its run. Without `--work` nothing is measured and the page is written from what is there.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quality_table.cells import Cell, CellError, Results, compose_digests
from quality_table.comparison import compare
from quality_table.measuring import Installed, Ltsi, Stores, measure
from quality_table.page import write_page
from quality_table.questions import DATA, HYBRID, MODELS, VARIANTS, Data

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Session:
    """What one start of this program has at hand.

    Attributes:
        results: the finished cells.
        ltsi: runs commands.
        work: the work folder.
        budget: seconds that all cells together may take; infinite without a budget.
    """

    results: Results
    ltsi: Ltsi
    work: Path
    budget: float = float("inf")


def plan(data: Sequence[Data], models: Sequence[str], seeds: Sequence[int] | None) -> list[Cell]:
    """Lists the cells, the first seed of everything first, so that the table fills before it sharpens."""
    cells = [
        Cell(each, model, seed)
        for each in data
        for model in models
        if model in each.models
        for seed in each.seeds_of(model)
        if seeds is None or seed in seeds
    ]
    return sorted(cells, key=lambda cell: cell.seed)


def plan_ablation(data: Data, variants: Sequence[str], seeds: Sequence[int] | None) -> list[Cell]:
    """Lists the hybrid and its variants on one log."""
    whole = plan([data], [HYBRID], seeds)
    parts = [Cell(data, HYBRID, cell.seed, name, VARIANTS[name]) for cell in whole for name in variants]
    return sorted([*whole, *parts], key=lambda cell: cell.seed)


def measure_all(cells: Sequence[Cell], session: Session) -> list[str]:
    """Measures the cells that are not finished.

    Returns:
        What failed, a sentence each.
    """
    digests = compose_digests(cells)
    failures = [f"{cell.title}: {found}" for cell, found in digests.items() if isinstance(found, CellError)]
    todo = {
        cell: found
        for cell, found in digests.items()
        if isinstance(found, str) and (session.results.read(cell.place) or {}).get("configuration") != found
    }
    print(f"{len(cells)} cells: {len(cells) - len(todo) - len(failures)} finished before, {len(todo)} to measure")
    for failure in failures:
        print(f"FAILED {failure}", flush=True)
    failures += _measure(todo, session)
    for data in {cell.data.name: cell.data for cell in cells if cell.data.compared}.values():
        try:
            compare(data, session.results, session.ltsi, session.work)
        except CellError as error:
            failures.append(str(error))
            print(f"FAILED {error}", flush=True)
    return failures


def _measure(todo: dict[Cell, str], session: Session) -> list[str]:
    stores, start, failures, passed = Stores(session.ltsi), time.perf_counter(), [], 0
    for number, (cell, configuration) in enumerate(todo.items(), start=1):
        elapsed, expected = time.perf_counter() - start, expected_seconds(cell, session.results)
        if elapsed + (expected or 0) > session.budget:
            passed += 1
            continue
        length = "of unknown length" if expected is None else f"about {_clock(expected)}"
        print(f"[{number}/{len(todo)}] {cell.title}: {length}", flush=True)
        try:
            stores.require(cell.data)
            facts = measure(cell, configuration, session.ltsi, session.work)
        except CellError as error:
            failures.append(f"{cell.title}: {error}")
            outcome = f"FAILED {error}"
        else:
            session.results.write(cell.place, facts)
            outcome = f"test ndcg@10 {facts['metrics']['test']['ndcg@10']:.4f}, {_clock(facts['seconds'])}"
        elapsed = time.perf_counter() - start
        left = _left(list(todo)[number:], session.results)
        print(f"  {outcome}; elapsed {_clock(elapsed)}, {left}", flush=True)
    if passed:
        print(f"{passed} cells were not started: they would have passed the budget", flush=True)
    return failures


def expected_seconds(cell: Cell, results: Results) -> float | None:
    """Returns what the cell's other seeds, or its earlier configurations, took on average; None if there are none."""
    known = [float(facts["seconds"]) for facts in results.every(cell.data.name, cell.model, cell.variant)]
    return sum(known) / len(known) if known else None


def _left(cells: Sequence[Cell], results: Results) -> str:
    expected = [expected_seconds(cell, results) for cell in cells]
    known = [seconds for seconds in expected if seconds is not None]
    unknown = len(expected) - len(known)
    said = f"about {_clock(sum(known))} left"
    return f"{said} and {unknown} cells of unknown length" if unknown else said


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _there(data: Sequence[Data], logs: Path) -> list[Data]:
    """Leaves out the logs that are not there, and says so."""
    for each in data:
        if not (logs / each.path).exists():
            print(f"skipped {each.name}: $LTSI_REALDATA/{each.path} is not there")
    return [each for each in data if (logs / each.path).exists()]


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of: {', '.join(known)}")
        return names

    return split


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    logs = [data.name for data in DATA]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder of stores and runs; without it nothing is measured")
    parser.add_argument("--table", action="store_true", help="only write the page from the finished cells")
    parser.add_argument("--only", type=_names(logs), default=logs, metavar="DATA,DATA", help=", ".join(logs))
    parser.add_argument("--models", type=_names([*MODELS, *VARIANTS]), metavar="MODEL,MODEL",
                        help="models, or with --ablation variants")  # fmt: skip
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], metavar="SEED,SEED")
    parser.add_argument("--budget", type=float, default=float("inf"), metavar="MINUTES",
                        help="start no cell that would end later, as far as its length is known")  # fmt: skip
    parser.add_argument("--ablation", choices=logs, metavar="DATA", help="the hybrid without each of its parts")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "quality")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "results.md")
    given = parser.parse_args(words)
    known = VARIANTS if given.ablation else MODELS
    given.models = given.models or list(known)
    if wrong := [name for name in given.models if name not in known]:
        parser.error(f"--models: {wrong[0]} is none of: {', '.join(known)}")
    if not given.page.is_file():
        parser.error(f"--page: {given.page} is not there; give a page with the markers of docs/results.md")
    return given


def main(words: Sequence[str] | None = None) -> int:
    """Measures, writes the page and returns the exit code."""
    given = _arguments(words)
    results, failures = Results(given.results), []
    only_page = given.table or not given.work
    try:
        if not only_page:
            failures = _start(given, results)
    finally:
        # Also of what was finished before somebody stopped it.
        page = write_page(given.page, results)
    if only_page:
        print(page)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _start(given: argparse.Namespace, results: Results) -> list[str]:
    logs = os.environ.get("LTSI_REALDATA")
    if not logs:
        print("skipped everything: LTSI_REALDATA does not say where the real logs are")
        return []
    # Ends as by Ctrl-C: the command that runs is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given.work.mkdir(parents=True, exist_ok=True)
    work, folder = given.work.resolve(), Path(logs).resolve()
    names = [given.ablation] if given.ablation else given.only
    data = _there([each for each in DATA if each.name in names], folder)
    if given.ablation:
        cells = [cell for each in data for cell in plan_ablation(each, given.models, given.seeds)]
    else:
        cells = plan(data, given.models, given.seeds)
    return measure_all(cells, Session(results, Installed(work, folder), work, given.budget * 60))


if __name__ == "__main__":
    sys.exit(main())
