import pytest

from ltsi.serving.moments import parse_moment, written


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2011-11-30", 1_322_611_200),
        ("20111130", 1_322_611_200),
        ("2011-11-30T01:00+01:00", 1_322_611_200),
        ("1322611200", 1_322_611_200),
        ("0", 0),
        ("86400000", 86_400_000),  # eight digits, but of no year of ours
    ],
)
def test_a_moment_is_a_date_or_seconds(text: str, seconds: int) -> None:
    assert parse_moment(text) == seconds
    assert parse_moment(written(seconds)) == seconds
