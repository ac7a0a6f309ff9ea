"""One process at a time works in a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ltsi.errors import BusyError
from ltsi.runs.folder import RunFolder
from ltsi.runs.hold import held, in_use

HOLD = """
import sys, time
from pathlib import Path
from ltsi.runs.folder import RunFolder
from ltsi.runs.hold import held

with held(RunFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_run_is_held_against_others_and_let_go_of(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with held(folder):
        assert in_use(folder)
        with (
            pytest.raises(BusyError, match=f"in {tmp_path}; wait until it has ended, or go away"),
            held(folder, ", or go away"),
        ):
            pass
        assert in_use(folder), "a refused process takes nothing away"
    assert not in_use(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert in_use(folder)
    process.kill()
    process.communicate()
    with held(folder):
        assert in_use(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rank", [1, 3])
def test_the_first_process_of_a_command_holds_it_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    folder = RunFolder(tmp_path)
    with held(folder):
        monkeypatch.setattr("ltsi.runs.hold.rank_zero_only.rank", rank)
        with held(folder):
            pass
        monkeypatch.undo()
        assert in_use(folder)
