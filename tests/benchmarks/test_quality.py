"""The quality table's cells: measured once, gone on with, and failing alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import quality
from quality import Session, expected_seconds, measure_all, plan, plan_ablation
from quality_table.cells import Cell, CellError, compose_digests
from quality_table.measuring import Installed
from quality_table.questions import DATA, MODELS, VARIANTS, Data

PREPARE = "prepare source=amazon_beauty source.path=$LTSI_REALDATA/amazon-beauty name=beauty"
TRAIN = "train data=beauty split=leave_one_out model=lstm seed=1 hydra.run.dir=runs/beauty/lstm-1"
EVAL = "eval run=runs/beauty/lstm-1"


def test_a_finished_cell_holds_its_numbers_and_commands_and_nothing_of_the_machine(
    log: Data, session: Session, fake: Any, tmp_path: Path
) -> None:
    assert measure_all(plan([log], ["lstm"], [1]), session) == []
    text = (tmp_path / "results" / "beauty" / "lstm-1.json").read_text()
    facts = json.loads(text)
    assert fake.commands == [PREPARE, TRAIN, EVAL]
    assert facts["commands"] == [f"ltsi {command}" for command in fake.commands]
    assert facts["metrics"]["valid"] == {"hr@10": 0.5, "ndcg@10": 0.3}
    assert facts["metrics"]["test"] == {"hr@10": 0.4, "ndcg@10": 0.2}
    assert facts["n_targets"] == {"valid": 100, "test": 90}
    assert facts["eval_seconds"] == {"valid": 1.0, "test": 1.5}
    assert (facts["epochs"], facts["best_epoch"]) == (3, 2)
    assert facts["train_seconds"] == 40.0
    assert facts["seconds"] == 40.0 + 1.0 + 1.5
    assert (facts["n_parameters"], facts["git_commit"]) == (1234, "c0ffee")
    assert str(tmp_path) not in text
    assert "secret" not in text


def test_a_finished_cell_is_not_measured_again(log: Data, session: Session, fake: Any) -> None:
    cells = plan([log], ["popularity", "lstm"], None)
    measure_all(cells, session)
    fake.commands.clear()
    measure_all(cells, session)
    assert fake.commands == []


def test_another_configuration_is_measured_anew(log: Data, session: Session, fake: Any) -> None:
    measure_all(plan([log], ["popularity"], None), session)
    fake.commands.clear()
    changed = replace(log, cut=("split=leave_one_out", "max_length=20"))
    measure_all(plan([changed], ["popularity"], None), session)
    assert [command.split()[0] for command in fake.commands] == ["prepare", "train", "eval"]


def test_the_digest_is_of_the_configuration_and_the_source_but_not_of_the_seed(log: Data) -> None:
    other = replace(log, source=("source=amazon_beauty", "ties=shuffle"))
    longer = replace(log, cut=("split=leave_one_out", "max_length=20"))
    cells = [Cell(log, "lstm", 1), Cell(log, "lstm", 2), Cell(other, "lstm", 1), Cell(longer, "lstm", 1)]
    first, *rest = compose_digests(cells).values()
    assert [digest == first for digest in rest] == [True, False, False]


def test_how_to_learn_does_not_make_a_model_that_is_only_counted(log: Data) -> None:
    slower = replace(log, cut=(*log.cut, "optimizer.lr=1e-4", "loss=sampled_softmax"))
    for model, same in (("ease", True), ("lstm", False)):
        one, other = compose_digests([Cell(log, model, 1), Cell(slower, model, 1)]).values()
        assert (one == other) is same


def test_a_killed_training_goes_on(log: Data, session: Session, fake: Any) -> None:
    cells, fake.dies_in = plan([log], ["lstm"], [1]), "lstm"
    with pytest.raises(KeyboardInterrupt):
        measure_all(cells, session)
    assert session.results.read(cells[0].place) is None
    fake.commands.clear()
    measure_all(cells, session)
    assert fake.commands == [PREPARE, f"{TRAIN} resume=true", EVAL]
    facts = session.results.read(cells[0].place)
    assert facts is not None
    assert facts["commands"][1] == f"ltsi {TRAIN}"


def test_a_training_that_cannot_go_on_begins_again(log: Data, session: Session, fake: Any) -> None:
    cells, fake.dies_in = plan([log], ["lstm"], [1]), "lstm"
    with pytest.raises(KeyboardInterrupt):
        measure_all(cells, session)
    stale = fake.work / "runs" / "beauty" / "lstm-1" / "stale"
    stale.touch()
    fake.commands.clear()
    fake.broken = {"resume=true"}
    assert measure_all(cells, session) == []
    assert fake.commands == [PREPARE, f"{TRAIN} resume=true", TRAIN, EVAL]
    assert not stale.exists()


def test_a_training_that_was_begun_otherwise_begins_again(log: Data, session: Session, fake: Any) -> None:
    fake.dies_in = "lstm"
    with pytest.raises(KeyboardInterrupt):
        measure_all(plan([log], ["lstm"], [1]), session)
    fake.commands.clear()
    measure_all(plan([replace(log, cut=("split=leave_one_out", "max_length=20"))], ["lstm"], [1]), session)
    assert not any("resume" in command for command in fake.commands)


def test_a_cell_killed_before_the_test_part_is_only_evaluated(log: Data, session: Session, fake: Any) -> None:
    cells, fake.dies_in = plan([log], ["lstm"], [1]), "eval"
    with pytest.raises(KeyboardInterrupt):
        measure_all(cells, session)
    fake.commands.clear()
    measure_all(cells, session)
    assert fake.commands == [PREPARE, EVAL]


def test_a_failed_cell_is_told_and_the_others_go_on(
    log: Data, session: Session, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.broken = {"model=popularity"}
    failures = measure_all(plan([log], ["popularity", "lstm"], [1]), session)
    assert failures == ["beauty popularity seed 1: model=popularity is broken"]
    assert session.results.read(Path("beauty/popularity-1")) is None
    assert session.results.read(Path("beauty/lstm-1")) is not None
    assert "FAILED model=popularity is broken" in capsys.readouterr().out


def test_a_log_that_cannot_be_prepared_is_tried_once(log: Data, session: Session, fake: Any) -> None:
    fake.broken = {"name=beauty"}
    assert len(measure_all(plan([log], ["popularity", "lstm"], [1]), session)) == 2
    assert fake.commands == [PREPARE]


def test_a_model_without_a_configuration_is_an_error(log: Data, session: Session, fake: Any) -> None:
    failures = measure_all([Cell(log, "nonesuch", 1), Cell(log, "popularity", 1)], session)
    assert len(failures) == 1
    assert failures[0].endswith("In 'train': Could not find 'model/nonesuch'")
    assert session.results.read(Path("beauty/popularity-1")) is not None


def test_no_cell_begins_that_would_pass_the_budget(
    log: Data, session: Session, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    measure_all(plan([log], ["popularity", "lstm"], [1]), session)
    fake.commands.clear()
    # Seed 1 of lstm took 42.5 seconds, and transitions are of unknown length.
    measure_all(plan([log], ["lstm", "transitions"], [1, 2]), replace(session, budget=42))
    assert [command for command in fake.commands if command.startswith("train")] == [
        "train data=beauty split=leave_one_out model=transitions seed=1 hydra.run.dir=runs/beauty/transitions-1"
    ]
    assert "1 cells were not started" in capsys.readouterr().out
    measure_all(plan([log], ["lstm"], [2]), replace(session, budget=60))
    assert session.results.read(Path("beauty/lstm-2")) is not None


def test_a_cell_is_expected_to_take_as_long_as_its_other_seeds(log: Data, session: Session) -> None:
    for seed, seconds in ((1, 10.0), (2, 20.0)):
        session.results.write(Path(f"beauty/lstm-{seed}"), {"seed": seed, "seconds": seconds})
    assert expected_seconds(Cell(log, "lstm", 3), session.results) == 15.0
    assert expected_seconds(Cell(log, "lstm_transformer", 1), session.results) is None


def test_what_has_no_target_has_one_seed_and_every_first_seed_comes_first(log: Data) -> None:
    told = [(cell.model, cell.seed) for cell in plan([log], ["popularity", "gru", "lstm", "hybrid"], None)]
    firsts = [("popularity", 1), ("gru", 1), ("lstm", 1), ("hybrid", 1)]
    assert told == [*firsts, ("lstm", 2), ("hybrid", 2), ("lstm", 3), ("hybrid", 3)]
    assert plan([log], ["popularity"], [2]) == []


def test_variants_are_kept_apart_from_the_hybrid(log: Data, session: Session, fake: Any) -> None:
    cells = plan_ablation(log, ["no_long"], [1])
    measure_all(cells, session)
    assert [cell.place.as_posix() for cell in cells] == ["beauty/hybrid-1", "ablation/beauty/no_long-1"]
    assert "ablation=no_long" in fake.commands[3]
    assert all(session.results.read(cell.place) for cell in cells)


def test_a_page_that_is_not_there_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        quality.main(["--work", str(tmp_path), "--page", str(tmp_path / "page.md")])
    assert "page.md is not there" in capsys.readouterr().err


def test_every_variant_is_another_configuration() -> None:
    cells = plan_ablation(DATA[0], list(VARIANTS), [1])
    digests = compose_digests(cells).values()
    assert not any(isinstance(digest, CellError) for digest in digests)
    assert len(set(digests)) == 1 + len(VARIANTS)


def test_every_target_is_of_a_model_in_the_table() -> None:
    assert all({*data.targets, *data.figures} <= set(data.models) <= set(MODELS) for data in DATA)
    assert all(data.compared or data.targets for data in DATA)
    assert len({data.name for data in DATA}) == len(DATA)


def test_commands_run_in_the_work_folder_on_its_own_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTSI_DATA", "elsewhere")
    ltsi = Installed(tmp_path, Path("/logs"))
    ltsi.program = tmp_path / "ltsi"
    ltsi.program.write_text(
        '#!/bin/sh\necho "$PWD" "${LTSI_DATA:-none}" "$@"\n[ "$1" = prepare ] && exit\necho no >&2\nexit 3\n'
    )
    ltsi.program.chmod(0o755)
    assert ltsi(["prepare", "source.path=$LTSI_REALDATA/a"]) == f"{tmp_path} none prepare source.path=/logs/a\n"
    with pytest.raises(CellError, match=r"^ltsi eval 'run=a b' ended with 3: no$"):
        ltsi(["eval", "run=a b"])


@pytest.fixture
def start(tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that starts the program on a folder that holds one of the logs."""
    logs = tmp_path / "logs"
    (logs / "lastfm-s3rec").mkdir(parents=True)
    monkeypatch.setenv("LTSI_REALDATA", str(logs))
    monkeypatch.setattr(quality, "Installed", lambda work, logs: fake)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    page = tmp_path / "page.md"
    page.write_text((quality.ROOT / "docs" / "results.md").read_text())
    places = ["--work", str(fake.work), "--results", str(tmp_path / "results"), "--page", str(page)]
    return lambda *words: quality.main([*places, *words])


def test_logs_that_are_not_there_are_skipped(
    start: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start("--models", "popularity") == 0
    assert "skipped uci: $LTSI_REALDATA/uci-online-retail is not there" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["lastfm"]
    assert "| `popularity` | 1 | 0.4000 | 0.2000 |" in (tmp_path / "page.md").read_text()


def test_without_logs_everything_is_skipped(
    start: Callable[..., int], fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LTSI_REALDATA")
    assert start() == 0
    assert fake.commands == []
    assert capsys.readouterr().out.startswith("skipped everything: LTSI_REALDATA")


def test_a_stopped_start_still_writes_the_page(start: Callable[..., int], fake: Any, tmp_path: Path) -> None:
    fake.dies_in = "lstm"
    with pytest.raises(KeyboardInterrupt):
        start("--only", "lastfm", "--models", "popularity,lstm")
    assert "| `popularity` | 1 | 0.4000 | 0.2000 |" in (tmp_path / "page.md").read_text()


def test_the_exit_code_tells_of_failed_cells(
    start: Callable[..., int], fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.broken = {"model=popularity"}
    assert start("--only", "lastfm", "--models", "popularity,transitions") == 1
    assert "failed: lastfm popularity seed 1: model=popularity is broken" in capsys.readouterr().err
    fake.broken = set()
    assert start("--only", "lastfm", "--models", "popularity,transitions") == 0


def test_the_table_alone_measures_nothing(
    start: Callable[..., int], fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start("--table") == 0
    assert fake.commands == []
    assert "*best published: BSARec*" in capsys.readouterr().out


def test_a_name_that_is_not_in_the_table_is_refused(
    start: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--only", "beuty"], ["--models", "lstn"], ["--ablation", "uci", "--models", "lstm"]):
        with pytest.raises(SystemExit, match="2"):
            start(*words)
        assert "is none of" in capsys.readouterr().err
