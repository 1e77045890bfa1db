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

logger = logging.getLogger(__name__)


class ConversionReport(SphinxDirective):
    """Shows each line of the report: where it is, what it says, and the line of LaTeX."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        try:
            reports = tex2myst.read(path).reports
        except (OSError, tex2myst.TexError) as error:
            logger.warning("not converted: %s", error, location=(self.env.docname, self.lineno))
            return []
        listed = nodes.bullet_list()
        for report in reports:
            place, line, message, text = report.removeprefix(f"{Path(path).parent}/").split(":", 3)
            listed += nodes.list_item("", nodes.paragraph(
                "", "", nodes.literal("", f"{place}:{line}"), nodes.Text(f": {message.strip()}: "),
                nodes.literal("", text.strip())))
        return [listed]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("conversion-report", ConversionReport)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
