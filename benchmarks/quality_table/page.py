"""The tables of `docs/results.md`: written between markers, so that the text around them stays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from scipy import stats

from quality_table.cells import Cell, Facts, Results, prepare, written
from quality_table.comparison import LEVEL, not_beaten, read_comparison
from quality_table.questions import DATA, HYBRID, VARIANTS, Data

MARKERS = {"quality": ("<!-- quality: begin -->", "<!-- quality: end -->"),
           "ablation": ("<!-- ablation: begin -->", "<!-- ablation: end -->")}  # fmt: skip
CONFIDENCE = 0.95
NDCG, HR = "ndcg@10", "hr@10"


def render(page: str, results: Results) -> str:
    """Puts the tables between the markers of a page.

    Args:
        page: the page's text.
        results: the finished cells.

    Returns:
        The text with new tables.

    Raises:
        ValueError: a marker is missing.
    """
    blocks = {
        "quality": [*(section(data, results) for data in DATA), measured_with(results)],
        "ablation": [ablation(data, results) for data in DATA if _ablated(data, results)] or ["Not measured yet."],
    }
    for name, (begin, end) in MARKERS.items():
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page needs the lines {begin} and {end}")
        page = "\n\n".join([before + begin, *blocks[name], end + after])
    return page


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and half the width of its 95 % t interval; None of a single value."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return mean, None
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return mean, float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)


def section(data: Data, results: Results) -> str:
    """Returns the heading, the table, the targets and the commands of a log."""
    comparison = read_comparison(results, data) if data.compared else None
    against = {row["model"]: row for row in comparison["rows"]} if comparison else {}
    columns = ["model", "seeds", "HR@10", "NDCG@10", "training, minutes", "parameters"]
    rows = []
    for model in data.models:
        row = [f"`{model}`", *_numbers(results.of(data.name, model))]
        row += _gain(against.get(model)) if data.compared else []
        rows.append([*row, _figure(data, model)] if data.figures else row)
    columns += ["against `hybrid`", "p"] if data.compared else []
    columns += ["published, HR@10 / NDCG@10"] if data.figures else []
    if data.floor is not None:
        rows.append(["*floor: counted transitions*", "", "", f"{data.floor:.4f}", "", ""])
    if data.published is not None:
        best = data.published
        rows.append([f"*best published: {best.model}*", "", f"{best.hr:.4f}", f"{best.ndcg:.4f}", "", ""])
    source = (
        f"Published: {data.published.source}." if data.published else "No published numbers for this cut were found."
    )
    targets = [_target(data, model, least, results) for model, least in data.targets.items()]
    targets += [_above_all(results, data, comparison)] if data.compared else []
    parts = [
        f"### {data.name}: {data.title}",
        " ".join([data.protocol, *_counted(data, results)]),
        _table(columns, rows),
        " ".join([source, *_figures(data)]),
        "\n".join(f"- {target}" for target in targets),
        _commands(data),
    ]
    return "\n\n".join(parts)


def ablation(data: Data, results: Results) -> str:
    """Returns the hybrid and what is left of it without each of its parts."""
    whole = results.of(data.name)
    reference = interval(_metric(whole, NDCG))[0] if whole else None
    rows = [[f"`{HYBRID}`", *_numbers(whole), ""]]
    for variant in VARIANTS:
        cells = results.of(data.name, HYBRID, variant)
        change = f"{100 * (interval(_metric(cells, NDCG))[0] / reference - 1):+.1f} %" if cells and reference else ""
        rows.append([variant.replace("_", " "), *_numbers(cells), change])
    columns = ["", "seeds", "HR@10", "NDCG@10", "training, minutes", "parameters", "change of NDCG@10"]
    return f"### {data.name}\n\n{_table(columns, rows)}"


def measured_with(results: Results) -> str:
    """Says with what the cells were measured, and how many there are."""
    every = [facts for data in DATA for model in data.models for facts in results.of(data.name, model)]
    every += [facts for data in DATA for variant in VARIANTS for facts in results.of(data.name, HYBRID, variant)]
    if not every:
        return "No cell has been measured yet."
    machines = _distinct(
        f"{_cores(cell['cpu_count'])}, {'no GPU' if cell['device'] == 'cpu' else cell['device']}" for cell in every
    )
    commits = _distinct(f"`{str(cell['git_commit'])[:9]}`" for cell in every)
    versions = _distinct(
        ", ".join(f"{name} {cell['versions'][name]}" for name in ("ltsi", "torch", "python")) for cell in every
    )
    return (
        f"{len(every)} cells, measured on {' or '.join(machines)}, with {' or '.join(versions)} "
        f"(commits of ltsi: {', '.join(commits)})."
    )


def _numbers(cells: Sequence[Facts]) -> list[str]:
    if not cells:
        return ["", "not measured yet", "", "", ""]
    return [
        str(len(cells)),
        _mean(_metric(cells, HR)),
        _mean(_metric(cells, NDCG)),
        _minutes(cells),
        f"{cells[0]['n_parameters']:,}",
    ]


def _minutes(cells: Sequence[Facts]) -> str:
    cores = max(facts["cpu_count"] for facts in cells)
    seconds = [float(facts["train_seconds"]) for facts in cells if facts["cpu_count"] == cores]
    minutes = math.fsum(seconds) / len(seconds) / 60
    said = f"{minutes:,.1f}" if minutes >= 0.05 else "under 0.1"
    return f"{said}, one core" if cores == 1 else said


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"


def _metric(cells: Iterable[Facts], name: str) -> list[float]:
    return [float(facts["metrics"]["test"][name]) for facts in cells]


def _mean(values: Sequence[float]) -> str:
    mean, half = interval(values)
    return f"{mean:.4f}" if half is None else f"{mean:.4f} ± {half:.4f}"


def _gain(row: Facts | None) -> list[str]:
    if row is None or row["p"] is None:
        return ["", ""]
    gain = "" if row["gain %"] is None else f"{row['gain %']:+.1f} %"
    return [gain, "<0.001" if row["p"] < 0.001 else f"{row['p']:.4f}"]


def _figure(data: Data, model: str) -> str:
    published = data.figures.get(model)
    return f"{published.hr:.4f} / {published.ndcg:.4f}" if published else ""


def _figures(data: Data) -> list[str]:
    """Says where the figures of single models stand."""
    places: dict[str, list[str]] = {}
    for model, published in data.figures.items():
        places.setdefault(published.source, []).append(
            f"`{model}`" if published.model.lower() == model else f"`{model}` ({published.model})"
        )
    return [f"{', '.join(models)}: {place}." for place, models in places.items()]


def _target(data: Data, model: str, least: float, results: Results) -> str:
    asked = f"Target: `{model}` at NDCG@10 {least:.4f} or more"
    cells = results.of(data.name, model)
    if not cells:
        return f"{asked}: not measured yet."
    values = _metric(cells, NDCG)
    mean = interval(values)[0]
    seeds = "one seed" if len(values) == 1 else f"mean of {len(values)} seeds"
    # Four digits would let a mean a hair below its target look equal to it.
    outcome = "**reached**" if mean >= least else f"**missed** by {least - mean:.5f}"
    return f"{asked}: {outcome}, {mean:.4f} ({seeds})."


def _above_all(results: Results, data: Data, comparison: Facts | None) -> str:
    asked = f"Target: `{HYBRID}` above every other model, paired over users, Holm-corrected p < {LEVEL}"
    if comparison is None:
        return f"{asked}: not measured yet."
    open_ones = not_beaten(comparison)
    if open_ones:
        return f"{asked}: **missed**, not above {'; '.join(open_ones)}."
    absent = [model for model in data.models if not results.of(data.name, model)]
    return f"{asked}: reached so far, without {', '.join(absent)}." if absent else f"{asked}: **reached**."


def _counted(data: Data, results: Results) -> list[str]:
    """Says how many targets there are and what the audit says about their order."""
    cells = [facts for model in data.models for facts in results.of(data.name, model)]
    if not cells:
        return []
    said = [f"{cells[0]['n_targets']['test']:,} test targets, ranked in the whole catalogue."]
    return [*said, str(cells[0]["order_warning"])] if cells[0]["order_warning"] else said


def _commands(data: Data) -> str:
    cell = Cell(data, "MODEL", 1)
    lines = [written(prepare(data)), written(cell.train), written(cell.evaluate)]
    return "\n".join(
        ["```", *(line.replace("seed=1", "seed=SEED").replace("MODEL-1", "MODEL-SEED") for line in lines), "```"]
    )


def _ablated(data: Data, results: Results) -> bool:
    return any(results.of(data.name, HYBRID, variant) for variant in VARIANTS)


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    width = len(columns)
    rules = ["---", *["---:"] * (width - 1)]
    padded = [[*row, *[""] * (width - len(row))] for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [columns, rules, *padded])


def write_page(path: Path, results: Results) -> str:
    """Renders a page in its place and returns it."""
    page = render(path.read_text(encoding="utf-8"), results)
    path.write_text(page, encoding="utf-8")
    return page
