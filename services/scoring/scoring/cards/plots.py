"""Plots as SVG within a page: no script, no font or style from elsewhere, colours by the page's own variables.

Written by hand rather than by a plotting library: a card is drawn when it is asked for, by the process that serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 28, 40
_TICKS = 4


@dataclass(frozen=True)
class Series:
    """Values of one kind; `css` names its colour in the page: `a`, `b` or `c`."""

    name: str
    values: Sequence[float]
    css: str


@dataclass(frozen=True)
class Band:
    """A share that only falls, with its interval at each place; `css` as of a Series."""

    name: str
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    css: str


@dataclass(frozen=True)
class Bar:
    """A value with its interval."""

    name: str
    value: float
    low: float
    high: float
    marked: bool


def grouped_bars(title: str, labels: Sequence[str], series: Sequence[Series], axis: str) -> Markup:
    """Bars of each series side by side at each label."""
    top = _ceiling(max((value for each in series for value in each.values), default=0.0))
    slot = (_WIDTH - _LEFT - _RIGHT) / max(len(labels), 1)
    width = slot * 0.8 / max(len(series), 1)
    parts = [_frame(top), _labels(labels, slot, axis)]
    for place, each in enumerate(series):
        for number, value in enumerate(each.values):
            x = _LEFT + number * slot + slot * 0.1 + place * width
            y = _y(value, top)
            hint = f"{each.name}, {labels[number]}: {_number(value)}"
            parts.append(
                Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
                .format(each.css, x, y, width, _HEIGHT - _BOTTOM - y, hint)
            )  # fmt: skip
    return _svg(title, [*parts, _legend(series)])


def curves(
    title: str,
    xs: Sequence[float],
    series: Sequence[Series],
    axis: str,
    *,
    bottom: float = 0.0,
    top: float = 1.0,
) -> Markup:
    """Lines over a shared horizontal axis; values from `bottom` to `top`."""
    span = (xs[-1] - xs[0]) or 1.0
    at = [_LEFT + (x - xs[0]) / span * (_WIDTH - _LEFT - _RIGHT) for x in xs]
    parts = [_frame(top, bottom)]
    for each in series:
        points = " ".join(f"{x:.1f},{_y(value, top, bottom):.1f}" for x, value in zip(at, each.values, strict=True))
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(each.css, points))
    for x, place in list(zip(xs, at, strict=True))[:: max(1, len(xs) // 5)]:
        parts.append(_text(place, _HEIGHT - _BOTTOM + 16, _number(x), "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, axis, "middle"))
    return _svg(title, [*parts, _legend(series)])


def steps(title: str, xs: Sequence[float], bands: Sequence[Band], axis: str) -> Markup:
    """Shares that hold until the next place of a shared horizontal axis, each over the band of its intervals."""
    span = (xs[-1] - xs[0]) or 1.0
    at = [_LEFT + (x - xs[0]) / span * (_WIDTH - _LEFT - _RIGHT) for x in xs]
    parts = [_frame(1.0)]
    for each in bands:
        ends = [*_stairs(at, each.high), *reversed(_stairs(at, each.low))]
        parts.append(Markup('<polygon class="band {}" points="{}"/>').format(each.css, " ".join(ends)))
    for each in bands:
        points = " ".join(_stairs(at, each.values))
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(each.css, points))
    for x, place in list(zip(xs, at, strict=True))[:: max(1, len(xs) // 5)]:
        parts.append(_text(place, _HEIGHT - _BOTTOM + 16, _number(x), "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, axis, "middle"))
    return _svg(title, [*parts, _legend([Series(each.name, each.values, each.css) for each in bands])])


def _stairs(at: Sequence[float], values: Sequence[float]) -> list[str]:
    """Corners of a line that keeps a value until the next one."""
    corners = [f"{at[0]:.1f},{_y(values[0], 1.0):.1f}"]
    for x, before, value in zip(at[1:], values, values[1:], strict=False):
        corners += [f"{x:.1f},{_y(before, 1.0):.1f}", f"{x:.1f},{_y(value, 1.0):.1f}"]
    return corners


def intervals(title: str, bars: Sequence[Bar], bound: float, axis: str) -> Markup:
    """Horizontal bars with their intervals, and a line where it begins to matter."""
    row, left = 26, 170
    height = _TOP + row * len(bars) + 36
    top = _ceiling(max([bound * 1.2, *(bar.high for bar in bars)]))

    def across(value: float) -> float:
        return left + min(value, top) / top * (_WIDTH - left - _RIGHT)

    parts = []
    for number, bar in enumerate(bars):
        y = _TOP + number * row
        parts.append(_text(left - 8, y + 14, bar.name, "end"))
        hint = f"{bar.name}: {_number(bar.value)} ({_number(bar.low)} to {_number(bar.high)})"
        parts.append(
            Markup('<rect class="{}" x="{}" y="{}" width="{:.1f}" height="14"><title>{}</title></rect>').format(
                "b" if bar.marked else "a", left, y + 3, max(across(bar.value) - left, 1.0), hint
            )
        )
        parts.append(
            Markup('<line class="interval" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(
                across(bar.low), across(bar.high), y + 10, y + 10
            )
        )
    end = _TOP + row * len(bars)
    parts.append(
        Markup('<line class="bound" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(across(bound), _TOP, end)
    )
    parts.append(_text(across(bound), end + 16, _number(bound), "middle"))
    parts.append(_text(_WIDTH - _RIGHT, end + 30, axis, "end"))
    return _svg(title, parts, height)


def differences(title: str, bars: Sequence[Bar], axis: str) -> Markup:
    """A point with its interval in each row, and a line at zero: what lies wholly on one side is told from chance."""
    row, left = 30, 150
    height = _TOP + row * len(bars) + 36
    low, high = min([0.0, *(bar.low for bar in bars)]), max([0.0, *(bar.high for bar in bars)])
    room = 0.05 * ((high - low) or 1.0)

    def across(value: float) -> float:
        return left + (value - low + room) / (high - low + 2 * room) * (_WIDTH - left - _RIGHT)

    end = _TOP + row * len(bars)
    parts = [
        Markup('<line class="bound" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(across(0.0), _TOP, end),
        _text(across(0.0), end + 16, "0", "middle"),
    ]
    for number, bar in enumerate(bars):
        y = _TOP + number * row + row // 2
        hint = f"{bar.name}: {_number(bar.value)} ({_number(bar.low)} to {_number(bar.high)})"
        parts.append(_text(left - 8, y + 4, bar.name, "end"))
        parts.append(
            Markup('<line class="interval" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(
                across(bar.low), across(bar.high), y, y
            )
        )
        parts.append(
            Markup('<rect class="{}" x="{:.1f}" y="{}" width="10" height="10"><title>{}</title></rect>').format(
                "a" if bar.marked else "c", across(bar.value) - 5, y - 5, hint
            )
        )
    parts.append(_text(_WIDTH - _RIGHT, end + 30, axis, "end"))
    return _svg(title, parts, height)


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Round ends of an axis that holds these values and zero."""
    highest, lowest = max(values, default=0.0), min(values, default=0.0)
    return (-_ceiling(-lowest) if lowest < 0 else 0.0), (_ceiling(highest) if highest > 0 else 0.0)


def _svg(title: str, parts: Sequence[Markup], height: int = _HEIGHT) -> Markup:
    head = Markup('<svg role="img" viewBox="0 0 {} {}" xmlns="http://www.w3.org/2000/svg"><title>{}</title>').format(
        _WIDTH, height, title
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def _frame(top: float, bottom: float = 0.0) -> Markup:
    parts = []
    for tick in range(_TICKS + 1):
        value = bottom + (top - bottom) * tick / _TICKS
        y = _y(value, top, bottom)
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            _LEFT, _WIDTH - _RIGHT, y, y
        ))  # fmt: skip
        parts.append(_text(_LEFT - 6, y + 4, _number(value), "end"))
    return Markup("").join(parts)


def _labels(labels: Sequence[str], slot: float, axis: str) -> Markup:
    parts = [
        _text(_LEFT + (number + 0.5) * slot, _HEIGHT - _BOTTOM + 16, label, "middle")
        for number, label in enumerate(labels)
    ]
    return Markup("").join([*parts, _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, axis, "middle")])


def _legend(series: Sequence[Series]) -> Markup:
    parts = []
    x = float(_LEFT)
    for each in series:
        parts.append(Markup('<rect class="{}" x="{:.1f}" y="6" width="11" height="11"/>').format(each.css, x))
        parts.append(_text(x + 16, 16, each.name, "start"))
        x += 28 + 7.2 * len(each.name)
    return Markup("").join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))


def _y(value: float, top: float, bottom: float = 0.0) -> float:
    inside = max(bottom, min(value, top)) - bottom
    return _HEIGHT - _BOTTOM - inside / (top - bottom) * (_HEIGHT - _BOTTOM - _TOP)


def _ceiling(value: float) -> float:
    """A round number not below it."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10
    while power * 10 <= value:
        power *= 10
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.999999)


def _number(value: float) -> str:
    return f"{value:.3g}"
