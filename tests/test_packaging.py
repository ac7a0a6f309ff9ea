"""What a wheel holds, and that it works outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[1]
COMMANDS = ["prepare", "audit", "decay-fit", "train", "eval", "compare"]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of the checkout: setuptools leaves its work beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("ltsi", "cli", "conf"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source / name)
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), cwd=source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment and return the path of its `ltsi`.

    The dependencies are those of this environment: a path file names them without reading their own path files, so
    the editable installation of the checkout stays out.
    """
    folder = tmp_path_factory.mktemp("venv")
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    _run(
        sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel), cwd=folder
    )
    packages = _run(str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    (Path(packages) / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return binaries / "ltsi"


def _run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "COLUMNS"}}
    done = subprocess.run(command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_package_list_equals_the_tree(project: dict[str, Any]) -> None:
    """A mapped layout rules out discovery, so a forgotten package would be missing from the wheel in silence."""
    mapping = project["tool"]["setuptools"]["package-dir"]
    found = {"ltsi.cli": "cli", "ltsi.conf": "conf"}
    for init in (CHECKOUT / "ltsi").rglob("__init__.py"):
        relative = init.parent.relative_to(CHECKOUT)
        found[".".join(relative.parts)] = str(relative)
    assert set(project["tool"]["setuptools"]["packages"]) == set(found)
    assert mapping == {"ltsi": "ltsi", "ltsi.cli": "cli", "ltsi.conf": "conf"}


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for name in ("ltsi", "cli") for path in (CHECKOUT / name).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_constraints_pin_every_dependency(project: dict[str, Any]) -> None:
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if line and not line.startswith("#")}
    asked = [*project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        asked += extra
    names = {requirement.partition(">")[0].partition("=")[0].partition("[")[0] for requirement in asked}
    assert names == pinned


def test_wheel_has_one_import_name_and_every_configuration(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"ltsi"}
    configurations = {
        f"ltsi/conf/{path.relative_to(CHECKOUT / 'conf')}" for path in (CHECKOUT / "conf").rglob("*.yaml")
    }
    assert configurations <= set(names)
    code = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "ltsi").rglob("*.py")}
    code |= {
        f"ltsi/{path.relative_to(CHECKOUT)}" for name in ("cli", "conf") for path in (CHECKOUT / name).rglob("*.py")
    }
    assert code | configurations | {"ltsi/py.typed"} == {name for name in names if name.startswith("ltsi/")}


def test_every_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = _run(str(installed.with_name("python")), "-c", "import ltsi.conf; print(ltsi.conf.__file__)", cwd=tmp_path)
    assert CHECKOUT not in Path(where.strip()).parents
    for command in COMMANDS:
        assert f"ltsi {command}" in _run(str(installed), command, "--help", cwd=tmp_path)


def test_main_job_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Configurations, lazily imported workflows and data files are all in the wheel, or this fails."""

    def ltsi(*arguments: str) -> str:
        return _run(str(installed), *arguments, cwd=tmp_path, LTSI_DATA=str(tmp_path / "data"))

    ltsi("prepare", "source=shop", "source.users=80", "source.items=50", "source.events=3000", "name=tiny")
    assert (tmp_path / "data/prepared/tiny/manifest.json").is_file()
    assert "half_life" in ltsi("decay-fit", "data=tiny", "replicates=0", "--format", "csv")
    models = "model=popularity,lstm"
    ltsi("train", "-m", "data=tiny", models, "trainer.max_epochs=1", "hydra.sweep.dir=runs")
    evaluated = json.loads(ltsi("eval", "run=runs", "--format", "json"))
    assert evaluated["tables"][0]["rows"]
    compared = json.loads(ltsi("compare", "runs", "--baseline", "popularity", "--format", "json"))
    rows = compared["tables"][0]["rows"]
    assert {row["model"] for row in rows} == {"popularity", "lstm"}
    assert all(0 < row["ndcg@10"] < 1 for row in rows)
