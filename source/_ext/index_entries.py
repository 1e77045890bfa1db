# SPDX-License-Identifier: MIT
"""The index of the PDF: the files and programs at the blocks that show and run them, the ports at their table, and
what the guide is about where a heading, a term, or the first label of a text names it.
"""
from __future__ import annotations

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from around_blocks import Above, Below
from code_kinds import placed_blocks
from tabs_everywhere import Label
from tests.lab.topology import EXAMPLES
from tests.transcripts import page as pages

PROGRAMS = frozenset("""
    conntrack ebtables firewall-cmd ipmitool netfilter-persistent tcpdump ufw virsh virt-pki-query-dn visudo wg
    wg-quick xe xen-livepatch xm
""".split())
"""Programs that somebody looks up."""
SUBJECT = re.compile(r"(?<![\w.-])(?:br_netfilter|Docker|firewalld|iptables|IPv6|libvirt|nftables|QEMU|ssh|systemd|"
                     r"ufw|VNC|VXLAN|WireGuard|XAPI|xend(?:-[\w-]+)?|xen-api-[\w-]+|xl)(?![\w-])")
"""What the guide is about, as headings and terms write it."""


def add_entries(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put each entry into what it is about, so that no page break parts them."""
    if app.builder.format != "latex":
        return
    for node, block in list(placed_blocks(doctree, "any")):
        if block.kind == "example":
            _enter(_line_of(node), "; ".join(block.example.relative_to(EXAMPLES).parts))
        elif block.kind == "transcript" and not block.inline:
            words = {simple.split(" ")[0] for simple in pages.simple_commands_of(block)}
            _enter(_line_of(node), *sorted(words & PROGRAMS))
    for section in doctree.findall(nodes.section):
        title = section[0].astext()
        _enter(section, *SUBJECT.findall(title), *(_ports(title) if "port" in title.lower() else []), at=1)
    for item in doctree.findall(nodes.definition_list_item):
        if isinstance(item[-1][0], nodes.paragraph) and not isinstance(item.parent.parent, addnodes.glossary):
            _enter(item[-1][0], *SUBJECT.findall(item[0].astext()))
    for text in doctree.findall(addnodes.start_of_file):
        for label in {label.astext(): label for label in reversed(list(text.findall(Label)))}.values():
            _enter(label, label.astext())
    for table in doctree.findall(nodes.table):
        rows = list(table.findall(nodes.row))
        for row in rows[1:] if rows[0][0].astext() == "Port" else []:
            _enter(row[0][0], *_ports(row[0].astext()), *SUBJECT.findall(row[-1].astext()))


def _ports(text: str) -> list[str]:
    """The numbers in a text; of a range the first."""
    return [f"port; {number}" for number in re.findall(r"(?<!to )\b\d+", text)]


def _line_of(block: nodes.Element) -> nodes.Element:
    """The small line that is in the frame of a block."""
    before = block.parent[block.parent.index(block) - 1]
    return before if isinstance(before, (Above, Below)) else block.parent


def _enter(place: nodes.Element, *names: str, at: int = 0) -> None:
    if names:
        place.insert(at, addnodes.index(entries=[("single", name, "", "", None) for name in dict.fromkeys(names)]))


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("doctree-resolved", add_entries)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
