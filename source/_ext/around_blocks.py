# SPDX-License-Identifier: MIT
"""What belongs to a block of code: in the PDF no page ends between them.

The small lines above and below it are part of its frame there, and stand before it. Elsewhere they are paragraphs.
A short paragraph before a block or a table leads to it.
"""
from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.latex import LaTeXTranslator

SHORT = 200
"""Letters of a paragraph that leads to a block."""


class Above(nodes.General, nodes.TextElement):
    """The line above the block that follows."""


class Below(nodes.General, nodes.TextElement):
    """The line below the block that follows."""


def put(app: Sphinx, kind: type[Above | Below], block: nodes.Element, content: nodes.Node, name: str) -> None:
    """Set the line above or below a block; as a paragraph it is of the class ``name``."""
    shown = block.parent if "literal-block-wrapper" in block.parent.get("classes", []) else block
    where = shown.parent.index(shown)
    if app.builder.format == "latex":
        shown.parent.insert(where, kind("", "", content))
    else:
        shown.parent.insert(where + (kind is Below), nodes.paragraph("", "", content, classes=[name]))


def visit_above(translator: LaTeXTranslator, node: Above) -> None:
    translator.body.append("\n\\aboveblock{")


def visit_below(translator: LaTeXTranslator, node: Below) -> None:
    translator.body.append("\n\\belowblock{")


def depart(translator: LaTeXTranslator, node: Above | Below) -> None:
    translator.body.append("}\n")


class LeadIns(SphinxPostTransform):
    """Before the short paragraphs that lead to a block or a table: room for them and its beginning."""

    default_priority = 900
    formats = ("latex",)

    def run(self, **kwargs: object) -> None:
        for block in list(self.document.findall(lambda node: isinstance(node, (nodes.literal_block, nodes.table)))):
            where = first = block.parent.index(block)
            while first > where - 2 and first and isinstance(before := block.parent[first - 1], nodes.paragraph) and (
                    len(before.astext()) < SHORT):
                first -= 1
            if first < where:
                lines = 4 + 2 * (where - first) + len(list(block.findall(nodes.row)))
                room = nodes.raw("", rf"\needspace{{{lines}\baselineskip}}", format="latex")
                block.parent.insert(first, room)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_post_transform(LeadIns)
    app.add_node(Above, latex=(visit_above, depart))
    app.add_node(Below, latex=(visit_below, depart))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
