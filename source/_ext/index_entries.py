# SPDX-License-Identifier: MIT
"""The index of the PDF: each example file, and each program, where a section shows or runs it."""
from __future__ import annotations

from code_kinds import PROGRAMS, placed_blocks
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from tests.lab.topology import EXAMPLES
from tests.transcripts import page as pages

EVERYWHERE = {"cat", "cp", "echo", "for", "kill", "ls", "nc", "printf", "python3", "rm", "sh", "sleep", "test",
              "tail", "until"}
"""Programs that nobody looks up."""


def add_entries(app: Sphinx, doctree: nodes.document) -> None:
    """Put an index node at the head of each section, of what is in it and not in a section within it."""
    found: dict[nodes.section, dict[str, None]] = {}
    for node, block in placed_blocks(doctree, app.env.metadata[app.env.docname].get("topology", "")):
        section = node
        while not isinstance(section, nodes.section):
            section = section.parent
        entries = found.setdefault(section, {})
        if block.kind == "example":
            entries["; ".join(block.example.relative_to(EXAMPLES).parts)] = None
        elif block.kind == "transcript":
            words = {simple.split(" ")[0] for simple in pages.simple_commands_of(block)}
            entries |= dict.fromkeys(sorted(words & PROGRAMS - EVERYWHERE))
    for section, entries in found.items():
        if entries:
            target = section["ids"][0]
            section.insert(1, addnodes.index(entries=[("single", name, target, "", None) for name in entries]))


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("doctree-read", add_entries)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
