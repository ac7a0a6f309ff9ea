"""Recommendations of a run: the ranking that evaluation ranks with, in parts that add up, for one user or for all."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import Result

from ltsi.runs.folder import RunFolder
from ltsi.serving.decay_aware import State
from ltsi.serving.known_states import KnownStates
from ltsi.store import Store, open_store

Ltsi = Callable[..., Result]
Train = Callable[..., RunFolder]
Refused = Callable[..., str]

PARTS = ("short", "long", "linear", "transitions", "repeats", "returns", "trend")
"""Components of the hybrid."""
DAY = 86_400


def rows(ltsi: Ltsi, *arguments: str) -> list[dict[str, Any]]:
    shown = json.loads(ltsi("recommend", "run", *arguments, "--format", "json").stdout)
    found: list[dict[str, Any]] = shown["tables"][0]["rows"]
    return found


@pytest.mark.parametrize(("model", "seen"), [("exp_decay", "keep"), ("hybrid", "hide")])
def test_a_place_is_the_rank_that_evaluation_found(train: Train, ltsi: Ltsi, model: str, seen: str) -> None:
    run = train(model, f"seen={seen}", "max_length=7", "trainer.max_epochs=1")
    ltsi("eval", "run=run")
    store, table = open_store(run.environment["store_path"]), run.per_user("test")
    users = store.users["user"].to_list()
    hits = 0
    for row in table.head(6).iter_rows(named=True):
        last = int(store.offsets[users.index(row["user"]) + 1]) - 1
        found = rows(ltsi, "--user", row["user"], "--at", str(int(store.time[last])), "--k", "60")
        scores = [one["score"] for one in found]
        place = {one["item"]: one["place"] for one in found}
        assert scores == sorted(scores, reverse=True)
        if model == "hybrid":
            assert [sum(one[name] for name in PARTS) for one in found] == pytest.approx(scores, abs=1e-4)
        if row["rank"] <= store.n_items:
            same = sum(score == scores[place[row["target"]] - 1] for score in scores)
            assert same > 1 or place[row["target"]] == row["rank"]
            hits += same == 1
        else:
            assert row["target"] not in place
    assert hits >= 2


def test_fewer_items_than_were_asked_for_are_explained(trained: Train, ltsi: Ltsi, shop: Path) -> None:
    trained("popularity")
    store = open_store(str(shop))
    counted = len(np.unique(np.concatenate([store.item[a : b - 2] for a, b in pairwise(store.offsets)])))
    said = " ".join(ltsi("recommend", "run", "--user", "u10", "--k", "1000").stdout.split())
    if counted == store.n_items:
        assert f"These are all items of the catalogue, {store.n_items} and not 1000." in said
    else:
        assert f"popularity gives no other item a probability, so there are {counted} and not 1000." in said
    ltsi("train", "model=exp_decay", f"data={shop}", "seen=hide", "hydra.run.dir=hide")
    said = " ".join(ltsi("recommend", "hide", "--user", "u10", "--k", "1000").stdout.split())
    user = store.users["user"].to_list().index("u10")
    seen = len(np.unique(store.item[store.offsets[user] : store.offsets[user + 1]]))
    left = f"{store.n_items - seen} and not 1000."
    assert f"These are all items of the catalogue but the {seen} that the user has seen, {left}" in said


def test_all_users_get_what_each_would_get(trained: Train, ltsi: Ltsi, shop: Path) -> None:
    trained("exp_decay")
    ltsi("recommend", "run", "--all", "--k", "3")
    table = pl.read_parquet("run/recommendations.parquet")
    store = open_store(str(shop))
    assert table["user"].unique(maintain_order=True).to_list() == store.users["user"].to_list()
    assert table.height == 3 * store.n_users
    of_one = table.filter(pl.col("user") == store.users["user"][5]).drop("user", "history_length")
    assert of_one.to_dicts() == rows(ltsi, "--user", store.users["user"][5], "--k", "3")
    ltsi("recommend", "run", "--all", "--k", "3", "--output", "out/all.csv")
    assert pl.read_csv("out/all.csv")["item"].to_list() == table["item"].to_list()
    assert [path.name for path in Path("out").iterdir()] == ["all.csv"]


def test_who_has_no_history_gets_what_everybody_takes(trained: Train, ltsi: Ltsi, shop: Path) -> None:
    trained("exp_decay")
    store = open_store(str(shop))
    user = store.users["user"][0]
    shown = ltsi("recommend", "run", "--user", user, "--at", "2001-01-01", "--k", "60").stdout
    assert "has no event before 2001-01-01 00:00:00: this is what everybody takes" in shown
    found = [row["item"] for row in rows(ltsi, "--user", user, "--at", "2001-01-01", "--k", "2")]
    # The last two events of each user are held out.
    kept = np.concatenate([store.item[a : b - 2] for a, b in zip(store.offsets, store.offsets[1:], strict=False)])
    counts = np.bincount(kept, minlength=60)
    assert counts[[store.items["item"].to_list().index(item) for item in found]].tolist() == sorted(counts)[:-3:-1]


def test_what_the_model_knows_of_later_is_told(trained: Train, ltsi: Ltsi, shop: Path) -> None:
    trained("popularity", "split=global_time")
    store = open_store(str(shop))
    test_starts = int(np.quantile(store.time, 0.95))
    said = [
        " ".join(ltsi("recommend", "run", *who, "--at", at).stdout.split())
        for who in (("--user", str(store.users["user"][0])), ("--all",))
        for at in (str(int(np.median(store.time))), "2011", str(test_starts))
    ]
    learned = ["The model has learned from events up to 20" in one for one in said]
    assert learned == [True, False, False] * 2
    before = ["--at 2011 is 1970-01-01 00:33:31, and the log begins at 20" in one for one in said]
    assert before == [False, True, False] * 2


def test_what_makes_no_sense_is_refused_in_a_sentence(refused: Refused, trained: Train, ltsi: Ltsi) -> None:
    trained("popularity")
    said = refused("recommend", "run", "--user", "u7x")
    assert "Store 'shop' has no user 'u7x' among its 60. Did you mean one of: u" in said
    assert "give --user U or --all" in refused("recommend", "run", exit_code=2)
    assert "give --user U or --all" in refused("recommend", "run", "--user", "u0001", "--all", exit_code=2)
    assert "--k 0 recommends nothing" in refused("recommend", "run", "--all", "--k", "0", exit_code=2)
    said = refused("recommend", "run", "--all", "--at", "1318896000000", exit_code=2)
    assert "--at 1318896000000 looks like milliseconds or a finer unit" in said
    assert "--at yesterday is not a time" in refused("recommend", "run", "--all", "--at", "yesterday", exit_code=2)
    assert "must end in .parquet or .csv" in refused("recommend", "run", "--all", "--output", "all.xlsx", exit_code=2)
    assert "give --all" in refused("recommend", "run", "--user", "u0001", "--output", "one.csv", exit_code=2)
    assert not list(Path().rglob("*.partial"))
    result = ltsi("recommend", "nowhere", "--all", exit_code=1)
    assert "There is no folder nowhere" in result.stderr


def test_a_run_of_clicks_is_refused(refused: Refused, train: Train) -> None:
    train("popularity", "objective=click")
    assert "recommend needs a model of the next item, and run run was trained with objective=click" in refused(
        "recommend", "run", "--all"
    )


def test_fading_interests_give_way(trained: Train, ltsi: Ltsi, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in says that the best category of the plain order is dormant, and all others are steady."""
    trained("exp_decay")
    user = open_store(str(shop)).users["user"][0]
    plain = rows(ltsi, "--user", user, "--k", "60")
    favourite = plain[0]["category"]

    def states(store: Store, at: int | None, n_categories: int, user: int | None) -> KnownStates:
        assert user == 0
        assert at is not None
        labels = store.item_codes("category")[1]
        state = np.array([State.dormant if label == favourite else State.steady for label in labels], np.int8)
        nobody_else = np.zeros(n_categories, np.int64)
        return KnownStates(nobody_else, np.arange(n_categories), state, n_categories)

    monkeypatch.setattr("ltsi.workflows.recommend._states", states)
    aware = rows(ltsi, "--user", user, "--k", "60", "--strategy", "decay-aware")
    model = {row["item"]: row["score"] for row in plain}
    for row in aware:
        expected = np.log(0.1) if row["category"] == favourite else 0.0
        assert row["interest"] == pytest.approx(expected)
        assert row["model"] == pytest.approx(model[row["item"]])
        assert row["model"] + row["interest"] == pytest.approx(row["score"], abs=1e-6)
        assert row["state"] == ("dormant" if row["category"] == favourite else "steady")


def test_after_the_end_of_the_log_no_interest_falls_dormant(
    trained: Train, ltsi: Ltsi, refused: Refused, shop: Path
) -> None:
    trained("exp_decay")
    store = open_store(str(shop))
    last, user = int(store.time.max()), store.users["user"][0]
    at_end, later = (
        {row["item"]: row["state"] for row in rows(ltsi, "--user", user, "--k", "60", *aware)}
        for aware in (
            ("--strategy", "decay-aware"),
            ("--strategy", "decay-aware", "--at", str(last + 1 + 60 * DAY)),
        )
    )
    assert later == at_end
    shown = ltsi("recommend", "run", "--user", user, "--at", str(last + 1 + 3 * DAY)).stdout
    assert "is 3.0 days after the end of the log (" in shown
    assert "nothing was observed since, and the model takes it for silence of the user" in " ".join(shown.split())
    span = last - int(store.time.min())
    far = ("--at", str(last + 2 + span), "--output", "all.csv")
    assert "longer than the log itself" in refused("recommend", "run", "--all", *far)


def test_before_the_log_all_interests_are_new(trained: Train, ltsi: Ltsi, shop: Path) -> None:
    trained("popularity")
    asked = ("--user", open_store(str(shop)).users["user"][0], "--at", "2001-01-01")
    aware = rows(ltsi, *asked, "--strategy", "decay-aware")
    assert {row["state"] for row in aware} == {"new"}
    assert [row["item"] for row in aware] == [row["item"] for row in rows(ltsi, *asked)]


def test_who_has_no_history_yet_keeps_the_plain_order(trained: Train, ltsi: Ltsi, shop: Path) -> None:
    trained("popularity")
    store = open_store(str(shop))
    first = np.asarray(store.time)[store.offsets[:-1]]
    user = int(first.argmax())  # the last to come: others have a history by then
    asked = ("--user", store.users["user"][user], "--at", str(int(first[user])))
    aware = rows(ltsi, *asked, "--strategy", "decay-aware")
    assert {row["state"] for row in aware} == {"new"}
    assert [row["item"] for row in aware] == [row["item"] for row in rows(ltsi, *asked)]


def test_items_are_named_by_their_title(ltsi: Ltsi, make_store: Callable[..., Store], train: Train) -> None:
    store = make_store(*[[(u % 5, 100), ((u + 1) % 5, 200), ((u + 2) % 5, 300)] for u in range(8)])
    path = store.path / "items.parquet"
    pl.read_parquet(path).with_columns(Description=pl.format("It's item {}", "item"), Title=None).write_parquet(path)
    train("popularity", f"data={store.path}")
    assert list(rows(ltsi, "--user", "3", "--k", "1")[0]) == ["place", "item", "Title", "score"]
    pl.read_parquet(path).drop("Title").write_parquet(path)
    first = rows(ltsi, "--user", "3", "--k", "1")[0]
    assert first["Description"] == f"It's item {first['item']}"


def test_without_categories_there_is_nothing_to_be_aware_of(
    refused: Refused, make_store: Callable[..., Store], train: Train
) -> None:
    store = make_store(*[[(u % 5, 100), ((u + 1) % 5, 200), ((u + 2) % 5, 300)] for u in range(8)])
    train("popularity", f"data={store.path}")
    asked = ("recommend", "run", "--all", "--strategy", "decay-aware")
    assert "have no column 'category'; prepare it with one" in refused(*asked)
    path = store.path / "items.parquet"
    pl.read_parquet(path).with_columns(category=pl.lit(None, dtype=pl.String)).write_parquet(path)
    assert "have no value in the column 'category'; prepare it with one" in refused(*asked)


def test_a_list_of_categories_is_shown_as_the_category_that_it_is(
    ltsi: Ltsi, make_store: Callable[..., Store], train: Train
) -> None:
    day = 86_400
    store = make_store(*[[((u + i) % 5, day * (100 + 9 * i + u)) for i in range(4)] for u in range(8)])
    path = store.path / "items.parquet"
    category = [["a", "b"], ["a"], [], None, ["a", "b"]]
    pl.read_parquet(path).with_columns(category=pl.Series(category, dtype=pl.List(pl.String))).write_parquet(path)
    label = dict(zip(store.items["item"], ["a, b", "a", "(none)", "(none)", "a, b"], strict=True))
    train("exp_decay", f"data={store.path}", "seen=keep")
    for strategy in ("plain", "decay-aware"):
        asked = ("--k", "5", "--strategy", strategy)
        found = rows(ltsi, "--user", "3", *asked)
        assert {row["item"]: row["category"] for row in found} == label
        assert "a, b" in ltsi("recommend", "run", "--user", "3", *asked).stdout
        ltsi("recommend", "run", "--all", *asked, "--output", "all.csv")
        table = pl.read_csv("all.csv", infer_schema=False)
        assert table.filter(user="3")["category"].to_list() == [row["category"] for row in found]
    # A list is one interest: what the user has had of it is not new, also in another item.
    state = {row["category"]: row["state"] for row in found}
    assert state.keys() == {"a, b", "a", "(none)"}
    # Without a category there is no interest to consider.
    assert state["(none)"] is None
    assert {row["interest"] for row in found if row["category"] == "(none)"} == {0.0}
    assert all(len({row["state"] for row in found if row["category"] == one}) == 1 for one in label.values())
