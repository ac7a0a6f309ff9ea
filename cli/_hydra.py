"""The bridge between Typer and Hydra: Typer declares a command's options, Hydra composes and runs its experiment.

Hydra keeps its own command line (`hydra.main`), because sweeps, run folders and launchers depend on it. It is only
given its arguments in an order that it accepts: flags first, then overrides.
"""

import importlib
import inspect
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltsi.errors import BusyError, ConfigError, UserError
from ltsi.tables import Result

from ._complete import complete
from ._compose import Composition
from ._errors import as_user_error, report, reported
from ._going_on import how_to_go_on, require_named_folder
from ._tables import Format, FormatOption, show
from ._texts import as_typed

if TYPE_CHECKING:
    from omegaconf import DictConfig

DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


class Cfg(StrEnum):
    """What `--cfg` prints."""

    job = "job"
    hydra = "hydra"
    all = "all"


class Info(StrEnum):
    """What `--info` prints."""

    all = "all"
    config = "config"
    defaults = "defaults"
    defaults_tree = "defaults-tree"
    plugins = "plugins"
    searchpath = "searchpath"


@dataclass(frozen=True, slots=True)
class Flags:
    """The options of a command that composes an experiment."""

    multirun: bool = False
    cfg: Cfg | None = None
    resolve: bool = False
    package: str | None = None
    info: Info | None = None
    config_name: str | None = None
    config_dir: Path | None = None
    format: Format = Format.terminal
    debug: bool = False

    def __post_init__(self) -> None:
        """Refuse what Hydra would answer with a traceback or pass over in silence."""
        modes = [("--multirun", self.multirun), ("--cfg", self.cfg), ("--info", self.info)]
        chosen = [name for name, value in modes if value]
        if len(chosen) > 1:
            raise typer.BadParameter(f"{chosen[0]} and {chosen[1]} exclude each other; give one of them.")
        for name, value in (("--resolve", self.resolve), ("--package", self.package)):
            if value and self.cfg is None:
                raise typer.BadParameter(f"{name} only says how --cfg prints; add --cfg job.")

    @property
    def source(self) -> list[str]:
        """Say where the configuration is, as arguments of Hydra's and of every command's."""
        arguments = ["--config-name", self.config_name] if self.config_name else []
        # Absolute: a relaunched process may start elsewhere.
        return arguments + (["--config-dir", str(self.config_dir.absolute())] if self.config_dir else [])

    @property
    def mode(self) -> list[str]:
        """Say what Hydra shall do, as arguments of Hydra's."""
        arguments = ["--multirun"] if self.multirun else []
        arguments += ["--cfg", self.cfg] if self.cfg else []
        arguments += ["--resolve"] if self.resolve else []
        arguments += ["--package", self.package] if self.package else []
        return arguments + (["--info", self.info] if self.info else [])


@dataclass(slots=True)
class Job:
    """What Hydra calls with a composed configuration, once or once per job of a sweep.

    A class, because launchers that start processes have to pickle it.

    Args:
        stem: Name of the command's workflow and root configuration, such as `decay_fit`.
        flags: The options of the command.
        overrides: What the user set, as typed.
        ended: What follows on "Interrupted", once that has happened.
        failure: Why the only job of a single run failed. Handed over here since Hydra announces what it sees raised.
    """

    stem: str
    flags: Flags
    overrides: list[str] = field(default_factory=list)
    ended: str = field(default="", init=False)
    failure: Exception | None = field(default=None, init=False)

    def __call__(self, cfg: "DictConfig") -> float | None:
        """Run the workflow, print its result and return the number that a sweeper optimises."""
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        single = HydraConfig.get().mode == RunMode.RUN
        folder = Path(HydraConfig.get().runtime.output_dir)
        # Whatever else lies in the folder was there before, and is the user's.
        notes = HydraConfig.get().output_subdir
        own = notes is not None and {entry.name for entry in folder.iterdir()} <= {notes}
        if not _is_main_process():
            # Every rank does the same work: what it says is said by rank 0.
            logging.getLogger("ltsi").setLevel(logging.WARNING)
        try:
            self._check(cfg)
            _pin_run_folder()
            with _process_state(self._arguments()), redirect_stdout(sys.stderr):
                result: Result = importlib.import_module(f"ltsi.workflows.{self.stem}").run(cfg)
            if _is_main_process():
                show(result, self.flags.format, job=None if single else _job_name())
                if cfg.get("dry_run") and own:
                    _remove_bookkeeping(folder)
            _raise_failure(result)
        except (KeyboardInterrupt, SystemExit):
            self.ended = how_to_go_on(cfg, self._command(), self.overrides) if _is_main_process() else ""
            raise
        except Exception as error:
            refused = as_user_error(error) is not None
            if not refused:
                logging.getLogger("ltsi.failure").exception("%s failed", self.stem)
            if not single:
                # Said at once: the other jobs go on, and Hydra raises only the first failure, at the end.
                report(error, debug=self.flags.debug, label=f"{_job_name()} failed")
                raise UserError("the sweep is incomplete: the jobs that failed are named above") from None
            self.failure = error
            if refused and own and not isinstance(error, BusyError):
                _remove_bookkeeping(folder)
            return None
        return result.value

    def _command(self) -> list[str]:
        """Say what the user typed before the overrides."""
        flags = [*self.flags.source, *self.flags.mode]
        shown = ["--format", self.flags.format.value] if self.flags.format is not Format.terminal else []
        return ["ltsi", self.stem.replace("_", "-"), *flags, *shown]

    def _check(self, cfg: "DictConfig") -> None:
        """Refuse, before anything is loaded, what no workflow can make sense of, such as `test=no` (a text is true)."""
        from omegaconf import OmegaConf

        from ltsi.workflows.expected import require_kinds

        require_named_folder(cfg)
        own = OmegaConf.create((files("ltsi.conf") / f"{self.stem}.yaml").read_text(encoding="utf-8"))
        defaults: Any = OmegaConf.to_container(own, resolve=False)
        require_kinds(cfg, defaults)

    def _arguments(self) -> list[str]:
        """Rebuild the command line of this one job.

        Lightning's DDP starts its other ranks from `sys.argv`; in a sweep they must not start the sweep again.
        """
        from hydra.core.hydra_config import HydraConfig

        overrides = HydraConfig.get().overrides
        chosen = [override for override in overrides.hydra if not _belongs_to_sweep(override)]
        debug = ["--debug"] if self.flags.debug else []
        command = self.stem.replace("_", "-")
        return [sys.argv[0], command, *self.flags.source, *debug, *chosen, *overrides.task, "hydra.mode=RUN"]


def composed(stem: str, documentation: str, *, subject: str, can_run_dry: bool = False) -> Callable[..., None]:
    """Make the command that composes the configuration `conf/STEM.yaml` and runs `ltsi/workflows/STEM.py`.

    Args:
        stem: Name of both files, without ending.
        documentation: The command's help, in Markdown.
        subject: The setting that says what the command works on.
        can_run_dry: Whether the command has the option `--dry-run`, which sets the key `dry_run`.

    Returns:
        A function for Typer to register.
    """

    def command(  # noqa: PLR0913 - one for each option
        overrides: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="KEY=VALUE",
                autocompletion=complete,
                help="Configuration groups and values to set.",
                show_default=False,
            ),
        ] = None,
        multirun: Annotated[
            bool, typer.Option("--multirun", "-m", help="Run every combination of comma-separated values.")
        ] = False,
        cfg: Annotated[Cfg | None, typer.Option(help="Print the composed configuration and exit.")] = None,
        resolve: Annotated[
            bool, typer.Option("--resolve", help="With --cfg: replace interpolations by values.")
        ] = False,
        package: Annotated[str | None, typer.Option(metavar="KEY", help="With --cfg: only this part.")] = None,
        info: Annotated[Info | None, typer.Option(help="Print how the configuration is composed and exit.")] = None,
        config_name: Annotated[str | None, typer.Option(metavar="NAME", help="Use another root configuration.")] = None,
        config_dir: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Search DIR for configurations too.")
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only say what would be done, and what it takes.")
        ] = False,
        output: FormatOption = Format.terminal,
        debug: DebugOption = False,
    ) -> None:
        flags = Flags(multirun, cfg, resolve, package, info, config_name, config_dir, output, debug)
        launch(stem, [*(overrides or []), *(["dry_run=true"] if dry_run else [])], flags, subject)

    command.__doc__ = documentation
    if not can_run_dry:
        signature = inspect.signature(command)
        kept = [option for name, option in signature.parameters.items() if name != "dry_run"]
        command.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return command


def launch(stem: str, overrides: list[str], flags: Flags, subject: str) -> None:
    """Let Hydra compose the configuration of a command and run its workflow.

    Args:
        stem: Name of the root configuration and of the workflow.
        overrides: What the user set, in Hydra's grammar.
        flags: The options of the command.
        subject: The setting that says what the command works on.

    Raises:
        typer.Exit: With the exit code of a refused or failed command.
    """
    # Threads that wait for each other by spinning lose all their time as soon as another process wants a core. OpenMP
    # reads this when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    typed, overrides = overrides, as_typed(overrides, subject)
    composition = Composition(flags.config_name or stem, flags.config_dir, overrides, subject)
    job = Job(stem, flags, typed)
    arguments = [sys.argv[0], *flags.source, *flags.mode, f"hydra.job.name={stem}", *overrides]
    with reported(flags.debug, composition, lambda: job.ended), _process_state(arguments):
        import hydra

        # Hydra then raises errors as they are, for `reported` to put in a sentence.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        try:
            hydra.main(config_path="pkg://ltsi.conf", config_name=stem, version_base="1.3")(job)()
        except SystemExit:
            if flags.cfg is None:
                raise
            raise ConfigError(f"--package {flags.package} names no part of the configuration") from None
        if job.failure is not None:
            raise job.failure


def _raise_failure(result: Result) -> None:
    if result.failure is not None:
        raise result.failure


@contextmanager
def _process_state(arguments: list[str]) -> Iterator[None]:
    """Set the command line; afterwards undo what a job changed in the process, so that the next starts afresh.

    Lightning's DDP leaves its rank and address in the environment, and its process group open.
    """
    argv, environment = sys.argv, dict(os.environ)
    sys.argv = arguments
    try:
        yield
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(environment)
        torch = sys.modules.get("torch")
        if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _pin_run_folder() -> None:
    """Make `hydra.run.dir` the folder of this job: DDP hands it to the other ranks, in a sweep too."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import read_write

    hydra: Any = HydraConfig.get()
    with read_write(hydra.run):
        hydra.run.dir = hydra.runtime.output_dir


def _belongs_to_sweep(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key == "hydra.mode" or key.startswith(
        ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper", "hydra.sweep.")
    )


def _is_main_process() -> bool:
    """Tell whether this is rank 0, by the variables that launchers of distributed training set."""
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return int(next((rank for rank in ranks if rank), "0")) == 0


def _job_name() -> str:
    """Name the running job of a sweep: its number and what sets it apart."""
    from hydra.core.hydra_config import HydraConfig

    overrides = HydraConfig.get().overrides.task
    return f"job {HydraConfig.get().job.num} ({' '.join(overrides)})"


def _remove_bookkeeping(folder: Path) -> None:
    """Remove the notes and the log that this job left in its run folder, and the folders that this leaves empty.

    Hydra makes the folder before the workflow can refuse what the user asked.
    """
    from hydra.core.hydra_config import HydraConfig

    if (notes := HydraConfig.get().output_subdir) is not None:
        shutil.rmtree(folder / notes, ignore_errors=True)
    (folder / f"{HydraConfig.get().job.name}.log").unlink(missing_ok=True)
    while folder != Path.cwd() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
        if not folder.is_relative_to(Path.cwd()):
            return
