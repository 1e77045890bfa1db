# SPDX-License-Identifier: MIT
"""Tabs in every format: as tabs on the site, as a definition list (label over its own content) elsewhere.

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
from sphinx_tabs.tabs import SphinxTabsPanel, SphinxTabsTab


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


class TabsAsDefinitionList(SphinxPostTransform):
    """Everywhere but in HTML: a definition list, since sphinx-tabs 3.5 prints all labels, then all bodies."""

    default_priority = 5
    formats: tuple[str, ...] = ("latex", "man", "text", "texinfo")

    def run(self, **kwargs: object) -> None:
        for tabs in list(self.document.findall(_is_tabs)):
            tabs.replace_self(nodes.definition_list("", *(
                nodes.definition_list_item(
                    "", nodes.term("", "", *label.children), nodes.definition("", *panel.children))
                for label, panel in labelled_panels(tabs)
            ), classes=["tabs"]))


class TabsInEpub(TabsAsDefinitionList):
    """In an EPUB, too: it has no scripts, and the HTML of sphinx-tabs is not valid there."""

    builders = ("epub",)
    formats = ()


def _is_tabs(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and "sphinx-tabs" in node["classes"]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.setup_extension("sphinx_tabs.tabs")
    app.connect("config-inited", one_doctree_for_all_builders)
    app.add_post_transform(LabelsForPanels)
    app.add_post_transform(TabsAsDefinitionList)
    app.add_post_transform(TabsInEpub)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
