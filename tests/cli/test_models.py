import json
import subprocess
import sys
from collections.abc import Callable

from typer.testing import Result

Run = Callable[..., Result]


def test_the_list_is_for_people_and_for_programs(run: Run) -> None:
    shown = run("models")
    assert shown.exit_code == 0
    assert "popularity" in shown.stdout
    document = json.loads(run("models", "--format", "json").stdout)
    what, keys = document["tables"]
    (row,) = (row for row in what["rows"] if row["model"] == "ease")
    assert row["learns by"] == "counts"
    assert len(what["rows"]) == len(keys["rows"])


def test_one_model_in_full(run: Run) -> None:
    shown = run("models", "item_knn").stdout
    assert "model.pair_fade" in shown
    assert "ltsi train data=STORE model=item_knn KEY=VALUE" in shown
    refused = run("models", "item_kn")
    assert refused.exit_code == 2
    assert "Did you mean 'item_knn'?" in refused.stderr


def test_names_are_completed(run: Run) -> None:
    result = run(_LTSI_COMPLETE="complete_bash", COMP_WORDS="ltsi models item", COMP_CWORD="2")
    assert result.stdout.split() == ["item_knn"]


def test_the_list_loads_no_model() -> None:
    script = """
import json, sys
from ltsi.cli.main import run
sys.argv = ["ltsi", "models", "hybrid"]
try:
    run()
finally:
    print("\\n" + json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert {"torch", "pytorch_lightning", "hydra", "polars", "pandas", "implicit"}.isdisjoint(loaded)
