import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ltsi.decay.page import decay_page
from ltsi.decay.pictures import survival
from ltsi.decay.report import decay_table
from ltsi.decay.result import DecayFit, FitOptions

HOSTILE = '<script src="//evil">$x^{</script>&"'


@pytest.fixture(scope="module")
def fit(planted: Callable[..., object]) -> DecayFit:
    """Fit three entities, one of them with a label that would break a careless page."""
    found: DecayFit = planted((5.0, 20.0, 60.0), users=300).fit(0, FitOptions(replicates=20))  # type: ignore[attr-defined]
    first, *others = found.entities
    return replace(found, entities=(replace(first, entity=HOSTILE), *others))


class Tags(HTMLParser):
    """Collects the tags of a page and the addresses they would ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.asked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a tag."""
        self.tags.append(tag)
        links = [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "data"}]
        self.asked += [link for link in links if not link.startswith(("#", "data:"))]


def test_the_page_stands_alone_and_escapes_every_label(fit: DecayFit) -> None:
    page = decay_page(fit, f"Decay of {HOSTILE}", [decay_table(fit, "All", "category")])
    found = Tags()
    found.feed(page)
    assert found.tags.count("svg") == 3
    assert found.tags.count("table") == 1
    assert "script" not in found.tags
    assert found.asked == []
    assert "url(http" not in page
    assert page.count("20 days") >= 3
    # Each picture's names are its own: one drawn with another's clip would be cut wrongly.
    ids = re.findall(r'<clipPath id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 0


def test_where_nothing_fades_there_are_no_curves(fit: DecayFit) -> None:
    still = replace(fit, entities=tuple(replace(one, half_life_days=None) for one in fit.entities))
    page = decay_page(still, "Still", [])
    assert page.count("<svg") == 1
    assert "Survival of interests" in page


def test_survival_is_that_of_a_naive_product(fit: DecayFit) -> None:
    age, alive, low, high = survival(fit.statistics, 1)
    returns, exposure = (total[0, 0] for total in fit.statistics.totals(np.array([1])))
    left = 1.0
    for n in range(len(age) - 1):
        left *= np.exp(-returns[n] / exposure[n] * (age[n + 1] - age[n]))
        assert alive[n + 1] == pytest.approx(left)
    assert alive[0] == low[0] == high[0] == 1.0
    assert ((low <= alive) & (alive <= high) & (high <= 1.0)).all()
