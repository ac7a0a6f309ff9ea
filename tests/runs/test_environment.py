"""What is recorded about where a run came from."""

import dataclasses
import json
import platform
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import ltsi
from ltsi.runs.environment import describe_environment, now
from ltsi.store import EncodedEvents, Store
from ltsi.store_writer import write_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    events = EncodedEvents(np.array([0, 2]), np.array([0, 1], np.int32), np.array([5, 6]), np.zeros(2, np.uint8))
    items, users = pl.DataFrame({"item": ["a", "b"]}), pl.DataFrame({"user": ["u"]})
    return write_store(tmp_path / "toy", events, items=items, users=users, manifest={"time": {"clock": True}})


def describe(store: Store) -> dict[str, object]:
    return describe_environment(
        store,
        split="leave_one_out",
        split_report={"cold_users_test": 4},
        seen="hide",
        seed=3,
        device="cpu",
        overrides=["model=lstm", "seed=3"],
    )


def test_names_versions_store_and_protocol(store: Store) -> None:
    facts = describe(store)
    assert json.loads(json.dumps(facts)) == facts
    versions = facts["versions"]
    assert isinstance(versions, dict)
    assert (versions["python"], versions["ltsi"]) == (platform.python_version(), ltsi.__version__)
    assert {"torch", "pytorch-lightning"} <= set(versions)
    assert (facts["store"], facts["fingerprint"]) == ("toy", store.fingerprint)
    assert facts["store_path"] == str(store.path)
    assert (facts["split"], facts["seen"], facts["seed"], facts["device"]) == ("leave_one_out", "hide", 3, "cpu")
    assert facts["split_report"] == {"cold_users_test": 4}
    assert facts["overrides"] == ["model=lstm", "seed=3"]
    assert facts["order_warning"] is None


def test_time_is_utc_and_readable_by_python() -> None:
    moment = datetime.fromisoformat(now())
    assert moment.utcoffset() is not None
    assert not moment.utcoffset()


def test_frequent_ties_of_time_are_kept_as_a_warning(store: Store) -> None:
    finding = {"severity": "warn", "finding": "same_time_steps", "value": 0.4, "detail": "4 of 10 steps."}
    tied = dataclasses.replace(store, manifest={**store.manifest, "audit": [finding]})
    assert describe(tied)["order_warning"] == "4 of 10 steps."
    rare = dataclasses.replace(store, manifest={**store.manifest, "audit": [{**finding, "severity": "info"}]})
    assert describe(rare)["order_warning"] is None


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that holds the package that is running."""
    package = tmp_path / "checkout" / "ltsi"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    git(package.parent, "init", "-q")
    monkeypatch.setattr(ltsi, "__file__", str(package / "__init__.py"))
    return package.parent


def test_commit_of_the_running_code_is_recorded_with_a_mark_if_it_was_changed(store: Store, checkout: Path) -> None:
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "first")
    commit = git(checkout, "rev-parse", "HEAD")
    assert describe(store)["git_commit"] == commit
    (checkout / "ltsi" / "__init__.py").write_text("changed = True\n")
    assert describe(store)["git_commit"] == f"{commit}+"


def test_commit_of_a_foreign_repository_is_not_taken_for_ours(store: Store, checkout: Path) -> None:
    (checkout / "theirs").touch()
    git(checkout, "add", "theirs")
    git(checkout, "commit", "-qm", "a project whose virtual environment lies inside it")
    assert describe(store)["git_commit"] is None


def test_no_git_is_no_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*args: object, **kwargs: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert describe(store)["git_commit"] is None
