import re

import pytest

from ltsi.errors import ConfigError
from ltsi.tables import Cell, Entry, Scalar
from ltsi.workflows.datasets import run
from ltsi.workflows.prepare import source_names

GENERIC = {"table", "sequences", "recbole", "shop"}


def value(entry: Entry) -> Scalar:
    return entry.value if isinstance(entry, Cell) else entry


def about(name: str) -> dict[str, Scalar]:
    table, _ = run(name).tables
    return {str(value(key)): value(fact) for key, fact in table.rows}


def test_every_published_set_is_listed_in_both_tables() -> None:
    sizes, uses = run().tables
    names = [value(row[0]) for row in sizes.rows]
    assert set(names) == set(source_names()) - GENERIC
    assert [value(row[0]) for row in uses.rows] == names


def test_sizes_are_those_of_the_configuration() -> None:
    sizes, _ = run().tables
    beauty = {column: value(entry) for column, entry in zip(sizes.columns, _row("amazon_beauty"), strict=True)}
    assert (beauty["users"], beauty["items"], beauty["events"]) == (22_363, 12_101, 198_502)
    assert (beauty["tied steps"], beauty["from"]) == (0.439, "download")
    assert _row("amazon_beauty")[sizes.columns.index("tied steps")] == Cell(0.439, "44%")
    assert _row("tmall")[sizes.columns.index("from")] == "by hand"
    assert "licence" in sizes.data_columns


def _row(name: str) -> list[Entry]:
    sizes, _ = run().tables
    return next(list(row) for row in sizes.rows if row[0] == name)


@pytest.mark.parametrize("name", sorted(set(source_names()) - GENERIC))
def test_a_set_says_whose_it_is_and_how_to_get_it(name: str) -> None:
    facts = about(name)
    for key in ("title", "home", "licence", "citation", "behaviours", "good for", "unfit for", "files"):
        assert isinstance(facts[key], str), key
    assert str(facts["home"]).startswith(("https://", "http://"))
    assert str(facts["licence"]).endswith(".")
    if "address" in facts:
        assert facts["how to get it"] == f"ltsi prepare source={name} downloads it"
    else:
        assert str(facts["how to get it"]).endswith(". Then set source.path=FOLDER.")
    # A digest is whole or not there.
    for digest in re.findall(r"(?:sha256|md5) ([^)]*)\)", str(facts.get("address"))):
        assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{32}", digest)


def test_decay_in_wall_time_is_not_for_movielens() -> None:
    for name in ("movielens_100k", "movielens_1m", "movielens_20m", "movielens_32m"):
        assert "decay in wall time" in str(about(name)["unfit for"])


def test_settings_of_a_set_are_listed_with_their_keys() -> None:
    _, settings = run("amazon_2023").tables
    keys = {str(value(key)): value(setting) for key, setting in settings.rows}
    assert keys["source.category"] == "All_Beauty"
    assert keys["source.path"] == "null"
    assert keys["source.columns.item"] == "parent_asin"
    assert not any(key.startswith(("source.about", "source.tables", "source.reader")) for key in keys)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'movielens_1n'\. Did you mean 'movielens_1m'\? Data sets: amazon"):
        run("movielens_1n")
