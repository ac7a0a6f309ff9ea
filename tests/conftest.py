"""Fixtures for every test."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Undo what Hydra does to logging: its handlers would write into streams that pytest has closed."""
    loggers = [logging.getLogger(name) for name in (None, "ltsi", "ltsi.failure")]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


@pytest.fixture(autouse=True)
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepare and open stores in the folder of the test, never in the checkout."""
    root = tmp_path / "data"
    monkeypatch.setenv("LTSI_DATA", str(root))
    return root


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Return the folder of real logs; tests that need it are skipped where there is none."""
    folder = os.environ.get("LTSI_REALDATA")
    if not folder:
        pytest.skip("LTSI_REALDATA does not say where the real logs are")
    path = Path(folder)
    if not path.is_dir():
        pytest.skip(f"LTSI_REALDATA={folder} is not a folder")
    return path
