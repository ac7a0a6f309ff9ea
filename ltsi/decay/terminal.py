"""Decay curves in plain text: the fitted lines in Braille dots, the observed points as marks on top."""

from __future__ import annotations

import numpy as np

from ltsi.decay.forms import Floats
from ltsi.decay.observed import fading_hazard, fitted_hazard, highest_fading, observed_hazard
from ltsi.decay.result import DecayFit, EntityDecay

WIDTH, HEIGHT = 66, 13
CANDIDATES = 30
"""Curves are chosen among as many entities, those with the most returns: the extremes of the others are noise."""

MARKS = "●■▲"
_POINTS = 8
_DOT_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_TOP = 1.1


def terminal_curves(fit: DecayFit) -> str:
    """Draws the shortest, the middle and the longest half-life of the entities that hold the most evidence.

    Each curve is the fading part of its return rate, as a share of its highest, so that rates of any size compare.

    Returns:
        At most 20 lines of text without markup; empty if nothing fades.
    """
    fading = [code for code in fit.most_returned(CANDIDATES) if fit.entities[code].half_life_days]
    if not fading:
        return ""
    fading.sort(key=lambda code: _half_life(fit.entities[code]))
    codes = list(dict.fromkeys((fading[0], fading[len(fading) // 2], fading[-1])))
    chosen = [fit.entities[code] for code in codes]
    until = 3.0 * _half_life(chosen[len(chosen) // 2])
    dots = np.zeros((HEIGHT * 4, WIDTH * 2), dtype=bool)
    marks: dict[tuple[int, int], str] = {}
    edges = fit.statistics.edges
    for code, one, mark in zip(codes, chosen, MARKS):
        _draw_line(dots, one, until)
        returns, exposure = (total[0, 0] for total in fit.statistics.totals(np.array([code])))
        points = observed_hazard(returns, exposure, edges, until, _POINTS)
        floor = fitted_hazard(one, points.age_days) - fading_hazard(one, points.age_days)
        left = (points.per_day - floor) / highest_fading(one, until)
        for age, share in zip(points.age_days, left):
            row, column = round((1 - share / _TOP) * (HEIGHT - 1)), int(age / until * WIDTH)
            if 0 <= row < HEIGHT and column < WIDTH:
                marks[row, column] = mark
    legend = "   ".join(f"{mark} {one.entity} {_half_life(one):.3g} d" for one, mark in zip(chosen, MARKS))
    lines = ["Return rate left, as a share of its highest (marks: observed, dots: fitted)"]
    lines += _framed(dots, marks)
    lines += [f"      └{'─' * WIDTH}", _ticks(until), f"       half-life: {legend}"]
    return "\n".join(lines)


def _half_life(one: EntityDecay) -> float:
    assert one.half_life_days is not None, "only entities that fade are drawn"
    return one.half_life_days


def _draw_line(dots: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], one: EntityDecay, until: float) -> None:
    rows, columns = dots.shape
    age: Floats = (np.arange(columns) + 0.5) / columns * until
    share = fading_hazard(one, age) / highest_fading(one, until)
    row = np.round((1 - share / _TOP) * (rows - 1)).astype(int)
    dots[np.clip(row, 0, rows - 1), np.arange(columns)] = True


def _framed(dots: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], marks: dict[tuple[int, int], str]) -> list[str]:
    cells = dots.reshape(HEIGHT, 4, WIDTH, 2)
    patterns = (cells * _DOT_BITS[None, :, None, :]).sum(axis=(1, 3))
    ticks = {round((1 - share / _TOP) * (HEIGHT - 1)): f"{share:.0%}" for share in (1.0, 0.5, 0.0)}
    lines = []
    for row in range(HEIGHT):
        text = "".join(
            marks.get((row, column)) or (chr(0x2800 + int(patterns[row, column])) if patterns[row, column] else " ")
            for column in range(WIDTH)
        )
        lines.append(f"{ticks.get(row, ''):>5} │{text}".rstrip())
    return lines


def _ticks(until: float) -> str:
    text = [" "] * (WIDTH + 8)
    for share in (0.0, 1 / 3, 2 / 3, 1.0):
        label = f"{share * until:.3g}"
        at = min(7 + round(share * WIDTH), len(text) - len(label))
        text[at : at + len(label)] = label
    return "".join(text).rstrip() + " days since the last visit"
