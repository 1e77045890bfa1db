# SPDX-License-Identifier: MIT
"""HTML: the values that a reader makes their own, marked in commands and files, and a panel to enter them.

What equals a parameter of the scenario's ``topology.toml`` is that parameter, and gets an element with its name, which
``values.js`` fills. So a new example takes part by itself. What a command prints is left as it is.
"""
from __future__ import annotations

import functools
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

from code_kinds import PROMPT, CodeBlock, placed_blocks
from tests.lab.topology import EXAMPLES, load


class Place(NamedTuple):
    """Where a parameter stands in the text of a block; ``form`` is ``pattern`` where it is written as one for
    xend, and ``half`` where it is the second half of an IPv6 address as a number."""

    start: int
    end: int
    name: str
    form: str = ""


@functools.cache
def parameters(scenario: str) -> dict[str, str]:
    """The parameters of a scenario with the values of this guide; none where the folder is no scenario."""
    if not (EXAMPLES / scenario / "topology.toml").exists():
        return {}
    return {name: str(value) for name, value in load(scenario).parameters.items()}


def all_parameters() -> dict[str, str]:
    """Those of all scenarios; of one name there is one value."""
    found: dict[str, str] = {}
    for file in sorted(EXAMPLES.glob("*/topology.toml")):
        found |= parameters(file.parent.name)
    return found


def pattern(value: str) -> str:
    r"""The pattern of xend's ``hosts-allow`` for an IPv4 network or address, each backslash doubled.

    >>> print(pattern("192.168.1.0/24"), pattern("192.168.1.64/26").count("|"), pattern("192.168.1.1"))
    ^192\\.168\\.1\\.[0-9]+$ 63 ^192\\.168\\.1\\.1$
    """
    network = ipaddress.IPv4Network(value)
    parts = []
    for first, last in zip(network.network_address.packed, network.broadcast_address.packed):
        if first == last:
            parts.append(str(first))
        else:
            parts.append("[0-9]+" if (first, last) == (0, 255) else f"({'|'.join(map(str, range(first, last + 1)))})")
    return "^" + r"\\.".join(parts) + "$"


def half(value: str) -> str:
    """The second half of an IPv6 address as a number.

    >>> half("2001:db8::a:b")
    '0xa000b'
    """
    return hex(int(ipaddress.IPv6Address(value)) % 2 ** 64)


def places(text: str, values: Mapping[str, str]) -> Iterator[Place]:
    """Where the values stand in a text, each as a word of its own.

    >>> [text[p.start:p.end] for text in ["nc 192.168.1.1 8002 # 192.168.1.10"]
    ...  for p in places(text, {"address": "192.168.1.1", "port": "8002"})]
    ['192.168.1.1', '8002']
    """
    written = {}
    for name, value in values.items():
        # An IPv6 address goes on after a colon, an IPv4 address after a point, a name of an interface after neither.
        further = r"(?![\w-]|\.\d)" if ":" not in value else r"(?![\w:-])"
        written[rf"(?<![\w.-]){re.escape(value)}{further}"] = (name, "")
        if re.fullmatch(r"[\d.]+\.[\d.]+(/\d+)?", value):
            written[re.escape(pattern(value))] = (name, "pattern")
        elif name.endswith("address6"):
            written[rf"\b{half(value)}\b"] = (name, "half")
    expressions = sorted(written, key=len, reverse=True)
    if not expressions:
        return
    for match in re.finditer("|".join(f"({expression})" for expression in expressions), text):
        yield Place(match.start(), match.end(), *written[expressions[match.lastindex - 1]])


def commands(text: str) -> Iterator[tuple[int, int]]:
    r"""From where to where each command of a transcript goes, the lines that it is continued on included.

    >>> text = "user@a$ cat <<EOF \\\n  >x\n8002\nEOF\n8002\n"
    >>> [text[start:end] for start, end in commands(text)]
    ['user@a$ cat <<EOF \\\n  >x\n8002\nEOF\n']
    """
    at, start, inside = 0, -1, False
    for line in text.splitlines(keepends=True):
        goes_on = start >= 0
        if goes_on or PROMPT.match(line):
            start = start if goes_on else at
            if "EOF" in line:
                inside = not inside
            if not inside and not line.endswith("\\\n"):
                yield start, at + len(line)
                start = -1
        at += len(line)
    if start >= 0:
        yield start, at


def places_in(block: CodeBlock, topology: str) -> list[Place]:
    """Where the parameters stand in what a reader copies of a block; nothing in a Python session."""
    if block.kind == "example":
        return list(places(block.text, parameters(block.example.parent.name)))
    if block.kind not in ("transcript", "not-run", "tested", "mention") or not topology:
        return []
    found = list(places(block.text, parameters(topology)))
    if block.inline or not PROMPT.search(block.text):
        return found
    parts = list(commands(block.text))
    return [place for place in found if any(start <= place.start < end for start, end in parts)]


PANEL = 'id="your-values"'
"""What tells the panel in the HTML of a page."""


class Panel(nodes.General, nodes.Element):
    """The place of the panel on a page, with the ``names`` of the parameters there."""


def mark_blocks(app: Sphinx, doctree: nodes.document) -> None:
    """Note on each block where the parameters stand in it, and put the panel below the title of the page."""
    topology = app.env.metadata[app.env.docname].get("topology", "")
    names: dict[str, None] = {}
    for node, block in placed_blocks(doctree, topology):
        scenario = block.example.parent.name if block.example else topology
        if not (found := places_in(block, topology)):
            continue
        app.env.note_dependency(str(EXAMPLES / scenario / "topology.toml"))
        if block.inline and "run" in node:  # the text of the block has the prompt, the node has not
            shift = len(block.text) - len(node.astext())
            found = [place._replace(start=place.start - shift, end=place.end - shift) for place in found]
        node["places"] = found
        names |= dict.fromkeys(place.name for place in found)
    if names:
        section = next(doctree.findall(nodes.section))
        order = parameters(topology) | all_parameters()
        section.insert(1, Panel(names=[name for name in order if name in names]))


TOKEN = re.compile(r"(<[^>]+>)|(&[^;]+;)|[^<&]+")


def marked(html: str, found: list[Place]) -> str:
    """Some HTML made of text and ``span`` elements, with an element around each place.

    A highlighter may have cut a value into several elements; here it becomes one.

    >>> marked('<span class="m">1</span>.<span class="m">2;</span>', [Place(0, 3, "x")])
    '<span class="m value" data-parameter="x">1.2</span><span class="m">;</span>'
    """
    edges = [edge for place in found for edge in ((place.start, place), (place.end, None))]
    result: list[str] = []
    opened: list[str] = []
    at, inside = 0, False
    for match in TOKEN.finditer(html):
        text, (tag, entity) = match[0], match.groups()
        if tag:
            if tag.startswith("</"):
                opened.pop()
            else:
                opened.append(tag)
            if not inside:
                result.append(tag)
            continue
        end = at + (1 if entity else len(text))
        while edges and edges[0][0] < end:
            edge, place = edges.pop(0)
            result.append(text[:edge - at])
            text, at = text[edge - at:], edge
            if place:
                look = re.search(r'class="([^"]*)', opened[-1])[1] + " " if opened else ""
                form = f' data-form="{place.form}"' if place.form else ""
                result += ["</span>" * len(opened),
                           f'<span class="{look}value" data-parameter="{place.name}"{form}>']
            else:
                result += ["</span>", *opened]
            inside = place is not None
        result.append(text)
        at = end
    if inside:
        result.append("</span>")
    return re.sub(r'<span class="[^"]*"></span>', "", "".join(result))


def visit_literal_block(translator: HTML5Translator, node: nodes.literal_block) -> None:
    """As Sphinx writes it, then marked."""
    start = len(translator.body)
    try:
        HTML5Translator.visit_literal_block(translator, node)
    finally:
        if "places" in node:
            html = "".join(translator.body[start:])
            before, text, after = re.fullmatch(r"(?s)(.*?<pre><span></span>)(.*)(</pre>.*)", html).groups()
            translator.body[start:] = [before, marked(text, node["places"]), after]


def visit_literal(translator: HTML5Translator, node: nodes.literal) -> None:
    """As Sphinx writes it, then marked."""
    if "places" not in node:
        HTML5Translator.visit_literal(translator, node)
        return
    start = len(translator.body)
    HTML5Translator.visit_literal(translator, node)
    for child in node.children:
        child.walkabout(translator)
    HTML5Translator.depart_literal(translator, node)
    opening, text, closing = re.fullmatch(r"(?s)(<code[^>]*>)(.*)(</code>)", "".join(translator.body[start:])).groups()
    translator.body[start:] = [opening, marked(text, node["places"]), closing]
    raise nodes.SkipNode


def label(name: str) -> str:
    """The name of a parameter in words.

    >>> label("management_network6"), label("relocation_port")
    ('management network, IPv6', 'relocation port')
    """
    words = name.replace("_", " ")
    return f"{words[:-1]}, IPv6" if words.endswith("6") else words


def visit_panel(translator: HTML5Translator, node: Panel) -> None:
    """A form that only the script shows, since it does nothing without it."""
    values = all_parameters()
    fields = "".join(
        f'<p><label for="value-{name}">{label(name)}</label>'
        f'<input id="value-{name}" name="{name}" placeholder="{escape(values[name])}" autocomplete="off" '
        f'autocapitalize="off" spellcheck="false" aria-describedby="reason-{name}">'
        f'<span class="reason" id="reason-{name}" role="status"></span></p>\n' for name in node["names"])
    translator.body.append(
        f'<details class="values" {PANEL} hidden data-parameters="{escape(json.dumps(values))}">\n'
        '<summary>Your values</summary>\n'
        '<p>Enter them once: the commands and files of all pages then have them. They stay in this browser. What you '
        f'leave empty stays as it is in this guide, which is nobody\'s.</p>\n<form>\n{fields}'
        '<p><button type="button" name="share">Copy a link with these values</button> '
        '<button type="button" name="reset">Back to the values of this guide</button> '
        '<output class="values-said"></output></p>\n</form></details>\n')
    raise nodes.SkipNode


def leave_out(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Other formats have no scripts, and so no panel."""
    if app.builder.name != "html":
        for panel in list(doctree.findall(Panel)):
            panel.parent.remove(panel)


def add_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """The script, where there is a panel."""
    if PANEL in context.get("body", ""):
        app.add_js_file("values.js", loading_method="defer")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_node(Panel, html=(visit_panel, None))
    app.add_node(nodes.literal_block, override=True, html=(visit_literal_block, None))
    app.add_node(nodes.literal, override=True, html=(visit_literal, HTML5Translator.depart_literal))
    app.connect("doctree-read", mark_blocks)
    app.connect("doctree-resolved", leave_out)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
