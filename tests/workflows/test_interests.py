"""States of interests through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import Result

from ltsi.intensity.options import STATES
from ltsi.store import Store, open_store
from ltsi.workflows.decay_page import _interests

Ltsi = Callable[..., Result]
DAY = 86_400


def test_interests_are_counted_and_written(ltsi: Ltsi, shop: Path) -> None:
    said = json.loads(ltsi("interests", f"data={shop}", "hydra.run.dir=out", "--format", "json").stdout)
    by_category, at_risk = said["tables"]
    interests, users = (pl.read_parquet(f"out/{name}.parquet") for name in ("interests", "users"))
    store = open_store(str(shop))
    assert interests["events"].sum() == store.n_events
    assert interests.select("user", "entity").is_unique().all()
    assert users.height == store.n_users
    for row in by_category["rows"]:
        states = interests.filter(pl.col("entity") == row["category"])["state"]
        assert [row[name] for name in STATES] == [(states == name).sum() for name in STATES]
    risks = [row["risk"] for row in at_risk["rows"]]
    assert risks == sorted(risks, reverse=True)
    # Risks are put right by what came of those of four weeks before.
    told = next(line for line in said["messages"] if line.startswith("Risks are calibrated"))
    now = int(store.time.max()) + 1
    earlier, later = (store.time < now - 28 * DAY), (store.time >= now - 28 * DAY)
    user = np.repeat(np.arange(store.n_users), np.diff(store.offsets))
    known = np.unique(user[earlier])
    assert f"{np.mean(~np.isin(known, user[later])):.1%} of {len(known)} users did nothing" in told
    # And forecasts by what came of the interests of then.
    category = store.items["category"].to_numpy()[store.item]
    pairs = np.array([f"{u} {c}" for u, c in zip(user, category, strict=True)])
    came = np.isin(pairs[later], np.unique(pairs[earlier])).sum()
    assert f"forecasts on the {came:,} events that then came of their interests" in told
    assert users["risk"].is_between(0, 1).all()
    floats = [name for name in interests.columns if interests[name].dtype.is_float()]
    assert not any(interests[name].is_nan().any() for name in floats)


def test_a_user_is_shown_alone(ltsi: Ltsi, shop: Path) -> None:
    whole = json.loads(ltsi("interests", f"data={shop}", "hydra.run.dir=out", "--format", "json").stdout)
    assert whole["tables"]
    user = pl.read_parquet("out/interests.parquet")["user"][0]
    said = json.loads(ltsi("interests", f"data={shop}", f"user={user}", "--format", "json").stdout)
    (table,) = said["tables"]
    every = pl.read_parquet("out/interests.parquet").filter(pl.col("user") == user)
    assert {row["entity"]: row["state"] for row in table["rows"]} == dict(
        zip(every["entity"].to_list(), every["state"].to_list(), strict=True)
    )


def test_too_few_users_to_learn_from_are_said_to_be(ltsi: Ltsi, make_store: Callable[..., Store]) -> None:
    store = make_store(*[[(place % 3, place * DAY) for place in range(90)]] * 9)
    shown = ltsi("interests", f"data={store.path}").stdout
    assert "Users who were there 4 weeks before now: 9, too few to learn from; risks and forecasts are not cal" in shown
    assert "are not shown" not in shown, "nobody is left out"


def test_what_came_back_at_some_time_and_what_is_revived_are_told_apart(
    ltsi: Ltsi, make_store: Callable[..., Store]
) -> None:
    def active(*weeks: int) -> list[tuple[int, int]]:
        return [(0, week * 7 * DAY + place * 3_600) for week in weeks for place in range(10)]

    gone, revived = active(*range(8), *range(28, 34)), active(*range(8), *range(44, 50))
    store = make_store(*[gone] * 6, *[revived] * 6, name="returns")
    said = json.loads(ltsi("interests", f"data={store.path}", "--format", "json").stdout)
    told = "Of 12 interests that came back at some time, whatever they are now, 12 were not watched a year before"
    assert any(line.startswith(told) for line in said["messages"])
    came_back = _interests(store, "all")[0]
    assert len(came_back.rows) == 6
    assert came_back.notes[0].startswith("6 in all that are revived now. Not among them: those that have since fallen")


def test_items_without_a_label_are_said_to_be_no_interest(ltsi: Ltsi, make_store: Callable[..., Store]) -> None:
    users = [[(item, week * 7 * DAY + user) for week in range(30) for item in (0, 2)] for user in range(6)]
    store = make_store(*users, [(0, 0), (0, 20 * 7 * DAY)], category=["a", "b", None])
    by_category = json.loads(ltsi("interests", f"data={store.path}", "hydra.run.dir=out", "--format", "json").stdout)
    told = "(none): 1 of 3 items without a value in 'category', counted together"
    assert any(note.startswith(told) for note in by_category["tables"][0]["notes"])
    table = pl.read_parquet("out/interests.parquet")
    assert table.filter(pl.col("flag") == "no label")["entity"].unique().to_list() == ["(none)"]
    assert table.filter(entity="(none)")["flag"].null_count() == 0
    for user, is_told in (("0", True), ("6", False)):
        (shown,) = json.loads(ltsi("interests", f"data={store.path}", f"user={user}", "--format", "json").stdout)[
            "tables"
        ]
        assert any(note.startswith(told) for note in shown["notes"]) == is_told


def date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_after_the_end_of_the_log_nobody_is_silent(ltsi: Ltsi, shop: Path) -> None:
    """Nobody was watched there: who asks on Monday of a log that ends on Friday sees what was true on Friday."""
    last = int(open_store(str(shop)).time.max())
    at_end = ltsi("interests", f"data={shop}", "hydra.run.dir=end", "--format", "json").stdout
    later = ltsi(
        "interests", f"data={shop}", f"now='{date(last + 3 * DAY)}'", "hydra.run.dir=later", "--format", "json"
    ).stdout
    for name in ("interests", "users"):
        assert pl.read_parquet(f"later/{name}.parquet").equals(pl.read_parquet(f"end/{name}.parquet"))
    said = json.loads(later)
    assert f"is 3.0 days after the end of the log ({date(last)[:10]} " in said["messages"][0]
    assert "forecasts and risks are of the 4 weeks from then on" in said["messages"][0]
    assert "in the 4 weeks after the end of the log" in said["tables"][1]["notes"][0]
    assert "in the next 4 weeks" in json.loads(at_end)["tables"][1]["notes"][0]


def test_a_now_that_no_forecast_reaches_is_refused(ltsi: Ltsi, shop: Path) -> None:
    last = int(open_store(str(shop)).time.max())
    far = f"now='{date(last + 30 * DAY)}'"
    sentence = " ".join(ltsi("interests", f"data={shop}", far, exit_code=1).stderr.split())
    assert "is 30.0 days after the end of the log (" in sentence
    assert "and forecasts reach 4 weeks beyond it: nothing was observed since, so every interest would" in sentence
    assert "leave now out" in sentence
    ltsi("interests", f"data={shop}", far, "horizon=5")


def test_a_log_that_is_shorter_than_a_bin_is_refused(ltsi: Ltsi, make_store: Callable[..., Store]) -> None:
    """What a part of a week holds is not what a week holds: forecasts would be a few per cent of what comes."""
    short = make_store(*[[(place % 3, place * 3_600) for place in range(25)]] * 12)
    sentence = " ".join(ltsi("interests", f"data={short.path}", exit_code=1).stderr.split())
    assert "was watched for 24.0 hours before now, less than one whole bin of bin=week" in sentence
    assert "take bin=day, or prepare a longer log" in sentence
    ltsi("interests", f"data={short.path}", "bin=day")
    early = ("bin=day", "now=1970-01-01T08:00")
    sentence = " ".join(ltsi("interests", f"data={short.path}", *early, exit_code=1).stderr.split())
    assert "watched for 8.0 hours before now, less than one whole bin of bin=day" in sentence
    assert "take bin=day" not in sentence


@pytest.mark.parametrize(
    ("overrides", "exit_code", "sentence"),
    [
        (["user=u99"], 1, "has no user 'u99' among its 60. Did you mean one of: "),
        (["now=yesterday"], 2, "now=yesterday is not a time; give ISO 8601"),
        (["now=1999-01-01"], 1, "is before the first event"),
        (["entity=user"], 1, "have no column 'user'; they have: category, brand, price. 'item' stands for each item"),
        (["bin=month"], 2, "bin=month must be one of: day, week"),
        (["share=2"], 2, "share=2.0 must lie between 0 and 1"),
        (["evidence=nan"], 2, "evidence=nan must be a number from 0"),
        (["revival_evidence=inf"], 2, "revival_evidence=inf must be a number from 0"),
        (["revival_evidence=-1"], 2, "revival_evidence=-1.0 must be a number from 0"),
        (["weights={buy: -1}"], 2, "weights.buy=-1 must be a number from 0"),
        (["weights={buy: 1e300}"], 2, "weights.buy=1e+300 must be 0 or from 1e-06 to 1e+06"),
        (["weights={buy: 1e-300}"], 2, "weights.buy=1e-300 must be 0 or from 1e-06 to 1e+06"),
        (["weights=3"], 2, "weights=3 must give what an event counts by its behaviour: {view: 1, buy: 5}"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    ltsi: Ltsi, shop: Path, overrides: list[str], exit_code: int, sentence: str
) -> None:
    result = ltsi("interests", f"data={shop}", *overrides, exit_code=exit_code)
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
