# SPDX-License-Identifier: MIT
"""Two options of ``code-block``: ``:not-run: REASON``, nothing can run the block, and every format says so;
``:xen:``, only a real Xen can, and so ``make test-xen`` does."""
from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.directives.code import CodeBlock
from sphinx.util.typing import ExtensionMetadata


class CodeBlockWithReason(CodeBlock):
    """Sphinx's ``code-block``, with the reason why nothing runs it, where there is one, or what alone can.

    Both are kept on the node, as ``node["not-run"]`` and ``node["xen"]``, for the tests that count and run blocks.
    """

    option_spec = CodeBlock.option_spec | {"not-run": directives.unchanged_required, "xen": directives.flag}

    def run(self) -> list[nodes.Node]:
        block, = super().run()
        for code in block.findall(nodes.literal_block):
            code["xen"] = "xen" in self.options
        if "not-run" not in self.options:
            return [block]
        reason = self.options["not-run"]
        for code in block.findall(nodes.literal_block):
            code["not-run"] = reason
        text, messages = self.state.inline_text(reason, self.lineno)
        label = nodes.strong("", "Not run:")
        remark = nodes.paragraph("", "", label, nodes.Text(" "), *text, classes=["not-run"])
        self.set_source_info(remark)
        return [remark, block, *messages]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("code-block", CodeBlockWithReason, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
