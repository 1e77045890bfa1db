# SPDX-License-Identifier: MIT
"""HTML: ``404.html``, which is shown at any address that is not there: its links begin where the site does."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The page, on the site only."""
    if app.builder.name == "html":
        yield "404", {"site_path": urlsplit(app.config.html_baseurl).path or "/"}, "404.html"


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
