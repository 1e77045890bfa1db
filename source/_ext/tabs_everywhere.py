# SPDX-License-Identifier: MIT
"""Tabs in every format: as tabs on the site; elsewhere as alternatives, each a label over its own content.

sphinx-tabs chooses its nodes by the name of the builder while it reads. That makes the doctree of one
builder wrong for the next, and parses the body of a tab twice where the builder is not one for HTML.
Here every builder gets the same doctree, and what differs is made when a format is written.
"""
from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.latex import LaTeXTranslator
from sphinx_tabs.tabs import SphinxTabsPanel, SphinxTabsTab

CHOICE = "Take the one that is yours:"
"""What the line above some alternatives begins with."""
MARK = "► "
"""What stands before the label of each; the font of a Linux console has it."""


def one_doctree_for_all_builders(app: Sphinx, config: Config) -> None:
    """Make sphinx-tabs 3.5 read a page in one way, whichever builder asks."""
    config.sphinx_tabs_valid_builders = sorted(app.registry.builders)


def labelled_panels(tabs: nodes.Element) -> list[tuple[SphinxTabsTab, SphinxTabsPanel]]:
    """The labels of one ``{tabs}`` directive, each with the panel it belongs to."""
    panels = [child for child in tabs.children if isinstance(child, SphinxTabsPanel)]
    return list(zip(tabs[0].children, panels, strict=True))


class LabelsForPanels(SphinxPostTransform):
    """HTML: give each panel its label, which the style sheet shows where tabs cannot be clicked.

    Without JavaScript and on paper, sphinx-tabs 3.5 shows the first panel only.
    """

    default_priority = 5
    builders = ("html",)

    def run(self, **kwargs: object) -> None:
        for tabs in self.document.findall(_is_tabs):
            for label, panel in labelled_panels(tabs):
                panel["data-label"] = label.astext()


class TabsAsAlternatives(SphinxPostTransform):
    """Everywhere but in HTML: a line that names the choice, then a definition list of it.

    sphinx-tabs 3.5 prints all labels, then all bodies.
    """

    default_priority = 5
    formats: tuple[str, ...] = ("man", "text", "texinfo")

    def run(self, **kwargs: object) -> None:
        for tabs in list(self.document.findall(_is_tabs)):
            alternatives = labelled_panels(tabs)
            labels = ", ".join(label.astext() for label, _ in alternatives)
            tabs.replace_self([nodes.raw("", r"\needspace{11\baselineskip}", format="latex"),
                               nodes.paragraph("", f"{CHOICE} {labels}."), *self.alternatives(alternatives)])

    def alternatives(self, alternatives: list[tuple[SphinxTabsTab, SphinxTabsPanel]]) -> list[nodes.Node]:
        return [nodes.definition_list("", *(
            nodes.definition_list_item(
                "", nodes.term("", "", nodes.Text(MARK), *label.children), nodes.definition("", *panel.children))
            for label, panel in alternatives), classes=["tabs"])]


class TabsInLatex(TabsAsAlternatives):
    """In the PDF under labels of a kind of their own, so that the code has the whole width of the page."""

    formats = ("latex",)

    def alternatives(self, alternatives: list[tuple[SphinxTabsTab, SphinxTabsPanel]]) -> list[nodes.Node]:
        shown = [node for label, panel in alternatives for node in (Label("", "", *label.children), *panel.children)]
        return [*shown, nodes.raw("", r"\alternativesend", format="latex")]


class TabsInEpub(TabsAsAlternatives):
    """In an EPUB, too: it has no scripts, and the HTML of sphinx-tabs is not valid there."""

    builders = ("epub",)
    formats = ()


class Label(nodes.General, nodes.TextElement):
    """The label of an alternative in LaTeX."""


def visit_label(translator: LaTeXTranslator, node: Label) -> None:
    translator.body.append("\n\\alternative{")


def depart_label(translator: LaTeXTranslator, node: Label) -> None:
    translator.body.append("}\n")


def _is_tabs(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and "sphinx-tabs" in node["classes"]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.setup_extension("sphinx_tabs.tabs")
    app.connect("config-inited", one_doctree_for_all_builders)
    app.add_post_transform(LabelsForPanels)
    app.add_node(Label, latex=(visit_label, depart_label))
    app.add_post_transform(TabsAsAlternatives)
    app.add_post_transform(TabsInLatex)
    app.add_post_transform(TabsInEpub)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
