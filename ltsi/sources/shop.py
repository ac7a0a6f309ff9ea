"""A synthetic shop whose truth is known.

What is planted, and what a fit should find:

- **Return hazard.** A visit is a burst of events in one category. After a visit ends, the user returns to the category
  at age `a` (days) with hazard `h(a) = floor_c + amplitude_c · exp(−λ_c · a)` for `a ≥ MIN_AGE`, zero before, the same
  for all users. This is the hazard that `decay-fit` estimates, with right censoring at the end of the log. Nothing
  about a user scales it: a multiplicative difference between users would make the pooled hazard fade by itself.
- **Weekly season.** The hazard is multiplied by a factor of the weekday with mean 1.
- **Revival.** The floor brings a faded interest back; the return lifts the hazard to its full height again.
- **Long-term taste.** Users differ in which categories they hold and from when, and in their brand in each category.
  A taste drifts: a visit to a category now and then opens its complementary category, in the same session.
- **Short-term structure.** Inside a visit the next item often follows a fixed complement of the current one; a visit
  often starts at an item the user had lately; popularity inside a category is Zipf; a visit may end in cart and buy.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl

from ltsi.engines.engine import Engine
from ltsi.errors import ConfigError
from ltsi.events import RawData
from ltsi.sources.returns import MIN_AGE, Floats, Ints, ReturnHazard, Visits, simulate_visits

START = 1_672_531_200  # 2023-01-01 00:00 UTC
BEHAVIORS = np.array(["view", "cart", "buy"])
CATEGORY_NAMES = (
    "snacks", "coffee", "toys", "books", "games", "garden", "kitchen", "sports", "fashion", "furniture",
)  # fmt: skip
BRANDS = 4  # brands in a category
MEMORY = 8  # own items of a category that a visit may go back to
COMPLEMENTS = np.array([0.5, 0.25, 0.15, 0.1])  # chances of an item's four complements
FOLLOW, LOYAL, AGAIN = (
    0.65,
    0.5,
    0.45,
)  # next item is a complement; a fresh item is of the user's brand; start at an own item
MEAN_VIEWS, CART, BUY = 3.5, 0.3, 0.6
MAX_VIEWS = 20
EVENTS = 60  # of a user in about a year
MIN_EVENTS = 10  # events a user, at least: with fewer, the log would be over before everybody has joined
VISIT_GAP, MAX_SPAN = 90.0, 7_200  # mean seconds between two events of a visit; the longest visit
ZIPF = 0.9
BRAND_DRIFT = 0.03  # chance that a visit changes the user's brand in the category


@dataclass(frozen=True)
class Shop:
    """The embedded synthetic shop.

    Attributes:
        users: number of users.
        items: number of items.
        events: number of events; the log is as long as it takes (about a year for 60 events a user).
        seed: equal seeds give equal logs.
        half_life_days: half-life of each category, days; as many categories as numbers.
        excitement: expected returns that one visit sets off before the interest has faded, each category.
        floor_per_day: return hazard that never fades, per day, each category.
    """

    users: int = 2_000
    items: int = 1_000
    events: int = 120_000
    seed: int = 7
    half_life_days: tuple[float, ...] = field(default=(3, 4, 6, 8, 11, 15, 21, 30, 42, 60))
    excitement: float = 0.9
    floor_per_day: float = 0.002

    def __post_init__(self) -> None:
        """Refuses sizes that make no shop."""
        groups = len(self.half_life_days) * BRANDS
        for key, least in (("users", 1), ("items", groups), ("events", MIN_EVENTS * self.users)):
            if getattr(self, key) < least:
                raise ConfigError(f"source.{key}={getattr(self, key)} must be at least {least}.")
        for key in ("excitement", "floor_per_day"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"source.{key}={getattr(self, key)} must be above 0.")
        if min(self.half_life_days, default=0) <= 0:
            raise ConfigError("source.half_life_days must be a list of numbers of days above 0, one a category.")

    def input_files(self) -> list[Path]:
        """Returns nothing: the shop is made up."""
        return []

    def load(self, engine: Engine) -> RawData:
        """Generates the log.

        Raises:
            ConfigError: so many events of so few users take until after today.
        """
        rng = np.random.default_rng(self.seed)
        catalogue = _Catalogue.draw(self.items, len(self.half_life_days), rng)
        hazard = ReturnHazard.from_half_life(
            np.asarray(self.half_life_days, dtype=float), self.excitement, self.floor_per_day
        )
        visits = self._visits(hazard, rng)
        item = _draw_items(visits, catalogue, self.users, rng)
        events = (
            _event_table(visits, item, catalogue, self.users, rng).head(self.events).with_row_index("row", offset=1)
        )
        events = events.with_columns(pl.col("row").cast(pl.Int64))
        self._refuse_future(int(events["time"][-1]))
        return RawData(
            events=engine.from_polars(events),
            items=nw.from_native(catalogue.table(), eager_only=True),
            truth=nw.from_native(_truth(hazard), eager_only=True),
            notes=("A synthetic log: what was planted is in truth.parquet.",),
        )

    def _refuse_future(self, last: int) -> None:
        if last <= time.time():
            return
        raise ConfigError(
            f"source.users={self.users} with source.events={self.events} makes a log that ends in "
            f"{datetime.fromtimestamp(last, UTC):%Y}, after today; set source.events={EVENTS * self.users} or "
            f"source.users={math.ceil(self.events / EVENTS)}, since {EVENTS} events a user are about a year."
        )

    def _visits(self, hazard: ReturnHazard, rng: np.random.Generator) -> Visits:
        """Simulates until there are enough events and everybody has joined.

        The end of the log is where the last event asked for is; users join in the first half of the days simulated.
        """
        days = 400 * self.events / self.users / EVENTS
        while True:
            visits = simulate_visits(self.users, hazard, days, rng, _draw_shape)
            order = np.argsort(visits.start)
            total = np.cumsum(visits.size[order])
            if total[-1] < self.events:
                days *= 1.5
            elif visits.start[order[np.searchsorted(total, self.events)]] < days / 2 * 86_400:
                days *= 0.75
            else:
                return visits


def _draw_shape(n: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draws views, carts and buys `(n, 3)` of visits, and their spans in seconds `(n,)`."""
    views = rng.geometric(1 / MEAN_VIEWS, size=n)
    cart = (rng.random(n) < CART).astype(np.int64)
    buy = cart * (rng.random(n) < BUY)
    shape = np.stack([np.minimum(views, MAX_VIEWS), cart, buy], axis=1)
    steps = shape.sum(axis=1) - 1
    span = rng.gamma(np.maximum(steps, 1), VISIT_GAP, size=n).astype(np.int64) * (steps > 0)
    return shape, np.minimum(span, MAX_SPAN)


@dataclass(frozen=True)
class _Catalogue:
    """Items, sorted by category and brand.

    Attributes:
        category: `(items,)`.
        brand: `(items,)`, brand inside the category.
        price: `(items,)`.
        complements: `(items, 4)`, items of the same category.
        edges: cumulative popularity, `(items + 1,)`; popularity sums to 1 in each category.
        first: first item of each category and brand, `(categories * BRANDS + 1,)`.
    """

    category: Ints
    brand: Ints
    price: Floats
    complements: Ints
    edges: Floats
    first: Ints

    @classmethod
    def draw(cls, items: int, categories: int, rng: np.random.Generator) -> _Catalogue:
        group = np.sort(np.arange(items) % (categories * BRANDS))
        category = group // BRANDS
        first = np.searchsorted(group, np.arange(categories * BRANDS + 1))
        popularity, complements = np.empty(items), np.empty((items, len(COMPLEMENTS)), dtype=np.int64)
        for c in range(categories):
            low, high = first[c * BRANDS], first[(c + 1) * BRANDS]
            weight = 1 / (1 + rng.permutation(high - low)) ** ZIPF
            popularity[low:high] = weight / weight.sum()
            complements[low:high] = rng.integers(low, high, size=(high - low, len(COMPLEMENTS)))
        log_price = rng.normal(0, 0.5, items) + rng.normal(3, 0.8, categories)[category]
        price = np.round(np.exp(log_price), 2).astype(np.float64)
        edges = np.concatenate([[0], np.cumsum(popularity)])
        return cls(category, group % BRANDS, price, complements, edges, first)

    def fresh(self, category: Ints, brand: Ints, rng: np.random.Generator) -> Ints:
        """Draws an item of each category by popularity, more often than not of the brand."""
        group = category * BRANDS
        loyal = rng.random(len(category)) < LOYAL
        low = self.edges[self.first[np.where(loyal, group + brand, group)]]
        high = self.edges[self.first[np.where(loyal, group + brand + 1, group + BRANDS)]]
        drawn = np.searchsorted(self.edges, low + rng.random(len(low)) * (high - low), side="right") - 1
        return np.minimum(drawn, len(self.category) - 1)

    def next(self, item: Ints, brand: Ints, rng: np.random.Generator) -> Ints:
        """Draws the item that follows another: mostly one of its complements."""
        rank = np.searchsorted(np.cumsum(COMPLEMENTS)[:-1], rng.random(len(item)), side="right")
        follow = rng.random(len(item)) < FOLLOW
        return np.where(follow, self.complements[item, rank], self.fresh(self.category[item], brand, rng))

    def table(self) -> pl.DataFrame:
        """Returns the item table; the ids are readable, their number says nothing about popularity."""
        names = np.array(_category_names(len(self.first) // BRANDS))[self.category]
        number = np.arange(len(names)) - self.first[self.category * BRANDS]
        width = max(3, len(str(number.max())))
        return pl.DataFrame(
            {
                "item": [f"{name}-{n:0{width}d}" for name, n in zip(names, number, strict=True)],
                "category": names,
                "brand": [f"{name}-brand-{b}" for name, b in zip(names, self.brand, strict=True)],
                "price": self.price,
            }
        )


def _draw_items(visits: Visits, catalogue: _Catalogue, users: int, rng: np.random.Generator) -> Ints:
    """Draws the item of every event, `(events,)`, visits in their order.

    Walks over the visits by ordinal, so that all first visits are drawn at once, then all second ones: a visit may go
    back to the items of the visits before it.
    """
    categories = len(catalogue.first) // BRANDS
    begin = np.concatenate([[0], np.cumsum(visits.size)])
    item = np.empty(begin[-1], dtype=np.int64)
    memory = np.full((users * categories, MEMORY), -1, dtype=np.int64)
    brand = rng.integers(0, BRANDS, size=users * categories)
    bounds = np.searchsorted(visits.ordinal, np.arange(visits.ordinal[-1] + 2))
    for low, high in pairwise(bounds):
        pair = visits.user[low:high] * categories + visits.category[low:high]
        drift = rng.random(len(pair)) < BRAND_DRIFT
        brand[pair[drift]] = rng.integers(0, BRANDS, size=int(drift.sum()))
        views, total = visits.shape[low:high, 0], visits.size[low:high]
        current = _first_item(catalogue, memory[pair], visits.category[low:high], brand[pair], rng)
        for position in range(int(total.max())):
            viewing = np.flatnonzero(position < views)
            if position and len(viewing):
                current[viewing] = catalogue.next(current[viewing], brand[pair[viewing]], rng)
            memory[pair[viewing], 1:] = memory[pair[viewing], :-1]
            memory[pair[viewing], 0] = current[viewing]
            there = np.flatnonzero(position < total)
            item[begin[low:high][there] + position] = current[there]
    return item


def _first_item(catalogue: _Catalogue, memory: Ints, category: Ints, brand: Ints, rng: np.random.Generator) -> Ints:
    """Draws where visits start: at one of the user's own recent items, or afresh."""
    slot = np.minimum(rng.geometric(0.35, size=len(memory)) - 1, MEMORY - 1)
    own = memory[np.arange(len(memory)), slot]
    again = (rng.random(len(memory)) < AGAIN) & (own >= 0)
    return np.where(again, own, catalogue.fresh(category, brand, rng))


def _event_table(
    visits: Visits, item: Ints, catalogue: _Catalogue, users: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Returns the events in order of time."""
    size = visits.size
    visit = np.repeat(np.arange(len(size)), size)
    position = np.arange(len(item)) - np.repeat(np.cumsum(size) - size, size)
    # Between its first and its last event, a visit's events lie at sorted uniform times: a Poisson process.
    share = rng.random(len(item))
    share = share[np.lexsort((share, visit))]
    share[position == 0] = 0.0
    share[position == size[visit] - 1] = 1.0
    share[size[visit] == 1] = 0.0
    # One second more per event: a visit has no two events of one second.
    seconds = START + visits.start[visit] + np.floor(share * visits.span[visit]).astype(np.int64) + position
    views, carts = visits.shape[visit, 0], visits.shape[visit, 1]
    behavior = (position >= views).astype(np.int64) + (position >= views + carts)
    order = np.lexsort((position, visit, seconds))
    width = len(str(users - 1))
    names = np.array([f"u{user:0{width}d}" for user in range(users)])
    return pl.DataFrame(
        {
            "user": names[visits.user[visit]][order],
            "item": catalogue.table()["item"].to_numpy()[item][order],
            "time": seconds[order],
            "behavior": BEHAVIORS[behavior][order],
            "value": np.where(behavior == 2, catalogue.price[item], 0.0)[order],
        }
    )


def _truth(hazard: ReturnHazard) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "category": _category_names(len(hazard.decay)),
            "lambda_per_day": hazard.decay,
            "half_life_days": np.log(2) / hazard.decay,
            "amplitude_per_day": hazard.amplitude,
            "floor_per_day": hazard.floor,
            "min_age_days": np.full(len(hazard.decay), MIN_AGE),
        }
    )


def _category_names(n: int) -> list[str]:
    return [CATEGORY_NAMES[i] if i < len(CATEGORY_NAMES) else f"category{i:02d}" for i in range(n)]
