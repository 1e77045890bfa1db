# SPDX-License-Identifier: MIT
"""The directives ``{measured} reading`` and ``{measured} passing``: what ``make bench`` measured, drawn and in a table.

It is read from ``build/exposure-measured.json``, or else from the copy beside the page. Both axes of the picture, which
only HTML has, are logarithmic. Only classes are drawn, no colours: the style sheet of the guide gives them.
"""
from __future__ import annotations

import json
import math
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "build" / "exposure-measured.json", ROOT / "source" / "reference" / "exposure-measured.json")
KINDS = {"linear": "rules of iptables", "set": "elements of an nftables set"}
#: Of each picture: the value, what the axis says, and how a value is written.
VALUES = {"reading": ("seconds", "seconds that exposure.py takes", "{:g}"),
          "passing": ("rate", "connections a second", "{:,}")}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 560, 300, 70, 30, 42, 170


def rows(what: str) -> list[dict]:
    """What was measured."""
    path = next(path for path in FILES if path.exists())
    return json.loads(path.read_text(encoding="utf-8"))[what]


def decades(values: list[float]) -> range:
    """The powers of ten around some values."""
    return range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)


def draw(what: str, found: list[dict]) -> str:
    """The picture as one ``<svg>`` element."""
    key, label, _ = VALUES[what]
    across, up = decades([row["count"] for row in found]), decades([row[key] for row in found])

    def place(count: float, value: float) -> tuple[float, float]:
        x = LEFT + (math.log10(count) - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (math.log10(value) - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    shapes = []
    for power in across:
        x, y = place(10 ** power, 10 ** up[0])
        shapes += [f'<line class="grid" x1="{x}" y1="{TOP}" x2="{x}" y2="{y}"/>',
                   f'<text x="{x}" y="{y + 16}" text-anchor="middle">{10 ** power:,}</text>']
    for power in up:
        x, y = place(10 ** across[0], 10 ** power)
        shapes += [f'<line class="grid" x1="{x}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>',
                   f'<text x="{x - 8}" y="{y + 4}" text-anchor="end">{10 ** power:,g}</text>']
    for kind, name in KINDS.items():
        points = [place(row["count"], row[key]) for row in found if row["kind"] == kind]
        line = " ".join(f"{x},{y}" for x, y in points)
        shapes += [f'<polyline class="{kind}" points="{line}"/>',
                   *(f'<circle class="{kind}" cx="{x}" cy="{y}" r="3"/>' for x, y in points),
                   f'<text x="{points[-1][0] + 8}" y="{points[-1][1] + 4}">{name}</text>']
    title = f"{label}, by the number of rules or elements"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'role="img" aria-label="{title}; the table below has the numbers"><text x="{LEFT}" y="16">{label}</text>'
            + "".join(shapes) + "</svg>")


class MeasuredDirective(SphinxDirective):
    """The picture, and the table that says the same."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        try:
            what = directives.choice(self.arguments[0], tuple(VALUES))
        except ValueError as error:
            raise self.error(str(error)) from None
        for path in FILES:
            self.env.note_dependency(str(path))
        found = rows(what)
        key, label, form = VALUES[what]
        counts = sorted({row["count"] for row in found})
        values = {(row["kind"], row["count"]): form.format(row[key]) for row in found}
        group = nodes.tgroup("", *(nodes.colspec(colwidth=33) for _ in range(3)), cols=3)
        group += nodes.thead("", _row(["how many", *KINDS.values()]))
        group += nodes.tbody("", *(_row([f"{count:,}", *(values[kind, count] for kind in KINDS)]) for count in counts))
        picture = nodes.raw("", f'<div class="measured" tabindex="0">{draw(what, found)}</div>', format="html",
                            classes=["measured"])
        return [picture, nodes.paragraph("", f"{label[0].upper()}{label[1:]}:"), nodes.table("", group)]


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))


def leave_to_the_table(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """An EPUB has no pictures: Sphinx 9.0 does not list its pages with SVG in them as such."""
    if app.builder.name == "epub":
        for raw in [raw for raw in doctree.findall(nodes.raw) if "measured" in raw["classes"]]:
            raw.parent.remove(raw)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("measured", MeasuredDirective)
    app.connect("doctree-resolved", leave_to_the_table)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
