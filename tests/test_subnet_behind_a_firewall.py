# SPDX-License-Identifier: MIT
"""A subnet behind a firewall: the nodes' rules, the guests', the border firewall's, and the chapter's own."""
from __future__ import annotations

import itertools
import re
import threading

import pytest

from tests.lab.client_port import answered, begun_by_both
from tests.lab.cycle import assert_cycle, fail, probes, succeed, verdicts
from tests.lab.filters import accept_before, apply, apply_nft, iptables_of, undo, undo_nft
from tests.lab.namespaces import PROJECT, Host, Lab
from tests.lab.neighbours import believing
from tests.lab.packets import arriving
from tests.lab.wait import until

SCENARIO = "subnet-behind-a-firewall"
FIREWALL, BORDER, GUESTS = f"{SCENARIO}/firewall", f"{SCENARIO}/border", f"{SCENARIO}/guests"
NODE_A, NODE_A6 = "192.168.1.1", "2001:db8:1::1"
NODE_B, NODE_B6 = "192.168.1.2", "2001:db8:1::2"


#: What lies beside the cluster's networks, and the upper half of them.
BESIDE, BESIDE6 = "192.168.0.9", "2001:db8:1:1::9"
LAST, LAST6 = "192.168.1.200", "2001:db8:1:0:8000::9"


@pytest.fixture
def at_the_border(make_lab, packet_filter: str) -> Lab:
    """For rules on the border firewall alone: it has no bridge whose packets could pass through iptables as well."""
    return make_lab(SCENARIO, iptables_of(packet_filter))


def prepared(lab: Lab) -> Lab:
    for name in ("node-a", "node-b"):
        lab[name].listen(8002)
        lab[name].listen(22)
    lab["distant"].listen(80)
    return lab


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


def has(host: Host, *addresses: str) -> None:
    """Give a host more addresses; they answer, and it may claim them."""
    for address in addresses:
        host.sh(f"ip address add {address} dev lo" + (" nodad" if ":" in address else ""))


def claiming(host: Host, *sources: str) -> dict:
    """Probes of node-a's relocation port by a host that claims these addresses."""
    return {f"{host.name} as {source}": (lambda source=source: host.probe(NODE_A6 if ":" in source else NODE_A, 8002,
                                                                          source=source)) for source in sources}


def forged(victim: Host, attacker: Host, target: str, port: int, addresses: itertools.count, prefix: str):
    """A SYN with a source that is not the attacker's; ``open`` where the victim answered it.

    A new address each time, since a half-open connection is remembered for a minute.
    """
    def probe() -> str:
        source = prefix + (f"{next(addresses):x}" if ":" in prefix else str(next(addresses)))
        attacker.sh(f"ip address add {source} dev lo" + (" nodad" if ":" in source else ""))
        # Nobody is there to be asked for; a connection ends, half open or not, when that has been in vain for 3 s.
        victim.sh(f"set -- $(ip -o route get {source}); while [ $1 != dev ]; do shift; done; "
                  f"ip neighbour replace {source} lladdr 02:00:00:00:00:01 dev $2")
        assert attacker.probe(target, port, source=source) == "filtered"  # the answer goes elsewhere
        return "open" if victim.half_open(port, source) else "filtered"
    return probe


def test_the_nodes_rules_close_the_port_to_the_outside(start, packet_filter):
    lab = prepared(start(SCENARIO))
    node, other = lab["node-a"], lab["node-b"]
    has(other, BESIDE, BESIDE6, LAST, LAST6)
    node.sh(f"for address in {BESIDE} {LAST}; do ip route add $address via {NODE_B}; done; "
            f"for address in {BESIDE6} {LAST6}; do ip route add $address via {NODE_B6}; done")
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 from_outside(lab) | claiming(other, BESIDE, BESIDE6),
                 from_the_cluster(lab) | claiming(other, LAST, LAST6) | the_rest(lab))


def test_a_client_may_have_that_port(start, packet_filter):
    """What answers a connection is no relocation, and what only looks like an answer is refused."""
    lab = start(SCENARIO)
    node, outsider = lab["node-a"], lab["outsider"]
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 begun_by_both(node, outsider), answered(node, outsider))


def test_beyond_the_border_a_client_may_have_that_port(at_the_border, packet_filter):
    """What answers a connection is no relocation, and what only looks like an answer is refused."""
    lab = at_the_border
    border, node, outsider = lab["border"], lab["node-a"], lab["outsider"]
    assert_cycle([border], lambda: apply(border, packet_filter, BORDER), lambda: undo(border, packet_filter, BORDER),
                 begun_by_both(node, outsider), answered(node, outsider))


def test_the_nodes_rules_alone_let_the_guest_in(start, packet_filter):
    """It is on the cluster's subnet: its source address is as good as a node's."""
    lab = prepared(start(SCENARIO))
    for name in ("node-a", "node-b"):
        apply(lab[name], packet_filter, FIREWALL)
    attacks = from_the_guest(lab)
    del attacks["guest -> link-local"]  # which is no address of the subnet
    succeed(attacks)

    # By a card of its own, a guest's claim to be of the cluster counts for nothing.
    node, guest = lab["node-a"], lab["guest-a"]
    node.sh("for i in all vif1.0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done; "
            "ip link set vif1.0 nomaster; ip address add 10.7.7.1/24 dev vif1.0; "
            "ip address add 2001:db8:7::1/64 dev vif1.0 nodad; ip route add 192.168.1.99 via 10.7.7.2; "
            "ip route add 2001:db8:1::99 via 2001:db8:7::2")
    guest.sh("ip address flush dev eth0 scope global; ip address add 10.7.7.2/24 dev eth0; "
             "ip route add default via 10.7.7.1; ip address add 2001:db8:7::2/64 dev eth0 nodad; "
             "ip route replace default via 2001:db8:7::1")
    has(guest, "192.168.1.99", "2001:db8:1::99")
    claims = claiming(guest, "192.168.1.99", "2001:db8:1::99")
    undo(node, packet_filter, FIREWALL)
    until(lambda: set(verdicts(claims).values()) == {"open"}, "the card is in use")
    apply(node, packet_filter, FIREWALL)
    fail(claims)


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

    def syn(tags: list[int], sender: Host = guest, interface: str = "eth0"):
        def probe() -> str:
            source = f"192.168.1.{next(numbers)}"
            node.sh(f"ip neigh replace {source} lladdr 02:00:00:00:00:01 dev xenbr0")  # nobody else is asked
            frame = dict(do="syn_in_frame", interface=interface, mac=mac, source=source, address=NODE_A)
            sender.ask(**frame, port=8002, tags=tags)
            # A frame of ours that passes marks the end: what was sent before it has arrived before it.
            sender.ask(**frame, port=22, tags=[])
            until(lambda: node.half_open(22, source), "the mark has arrived")
            return "open" if node.half_open(8002, source) else "filtered"
        return probe

    attacks = {str(tags): syn(tags) for tags in ([], [0x8100], [0x8100, 0x8100], [0x88A8, 0x8100], [0x8100] * 3)}
    assert_cycle([node], lambda: apply_nft(node, GUESTS), lambda: undo_nft(node, GUESTS), attacks,
                 from_the_cluster(lab) | {"tagged, from another node": syn([0x8100], lab["node-b"], "xenbr0")})


def test_no_guest_claims_an_address_of_a_node_or_of_the_border(make_lab):
    """Neither tells it neighbours that such an address is its own, nor sends from it; with its own it may do both."""
    lab = prepared(make_lab(SCENARIO))
    node, other, guest = lab["node-a"], lab["node-b"], lab["guest-a"]
    guest.listen(22)
    for host in (node, other):
        host.ask(do="hear")
    others = [(other, NODE_A), (other, NODE_A6), (node, NODE_B), (node, NODE_B6),
              (other, "192.168.1.254"), (other, "2001:db8:1::fe")]
    free = [(node, "192.168.1.3"), (node, "2001:db8:1::3"), (other, "2001:db8:1::ff"), (node, "192.168.1.0"),
            (node, "2001:db8:1::")]
    one_at_a_time = threading.Lock()  # a claim that is believed is in the way of the others

    def alone(probe):
        def one() -> str:
            with one_at_a_time:
                return probe()
        return one

    def claims(addresses) -> dict:
        found = {}
        for victim, address in addresses:
            version = 6 if ":" in address else 4
            packet = dict(kind="udp 9 9", address=victim.address(version))
            own = packet | dict(source=guest.address(version))
            found[f"is {address}"] = believing(guest, victim, address)
            found[f"sends from {address}"] = arriving(guest, "eth0", victim.mac("xenbr0"), victim, own,
                                                      **packet, source=address)
        return found

    attacks = claims(others) | {"is another node, says hardware of kind 6": believing(guest, node, NODE_B, 6)}
    wanted = claims(free) | from_the_cluster(lab) | the_rest(lab) | probes(
        lab, ("node-a", "node-b", "admin"), (guest.address(4), guest.address(6)), 22)

    def forget_neighbours() -> None:
        for host in (node, other, guest, lab["border"]):
            host.sh("ip neigh flush all")

    def act(how) -> None:
        how(node, GUESTS)
        forget_neighbours()

    assert_cycle([node], lambda: act(apply_nft), lambda: act(undo_nft),
                 {name: alone(probe) for name, probe in attacks.items()},
                 {name: alone(probe) for name, probe in wanted.items()})


def test_the_border_firewall(at_the_border, packet_filter):
    """Nobody outside reaches the port, nobody outside claims an address of the cluster, nor the other way round."""
    lab = prepared(at_the_border)
    border, node, other, distant = lab["border"], lab["node-a"], lab["node-b"], lab["distant"]
    outsider, guest, admin = lab["outsider"], lab["guest-a"], lab["admin"]
    accept_before(border)
    for host, port in ((border, 22), (border, 8002), (admin, 8002)):
        host.listen(port)
    border.ask(do="hear")
    numbers = itertools.count(130)
    # Without the border's rules the made-up sources get through: port 22 has no rule of its own.
    attacks = probes(lab, ("outsider", "distant", "admin"), (NODE_A, NODE_A6, NODE_B, NODE_B6)) | {
        "forged into the cluster": forged(node, outsider, NODE_A, 22, numbers, "192.168.1."),
        "forged into the cluster, IPv6": forged(node, outsider, NODE_A6, 22, numbers, "2001:db8:1:0:8000::f"),
        "forged at the border": forged(border, outsider, "203.0.113.254", 22, numbers, "192.168.1."),
        "forged at the border, IPv6": forged(border, outsider, "2001:db8:2::fe", 22, numbers, "2001:db8:1:0:8000::f"),
        "forged out of the cluster": forged(distant, guest, "192.77.8.9", 80, numbers, "198.51.100."),
        "forged out of the cluster, IPv6": forged(distant, guest, "2001:db8:e::9", 80, numbers, "2001:db8:a::f"),
        "forged from beside the cluster": forged(distant, guest, "192.77.8.9", 80, numbers, "192.168.0."),
        "forged from beside the cluster, IPv6": forged(distant, guest, "2001:db8:e::9", 80, numbers,
                                                       "2001:db8:1:1::f"),
        "from almost no address": from_the_wire(lab, "udp 68 67", "0.0.0.1", "192.168.1.254"),
        "not link-local": from_the_wire(lab, "icmpv6 136", "fec0::1", "2001:db8:1::fe"),
    }
    # Where answers to strangers get lost; an error would end the connection before it is seen.
    lab["router"].sh("ip route add blackhole 192.168.0.0/24; ip route add blackhole 2001:db8:1:1::/64")
    # By way of the border and back into the same network: a node to an address of another, outside to outside.
    has(node, "192.168.1.201", "2001:db8:1::c9")
    border.sh(f"ip route add 192.168.1.201 via {NODE_A}; ip route add 2001:db8:1::c9 via {NODE_A6}")
    for host in (other, outsider, guest):
        host.sh("for i in /proc/sys/net/ipv[46]/conf/*/accept_redirects; do echo 0 > $i; done")
    other.sh("ip route add 192.168.1.201 via 192.168.1.254; ip route add 2001:db8:1::c9 via 2001:db8:1::fe")
    outsider.sh("ip route add 198.51.100.10 via 203.0.113.254; ip route add 2001:db8:a::10 via 2001:db8:2::fe")
    has(guest, LAST, LAST6)
    for version, last in ((4, LAST), (6, LAST6)):  # the way back to it
        border.sh(f"ip route add {last} via {guest.address(version)}")
    # The guest answers in the place of somebody outside, by way of the border.
    guest.listen(80)
    has(guest, "192.77.8.77", "2001:db8:e::77")
    for version, elsewhere in ((4, "192.77.8.77"), (6, "2001:db8:e::77")):
        border.sh(f"ip route add {elsewhere} via {guest.address(version)}")
        guest.sh(f"ip route add {other.address(version)} via {border.address(version, 'eth1')}")
        attacks[f"an answer from {elsewhere}"] = lambda elsewhere=elsewhere: other.probe(elsewhere, 80)
    wanted = from_the_cluster(lab) | the_rest(lab) | {
        **probes(lab, ("admin", "node-a"), ("203.0.113.254",), 22),
        **probes(lab, ("admin",), ("203.0.113.254", "2001:db8:2::fe"), 8002),
        **probes(lab, ("border",), ("192.168.1.254", "2001:db8:1::fe"), 22),
        **probes(lab, ("node-b",), ("192.168.1.201", "2001:db8:1::c9"), 8002),
        **probes(lab, ("outsider",), ("198.51.100.10", "2001:db8:a::10"), 8002),
        "node-a -> the border's link-local address": lambda: node.probe(border.link_local("eth1") + "%xenbr0", 22),
        "the last of the cluster": lambda: guest.probe("192.77.8.9", 80, source=LAST),
        "the last of the cluster, IPv6": lambda: guest.probe("2001:db8:e::9", 80, source=LAST6),
        "from beside the cluster": forged(border, outsider, "203.0.113.254", 22, numbers, "192.168.0."),
        "from beside the cluster, IPv6": forged(border, outsider, "2001:db8:2::fe", 22, numbers, "2001:db8:1:1::f"),
        "the last link-local address": from_the_wire(lab, "icmpv6 136", "febf::77", "2001:db8:1::fe"),
        "who asks whether an address is free": from_the_wire(lab, "icmpv6 135", "::", "2001:db8:1::fe"),
    }
    assert_cycle([border], lambda: apply(border, packet_filter, BORDER), lambda: undo(border, packet_filter, BORDER),
                 attacks, wanted)


def from_the_wire(lab: Lab, kind: str, source: str, address: str):
    """Whether the border takes in a packet that the guest makes up."""
    border = lab["border"]
    return arriving(lab["guest-a"], "eth0", border.mac("eth1"), border,
                    dict(kind="udp 68 67", source="192.168.1.101", address="192.168.1.254"),
                    kind=kind, source=source, address=address, hops=255)


def test_the_border_firewall_knows_more_than_one_outside(at_the_border, packet_filter):
    """By another card, too, nobody claims an address of the cluster."""
    lab = prepared(at_the_border)
    border, node, outsider = lab["border"], lab["node-a"], lab["outsider"]
    # The outside card under another name: for the rules it is a card that they do not know.
    border.sh("ip link set eth0 down; ip link set eth0 name wan7; ip link set wan7 up; "
              "ip route add default via 203.0.113.1; ip address add 2001:db8:2::fe/64 dev wan7 nodad")
    attacks = {"forged into the cluster": forged(node, outsider, NODE_A, 22, itertools.count(70), "192.168.1.")}
    assert_cycle([border], lambda: apply(border, packet_filter, BORDER), lambda: undo(border, packet_filter, BORDER),
                 attacks, from_the_cluster(lab))


def test_the_border_firewall_hears_who_has_no_address_yet(at_the_border, packet_filter):
    """A DHCP request comes from 0.0.0.0."""
    lab = at_the_border
    border, guest = lab["border"], lab["guest-a"]
    guest.sh("ip address flush dev eth0; ip route add default dev eth0")
    border.ask(do="listen_udp", address="0.0.0.0", port=67)

    def heard(requests: int) -> None:
        guest.ask(do="broadcast", port=67, source_port=68)
        until(lambda: border.ask(do="datagrams_heard")["count"] == requests, "the request has been heard")

    heard(1)
    apply(border, packet_filter, BORDER)
    heard(2)
    for address in (NODE_A, NODE_A6):  # to the others it is as if nothing listened
        assert lab["outsider"].ask(do="refusal", address=address, port=8002)["refusal"] == "reset"


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
    accept_before(node)
    apply(node, packet_filter, FIREWALL)
    fail(from_outside(lab))
    for address in (NODE_A, NODE_A6):  # as if nothing listened
        assert lab["outsider"].ask(do="refusal", address=address, port=8002)["refusal"] == "reset"
    succeed(from_the_cluster(lab))
