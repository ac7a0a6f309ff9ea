"""A small version of the measurement: the script runs, and its planted truths are found."""

from decay_coverage import Truth, measure


def test_intervals_of_a_few_seeds_cover_and_the_planted_form_wins() -> None:
    found = measure(Truth.of("power", users=2_000), range(8), replicates=40)
    # Of eight intervals of 95%, six or more hold the truth with a chance of 99.4%.
    assert float(found["profile"]) >= 0.75
    assert float(found["bootstrap"]) >= 0.75
    assert abs(float(found["bias"])) < 0.03
    assert float(found["won"]) >= 0.75
