# SPDX-License-Identifier: MIT
"""PDF: code within a sentence keeps its spaces, and is broken at its joints only, where it has to be.

Sphinx 9.0 makes one of two spaces, and breaks code at any full stop.
"""
from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata

LONG = 40
"""Letters of a word that may be broken in a line; in a table any may."""
JOINT = re.compile(r"(?<=/)(?=\w)|(?<=::)(?=\w)")


class CodeInPrint(SphinxPostTransform):
    """Put in spaces that TeX keeps, and places where it may break a word."""

    default_priority = 5
    formats = ("latex",)

    def run(self, **kwargs: object) -> None:
        for code in self.document.findall(nodes.literal):
            long = 0 if _is_in_table(code) else LONG
            for text in list(code.findall(nodes.Text)):
                words = [JOINT.sub("\N{ZERO WIDTH SPACE}", word) if len(word) > long else word
                         for word in text.replace("  ", "\N{NO-BREAK SPACE} ").split(" ")]
                text.parent.replace(text, nodes.Text(" ".join(words)))


def _is_in_table(node: nodes.Node) -> bool:
    while node := node.parent:
        if isinstance(node, nodes.entry):
            return True
    return False


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_post_transform(CodeInPrint)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
