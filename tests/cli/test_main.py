"""The command line as a whole: its surface, its help and what it loads."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
from typer.testing import Result

import ltsi
from ltsi.cli.main import app

Run = Callable[..., Result]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

COMPOSED = {
    "--cfg",
    "--config-dir",
    "--config-name",
    "--debug",
    "--format",
    "--info",
    "--multirun",
    "--package",
    "--resolve",
    "-m",
    "KEY=VALUE",
}
SURFACE = {
    "prepare": COMPOSED | {"--dry-run"},
    "audit": COMPOSED,
    "decay-fit": COMPOSED,
    "interests": COMPOSED,
    "train": COMPOSED,
    "eval": COMPOSED,
    "compare": {"--baseline", "--debug", "--format", "--metric", "--split", "-m", "DIR"},
    "recommend": {"--all", "--at", "--debug", "--format", "--k", "--output", "--strategy", "--trust", "--user", "DIR"},
    "datasets": {"--debug", "--format", "NAME"},
    "models": {"--debug", "--format", "NAME"},
}


def test_surface_is_frozen() -> None:
    """A changed option is a change of contract: change this test with it, and say so in the changelog."""
    surface = {}
    for name, command in COMMANDS.items():
        options = [param for param in command.params if param.param_type_name == "option"]
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        surface[name] = {flag for option in options for flag in option.opts} | {param.metavar for param in arguments}
    assert surface == SURFACE


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name: str, run: Run) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"ltsi {name}" in result.stdout
    for flag in SURFACE[name]:
        assert flag in result.stdout
    # Every command shows how it is called, not only what it takes.
    assert f"• ltsi {name} " in result.stdout


def test_help_lists_every_command(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


def test_version(run: Run) -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout == f"ltsi {ltsi.__version__}\n"


def test_help_loads_little() -> None:
    """Help comes at once: counted in modules, since a clock would depend on the machine."""
    script = """
import json, sys
from ltsi.cli.main import run
sys.argv = ["ltsi", "--help"]
try:
    run()
finally:
    print("\\n" + json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    heavy = {"torch", "pytorch_lightning", "hydra", "omegaconf", "pandas", "polars", "numpy", "scipy", "matplotlib"}
    assert heavy.isdisjoint(loaded)
    assert len(loaded) < 600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "train"),
        (["train", "--multrun"], "--multirun"),
        (["train", "--format", "yaml"], "markdown"),
        (["compare"], "DIR"),
        (["compare", "runs", ""], "it is empty, as of a shell variable that is not set"),
        (["recommend", "", "--all"], "it is empty, as of a shell variable that is not set"),
        (["train", "--cfg", "job", "--multirun"], "--multirun and --cfg exclude each other"),
        (["train", "--cfg", "job", "--info", "all"], "--cfg and --info exclude each other"),
        (["train", "--resolve"], "--cfg"),
        (["train", "--package", "model"], "--cfg"),
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], said: str, run: Run) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not result.stdout


def test_a_dry_run_leaves_nothing(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user,item,time\na,x,1318896000\n")
    result = run("prepare", "--dry-run", "source=table", f"source.path={log}")
    assert result.exit_code == 0, result.output
    assert "Nothing was written" in result.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]
