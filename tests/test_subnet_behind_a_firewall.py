# SPDX-License-Identifier: MIT
"""A subnet behind a firewall: the nodes' rules, the guests', the border firewall's, and the chapter's own."""
from __future__ import annotations

import itertools
import re

from tests.lab.cycle import assert_cycle, fail, succeed
from tests.lab.filters import apply, apply_nft, undo, undo_nft
from tests.lab.namespaces import PROJECT, Host, Lab
from tests.lab.wait import until

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


def test_vlan_tags_do_not_hide_a_guests_packet(start, packet_filter):
    """The bridge looks behind one tag, and the receiver strips any number of those with the number 0."""
    lab = prepared(start(SCENARIO))
    node, guest = lab["node-a"], lab["guest-a"]
    mac = node.mac("xenbr0")
    numbers = itertools.count(70)

    def syn(tags: list[int]):
        def probe() -> str:
            source = f"192.168.1.{next(numbers)}"
            node.sh(f"ip neigh replace {source} lladdr 02:00:00:00:00:01 dev xenbr0")  # nobody else is asked
            guest.ask(do="syn_in_frame", interface="eth0", mac=mac, source=source, address=NODE_A, port=8002, tags=tags)
            # A frame of ours that passes marks the end: what was sent before it has arrived before it.
            guest.ask(do="syn_in_frame", interface="eth0", mac=mac, source=source, address=NODE_A, port=22, tags=[])
            until(lambda: node.half_open(22, source), "the mark has arrived")
            return "open" if node.half_open(8002, source) else "filtered"
        return probe

    attacks = {str(tags): syn(tags) for tags in ([], [0x8100], [0x8100, 0x8100], [0x88A8, 0x8100], [0x8100] * 3)}
    assert_cycle([node], lambda: apply_nft(node, GUESTS), lambda: undo_nft(node, GUESTS), attacks,
                 from_the_cluster(lab))


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


def test_the_border_firewall_knows_more_than_one_outside(start, packet_filter):
    """By another card, too, nobody claims an address of the cluster."""
    lab = prepared(start(SCENARIO))
    border, node, outsider = lab["border"], lab["node-a"], lab["outsider"]
    # The outside card under another name: for the rules it is a card that they do not know.
    border.sh("ip link set eth0 down; ip link set eth0 name wan7; ip link set wan7 up; "
              "ip route add default via 203.0.113.1; ip address add 2001:db8:2::fe/64 dev wan7 nodad")
    attacks = {"forged into the cluster": forged(node, outsider, NODE_A, 22, itertools.count(70), "192.168.1.")}
    assert_cycle([border], lambda: apply(border, packet_filter, BORDER), lambda: undo(border, packet_filter, BORDER),
                 attacks, from_the_cluster(lab))


def test_the_border_firewall_hears_who_has_no_address_yet(start, packet_filter):
    """A DHCP request comes from 0.0.0.0."""
    lab = start(SCENARIO)
    border, guest = lab["border"], lab["guest-a"]
    guest.sh("ip address flush dev eth0; ip route add default dev eth0")
    border.ask(do="listen_udp", address="0.0.0.0", port=67)

    def heard(requests: int) -> None:
        guest.ask(do="broadcast", port=67, source_port=68)
        until(lambda: border.ask(do="datagrams_heard")["count"] == requests, "the request has been heard")

    heard(1)
    apply(border, packet_filter, BORDER)
    heard(2)


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
