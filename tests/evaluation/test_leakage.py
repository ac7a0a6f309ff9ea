from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ltsi.evaluation.leakage import audit_split
from ltsi.findings import Finding
from ltsi.histories import RankingBatch
from ltsi.sequences.batches import RankingBatches
from ltsi.sequences.global_time import GlobalTime
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split, Targets
from ltsi.store import Store

MakeStore = Callable[..., Store]
DAY = 86_400
T = 15_000 * DAY


def findings(split: Split, *, by_time: bool = False, block_events: int = 1_000_000) -> dict[str, Finding]:
    return {found.finding: found for found in audit_split(split, by_time=by_time, block_events=block_events)}


def errors(split: Split, *, by_time: bool = False) -> dict[str, str | int | float]:
    found = findings(split, by_time=by_time)
    return {name: finding.value for name, finding in found.items() if finding.severity == "error"}


def move(targets: Targets, **columns: int) -> Targets:
    """Adds to a column of the first target."""
    changed = {}
    for name, by in columns.items():
        column = np.array(getattr(targets, name))
        column[0] += by
        changed[name] = column
    return replace(targets, **changed)


@pytest.fixture
def split(make_store: MakeStore) -> Split:
    """Three users with a step a day; the last but one is tested from item 0 to item 0, in a tie; user 2 is short."""
    store = make_store(
        [(0, T), (1, T + DAY), (2, T + 2 * DAY), (3, T + 3 * DAY)],
        [(0, T + 4 * DAY), (1, T + 5 * DAY), (4, T + 6 * DAY), (0, T + 6 * DAY)],
        [(5, T + 7 * DAY)],
        n_items=7,
    )
    return LeaveOneOut()(store)


def test_what_the_parts_are_like(split: Split) -> None:
    found = findings(split)
    assert {name: finding.value for name, finding in found.items()} == {
        "targets_valid": 2,
        "cold_users_valid": 0,
        "cold_items_valid": 2,  # 2 and 4; trained are 0, 1 and 5
        "target_repeats_valid": 0.0,
        "target_ties_valid": 0.0,
        "targets_test": 2,
        "cold_users_test": 0,
        "cold_items_test": 1,  # 3
        "target_repeats_test": 0.5,  # item 0 of user 1
        "target_ties_test": 0.5,
        "period_overlap": 0.6,  # the first test is day 3: of training days 0, 1, 4, 5 and 7 three come later
        "leakage": "none",
    }
    assert [name for name, finding in found.items() if finding.severity != "info"] == ["target_ties_test"]


def test_a_cold_user_has_targets_and_nothing_in_training(split: Split) -> None:
    train_end = np.array(split.train_end)
    train_end[0] = 0
    found = findings(replace(split, train_end=train_end, report={"cold_users_test": 4}))
    assert found["cold_users_test"].value == 1
    assert "4 more have no history" in found["cold_users_test"].detail


def test_without_a_clock_nothing_is_said_about_times(make_store: MakeStore) -> None:
    found = findings(LeaveOneOut()(make_store([(item, item) for item in range(5)], clock=False)))
    assert not found.keys() & {"target_ties_test", "period_overlap"}
    assert found["leakage"].value == "none"


def test_a_target_without_a_history_is_not_judged_by_the_user_before(make_store: MakeStore) -> None:
    """Users 1 and 2 are asked for their only event: at the time of the last event of the user before, and before it."""
    store = make_store([(0, T), (1, T + DAY), (2, T + DAY)], [(3, T + DAY)], [(4, T)])
    event = np.array([2, 3, 4])
    asked = Targets(np.arange(3), event, event, np.asarray(store.time[event]))
    crafted = Split(store, train_end=np.array([2, 3, 4]), valid=Targets.none(), test=asked)
    assert findings(crafted)["target_ties_test"].value == round(1 / 3, 6), "user 0, of three targets"
    assert errors(crafted) == {}


@pytest.mark.parametrize(("users", "severity"), [(100, "warn"), (101, "info")])
def test_ties_are_a_warning_from_one_target_in_a_hundred_on(make_store: MakeStore, users: int, severity: str) -> None:
    tied, apart = [(0, T), (1, T), (2, T)], [(0, T), (1, T + DAY), (2, T + 2 * DAY)]
    found = findings(LeaveOneOut()(make_store(tied, *[apart] * (users - 1))))["target_ties_test"]
    assert (found.value, found.severity) == (round(1 / users, 6), severity)


def test_a_target_in_its_own_history_is_caught(split: Split) -> None:
    assert errors(replace(split, test=move(split.test, history_end=1))) == {"target_in_history": 1}


def test_training_events_after_a_target_are_caught(split: Split) -> None:
    train_end = np.array(split.train_end)
    train_end[1] += 1
    assert errors(replace(split, train_end=train_end)) == {"training_order": 1}
    train_end[1] += 1
    found = findings(replace(split, train_end=train_end))["training_order"]
    assert found.value == 2
    assert found.detail.endswith("(1 in valid, 1 in test).")


def test_a_history_later_than_the_question_is_caught(split: Split) -> None:
    """The test of user 0 is asked for on day 3; its history now ends on day 30."""
    time = np.array(split.store.time)
    time[2] = T + 30 * DAY
    assert errors(replace(split, store=replace(split.store, time=time))) == {"history_after_now": 1}


def test_rows_of_another_user_are_caught(split: Split) -> None:
    assert errors(replace(split, test=move(split.test, event=4))) == {"foreign_rows": 1}
    assert errors(replace(split, test=move(split.test, event=1))) == {"foreign_rows": 1}  # the first of user 1
    assert errors(replace(split, test=move(split.test, history_end=2))) == {"foreign_rows": 1}
    assert errors(replace(split, test=move(split.test, user=2)))["foreign_rows"] == 1


def test_a_validation_after_the_test_is_caught(split: Split) -> None:
    assert errors(replace(split, valid=split.test, test=split.valid)) == {"valid_order": 2}
    assert errors(replace(split, valid=split.test)) == {"valid_order": 2}


@pytest.fixture
def dated(make_store: MakeStore) -> Split:
    """Ten users with ten events each, one a day; the days of user u begin u hours later."""
    users = [[((u + n) % 12, T + n * DAY + u * 3_600) for n in range(10)] for u in range(10)]
    return GlobalTime()(make_store(*users))


def test_a_split_at_a_date_has_no_training_event_after_it(dated: Split) -> None:
    found = findings(dated, by_time=True)
    assert found["leakage"].value == "none"
    assert "period_overlap" not in found
    assert "cut_test" in dated.report  # by which `ltsi audit` knows such a split


def test_a_training_event_after_the_cut_is_caught(dated: Split) -> None:
    """Without its targets user 0 leaks nothing of its own: two events of its training lie on the test's days."""
    train_end = np.array(dated.train_end)
    train_end[0] += 2
    valid, test = (keep(part, part.user != 0) for part in (dated.valid, dated.test))
    crafted = replace(dated, train_end=train_end, valid=valid, test=test)
    assert errors(crafted, by_time=True) == {"event_after_cut": 1}  # user 0 is the first to come back on each day
    assert errors(crafted, by_time=False) == {}


def keep(targets: Targets, mask: np.ndarray) -> Targets:
    return type(targets)(*(column[mask] for column in vars(targets).values()))


def test_the_size_of_a_block_changes_nothing(dated: Split) -> None:
    broken = replace(dated, test=move(dated.test, history_end=1))
    assert findings(broken) == findings(broken, block_events=1)


def test_repeats_and_ties_are_those_of_the_inputs(make_store: MakeStore) -> None:
    """Item 5 is bought again and again, which nobody is shown, and viewed by the second user alone, long before."""
    log = make_store(
        [(1, T), (5, T + DAY), (2, T + 2 * DAY), (5, T + 3 * DAY), (5, T + 4 * DAY), (5, T + 4 * DAY)],
        [(5, T), (6, T + DAY), (2, T + 2 * DAY), (6, T + 3 * DAY), (2, T + 4 * DAY), (5, T + 4 * DAY)],
        n_items=7,
    )
    behavior = np.array([0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1], dtype=np.uint8)
    log = replace(log, behavior=behavior, manifest={**log.manifest, "behaviors": ["view", "buy"]})
    split = LeaveOneOut(input_behaviors=["view"], target_behaviors=["buy"])(log)
    found = findings(split)
    assert found["target_repeats_test"].value == 0.5
    assert found["target_ties_test"].value == 0.5
    hidden = [hit for batch in RankingBatches(log, split.test, 9, True, roles=split.roles) for hit in hits(batch)]
    assert sorted(hidden) == [False, True], "what the audit counts is what seen=hide hides"


def hits(batch: RankingBatch) -> list[bool]:
    """Returns whether the target of each row is hidden."""
    pairs = set(zip(batch.hidden_row.tolist(), batch.hidden_item.tolist(), strict=True))
    return [(row, item) in pairs for row, item in enumerate(batch.target_B.tolist())]
