from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsi.errors import ConfigError, DataError
from ltsi.features.column import Column
from ltsi.features.encoder import KNOWN, MISSING, UNSEEN, EncodedColumn
from ltsi.features.tags import Tags

Fit = Callable[..., Any]
SPLIT_AT = {"kind": "tags", "separator": "|"}
tag = st.text(alphabet="aB é'.", min_size=0, max_size=3)


def bags(column: EncodedColumn) -> list[list[int]]:
    assert column.tags is not None
    codes, offsets = column.tags
    return [codes[start:end].tolist() for start, end in pairwise(offsets)]


def test_tags_by_training_events(fit_column: Fit) -> None:
    """Events of Drama 3 + 1, of Comedy 1 + 1, of Action 1; a tag counts once an item."""
    fitted, column = fit_column(["Drama", "Comedy|Drama", "Comedy|Comedy|Action"], [3, 1, 1], SPLIT_AT)
    assert fitted.space.state()["item"][0]["fitted"] == {"labels": ["Drama", "Comedy", "Action"], "separator": "|"}
    assert bags(column) == [[2], [2, 3], [3, 4], [0]]
    assert fitted.space.layout.tags == {"item.x": 2 + 3}


def test_missing_and_unseen_tags(fit_column: Fit) -> None:
    values = ["A", None, "", " | ", "New|Newer", "New|A"]
    _, column = fit_column(values, [1, 1, 1, 1, 0, 0], SPLIT_AT)
    assert bags(column) == [[2], [0], [0], [0], [1], [1, 2], [0]]
    assert column.place_I.tolist() == [KNOWN, MISSING, MISSING, MISSING, UNSEEN, KNOWN, MISSING]


def test_a_column_of_lists(fit_column: Fit) -> None:
    _, column = fit_column([["A", " B"], [], None, ["B", None]], [1, 1, 1, 1], "tags")
    assert bags(column)[:-1] == [[2, 3], [0], [0], [2]]


def test_lists_of_numbers(fit_column: Fit) -> None:
    _, column = fit_column([[7, 9], [9]], [1, 1], "tags")
    assert bags(column)[:-1] == [[2, 3], [2]]


def test_rare_tags_are_unseen(fit_column: Fit) -> None:
    _, column = fit_column(["A|rare", "A"], [1, 1], SPLIT_AT | {"min_count": 2})
    assert bags(column)[:-1] == [[1, 2], [2]]


@given(st.lists(st.lists(tag, max_size=4), min_size=1, max_size=8))
def test_text_and_lists_hold_the_same_tags(rows: list[list[str]]) -> None:
    """A tag is stripped; empty and repeated ones do not count; each row gets the codes of its set of tags."""
    ids = pl.Series("item", range(len(rows)))
    lists = Column(pl.Series("x", rows, dtype=pl.List(pl.String)), ids, "item", "features.item.x")
    text = Column(pl.Series("x", ["|".join(row) for row in rows]), ids, "item", "features.item.x")
    count = np.ones(len(rows), dtype=np.int64)
    of_lists, of_text = Tags().fit(lists, count), Tags(separator="|").fit(text, count)
    assert of_lists.labels == of_text.labels
    sets = [{entry.strip() for entry in row} - {""} for row in rows]
    assert set(of_text.labels) == set().union(*sets)
    code = {label: 2 + position for position, label in enumerate(of_text.labels)}
    expected = [sorted(code[entry] for entry in row) or [0] for row in sets]
    assert bags(of_lists.encode(lists)) == bags(of_text.encode(text)) == expected


def test_text_needs_a_separator(fit_column: Fit) -> None:
    told = r"column 'x' holds text such as 'A\|B'; say what stands between its tags: features\.item\.x\.separator="
    with pytest.raises(ConfigError, match=told):
        fit_column([None, "A|B"], [1, 1], "tags")


def test_lists_take_no_separator(fit_column: Fit) -> None:
    with pytest.raises(ConfigError, match="column 'x' holds lists, so leave separator out"):
        fit_column([["A"]], [1], SPLIT_AT)


@pytest.mark.parametrize("separator", ["", 3])
def test_a_separator_is_text(fit_column: Fit, separator: object) -> None:
    with pytest.raises(ConfigError, match=r"features\.item\.x: separator=.* must be a text such as '\|'"):
        fit_column(["A"], [1], {"kind": "tags", "separator": separator})


def test_numbers_are_no_tags(fit_column: Fit) -> None:
    with pytest.raises(DataError, match="holds Int64, neither lists nor text"):
        fit_column([1, 2], [1, 1], "tags")
