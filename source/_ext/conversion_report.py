# SPDX-License-Identifier: MIT
"""The directive ``conversion-report``: what the converter reports of a LaTeX file, as a list.

The argument is the file, relative to the page. It is read when the page is, so the
list is that of the converter and the file as they are.
"""
from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from latex import tex2myst
from latex.converter.document import Document

logger = logging.getLogger(__name__)


def read(directive: SphinxDirective, failure: str) -> tuple[Document, Path] | None:
    """The LaTeX file that is the argument of a directive, and its path; None after a warning where it cannot be read.

    ``failure`` is what the warning begins with.
    """
    relative, path = directive.env.relfn2path(directive.arguments[0])
    directive.env.note_dependency(relative)
    try:
        return tex2myst.read(path), Path(path)
    except (OSError, tex2myst.TexError) as error:
        logger.warning("%s: %s", failure, error, location=(directive.env.docname, directive.lineno))
        return None


class ConversionReport(SphinxDirective):
    """Shows each line of the report: where it is, what it says, and the line of LaTeX."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        if (found := read(self, "not converted")) is None:
            return []
        document, path = found
        listed = nodes.bullet_list()
        for report in document.reports:
            place, line, message, text = report.removeprefix(f"{path.parent}/").split(":", 3)
            listed += nodes.list_item("", nodes.paragraph(
                "", "", nodes.literal("", f"{place}:{line}"), nodes.Text(f": {message.strip()}: "),
                nodes.literal("", text.strip(), language="latex")))
        return [listed]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("conversion-report", ConversionReport)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
