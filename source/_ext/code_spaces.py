# SPDX-License-Identifier: MIT
"""PDF: two spaces in code within a sentence stay two. TeX makes one of them, in Sphinx 9.0 in code as well."""
from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata


class CodeSpaces(SphinxPostTransform):
    """Make the first of two a space that TeX keeps."""

    default_priority = 5
    formats = ("latex",)

    def run(self, **kwargs: object) -> None:
        for code in self.document.findall(nodes.literal):
            for text in list(code.findall(nodes.Text)):
                text.parent.replace(text, nodes.Text(text.replace("  ", "\N{NO-BREAK SPACE} ")))


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_post_transform(CodeSpaces)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
