"""The bridge: what Hydra is given, and what comes back as result, message and exit code."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from typer.testing import Result as Outcome

from ltsi.errors import ConfigError, DataError
from ltsi.tables import Result, Table

Run = Callable[..., Outcome]
Train = Callable[[Callable[[Any], Any]], None]


def result_of(cfg: Any) -> Result:
    return Result([Table("Sizes", ["data", "dim"], [[cfg.data, cfg.part.dim]])], value=0.5)


@pytest.fixture
def ltsi_train(run: Run, conf: Path) -> Run:
    def call(*arguments: str) -> Outcome:
        return run("train", "--config-dir", str(conf), "--config-name", "toy", *arguments)

    return call


def test_result_goes_to_standard_output_and_all_else_to_standard_error(ltsi_train: Run, train: Train) -> None:
    def work(cfg: Any) -> Result:
        print("a library's chatter")  # noqa: T201
        logging.getLogger("ltsi.training").info("epoch 1")
        logging.getLogger("ltsi.training").warning("few users")
        logging.getLogger("library").info("not for the screen")
        logging.getLogger("library").warning("beware")
        return result_of(cfg)

    train(work)
    outcome = ltsi_train("data=shop", "--format", "csv")
    assert outcome.exit_code == 0
    assert outcome.stdout == "data,dim\nshop,8\n"
    assert outcome.stderr == "a library's chatter\nepoch 1\nfew users\nbeware\n"


def test_run_folder_holds_the_log(ltsi_train: Run, train: Train, folder: Path) -> None:
    def work(cfg: Any) -> Result:
        logging.getLogger("ltsi.training").info("epoch 1")
        return result_of(cfg)

    train(work)
    assert ltsi_train("data=shop", "hydra.run.dir=here").exit_code == 0
    assert "INFO ltsi.training: epoch 1" in (folder / "here/train.log").read_text()
    assert ltsi_train("data=shop").exit_code == 0
    assert len(list(folder.glob("outputs/train/*/*/train.log"))) == 1


@pytest.mark.parametrize("position", [0, 1, 2])
def test_multirun_flag_stands_anywhere(position: int, ltsi_train: Run, train: Train) -> None:
    """Hydra's own parser refuses overrides on both sides of a flag."""
    train(result_of)
    arguments = ["data=shop", "part=alpha,beta"]
    arguments.insert(position, "-m")
    outcome = ltsi_train(*arguments, "--format", "json")
    assert outcome.exit_code == 0
    documents = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [document["tables"][0]["rows"][0]["dim"] for document in documents] == [8, 4]
    assert documents[1]["job"] == "job 1 (data=shop part=beta)"


def test_value_reaches_the_sweeper(ltsi_train: Run, train: Train, conf: Path) -> None:
    (conf / "watched.yaml").write_text(
        "defaults: [toy, _self_]\nhydra: {callbacks: {watch: {_target_: tests_watch.Watch}}}\n"
    )
    seen = []

    class Watch:
        def on_job_end(self, config: Any, job_return: Any, **_: Any) -> None:
            seen.append(job_return.return_value)

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda **_: None

    module = type(sys)("tests_watch")
    module.__dict__["Watch"] = Watch
    sys.modules["tests_watch"] = module
    train(result_of)
    assert ltsi_train("--config-name", "watched", "data=shop").exit_code == 0
    del sys.modules["tests_watch"]
    assert seen == [0.5]


def test_config_name_and_additions(ltsi_train: Run, train: Train) -> None:
    composed = []

    def work(cfg: Any) -> Result:
        composed.append(cfg)
        return Result()

    train(work)
    assert ltsi_train("--config-name", "small", "+extra.key=3", "~seed").exit_code == 0
    assert composed == [{"extra": {"key": 3}}]


def test_cfg_and_info(ltsi_train: Run, conf: Path) -> None:
    """They print and run nothing: the workflow is not even there."""
    outcome = ltsi_train("--cfg", "job", "part=beta")
    assert outcome.exit_code == 0
    assert "dim: 4" in outcome.stdout
    assert "hydra" not in outcome.stdout
    part = ltsi_train("--cfg", "job", "--package", "engine")
    assert part.stdout == "# @package engine\nmax_epochs: 3\ndevices: 1\n"
    assert str(conf) in ltsi_train("--info", "searchpath").stdout
    assert "part: beta" in ltsi_train("--info", "defaults-tree", "part=beta").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["part=aplha"], "there is no part 'aplha': did you mean part=alpha? Options: alpha, beta"),
        (["-m", "part=alpha,betta"], "there is no part 'betta': did you mean part=beta? Options: alpha, beta"),
        (["prat=beta"], "there is no key 'prat' in the configuration: did you mean part?"),
        (["engine.max_epoch=3"], "did you mean engine.max_epochs?"),
        (["max_epochs=3"], "did you mean engine.max_epochs?"),
        (["part=beta", "part.layer=3"], "did you mean part.layers?"),
        (["part.dims=3"], "did you mean part.dim?"),
        (["~sede"], "did you mean seed?"),
        (["zzz=3"], "see the keys with --cfg job, or add one with +zzz=VALUE"),
        (["+seed=3"], "seed is there already: set it without the leading +"),
        (["part=alpha,beta"], "add --multirun"),
        (["seed=range(1,3)"], "add --multirun"),
        (["data"], "cannot read 'data': write KEY=VALUE; did you mean data=data?"),
        (["beta"], "cannot read 'beta': write KEY=VALUE; did you mean part=beta?"),
        (["runs/3"], "cannot read 'runs/3': write KEY=VALUE; did you mean data=runs/3?"),
        (["seed=[1,2"], "write KEY=VALUE"),
        (["part=3"], "takes the name of one of its options, not a number or null, in: data=shop part=3"),
        (["part=null"], "takes the name of one of its options, not a number or null, in: data=shop part=null"),
        (["hydra.mode=WALK"], "cannot set hydra.mode=WALK: Invalid value 'WALK'"),
        (["--config-name", "tarin"], "there is no root configuration 'tarin'"),
        (["--config-dir", "nowhere"], "nowhere is not a folder"),
        (["--cfg", "job", "--package", "nothing"], "--package nothing names no part"),
    ],
)
def test_refused_overrides_exit_2_with_the_near_match(
    arguments: list[str], sentence: str, ltsi_train: Run, train: Train, folder: Path
) -> None:
    train(result_of)
    outcome = ltsi_train("data=shop", *arguments)
    assert outcome.exit_code == 2
    assert sentence in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not outcome.stdout
    assert not list(folder.glob("outputs/**/*"))


def instantiates_what_refuses(_: Any) -> None:
    instantiate({"source": {"_target_": f"{DataError.__module__}.DataError", "message": 3, "unknown": 4}})


def instantiates_what_raises(_: Any) -> None:
    instantiate({"source": {"_target_": "json.loads", "s": "{"}})


def refuse(error: type[BaseException], message: str) -> Callable[[Any], None]:
    def work(_: Any) -> None:
        raise error(message)

    return work


@pytest.mark.parametrize(
    ("work", "exit_code", "sentence"),
    [
        (refuse(DataError, "no store 'x'"), 1, "Error: no store 'x'\n"),
        (refuse(ConfigError, "seen must be hide or keep"), 2, "Error: seen must be hide or keep\n"),
        (refuse(RuntimeError, "a\nb"), 1, "Error: RuntimeError: a b (unexpected: run again with --debug"),
        (refuse(KeyboardInterrupt, ""), 130, "Interrupted.\n"),
        (lambda _: Path("gone.csv").read_text(), 1, "Error: cannot use gone.csv: No such file or directory\n"),
        (lambda cfg: cfg.data, 2, "Error: data is not set: give data=VALUE\n"),
        (lambda cfg: cfg.optimiser, 2, "the configuration lacks optimiser"),
        (instantiates_what_refuses, 2, "the keys under source do not fit"),
        (instantiates_what_raises, 2, "a value under source cannot be used: Expecting property name"),
    ],
)
def test_failure_is_one_sentence(
    work: Callable[[Any], Any], exit_code: int, sentence: str, ltsi_train: Run, train: Train
) -> None:
    train(work)
    outcome = ltsi_train()
    assert outcome.exit_code == exit_code
    assert sentence in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    assert not outcome.stdout


def test_control_characters_do_nothing_on_the_screen(ltsi_train: Run, train: Train, folder: Path) -> None:
    def work(_: Any) -> Result:
        logging.getLogger("ltsi.training").warning("Behaviours: \x1b[31mbuy")
        raise RuntimeError("no user '\x1b[31mred'")

    train(work)
    outcome = ltsi_train("data=shop", "hydra.run.dir=here")
    assert outcome.stderr.startswith(
        "Behaviours: \\x1b[31mbuy\nError: RuntimeError: no user '\\x1b[31mred' (unexpected"
    )
    assert "Behaviours: \x1b[31mbuy" in (folder / "here/train.log").read_text()
    train(refuse(DataError, "no user '\x1b[31mred'"))
    assert ltsi_train("data=shop").stderr == "Error: no user '\\x1b[31mred'\n"


def test_a_file_in_the_place_of_the_run_folder_is_refused(ltsi_train: Run, train: Train, folder: Path) -> None:
    (folder / "taken").touch()
    train(lambda _: Result())
    for place, file in (("taken", "it"), ("taken/run", "taken")):
        outcome = ltsi_train("data=shop", f"hydra.run.dir={place}")
        assert outcome.exit_code == 1
        told = f"Error: cannot use {place}: {file} is a file, not a folder; choose another folder\n"
        assert outcome.stderr == told


def test_user_error_inside_a_constructor_surfaces(ltsi_train: Run, train: Train) -> None:
    train(lambda _: instantiate({"source": {"_target_": f"{__name__}.raise_data_error"}}))
    sys.modules[__name__].__dict__.setdefault("raise_data_error", raise_data_error)
    outcome = ltsi_train()
    assert outcome.stderr == "Error: column 'user' is not in log.csv\n"
    assert outcome.exit_code == 1


def raise_data_error() -> None:
    raise DataError("column 'user' is not in log.csv")


def test_text_for_a_number_may_be_right(ltsi_train: Run, train: Train) -> None:
    """Such as `trainer.devices=auto` or `split.valid=2011-09-01`; and a later failure is not blamed on it."""
    train(lambda _: Result())
    assert ltsi_train("data=shop", "engine.devices=auto").exit_code == 0
    train(refuse(ValueError, "odd"))
    assert "Error: ValueError: odd (unexpected" in ltsi_train("data=shop", "engine.devices=auto").stderr


def test_a_rank_that_is_set_to_nothing_is_none(ltsi_train: Run, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "")
    train(lambda _: Result(messages=["said by rank 0"]))
    assert "said by rank 0" in ltsi_train("data=shop").stdout


def test_ctrl_c_during_training(ltsi_train: Run, train: Train, request: pytest.FixtureRequest) -> None:
    """Lightning ends the process with exit code 1 after Ctrl-C."""
    # A shell that starts pytest in the background has it ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def work(_: Any) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            sys.exit(1)

    train(work)
    outcome = ltsi_train()
    assert outcome.exit_code == 130
    assert outcome.stderr == "Interrupted.\n"


def test_terminated_training_is_no_success(ltsi_train: Run, train: Train) -> None:
    """Lightning answers SIGTERM by an exception that stands for exit code 0."""

    def work(_: Any) -> None:
        raise SystemExit

    train(work)
    outcome = ltsi_train()
    assert outcome.exit_code == 143
    assert outcome.stderr == "Terminated.\n"


def test_debug_shows_the_traceback_and_the_log_keeps_it(ltsi_train: Run, train: Train, folder: Path) -> None:
    train(refuse(RuntimeError, "boom"))
    outcome = ltsi_train("--debug", "hydra.run.dir=here")
    assert outcome.exit_code == 1
    assert "Traceback" in outcome.stderr
    assert "RuntimeError: boom" in (folder / "here/train.log").read_text()


def test_refusal_leaves_no_folder_and_failure_does(ltsi_train: Run, train: Train, folder: Path) -> None:
    (folder / "kept").mkdir()
    (folder / "kept/notes.txt").write_text("mine")
    train(refuse(DataError, "no store"))
    ltsi_train()
    ltsi_train("hydra.run.dir=kept")
    train(lambda cfg: cfg.data)
    ltsi_train()
    assert not (folder / "outputs").exists()
    assert (folder / "kept/notes.txt").exists()
    train(refuse(RuntimeError, "boom"))
    ltsi_train()
    assert list(folder.glob("outputs/train/*/*/train.log"))


@pytest.mark.parametrize("name", ["web.log", "train.log"])
def test_a_refusal_leaves_the_files_that_were_there(ltsi_train: Run, train: Train, folder: Path, name: str) -> None:
    (folder / "logs").mkdir()
    (folder / "logs" / name).write_text("raw data")
    train(refuse(DataError, "no store"))
    assert ltsi_train("hydra.run.dir=logs").exit_code == 1
    assert (folder / "logs" / name).read_text().startswith("raw data")


def test_sweep_names_the_jobs_that_failed_and_runs_the_others(ltsi_train: Run, train: Train) -> None:
    def work(cfg: Any) -> Result:
        if cfg.seed > 1:
            raise DataError(f"no users with seed {cfg.seed}")
        return result_of(cfg)

    train(work)
    outcome = ltsi_train("-m", "data=shop", "seed=2,1,3", "--format", "csv")
    assert outcome.exit_code == 1
    assert outcome.stdout == "job,data,dim\njob 1 (data=shop seed=1),shop,8\n"
    assert "job 0 (data=shop seed=2) failed: no users with seed 2\n" in outcome.stderr
    assert "job 2 (data=shop seed=3) failed: no users with seed 3\n" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_jobs_do_not_disturb_each_other(ltsi_train: Run, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """What DDP leaves behind (environment, arguments) is gone when the next job starts, and afterwards."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    seen = []

    def work(cfg: Any) -> Result:
        seen.append(os.environ.get("LOCAL_RANK"))
        os.environ["LOCAL_RANK"] = "0"
        sys.argv = ["other"]
        return Result()

    before = list(sys.argv)
    train(work)
    assert ltsi_train("-m", "data=shop", "seed=1,2").exit_code == 0
    assert seen == [None, None]
    assert "LOCAL_RANK" not in os.environ
    assert "HYDRA_FULL_ERROR" not in os.environ
    assert sys.argv == before


def test_arguments_are_those_of_the_job(ltsi_train: Run, train: Train, conf: Path) -> None:
    """Lightning starts the other ranks of DDP from `sys.argv` and adds `hydra.run.dir` of the configuration."""
    seen = []

    def work(_: Any) -> Result:
        seen.append((sys.argv[1:], HydraConfig.get().run.dir))
        return Result()

    train(work)
    outcome = ltsi_train("-m", "data=shop", "part=beta,alpha", "hydra.sweep.dir=sweep", "hydra.verbose=[a]")
    assert outcome.exit_code == 0
    expected = [
        "train",
        "--config-name",
        "toy",
        "--config-dir",
        str(conf),
        "hydra.job.name=train",
        "hydra.verbose=[a]",
        "data=shop",
    ]
    assert [arguments for arguments, _ in seen] == [
        [*expected, "part=beta", "hydra.mode=RUN"],
        [*expected, "part=alpha", "hydra.mode=RUN"],
    ]
    assert [Path(run_dir) for _, run_dir in seen] == [Path.cwd() / "sweep/0", Path.cwd() / "sweep/1"]


def test_other_ranks_only_warn(ltsi_train: Run, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(cfg: Any) -> Result:
        logging.getLogger("ltsi.training").info("epoch 1")
        logging.getLogger("ltsi.training").warning("few users")
        return result_of(cfg)

    train(work)
    monkeypatch.setenv("LOCAL_RANK", "1")
    outcome = ltsi_train("data=shop")
    assert outcome.exit_code == 0
    assert not outcome.stdout
    assert outcome.stderr == "few users\n"
