# SPDX-License-Identifier: MIT
"""Which of the four kinds a code block of the guide is, read from its node in the doctree.

Everything that looks like code on a page is shown from a tested example, run as a transcript, run as a doctest,
or marked as not run. The tests use this module to find each block and whatever is none of the four.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx_tabs.tabs import SphinxTabsPanel
from tabs_everywhere import labelled_panels

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROMPT = re.compile(r"[a-z_][a-z0-9_-]*@[a-z0-9-]+[#$] ")
"""A prompt of a transcript: user, host, ``#`` for root or ``$``, and a space before the command."""


@dataclass(frozen=True)
class CodeBlock:
    """One code block of a page.

    ``kind`` is ``example``, ``transcript``, ``doctest``, ``not-run``, or empty when it is none of these.
    ``reason`` says why it is not run, ``example`` is the file that it shows, ``tabs`` are the labels of the
    tabs around it.
    """

    kind: str
    language: str
    text: str
    source: str
    line: int
    reason: str = ""
    example: Path | None = None
    tabs: frozenset[str] = frozenset()

    @property
    def where(self) -> str:
        """``file:line`` of the block."""
        return f"{self.source}:{self.line}"


def code_blocks(doctree: nodes.document, topology: str = "") -> Iterator[CodeBlock]:
    """Each code block of a page, in order.

    ``topology`` is the page's front matter of that name. Without one there are no hosts that a transcript
    could run on, so a console block is of no kind then.
    """
    for node in doctree.findall(lambda node: isinstance(node, (nodes.literal_block, nodes.doctest_block))):
        language = "pycon" if isinstance(node, nodes.doctest_block) else node.get("language", "")
        source, line = _place(node)
        example = Path(node["source"]).resolve() if "source" in node else None
        yield CodeBlock(_kind(node, language, topology), language, node.astext(), source, line,
                        node.get("not-run", ""), example, frozenset(_tabs(node)))


def _kind(node: nodes.Element, language: str, topology: str) -> str:
    text = node.astext()
    if "not-run" in node:
        return "not-run"
    if "source" in node:
        return "example" if Path(node["source"]).resolve().is_relative_to(EXAMPLES) else ""
    if language == "console" and topology and PROMPT.match(text):
        return "transcript"
    if language in ("python", "pycon") and text.startswith(">>> "):
        return "doctest"
    return ""


def _place(node: nodes.Element) -> tuple[str, int]:
    """File and line of a node, or of the nearest node around it that knows them."""
    while node.parent is not None and not node.line:
        node = node.parent
    return node.source or node.document.get("source", ""), node.line or 0


def _tabs(node: nodes.Element) -> Iterator[str]:
    while (parent := node.parent) is not None:
        if isinstance(node, SphinxTabsPanel):
            yield from (label.astext() for label, panel in labelled_panels(parent) if panel is node)
        node = parent
