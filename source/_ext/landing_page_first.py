# SPDX-License-Identifier: MIT
"""PDF and man pages: the landing page's own sections first, then the other pages, all of one rank."""
from __future__ import annotations

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata


class LandingPageFirst(SphinxPostTransform):
    """Move the documents that stand where the toctree stood to the end of the root section.

    Sphinx puts them into the section that holds the toctree, one rank too low, and in the middle of the page.
    """

    default_priority = 2
    formats = ("latex", "man")

    def run(self, **kwargs: object) -> None:
        root = next(self.document.findall(nodes.section))
        for file in list(self.document.findall(addnodes.start_of_file)):
            file.parent.remove(file)
            root.append(file)


class LabelOfLandingPage(SphinxPostTransform):
    """Sphinx's LaTeX writer leaves out the title of the root section, and its label with it: print that."""

    default_priority = 2
    formats = ("latex",)

    def run(self, **kwargs: object) -> None:
        root = next(self.document.findall(nodes.section))
        root.insert(1, nodes.target("", "", ids=root["ids"]))


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_post_transform(LandingPageFirst)
    app.add_post_transform(LabelOfLandingPage)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
