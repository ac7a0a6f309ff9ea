from datetime import UTC, datetime

import torch
from hypothesis import given
from hypothesis import strategies as st

from ltsi.features.encoder import Layout
from ltsi.features.time_of_event import DayOfWeek, HourOfDay


@given(st.datetimes(datetime(1901, 1, 1), datetime(2100, 1, 1)))
def test_codes_as_the_calendar_has_them(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    time_B = torch.tensor([int(moment.timestamp())])
    assert HourOfDay().code(time_B).tolist() == [2 + moment.hour]
    assert DayOfWeek().code(time_B).tolist() == [2 + moment.weekday()]


def test_sizes() -> None:
    assert HourOfDay().layout("event.h") == Layout(categorical={"event.h": 2 + 24})
    assert DayOfWeek().layout("event.d") == Layout(categorical={"event.d": 2 + 7})
