# SPDX-License-Identifier: MIT
"""Every row of the tables of values on xend's page is what the model does."""
from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from docutils import nodes

from tests import guide
from tests.lab import namespaces, skip
from tests.lab.namespaces import Lab

PAGE = "reference/xend-relocation-options"
ON = "(xend-relocation-server yes)"
#: The peers of the table of hosts-allow, each with the host that has its address, and where it finds node-a.
PEERS = {"192.168.1.2": ("node-b", "192.168.1.1"), "192.168.1.20": ("node-b", "192.168.1.1"),
         "203.0.113.66": ("outsider", "203.0.113.11")}


def tables() -> list[nodes.table]:
    """The tables of two columns: a value, and what comes of it."""
    found = guide.pages()[PAGE].doctree.findall(nodes.table)
    return [table for table in found if len(list(table.findall(nodes.colspec))) == 2]


def rows() -> Iterator[tuple[str, str, nodes.entry]]:
    """Of each row the configuration, the heading over its outcome, and the outcome."""
    for table in tables():
        (option, heading), *body = [list(row.findall(nodes.entry)) for row in table.findall(nodes.row)]
        for value, outcome in body:
            literal, = value.findall(nodes.literal)
            config = literal.astext()
            if list(option.findall(nodes.literal)):
                config = f"({option.astext()} {config})"
            if "server" not in config:
                config = f"{ON}\n{config}"
            yield f"{config}\n", heading.astext(), outcome


ROWS = list(rows())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    skip.without_lab(namespaces.why_not())
    with Lab("isolated-management-network") as lab:
        lab["node-b"].sh("ip address add 192.168.1.20/24 dev eth1")
        yield lab


@pytest.mark.parametrize("config, heading, outcome", ROWS, ids=[config.strip() for config, _, _ in ROWS])
def test_a_row(lab: Lab, config: str, heading: str, outcome: nodes.entry):
    node = lab["node-a"]
    started = node.ask(do="start_xend", config=config)
    words = outcome.astext()
    said = [literal.astext() for literal in outcome.findall(nodes.literal)]
    try:
        sockets = node.tcp_listeners()
        if "does not start" in words:
            assert started["status"] == 1 and not sockets
            return
        assert started["errors"] == ["xend: started"]
        if heading == "lets in":
            admitted = [peer for peer, (host, target) in PEERS.items()
                        if lab[host].relocate(target, source=peer) == "ready"]
            assert admitted == (list(PEERS) if words.startswith("everybody") else said)
            assert said or re.match("everybody|nobody", words)
        elif words.startswith("opens nothing"):
            assert not sockets
        else:
            assert words.startswith("listens on ")
            assert sockets == said
    finally:
        node.ask(do="stop_xend")


def test_no_table_is_passed_over():
    headings = [heading for _, heading, _ in ROWS]
    assert headings.count("xend") > 30 and headings.count("lets in") > 10
    assert len(tables()) == 5  # and the timeline, of three columns
