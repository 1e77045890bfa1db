# SPDX-License-Identifier: MIT
"""The small lines above and below a block of code: in the PDF part of its frame, so that no page ends between them.

There they stand before the block. Elsewhere they are paragraphs, above it and below it.
"""
from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.latex import LaTeXTranslator


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


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_node(Above, latex=(visit_above, depart))
    app.add_node(Below, latex=(visit_below, depart))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
