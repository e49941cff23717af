"""Lines against size, in one drawing that opens anywhere: light and dark, no fonts and no scripts of its own."""

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 380, 300  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 40  # what is around its axes
MARKS = ("circle", "square", "diamond", "triangle")  # colour is not all that tells lines apart
STYLE = """
svg { font: 12px system-ui, sans-serif; background: #fff; } text { fill: #1b1f24; } .grid { stroke: #d0d7de; }
.s0 { stroke: #0969da; fill: #0969da; } .s1 { stroke: #bc4c00; fill: #bc4c00; } .s2 { stroke: #8250df; fill: #8250df; }
.s3 { stroke: #57606a; fill: #57606a; } polyline { fill: none !important; stroke-width: 2; }
@media (prefers-color-scheme: dark) { svg { background: #0d1117; } text { fill: #e6edf3; } .grid { stroke: #3d444d; }
.s0 { stroke: #4493f8; fill: #4493f8; } .s1 { stroke: #f0883e; fill: #f0883e; } .s2 { stroke: #ab7df8; fill: #ab7df8; }
.s3 { stroke: #9da7b1; fill: #9da7b1; } }
"""


@dataclass
class Panel:
    """Lines of one measure: a title with its unit, and for each name the points (x, y)."""

    title: str
    x_label: str
    lines: dict[str, list[tuple[float, float]]]


def decades(values):
    """The powers of ten around values."""
    return floor(log10(min(values))), ceil(log10(max(values)))


def number(value):
    """A power of ten as it stands at an axis."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def mark(kind, x, y):
    """A point of a line."""
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    if kind == "square":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    corners = [(0, -5), (5, 0), (0, 5), (-5, 0)] if kind == "diamond" else [(0, -5), (5, 4), (-5, 4)]
    return f'<polygon points="{" ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in corners)}"/>'


def drawn(panel, left):
    """A panel whose left edge is there."""
    points = [point for line in panel.lines.values() for point in line]
    (x0, x1), (y0, y1) = decades([x for x, _ in points]), decades([y for _, y in points])
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    place = lambda x, y: (
        left + LEFT + (log10(x) - x0) / max(x1 - x0, 1) * across,
        TOP + down - (log10(y) - y0) / max(y1 - y0, 1) * down,
    )
    parts = [f'<text x="{left + LEFT}" y="18" font-weight="600">{escape(panel.title)}</text>']
    for power in range(y0, y1 + 1):
        _, y = place(10**x0, 10.0**power)
        parts.append(f'<line class="grid" x1="{left + LEFT}" x2="{left + LEFT + across}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(10.0**power)}</text>')
    for power in range(x0, x1 + 1):
        x, _ = place(10.0**power, 10.0**y0)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + down}"/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP + down + 16}" text-anchor="middle">{number(10.0**power)}</text>')
    parts.append(f'<text x="{left + LEFT + across / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(panel.x_label)}</text>')
    for at, line in enumerate(panel.lines.values()):
        places = [place(*point) for point in line]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        marks = "".join(mark(MARKS[at % len(MARKS)], x, y) for x, y in places)
        parts.append(f'<g class="s{at}"><polyline points="{joined}"/>{marks}</g>')
    return "\n".join(parts)


def svg(panels, label):
    """The panels side by side, with one legend. `label` says in words what they show."""
    width = WIDTH * len(panels)
    names, legend, x = list(panels[0].lines), [], LEFT
    for at, name in enumerate(names):
        legend.append(f'<g class="s{at}">{mark(MARKS[at % len(MARKS)], x, HEIGHT + 10)}</g>')
        legend.append(f'<text x="{x + 10}" y="{HEIGHT + 14}">{escape(name)}</text>')
        x += 34 + 7 * len(name)
    body = "\n".join(drawn(panel, at * WIDTH) for at, panel in enumerate(panels))
    size = f'viewBox="0 0 {width} {HEIGHT + 26}" width="{width}" height="{HEIGHT + 26}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" {size}>'
    return f"{head}\n<style>{STYLE}</style>\n{body}\n{''.join(legend)}\n</svg>\n"
