import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

import ltsi.conf

Run = Callable[..., Result]
MODELS = sorted(path.stem for path in (Path(ltsi.conf.__file__).parent / "model").glob("*.yaml"))


def test_every_model_is_listed_with_what_it_is_and_where_it_comes_from(run: Run) -> None:
    (table,) = json.loads(run("models", "--format", "json").stdout)["tables"]
    rows = {row["model"]: row for row in table["rows"]}
    assert list(rows) == MODELS
    assert all(row["what it is"] and row["learns by"] and row["source"] for row in rows.values())
    assert {rows[name]["learns by"] for name in ("transitions", "ease", "mf", "trend")} == {"counting"}
    assert rows["gru"]["learns by"] == "gradient"
    assert rows["hybrid"]["learns by"] == "counting and gradient; weights by validation"
    assert "hidden=128" in rows["lstm"]["parameters"]
    assert "Kang & McAuley 2018" in rows["transformer"]["source"]


def test_one_model_in_full(run: Run) -> None:
    shown = run("models", "hybrid", "--format", "json").stdout
    about, settings = json.loads(shown)["tables"]
    assert "sum of its components' parts" in json.dumps(about)
    keys = {row["key"]: row["default"] for row in settings["rows"]}
    assert keys["model.components.long.hidden"] == "128"
    assert keys["model.gate"] == "true"
    assert not any(key.endswith(("n_items", "_target_", "name")) for key in keys)


def test_a_misspelt_model_is_answered_with_the_nearest(run: Run) -> None:
    refused = run("models", "transfomer")
    assert refused.exit_code == 2
    assert "Did you mean 'transformer'?" in refused.stderr
