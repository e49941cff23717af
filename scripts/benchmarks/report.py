"""Medians, ratios and the tables made of them."""

from statistics import median

MIB = 1 << 20


def spread(values, form="{:.2f}"):
    """The median of values, and their range where there are several."""
    middle = form.format(median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))}..{form.format(max(values))})"


def table(header, rows):
    """Rows as text: the first column to the left, numbers to the right."""
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    lines = []
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def met(value, target):
    """A target as text, with whether it is met."""
    least, text = target
    return f"{text}: {'met' if value >= least else 'NOT MET'}"


HEADER = ["contender", "seconds", "MiB/s", "CPU s", "peak MiB", "x lithify", "target"]


def contender_row(name, runs, base, size, target):
    """The figures of one contender: medians, and the median of its ratios to lithify in the same round."""
    walls = [run.wall for run in runs]
    ratios = [run.wall / other.wall for run, other in zip(runs, base, strict=True)]
    return [
        name,
        spread(walls),
        f"{size / MIB / median(walls):.0f}",
        f"{median(run.cpu for run in runs):.2f}",
        f"{median(run.peak for run in runs) / MIB:.0f}",
        spread(ratios, "{:.3g}"),
        met(median(ratios), target) if target else "",
    ]


def contest(title, results, size, targets):
    """The table of a contest. `results` has the runs of each contender, lithify's first."""
    base = next(iter(results.values()))
    rows = [contender_row(name, runs, base, size, targets.get(name)) for name, runs in results.items()]
    notes = [
        f"  {name}: {median(run.notes['importing'] for run in runs):.2f} s of these are spent on imports"
        for name, runs in results.items()
        if all("importing" in run.notes for run in runs)
    ]
    return "\n".join([f"\n{title}", table(HEADER, rows), *notes])
