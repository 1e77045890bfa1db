# SPDX-License-Identifier: MIT
"""HTML: a block with root's commands for several hosts gets no copy button, since a paste would give one host them all.

It has the class ``several-hosts``, which conf.py leaves out of what the button is put on.
"""
from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata

from code_kinds import PROMPT


def several_hosts(text: str) -> bool:
    """Whether a transcript has commands of root on more than one host.

    >>> several_hosts("root@node-a# id\\nuser@outsider$ id\\nroot@node-a# id\\n")
    False
    >>> several_hosts("root@node-a# id\\nuid=0(root)\\nroot@border# id\\n")
    True
    """
    prompts = re.findall(rf"^{PROMPT.pattern}", text, re.MULTILINE)
    return len({prompt for prompt in prompts if prompt.startswith("root@")}) > 1


class OneHost(SphinxPostTransform):
    """Mark the blocks for several hosts."""

    default_priority = 500
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for node in self.document.findall(nodes.literal_block):
            if several_hosts(node.astext()):
                node["classes"].append("several-hosts")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_post_transform(OneHost)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
