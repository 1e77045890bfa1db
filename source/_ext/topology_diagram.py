# SPDX-License-Identifier: MIT
"""The directives ``{topology} SCENARIO`` and ``{parameters} SCENARIO``.

Both read ``examples/SCENARIO/topology.toml``. The topology is a picture in HTML (SVG in the page) and in the
PDF (the same SVG, made a PDF by rsvg-convert); formats of text get it in words. The parameters, what a reader
changes in the commands, are a table.
"""
from __future__ import annotations

import shutil
import subprocess
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxTranslator
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator
from sphinx.writers.latex import LaTeXTranslator

import topology_picture
from tests.lab.topology import EXAMPLES, Topology, TopologyError, load


class topology_diagram(nodes.General, nodes.Element):  # docutils names nodes like this
    """The picture of a topology; its children say the same in words."""


class _TopologyDirective(SphinxDirective):
    """Reads the topology that the argument names, and has the page read again when it changes."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(EXAMPLES / self.arguments[0] / "topology.toml"))
        try:
            return self.show(load(self.arguments[0]))
        except TopologyError as error:
            raise self.error(str(error)) from error

    def show(self, topology: Topology) -> list[nodes.Node]:
        raise NotImplementedError


class TopologyDirective(_TopologyDirective):
    """``{topology} SCENARIO``: the picture of a scenario's networks and hosts, without its rules and with them.

    Where ``:plain:`` is set, or the topology names no paths, it is one picture, of the networks and hosts alone.
    """

    option_spec = {"plain": directives.flag}

    def show(self, topology: Topology) -> list[nodes.Node]:
        words = nodes.definition_list("", *(
            nodes.definition_list_item(
                "", nodes.term("", term), nodes.definition("", nodes.paragraph("", sentence)))
            for term, sentence in topology_picture.in_words(topology)
        ))
        views = list(topology_picture.TITLES) if topology.paths and "plain" not in self.options else [""]
        return [topology_diagram("", words, scenario=topology.name, views=views)]


class ParametersDirective(_TopologyDirective):
    """``{parameters} SCENARIO``: a table of the values that a reader makes their own."""

    def show(self, topology: Topology) -> list[nodes.Node]:
        group = nodes.tgroup("", nodes.colspec(colwidth=50), nodes.colspec(colwidth=50), cols=2)
        group += nodes.thead("", _row(nodes.Text("parameter"), nodes.Text("value in this guide")))
        group += nodes.tbody("", *(
            _row(nodes.literal("", name), nodes.literal("", str(value)))
            for name, value in topology.parameters.items()
        ))
        return [nodes.table("", group, classes=["parameters"])]


def _row(*cells: nodes.Node) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def visit_html(translator: HTML5Translator, node: topology_diagram) -> None:
    """The picture itself. Where the screen is narrow its frame can be scrolled, with the keyboard too.

    In an EPUB it is a file: Sphinx 9.0 does not list pages with SVG in them as such.
    """
    topology = load(node["scenario"])
    if translator.builder.name == "epub":
        for view in node["views"]:
            name = _name(node["scenario"], view)
            svg = topology_picture.draw(topology, topology_picture.PRINT_STYLE, view)
            Path(translator.builder.outdir, f"{name}.svg").write_text(svg, encoding="utf-8")
            alt = ": ".join(filter(None, [topology.title, topology_picture.TITLES.get(view)]))
            up = "../" * translator.builder.current_docname.count("/")
            translator.body.append(f'<p><img src="{up}{name}.svg" alt="{escape(alt)}" /></p>\n')
        return
    pictures = "\n".join(f'<div class="topology" tabindex="0">{topology_picture.draw(topology, view=view)}</div>'
                         for view in node["views"])
    translator.body.append(f'<div class="topologies">{pictures}</div>\n')
    raise nodes.SkipNode


def _name(scenario: str, view: str) -> str:
    return "-".join(filter(None, ["topology", scenario, view]))


def visit_latex(translator: LaTeXTranslator, node: topology_diagram) -> None:
    """The pictures as PDFs in the output folder, side by side in a figure, which does not leave a page half empty.

    Raises ExtensionError where rsvg-convert is missing.
    """
    pictures = []
    for view in node["views"]:
        name = _name(node["scenario"], view)
        svg = topology_picture.draw(load(node["scenario"]), topology_picture.PRINT_STYLE, view)
        _to_pdf(svg, Path(translator.builder.outdir) / f"{name}.pdf")
        pictures.append(rf"\includegraphics[width=0.53\linewidth]{{{name}.pdf}}")
    beside = r"\hspace{0.04\linewidth}".join(pictures)
    translator.body.append(f"\n\n\\begin{{figure}}[!htb]\n\\makebox[\\linewidth]{{{beside}}}\n\\end{{figure}}\n\n")
    raise nodes.SkipNode


def _to_pdf(svg: str, target: Path) -> None:
    if shutil.which("rsvg-convert") is None:
        raise ExtensionError("the PDF needs rsvg-convert (apt-get install librsvg2-bin)")
    subprocess.run(["rsvg-convert", "--format=pdf", f"--output={target}"], input=svg.encode(), check=True)


def visit_words(translator: SphinxTranslator, node: topology_diagram) -> None:
    """Formats of text: go on with the children."""


def depart(translator: SphinxTranslator, node: topology_diagram) -> None:
    """Nothing follows the node in any format."""


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_node(topology_diagram, html=(visit_html, depart), latex=(visit_latex, depart),
                 man=(visit_words, depart), text=(visit_words, depart))
    app.add_directive("topology", TopologyDirective)
    app.add_directive("parameters", ParametersDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
