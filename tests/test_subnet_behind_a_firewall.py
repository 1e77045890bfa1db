# SPDX-License-Identifier: MIT
"""A subnet behind a firewall: the nodes' rules, the guests', the border firewall's, and the chapter's own."""
from __future__ import annotations

import itertools
import re

from tests.lab.cycle import assert_cycle, fail, succeed
from tests.lab.filters import apply, apply_nft, undo, undo_nft
from tests.lab.namespaces import PROJECT, Host, Lab

SCENARIO = "subnet-behind-a-firewall"
FIREWALL, BORDER, GUESTS = f"{SCENARIO}/firewall", f"{SCENARIO}/border", f"{SCENARIO}/guests"
NODE_A, NODE_A6 = "192.168.1.1", "2001:db8:1::1"
NODE_B, NODE_B6 = "192.168.1.2", "2001:db8:1::2"


def prepared(lab: Lab) -> Lab:
    for name in ("node-a", "node-b"):
        lab[name].listen(8002)
        lab[name].listen(22)
    lab["distant"].listen(80)
    return lab


def probes(lab: Lab, names: tuple[str, ...], targets: tuple[str, ...], port: int = 8002) -> dict:
    return {f"{name} -> {target} {port}": (lambda name=name, target=target: lab[name].probe(target, port))
            for name in names for target in targets}


def from_outside(lab: Lab) -> dict:
    return probes(lab, ("outsider", "distant", "admin"), (NODE_A, NODE_A6))


def from_the_guest(lab: Lab) -> dict:
    """The guest by its own address, by one that it made up, and by its link-local one."""
    guest = lab["guest-a"]
    guest.sh("ip address replace 192.168.1.77/24 dev eth0")
    return probes(lab, ("guest-a",), (NODE_A, NODE_A6, NODE_B, NODE_B6)) | {
        "guest with a made-up source": lambda: guest.probe(NODE_A, 8002, source="192.168.1.77"),
        "guest -> link-local": lambda: guest.probe(lab["node-a"].link_local("xenbr0") + "%eth0", 8002),
    }


def from_the_cluster(lab: Lab) -> dict:
    return probes(lab, ("node-b",), (NODE_A, NODE_A6)) | probes(lab, ("node-a",), (NODE_B, NODE_B6))


def the_rest(lab: Lab) -> dict:
    """What is none of these rules' business, and must go on."""
    return (probes(lab, ("admin", "guest-a"), (NODE_A, NODE_A6), 22)
            | probes(lab, ("node-a", "guest-a"), ("192.77.8.9", "2001:db8:e::9"), 80))


def forged(victim: Host, attacker: Host, target: str, port: int, addresses: itertools.count, prefix: str):
    """A SYN with a source that is not the attacker's; ``open`` where the victim answered it.

    A new address each time, since a half-open connection is remembered for a minute.
    """
    def probe() -> str:
        source = prefix + (f"{next(addresses):x}" if ":" in prefix else str(next(addresses)))
        attacker.sh(f"ip address add {source} dev lo" + (" nodad" if ":" in source else ""))
        assert attacker.probe(target, port, source=source) == "filtered"  # the answer goes elsewhere
        return "open" if victim.half_open(port, source) else "filtered"
    return probe


def test_the_nodes_rules_close_the_port_to_the_outside(start, packet_filter):
    lab = prepared(start(SCENARIO))
    node = lab["node-a"]
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 from_outside(lab), from_the_cluster(lab) | the_rest(lab))


def test_the_nodes_rules_alone_let_the_guest_in(start, packet_filter):
    """It is on the cluster's subnet: its source address is as good as a node's."""
    lab = prepared(start(SCENARIO))
    for name in ("node-a", "node-b"):
        apply(lab[name], packet_filter, FIREWALL)
    attacks = from_the_guest(lab)
    del attacks["guest -> link-local"]  # which is no address of the subnet
    succeed(attacks)


def test_the_guests_rules_close_the_port_to_them(start, packet_filter):
    """Seen on the bridge, whether or not iptables sees what crosses it."""
    lab = prepared(start(SCENARIO))
    node = lab["node-a"]
    assert_cycle([node], lambda: apply_nft(node, GUESTS), lambda: undo_nft(node, GUESTS),
                 from_the_guest(lab), from_the_cluster(lab) | the_rest(lab))


def test_the_border_firewall(start, packet_filter):
    """Nobody outside reaches the port, nobody outside claims an address of the cluster, nor the other way round."""
    lab = prepared(start(SCENARIO))
    border, node, distant = lab["border"], lab["node-a"], lab["distant"]
    border.listen(22)
    numbers = itertools.count(70)
    # Without the border's rules the made-up sources get through: port 22 has no rule of its own.
    attacks = probes(lab, ("outsider", "distant", "admin"), (NODE_A, NODE_A6, NODE_B, NODE_B6)) | {
        "forged into the cluster": forged(node, lab["outsider"], NODE_A, 22, numbers, "192.168.1."),
        "forged into the cluster, IPv6": forged(node, lab["outsider"], NODE_A6, 22, numbers, "2001:db8:1::f"),
        "forged at the border": forged(border, lab["outsider"], "203.0.113.254", 22, numbers, "192.168.1."),
        "forged at the border, IPv6": forged(border, lab["outsider"], "2001:db8:2::fe", 22, numbers, "2001:db8:1::f"),
        "forged out of the cluster": forged(distant, lab["guest-a"], "192.77.8.9", 80, numbers, "198.51.100."),
        "forged out of the cluster, IPv6": forged(distant, lab["guest-a"], "2001:db8:e::9", 80, numbers,
                                                  "2001:db8:a::f"),
    }
    wanted = from_the_cluster(lab) | the_rest(lab) | probes(lab, ("admin", "node-a"), ("203.0.113.254",), 22)
    wanted["node-a -> the border's link-local address"] = lambda: node.probe(
        border.link_local("eth1") + "%xenbr0", 22)
    assert_cycle([border], lambda: apply(border, packet_filter, BORDER), lambda: undo(border, packet_filter, BORDER),
                 attacks, wanted)


def chapter_commands() -> list[str]:
    """The iptables commands of the chapter's section on this scenario, as they stand there."""
    text = (PROJECT / "latex/securing-xen.tex").read_text(encoding="utf-8")
    section = text.split(r"\subsection{A Subnet Behind a Firewall}")[1].split(r"\subsection")[0]
    verbatim = re.search(r"\\begin\{verbatim\}(.*?)\\end\{verbatim\}", section, re.DOTALL).group(1)
    commands = verbatim.replace("-{}-", "--").replace("\\\n", "")
    return [line for line in commands.splitlines() if line.startswith("iptables")]


def test_the_chapters_own_rules(make_lab):
    """The /8 lets in 192.77.8.9, IPv6 is open, and the guest gets in as well."""
    lab = prepared(make_lab(SCENARIO))
    node = lab["node-a"]
    commands = chapter_commands()
    assert len(commands) == 2
    for command in commands:
        node.sh(command)
    succeed(from_the_cluster(lab))
    fail(probes(lab, ("outsider",), (NODE_A,)))
    succeed({"192.77.8.9": lambda: lab["distant"].probe(NODE_A, 8002),
             "IPv6": lambda: lab["outsider"].probe(NODE_A6, 8002),
             "guest": lambda: lab["guest-a"].probe(NODE_A, 8002)})
    # Not default-reject: everything else stays open.
    succeed({"another port": lambda: lab["outsider"].probe(NODE_A, 22)})
    assert "-P INPUT ACCEPT" in node.run("iptables", "-S").stdout
    assert "-s 192.0.0.0/8" in node.run("iptables", "-S").stdout


def test_the_chapters_rule_comes_too_late_after_an_accept(make_lab):
    lab = prepared(make_lab(SCENARIO))
    node = lab["node-a"]
    node.sh("iptables -A INPUT -p tcp -j ACCEPT")
    for command in chapter_commands():
        node.sh(command)
    succeed(probes(lab, ("outsider",), (NODE_A,)))


def test_an_earlier_accept_does_not_open_the_guides_rules(start, packet_filter):
    lab = prepared(start(SCENARIO))
    node = lab["node-a"]
    node.sh("iptables -A INPUT -p tcp -j ACCEPT; ip6tables -A INPUT -p tcp -j ACCEPT")
    apply(node, packet_filter, FIREWALL)
    fail(from_outside(lab))
    succeed(from_the_cluster(lab))
