"""Interest as a time series: how strong each user's interest in each entity was, when it turned, what comes next.

`series` counts, `seasons` takes out what the calendar does, `segments` finds where a rate changed, `turning` where a
rise became a fall, `states` says what an interest is now, `churn` who is about to leave.

Knows neither Lightning nor Hydra nor files; it reads a store.
"""
