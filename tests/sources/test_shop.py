from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest

from ltsi.engines.polars import Polars
from ltsi.errors import ConfigError
from ltsi.events import validate_events
from ltsi.sources.returns import MIN_AGE, SEASON
from ltsi.sources.shop import Shop

WORK = TemporaryDirectory(prefix="ltsi-test-")
engine = Polars(Path(WORK.name))


DAY = 86_400


def load(**settings: Any) -> pl.DataFrame:
    """Generate a log with the facts about its items."""
    raw = Shop(**settings).load(engine)
    events = validate_events(raw.events, "shop").collect().to_polars()
    assert raw.items is not None
    return events.join(raw.items.to_polars(), on="item", how="left").sort("row")


@pytest.fixture(scope="module")
def shop() -> pl.DataFrame:
    return load()


def test_the_default_is_about_a_year_of_two_thousand_users(shop: pl.DataFrame) -> None:
    assert (shop["user"].n_unique(), shop["item"].n_unique(), len(shop)) == (2_000, 1_000, 120_000)
    assert 300 < (shop["time"].max() - shop["time"].min()) / DAY < 430  # type: ignore[operator]
    assert shop["category"].n_unique() == 10
    assert shop["time"].is_sorted()


@pytest.mark.parametrize(
    ("users", "items", "events"), [(1, 40, 10), (50, 100, 500), (300, 60, 30_000), (500, 40, 5_000)]
)
def test_any_size(users: int, items: int, events: int) -> None:
    log = load(users=users, items=items, events=events)
    assert len(log) == events
    assert log["user"].n_unique() == users
    assert log["item"].n_unique() <= items


def test_more_events_than_users_have_had_time_for_are_refused() -> None:
    sentence = (
        r"source\.users=20 with source\.events=120000 makes a log that ends in 2\d{3}, after today; "
        r"set source\.events=1200 or source\.users=2000, since 60 events a user are about a year\."
    )
    with pytest.raises(ConfigError, match=sentence):
        load(users=20)
    assert len(load(users=20, events=1_200)) == 1_200


def test_equal_seeds_give_equal_logs() -> None:
    size = {"users": 100, "items": 100, "events": 3_000}
    assert load(**size, seed=1).equals(load(**size, seed=1))
    assert not load(**size, seed=1).equals(load(**size, seed=2))


def test_the_truth_says_what_was_asked_for() -> None:
    raw = Shop(users=10, events=100, half_life_days=(2, 20), excitement=0.5, floor_per_day=0.01).load(engine)
    assert raw.truth is not None
    truth = raw.truth.to_polars()
    assert truth["half_life_days"].to_list() == pytest.approx([2, 20])
    assert truth["lambda_per_day"].to_list() == pytest.approx([np.log(2) / 2, np.log(2) / 20])
    assert truth["floor_per_day"].to_list() == [0.01, 0.01]
    # Returns that one visit sets off: the integral of amplitude · exp(−λ·a) from MIN_AGE on.
    rate = truth["lambda_per_day"].to_numpy()
    returns = truth["amplitude_per_day"].to_numpy() * np.exp(-rate * MIN_AGE) / rate
    assert returns == pytest.approx([0.5, 0.5])


def test_returns_follow_the_planted_hazard(shop: pl.DataFrame) -> None:
    """Time-rescaling: under the true hazard, the hazard accumulated between two visits is exponential with mean 1.

    Censored waits are put on the same scale by comparing counts with what the hazard expects, in bins of age.
    """
    raw = Shop().load(engine)
    assert raw.truth is not None
    waits = _waits(shop).join(raw.truth.to_polars(), on="category")
    edges = np.array([0.5, 2, 5, 10, 20, 40, 80, 400])
    for bin_low, bin_high in pairwise(edges):
        inside = waits.filter(pl.col("age") > bin_low)
        reached = inside["age"].clip(upper_bound=bin_high).to_numpy()
        returned = (inside["returned"] & (inside["age"] <= bin_high)).sum()
        expected = (_cumulated(inside, reached) - _cumulated(inside, np.full(len(inside), bin_low))).sum()
        assert abs(returned - expected) < 4 * np.sqrt(expected), f"ages {bin_low} to {bin_high} days"


def test_no_user_returns_more_eagerly_than_another(shop: pl.DataFrame) -> None:
    """A difference between users would make the pooled hazard fade with age by itself."""
    raw = Shop().load(engine)
    assert raw.truth is not None
    waits = _waits(shop).join(raw.truth.to_polars(), on="category")
    expected = _cumulated(waits, waits["age"].to_numpy()) - _cumulated(waits, np.full(len(waits), MIN_AGE))
    by_user = (
        waits.with_columns(expected=expected).group_by("user").agg(pl.col("returned").sum(), pl.col("expected").sum())
    )
    # Counts minus compensators are martingales: their variance is the compensator, so the ratio below has mean 1.
    surplus = (by_user["returned"] - by_user["expected"]).to_numpy()
    ratio = (surplus**2).sum() / by_user["expected"].to_numpy().sum()
    assert 0.85 < ratio < 1.15


def test_the_week_has_a_season(shop: pl.DataFrame) -> None:
    visits = _visits(shop).filter(pl.col("nth") > 0)
    weekday = ((visits["start"] // DAY + 3) % 7).to_numpy()  # 1970-01-01 was a Thursday
    share = np.bincount(weekday, minlength=7) / len(weekday) * 7
    assert np.corrcoef(share, SEASON)[0, 1] > 0.9


def test_a_visit_is_a_burst_in_one_category(shop: pl.DataFrame) -> None:
    visits = _visits(shop)
    assert visits["events"].mean() == pytest.approx(4.0, abs=0.3)
    assert (visits["end"] - visits["start"]).max() < MIN_AGE * DAY  # type: ignore[operator]
    sessions = shop.sort("user", "row").filter(pl.col("time").diff().over("user") < 600)
    assert len(sessions) > len(shop) / 2


def test_carts_follow_views_and_purchases_follow_carts(shop: pl.DataFrame) -> None:
    ordered = shop.sort("user", "category", "row").with_columns(
        before=pl.col("behavior").shift().over("user", "category"),
        same_item=pl.col("item") == pl.col("item").shift().over("user", "category"),
    )
    assert ordered.filter(pl.col("behavior") == "cart")["before"].unique().to_list() == ["view"]
    assert ordered.filter(pl.col("behavior") == "buy")["before"].unique().to_list() == ["cart"]
    assert ordered.filter(pl.col("behavior") != "view")["same_item"].all()


def test_money_is_spent_on_purchases_only(shop: pl.DataFrame) -> None:
    spent = pl.when(pl.col("behavior") == "buy").then("price").otherwise(0.0)
    assert shop.select((pl.col("value") == spent).all()).item()


def test_what_a_model_can_learn_beats_popularity(shop: pl.DataFrame) -> None:
    steps = shop.sort("user", "row").with_columns(previous=pl.col("item").shift().over("user"))
    steps = steps.filter(pl.col("behavior") == "view", pl.col("previous") != pl.col("item"))
    popular = _share_of_top(steps, [], 4)
    assert _share_of_top(steps, ["previous"], 4) > 5 * popular
    own = 1 - steps.select("user", "item").n_unique() / len(steps)
    assert own > 5 * popular


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"users": 0}, r"source\.users=0 must be at least 1"),
        ({"items": 39}, r"source\.items=39 must be at least 40"),
        ({"events": 19_999}, r"source\.events=19999 must be at least 20000"),
        ({"excitement": 0}, r"source\.excitement=0 must be above 0"),
        ({"floor_per_day": -1}, r"source\.floor_per_day=-1 must be above 0"),
        ({"half_life_days": (3, 0)}, r"source\.half_life_days must be a list of numbers of days above 0"),
        ({"half_life_days": ()}, r"source\.half_life_days must be"),
    ],
)
def test_sizes_that_make_no_shop_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Shop(**settings)


def _visits(log: pl.DataFrame) -> pl.DataFrame:
    pair = ["user", "category"]
    opens = (pl.col("time").diff().over(pair) >= MIN_AGE * DAY).fill_null(value=True)
    marked = log.sort(*pair, "row").with_columns(nth=opens.cast(pl.Int64).cum_sum().over(pair) - 1)
    return marked.group_by(*pair, "nth").agg(start=pl.col("time").min(), end=pl.col("time").max(), events=pl.len())


def _waits(log: pl.DataFrame) -> pl.DataFrame:
    """Return how long each visit waited for the next one, or for the end of the log."""
    following = pl.col("start").shift(-1).over("user", "category")
    age = (following.fill_null(log["time"].max()) - pl.col("end")) / DAY
    visits = _visits(log).sort("user", "category", "nth").with_columns(returned=following.is_not_null(), age=age)
    return visits.filter(pl.col("age") > MIN_AGE)


def _cumulated(waits: pl.DataFrame, age: np.ndarray) -> np.ndarray:
    rate, floor = waits["lambda_per_day"].to_numpy(), waits["floor_per_day"].to_numpy()
    fading = waits["amplitude_per_day"].to_numpy() / rate * (1 - np.exp(-rate * age))
    cumulated: np.ndarray = floor * age + fading
    return cumulated


def _share_of_top(steps: pl.DataFrame, given: list[str], k: int) -> float:
    """Return how many steps go to one of the k most frequent items, given some columns."""
    counts = steps.group_by([*given, "item"]).len()
    rank = pl.col("len").rank("ordinal", descending=True)
    return float(counts.filter((rank.over(given) if given else rank) <= k)["len"].sum()) / len(steps)
