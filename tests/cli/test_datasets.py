import json
import subprocess
import sys
from collections.abc import Callable

from typer.testing import Result

Run = Callable[..., Result]


def test_the_list_is_for_people_and_for_programs(run: Run) -> None:
    shown = run("datasets")
    assert shown.exit_code == 0
    assert "movielens_1m" in shown.stdout
    assert "1,000,209" in shown.stdout
    document = json.loads(run("datasets", "--format", "json").stdout)
    sizes, uses = document["tables"]
    (row,) = (row for row in sizes["rows"] if row["data set"] == "movielens_1m")
    assert row["events"] == 1_000_209
    assert "no redistribution" in row["licence"]
    assert len(uses["rows"]) == len(sizes["rows"])


def test_one_set_in_full(run: Run) -> None:
    shown = run("datasets", "lastfm").stdout
    assert "hetrec2011-lastfm-2k.zip" in shown
    assert "source.columns.user" in shown
    refused = run("datasets", "lastfn")
    assert refused.exit_code == 2
    assert "Did you mean 'lastfm'?" in refused.stderr


def test_the_list_loads_no_network_library_of_models() -> None:
    script = """
import json, sys
from ltsi.cli.main import run
sys.argv = ["ltsi", "datasets"]
try:
    run()
finally:
    print("\\n" + json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert {"torch", "pytorch_lightning", "polars", "pandas"}.isdisjoint(loaded)
