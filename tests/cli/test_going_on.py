"""What is said of a training that was stopped, and of one that cannot be resumed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from typer.testing import Result as Outcome

from ltsi.tables import Result

Run = Callable[..., Outcome]
Train = Callable[[Callable[[Any], Any]], None]


@pytest.fixture
def ltsi_train(run: Run, conf: Path) -> Run:
    """Run a `train` whose configuration knows `resume`."""
    (conf / "toy.yaml").write_text((conf / "toy.yaml").read_text() + "resume: false\n")

    def call(*arguments: str) -> Outcome:
        return run("train", "--config-dir", "conf", "--config-name", "toy", *arguments)

    return call


def interrupted(error: type[BaseException], *, after_an_epoch: bool = True) -> Callable[[Any], Result]:
    def work(_: Any) -> Result:
        if after_an_epoch:
            checkpoint = Path(HydraConfig.get().runtime.output_dir) / "checkpoints/last.ckpt"
            checkpoint.parent.mkdir(parents=True)
            checkpoint.touch()
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "word", "exit_code"), [(KeyboardInterrupt, "Interrupted", 130), (SystemExit, "Terminated", 143)]
)
def test_a_stopped_training_says_the_command_that_goes_on(
    ltsi_train: Run, train: Train, folder: Path, error: type[BaseException], word: str, exit_code: int
) -> None:
    train(interrupted(error))
    outcome = ltsi_train("data=2024_05", "part.dim=[1, 2]", "hydra.run.dir=here")
    assert outcome.exit_code == exit_code
    assert outcome.stderr == (
        f"{word}; resume with: ltsi train --config-name toy --config-dir {folder}/conf data=2024_05 'part.dim=[1, 2]' "
        "resume=true hydra.run.dir=here\n"
    )
    resumed = []

    def work(cfg: Any) -> Result:
        resumed.append((cfg.data, cfg.resume, HydraConfig.get().runtime.output_dir))
        return Result()

    train(work)
    assert ltsi_train("data=2024_05", "resume=true", "hydra.run.dir=here").exit_code == 0
    assert resumed == [("2024_05", True, str(folder / "here"))]


def test_a_run_without_a_name_is_named_by_its_folder(ltsi_train: Run, train: Train, folder: Path) -> None:
    train(interrupted(KeyboardInterrupt))
    told = ltsi_train("data=shop").stderr
    (run,) = folder.glob("outputs/train/*/*")
    assert told.endswith(f" data=shop resume=true hydra.run.dir={run.relative_to(folder)}\n")


def test_a_sweep_goes_on_whole(ltsi_train: Run, train: Train, folder: Path) -> None:
    train(interrupted(KeyboardInterrupt, after_an_epoch=False))
    told = ltsi_train("-m", "data=shop", "seed=1,2").stderr
    (sweep,) = folder.glob("multirun/train/*/*")
    assert told.endswith(f" --multirun data=shop seed=1,2 resume=true hydra.sweep.dir={sweep.relative_to(folder)}\n")


def test_before_the_first_epoch_there_is_nothing_to_go_on_with(ltsi_train: Run, train: Train) -> None:
    train(interrupted(KeyboardInterrupt, after_an_epoch=False))
    told = ltsi_train("data=shop", "hydra.run.dir=here").stderr
    assert told == "Interrupted before the first epoch in here was complete; there is nothing to resume.\n"


@pytest.mark.parametrize(("flags", "key"), [((), "hydra.run.dir"), (("-m",), "hydra.sweep.dir")])
def test_nothing_is_gone_on_with_in_a_new_folder(
    ltsi_train: Run, train: Train, folder: Path, flags: tuple[str, ...], key: str
) -> None:
    train(lambda _: Result())
    outcome = ltsi_train(*flags, "data=shop", "resume=true")
    assert outcome.exit_code in {1, 2}
    part = key.split(".")[1]
    assert f"resume=true needs the folder of the {part} to continue; add {key}=DIR.\n" in outcome.stderr
    assert not list(folder.glob("outputs/**/*"))
    assert ltsi_train(*flags, "data=shop", "resume=true", f"{key}=here").exit_code == 0
