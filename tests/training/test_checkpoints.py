from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ltsi.errors import RunError
from ltsi.models.popularity import Popularity
from ltsi.training.checkpoints import AtomicCheckpointIO, load_model, read_checkpoint


def checkpoint(*counts: float) -> dict[str, Any]:
    return {"state_dict": {"model.count_I": torch.tensor(counts), "loss.weight": torch.zeros(1)}, "epoch": 3}


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "best.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint(1, 2), path)
    found = read_checkpoint(path)
    assert found["epoch"] == 3
    assert found["state_dict"]["model.count_I"].tolist() == [1, 2]
    assert [entry.name for entry in path.parent.iterdir()] == ["best.ckpt"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write failed")])
def test_a_disk_that_refuses_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    path = tmp_path / "best.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint(1, 2), path)

    def fail(found: Any, place: Path) -> None:
        place.write_bytes(b"a piece")
        raise failure

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RunError, match=r"best.ckpt cannot be written \(.*(space|write failed).*\); make"):
        AtomicCheckpointIO().save_checkpoint(checkpoint(3, 4), path)
    assert read_checkpoint(path)["state_dict"]["model.count_I"].tolist() == [1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["best.ckpt"]


def test_a_full_disk_is_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's archive tells of positions in its file."""

    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 372480 vs 372372")

    monkeypatch.setattr(torch, "save", fail)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4096))
    with pytest.raises(RunError, match=r"best.ckpt cannot be written \(No space left on device\); make"):
        AtomicCheckpointIO().save_checkpoint(checkpoint(1, 2), tmp_path / "best.ckpt")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("touched"),)


def test_reading_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, "evil.ckpt")
    with pytest.raises(RunError, match=r"evil\.ckpt holds something else than tensors and plain data; train again"):
        read_checkpoint(Path("evil.ckpt"))
    assert not Path("touched").exists()


@pytest.mark.parametrize("size", [0, 10, 700])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "best.ckpt"
    torch.save(checkpoint(1, 2), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(RunError, match=r"best.ckpt .*; train again\.$"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [{"weights": 1}, [1, 2], 7, torch.zeros(2)])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "best.ckpt"
    torch.save(content, path)
    with pytest.raises(RunError, match=r"best.ckpt .*; train again\.$"):
        read_checkpoint(path)


def test_weights_and_statistics_go_into_a_model(tmp_path: Path) -> None:
    path, model = tmp_path / "best.ckpt", Popularity(2)
    torch.save(checkpoint(1, 2), path)
    load_model(model, path)
    assert model.count_I.tolist() == [1, 2]


def test_a_checkpoint_of_another_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    torch.save({"state_dict": {"model.other": torch.zeros(1)}}, path)
    with pytest.raises(RunError, match=r"best.ckpt does not fit the model in the run's config.yaml: [^\n]+\.$"):
        load_model(Popularity(2), path)
