# SPDX-License-Identifier: MIT
"""Blocks that no lab can run: the option ``:not-run: REASON`` of ``code-block``, and ``{not-run-list}`` of them all.

Every format shows the reason above the block.
"""
from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.directives.code import CodeBlock
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

LABEL = "Not run:"


class CodeBlockWithReason(CodeBlock):
    """Sphinx's ``code-block``, with the reason why nothing runs it, where there is one.

    The reason is kept on the node, as ``node["not-run"]``, for the tests that count such blocks.
    """

    option_spec = CodeBlock.option_spec | {"not-run": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        block, = super().run()
        if "not-run" not in self.options:
            return [block]
        reason = self.options["not-run"]
        for code in block.findall(nodes.literal_block):
            code["not-run"] = reason
        text, messages = self.state.inline_text(reason, self.lineno)
        remark = nodes.paragraph("", "", nodes.strong("", LABEL), nodes.Text(" "), *text, classes=["not-run"])
        self.set_source_info(remark)
        return [remark, block, *messages]


class not_run_list(nodes.General, nodes.Element):  # noqa: N801 (docutils names nodes like this)
    """Where the list of reasons comes to stand, once all pages are read."""


class NotRunListDirective(SphinxDirective):
    """``{not-run-list}``: each reason why a block is not run, and the pages that such blocks are on."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the other pages may have changed
        return [not_run_list()]


class NotRunList(SphinxPostTransform):
    """Fill in the list; before the references to pages are resolved."""

    default_priority = 5

    def run(self, **kwargs: object) -> None:
        for place in list(self.document.findall(not_run_list)):
            place.replace_self(nodes.bullet_list("", *(
                nodes.list_item("", nodes.paragraph("", "", *reason, nodes.Text(": "), *_references(pages)))
                for reason, pages in self._reasons()
            )))

    def _reasons(self) -> list[tuple[list[nodes.Node], list[str]]]:
        """Each reason, as it is written, with the pages it is given on."""
        found: dict[str, tuple[list[nodes.Node], list[str]]] = {}
        for page in sorted(self.env.found_docs):
            for remark in self.env.get_doctree(page).findall(_is_remark):
                _, pages = found.setdefault(remark.astext(), (remark.children[2:], []))
                if page not in pages:
                    pages.append(page)
        return list(found.values())


def _is_remark(node: nodes.Node) -> bool:
    return isinstance(node, nodes.paragraph) and "not-run" in node["classes"]


def _references(pages: list[str]) -> list[nodes.Node]:
    inline: list[nodes.Node] = []
    for page in pages:
        inline += [nodes.Text(", ")] if inline else []
        inline.append(addnodes.pending_xref("", nodes.inline(), refdomain="std", reftype="doc",
                                            reftarget=f"/{page}", refexplicit=False, refwarn=True))
    return inline


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("code-block", CodeBlockWithReason, override=True)
    app.add_node(not_run_list)
    app.add_directive("not-run-list", NotRunListDirective)
    app.add_post_transform(NotRunList)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
