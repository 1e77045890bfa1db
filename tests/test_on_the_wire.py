# SPDX-License-Identifier: MIT
"""Who is on the path between two nodes: a neighbour on the same switch is not, until it answers for them."""
from __future__ import annotations

import shutil

from tests.lab import namespaces, skip
from tests.lab.wire import on_the_wire, seen_by, step_between

SECRET = "what only the two nodes know"


def test_a_neighbour_sees_nothing_until_it_answers_for_the_nodes(make_lab):
    skip.without_lab("" if shutil.which("tcpdump", path=namespaces.PATH) else "not installed: tcpdump")
    lab = make_lab("untrusted-subnet")
    node, other, outsider = lab["node-a"], lab["node-b"], lab["outsider"]
    other.listen(49152)

    def say() -> None:
        said = node.ask(do="converse", address="203.0.113.12", port=49152, parts=[f"{SECRET}\n"])["said"]
        assert said == [f"{SECRET}\n"]

    say()  # by now the switch knows where each is
    with seen_by(outsider, "eth0") as neighbour, on_the_wire(lab, "untrusted") as switch:
        say()
    assert SECRET.encode() in switch.frames
    assert SECRET.encode() not in neighbour.frames

    step_between(outsider, "eth0")
    node.run("ip", "neigh", "flush", "dev", "xenbr0")  # which it would do by itself, later
    with seen_by(outsider, "eth0") as neighbour:
        say()
    assert SECRET.encode() in neighbour.frames
