# SPDX-License-Identifier: MIT
"""HTML: a page that names no description of its own is described by its first paragraph."""
from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

LENGTH = 160
"""About what search engines show."""


def add_description(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add ``<meta name="description">`` to a page, cut at the end of a word."""
    if doctree is None or 'name="description"' in context.get("metatags", ""):
        return
    paragraph = next(doctree.findall(nodes.paragraph), None)
    if paragraph is None:
        return
    text = " ".join(paragraph.astext().split())
    if len(text) > LENGTH:
        text = text[:LENGTH].rsplit(" ", 1)[0] + " …"
    tag = f'\n<meta name="description" content="{escape(text)}" />'
    context["metatags"] = context.get("metatags", "") + tag


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("html-page-context", add_description)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
