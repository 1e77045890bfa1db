# SPDX-License-Identifier: MIT
"""Mistakes in topologies and transcripts, each told in a line where it is. The other extensions rely on the rest."""
from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

from code_kinds import PROMPT, placed_blocks
from tests.lab.topology import EXAMPLES, TopologyError, load
from tests.transcripts import page as pages

BEFORE_ALL_OTHERS = 100


def check_topologies(app: Sphinx) -> None:
    """Every page may take values from every topology, so without one of them there are no pages."""
    values: dict[str, str | int] = {}
    for file in sorted(EXAMPLES.glob("*/topology.toml")):
        name = file.parent.name
        try:
            for parameter, value in load(name).parameters.items():
                if values.setdefault(parameter, value) != value:
                    raise TopologyError(f"{name}: {parameter} has another value elsewhere, {values[parameter]}")
        except TopologyError as error:
            raise SphinxError(f"examples/{name}/topology.toml: {str(error).removeprefix(f'{name}: ')}") from None


def check_page(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of what cannot be read, and take it for plain text."""
    log = logging.getLogger(__name__)
    metadata = app.env.metadata[app.env.docname]
    topology = metadata.get("topology", "")
    if topology and not (EXAMPLES / topology / "topology.toml").exists():
        log.warning("topology: %s: there is no such topology", topology, location=app.env.docname)
        topology = metadata["topology"] = ""
    for node, block in placed_blocks(doctree, topology):
        if not topology and block.kind == "" and block.language == "console" and PROMPT.search(block.text):
            log.warning("a transcript needs hosts: topology: NAME between two lines of --- at the head of the page "
                        "names them", location=node)
        if block.kind == "transcript":
            try:
                pages.commands(block)
            except pages.PageError as error:
                where, what = re.fullmatch(r"(.+?:\d+): (.*)", str(error).replace("\n", ": "), re.DOTALL).groups()
                log.warning("%s", what, location=where)
                node["language"] = "none"


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("builder-inited", check_topologies)
    app.connect("doctree-read", check_page, priority=BEFORE_ALL_OTHERS)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
