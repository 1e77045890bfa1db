# SPDX-License-Identifier: MIT
"""Roles for a command within a sentence, which say what runs it.

``{run}`iptables -V <root@node-a>```
    The tests run it there, at this place of the page. It has to succeed; what it prints is not shown.

``{tested}`kill -9 <tests/test_applying.py::test_a_kill>```
    This test runs it, or what it stands for.

``{not-run}`xe host-list <there is no XAPI in the lab>```
    Nothing can run it, for this reason.

On the page each is the command alone, the last with its reason where a mouse points at it, and on paper behind it.
Without such a role, a command within a sentence has to be in a transcript.
"""
from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxRole
from sphinx.util.typing import ExtensionMetadata

WITH_REMARK = re.compile(r"(?P<command>.+) <(?P<remark>[^<>]+)>", re.DOTALL)


class Command(SphinxRole):
    """A command with a remark, which is kept on the node: as a text, or as a list of them."""

    def __init__(self, name: str, expected: str, several: bool = False):
        super().__init__()
        self.kept_as, self.expected, self.several = name, re.compile(expected), several

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        match = WITH_REMARK.fullmatch(self.text)
        if not match or not self.expected.fullmatch(match["remark"]):
            message = self.inliner.reporter.error(
                f"{self.name}: not COMMAND <{self.expected.pattern}>: {self.text}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        node = nodes.literal(self.rawtext, match["command"])
        node[self.kept_as] = match["remark"].split(", ") if self.several else match["remark"]
        self.set_source_info(node)
        if self.kept_as == "not-run":
            return [nodes.abbreviation("", "", node, explanation=f"not run: {match['remark']}")], []
        return [node], []


class ReasonsOnPaper(SphinxPostTransform):
    """The reason behind each command that is not run, where no mouse can ask for it.

    Sphinx 9.0 prints the explanation of an abbreviation once in LaTeX, in small capitals, and never in man pages.
    """

    default_priority = 5
    formats: tuple[str, ...] = ("latex", "man", "text", "texinfo")

    def run(self, **kwargs: object) -> None:
        for command in list(self.document.findall(nodes.abbreviation)):
            command.replace_self([*command.children, nodes.Text(f" ({command['explanation']})")])


class ReasonsInEpub(ReasonsOnPaper):
    """In an EPUB, too."""

    builders = ("epub",)
    formats = ()


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_role("run", Command("run", r"[a-z]+@[a-z0-9-]+"))
    app.add_role("tested", Command("tests", r"tests/\w+\.py::\w+(, tests/\w+\.py::\w+)*", several=True))
    app.add_role("not-run", Command("not-run", r"[^<>]+"))
    app.add_post_transform(ReasonsOnPaper)
    app.add_post_transform(ReasonsInEpub)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
