# SPDX-License-Identifier: MIT
"""HTML: at the end of each page, which versions it applies to, when it was last run, and where to edit it."""
from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from evidence import NOT_YET, Needed, remark

CODE = (nodes.literal_block, nodes.literal)


def last_run(needed: list[Needed]) -> str:
    """When the blocks of a page were run, in a line; the oldest run counts, and none does where one is missing."""
    if not needed:
        return "nothing on this page is run"
    sessions = [session for one in needed if not one.tests for session in one.sessions()]
    missing = sum(not one.tested() if one.tests else not one.sessions() for one in needed)
    if missing:
        return f"{missing} of {len(needed)} blocks and commands {NOT_YET}"
    return remark(sessions) if sessions else f"tested {needed[0].tested()}"


def add_facts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """What page.html shows below a page."""
    if doctree is None:
        return
    needed = [node["needed"] for node in doctree.findall(lambda node: isinstance(node, CODE)) if "needed" in node]
    context["last_run"] = last_run(needed)
    context["applies_to"] = app.env.metadata[page].get("applies_to", context["applies_to"])
    context["source_file"] = f"source/{page}.md"


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("html-page-context", add_facts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
