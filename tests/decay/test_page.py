import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from ltsi.decay.forms import FORMS
from ltsi.decay.observed import highest_fading, observed_hazard
from ltsi.decay.page import decay_page
from ltsi.decay.pictures import curves_figure, half_lives_figure, survival
from ltsi.decay.plot import decay_figure
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


@pytest.mark.parametrize("form", ["two_scale", "two_scale_rise", "exponential_floor_rise"])
def test_curves_reach_all_of_the_rate_whatever_it_is_made_of(fit: DecayFit, form: str) -> None:
    values = {"rate_per_day": math.log(2) / 5, "slow_amplitude": 0.2, "rise_days": 2.0, "floor": 0.05}
    given = {name: values.get(name, 0.1) for name in FORMS[form].parameters}
    floor = given.get("floor", 0.0)
    mixed = replace(fit.entities[0], form=form, half_life_days=5.0, amplitude=0.1, floor=floor, parameters=given)
    alone = replace(fit, entities=(mixed,))
    figure, mesh = curves_figure(alone), half_lives_figure(alone)
    assert figure is not None
    assert mesh is not None
    (axis,) = figure.axes
    fitted, *_ = (shown for line in axis.lines if len(shown := np.asarray(line.get_ydata())) > 100)
    assert fitted.max() == pytest.approx(1.0, abs=1e-3)
    assert np.max(np.asarray(mesh.axes[0].collections[0].get_array())) == pytest.approx(1.0, abs=0.1)
    assert fitted.min() >= 0.0
    # What was observed is on the same scale.
    (bars,) = axis.containers
    assert isinstance(bars, ErrorbarContainer)
    points = np.asarray(bars.lines[0].get_ydata())
    returns, exposure = (total[0, 0] for total in fit.statistics.totals(np.array([0])))
    seen = observed_hazard(returns, exposure, fit.statistics.edges, 20.0, 10)
    below = floor * -np.expm1(-seen.age_days / 2.0)
    assert points == pytest.approx((seen.per_day - below) / highest_fading(mixed, 20.0))


def test_trials_have_their_name_and_no_survival_in_days(fit: DecayFit) -> None:
    trials = replace(fit, options=replace(fit.options, exposure="active_days"))
    assert decay_figure(fit, "").get_supylabel() == "returns per day at risk"
    assert decay_figure(trials, "").get_supylabel() == "returns per active day at risk"
    page = decay_page(trials, "Trials", [])
    assert "Survival of interests" not in page
    assert page.count("<svg") == 2


def test_survival_is_that_of_a_naive_product(fit: DecayFit) -> None:
    age, alive, low, high = survival(fit.statistics, 1)
    returns, exposure = (total[0, 0] for total in fit.statistics.totals(np.array([1])))
    left = 1.0
    for n in range(len(age) - 1):
        left *= np.exp(-returns[n] / exposure[n] * (age[n + 1] - age[n]))
        assert alive[n + 1] == pytest.approx(left)
    assert alive[0] == low[0] == high[0] == 1.0
    assert ((low <= alive) & (alive <= high) & (high <= 1.0)).all()
