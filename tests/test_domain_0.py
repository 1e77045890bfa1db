# SPDX-License-Identifier: MIT
"""Domain-0's firewall: refuses by default, keeps what the host and its administrator need."""
from __future__ import annotations

import re
import socket
import struct
import subprocess
import time

import pytest

from tests.lab.cycle import assert_cycle, assert_no_open_moment, fail, probes, succeed, verdicts
from tests.lab.filters import apply, iptables_of, undo
from tests.lab.namespaces import PROJECT, Lab
from tests.lab.packets import arriving
from tests.lab.wait import until

FIREWALL = "domain-0/firewall"
NODE, NODE6 = "203.0.113.11", "2001:db8:2::11"


#: An address of the network beside the administrators', and one of the upper half of their own.
BESIDE, BESIDE6 = "198.51.101.10", "2001:db8:a:1::10"
LAST, LAST6 = "198.51.100.200", "2001:db8:a:0:8000::10"
#: What lies just outside of the link-local addresses, fe80::/10, and the upper half of them.
NOT_LINK_LOCAL, LINK_LOCAL, LAST_LINK_LOCAL = "fec0::1", "fe80::77", "febf::77"
ADVERTISEMENT, SOLICITATION, NEIGHBOUR, LISTENERS = "icmpv6 134", "icmpv6 135", "icmpv6 136", "icmpv6 130"
DHCP, DHCP6 = "udp 67 68", "udp 547 546"

#: Packets from the node's own wire that must not get in: kind, source and hop limit.
ATTACKING = {
    # The hop limit says that they have come from farther away.
    "a router's advertisement": dict(kind=ADVERTISEMENT, source=LINK_LOCAL, hops=254),
    "a neighbour's solicitation": dict(kind=SOLICITATION, source=LINK_LOCAL, hops=254),
    "a neighbour's advertisement": dict(kind=NEIGHBOUR, source=LINK_LOCAL, hops=254),
    "a question for listeners": dict(kind=LISTENERS, source=NOT_LINK_LOCAL, hops=1),
    "another type from a neighbour": dict(kind="icmpv6 139", source=LINK_LOCAL, hops=255),
    "DHCP to another port": dict(kind="udp 67 5353", source="203.0.113.66"),
    "DHCP from another port": dict(kind="udp 5353 68", source="203.0.113.66"),
    "another datagram": dict(kind="udp 5353 5353", source="203.0.113.66"),
    "another datagram from an administrator": dict(kind="udp 5353 5353", source="198.51.100.66"),
    "a damaged DHCP answer": dict(kind=DHCP, source="203.0.113.66", good=False),
    "DHCPv6 to another port": dict(kind="udp 547 5353", source=LINK_LOCAL),
    "DHCPv6 from another port": dict(kind="udp 5353 546", source=LINK_LOCAL),
    "DHCPv6 from farther away": dict(kind=DHCP6, source=NOT_LINK_LOCAL),
    "a damaged DHCPv6 answer": dict(kind=DHCP6, source=LINK_LOCAL, good=False),
    "another datagram over IPv6": dict(kind="udp 5353 5353", source="2001:db8:2::66"),
    "the time for an administrator": dict(kind="icmp 13", source="198.51.100.66"),
    "information for an administrator": dict(kind="icmpv6 139", source="2001:db8:a::66"),
}
#: Packets that must get in.
WANTED = {
    "a router's advertisement": dict(kind=ADVERTISEMENT, source=LINK_LOCAL, hops=255),
    "a neighbour's solicitation": dict(kind=SOLICITATION, source=LINK_LOCAL, hops=255),
    "a neighbour's advertisement": dict(kind=NEIGHBOUR, source=LINK_LOCAL, hops=255),
    "a question for listeners": dict(kind=LISTENERS, source=LINK_LOCAL, hops=1),
    "a question for listeners from the last of the link": dict(kind=LISTENERS, source=LAST_LINK_LOCAL, hops=1),
    "DHCPv6 from the last of the link": dict(kind=DHCP6, source=LAST_LINK_LOCAL),
}


def packets(lab: Lab, descriptions: dict) -> dict:
    """Probes with packets that the outsider makes up."""
    node = lab["node-a"]
    end = dict(kind=DHCP, source="203.0.113.66", address=NODE)
    return {name: arriving(lab["outsider"], "eth0", node.mac("xenbr0"), node, end, **packet,
                           address=NODE6 if ":" in packet["source"] else NODE)
            for name, packet in descriptions.items()}


def link_local(lab: Lab) -> str:
    """The node's link-local address, as its neighbours name it."""
    return lab["node-a"].link_local("xenbr0") + "%eth0"


def ping(lab: Lab, name: str, address: str, **options) -> str:
    return lab[name].ask(do="ping", address=address, **options)["verdict"]


def attacks(lab: Lab) -> dict:
    """Strangers at every kind of port, and the administrator's network at all but ssh."""
    return probes(lab, ("outsider", "guest-a"), (NODE, NODE6), 22, 8002) | {
        "admin -> 8002": lambda: lab["admin"].probe(NODE, 8002),
        "admin -> 8002 over IPv6": lambda: lab["admin"].probe(NODE6, 8002),
        "beside the administrators": lambda: lab["admin"].probe(NODE, 22, source=BESIDE),
        "beside the administrators over IPv6": lambda: lab["admin"].probe(NODE6, 22, source=BESIDE6),
        "ping from beside the administrators": lambda: ping(lab, "admin", NODE, source=BESIDE),
        "ping from beside the administrators over IPv6": lambda: ping(lab, "admin", NODE6, source=BESIDE6),
        "ping from a stranger": lambda: ping(lab, "outsider", NODE),
        "ping from a stranger over IPv6": lambda: ping(lab, "outsider", NODE6),
        "ping with the hop limit of a neighbour": lambda: ping(lab, "outsider", NODE6, hops=255),
        "ping from a link-local address": lambda: ping(lab, "guest-a", link_local(lab)),
        "guest -> link-local": lambda: lab["guest-a"].probe(link_local(lab), 22),
    } | packets(lab, ATTACKING)


def wanted(lab: Lab) -> dict:
    """What must go on: ssh, loopback, the node's own connections, neighbour discovery, DHCP."""
    node, router = lab["node-a"], lab["router"]

    def over_ipv6() -> str:
        """In and out, after both sides have forgotten their neighbours."""
        for host in (node, router):
            host.sh("ip -6 neigh flush all")
        into, out = lab["admin"].probe(NODE6, 22), node.probe("2001:db8:2::66", 22)
        return into if into == out else f"in {into}, out {out}"

    return {
        "admin": lambda: lab["admin"].probe(NODE, 22),
        "IPv6": over_ipv6,
        "node out": lambda: node.probe("203.0.113.66", 22),
        "all administrators": lambda: lab["admin"].probe(NODE, 22, source=LAST),
        "all administrators over IPv6": lambda: lab["admin"].probe(NODE6, 22, source=LAST6),
        "ping": lambda: ping(lab, "admin", NODE),
        "ping over IPv6": lambda: ping(lab, "admin", NODE6),
        "ping from all administrators": lambda: ping(lab, "admin", NODE, source=LAST),
        "ping from all administrators over IPv6": lambda: ping(lab, "admin", NODE6, source=LAST6),
        "loopback": lambda: node.probe("127.0.0.1", 8002),
        "loopback over IPv6": lambda: node.probe("::1", 8002),
        "DHCP": lambda: router.ask(do="datagram", address=NODE, port=68, source_port=67)["verdict"],
        "DHCPv6": lambda: router.ask(do="datagram", address=link_local(lab), port=546, source_port=547)["verdict"],
    } | packets(lab, WANTED)


def prepared(lab: Lab) -> Lab:
    for here, address, address6 in (("198.51.100.10", BESIDE, BESIDE6), ("198.51.100.10", LAST, LAST6)):
        lab["admin"].sh(f"ip address add {address}/32 dev lo; ip address add {address6}/128 dev lo nodad")
        lab["router"].sh(f"ip route replace {address} via {here}; ip route replace {address6} via 2001:db8:a::10")
    lab["node-a"].ask(do="hear")
    for port in (22, 8002):
        lab["node-a"].listen(port)
    for port in (68, 546, 5353):
        lab["node-a"].ask(do="listen_udp", address="::", port=port)
    lab["outsider"].listen(22)
    return lab


def test_cycle(start, packet_filter):
    lab = prepared(start("domain-0"))
    node = lab["node-a"]
    assert_cycle([node], lambda: apply(node, packet_filter, FIREWALL), lambda: undo(node, packet_filter, FIREWALL),
                 attacks(lab), wanted(lab))


def test_icmp_errors_reach_the_node(start, packet_filter):
    """A path that needs smaller packets says so by ICMP; without it large answers are lost."""
    lab = start("domain-0")
    node, router, admin = lab["node-a"], lab["router"], lab["admin"]
    node.listen(22)
    apply(node, packet_filter, FIREWALL)
    router.sh("ip route add 198.51.100.10/32 dev eth1 mtu lock 1300; "
              "ip route add 2001:db8:a::10/128 dev eth1 mtu lock 1300")
    for address in (NODE, NODE6):
        admin.ask(do="hold", address=address, port=22)
        assert admin.ask(do="alive", size=100_000)["alive"]
    assert "mtu 1300" in node.run("ip", "route", "get", "198.51.100.10").stdout
    assert "mtu 1300" in node.run("ip", "-6", "route", "get", "2001:db8:a::10").stdout


def test_a_router_is_found(start, packet_filter):
    """By its advertisements; without rules it is, and with the rules as well."""
    lab = start("domain-0")
    node, router = lab["node-a"], lab["router"]
    node.sh("echo 2 > /proc/sys/net/ipv6/conf/xenbr0/accept_ra; "
            "echo 1 > /proc/sys/net/ipv6/conf/xenbr0/accept_ra_defrtr")

    def advertised() -> bool:
        router.ask(do="router_advertisement", interface="eth0")  # again and again: one packet may get lost
        return "proto ra" in node.run("ip", "-6", "route").stdout

    def learnt() -> bool:
        node.sh("ip -6 route flush proto ra")
        until(advertised, "the node has learnt the router")
        return True

    assert learnt()
    apply(node, packet_filter, FIREWALL)
    assert learnt()


def test_a_redirect_about_a_connection_is_taken_until_that_is_switched_off(make_lab, packet_filter):
    """It comes from the outsider, in the router's name, and leads to the outsider. Both settings count."""
    lab = make_lab("domain-0", iptables_of(packet_filter))
    node, admin = lab["node-a"], "198.51.100.10"
    node.ask(do="hear")
    lab["admin"].ask(do="listen_udp", address="::", port=4500)
    apply(node, packet_filter, FIREWALL)
    asked = node.popen("nc", "-up", "4500", admin, "4500", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    asked.stdin.write("?\n")
    asked.stdin.flush()
    assert asked.stdout.readline() == "?\n"

    def udp(source: str, target: str, port: int) -> bytes:
        ends = socket.inet_aton(source) + socket.inet_aton(target)
        return struct.pack("!BBHHHBBH", 0x45, 0, 30, 1, 0, 64, 17, 0) + ends + struct.pack("!HHHH", port, port, 10, 0)

    redirect = packets(lab, {"redirect": dict(
        kind="icmp 5", source="203.0.113.1", hops=255,
        body=(socket.inet_aton("203.0.113.66") + udp(NODE, admin, 4500)).hex())})

    def redirected(settings: str = "") -> bool:
        for setting in ("all", "xenbr0"):
            node.run("sysctl", "-w", f"net.ipv4.conf.{setting}.accept_redirects={int(setting not in settings)}")
        node.run("ip", "route", "flush", "cache")
        node.probe("203.0.113.66", 22)  # a redirect to a neighbour who is not known yet only has the node look for him
        assert verdicts(redirect) == {"redirect": "open"}  # related: the rules let it in
        return "via 203.0.113.66" in node.run("ip", "route", "get", admin).stdout

    assert redirected()
    assert redirected("all") and redirected("xenbr0")
    assert not redirected("all xenbr0")
    assert redirected()


def test_a_packet_of_no_connection_gets_no_answer(start, packet_filter):
    """Answers to what is invalid help only whoever sends it."""
    lab = start("domain-0")

    def answer(address: str) -> str:
        return lab["outsider"].ask(do="odd_packet", address=address, port=8002)["verdict"]

    odd = {address: (lambda address=address: answer(address)) for address in (NODE, NODE6)}
    assert set(verdicts(odd).values()) == {"refused"}
    apply(lab["node-a"], packet_filter, FIREWALL)
    assert lab["outsider"].probe(NODE, 8002) == "refused"
    assert set(verdicts(odd).values()) == {"filtered"}
    for address in ("127.0.0.1", "::1"):  # on its own wire a host may do as it likes
        assert lab["node-a"].ask(do="odd_packet", address=address, port=8002)["verdict"] == "refused"


def test_a_refusal_is_answered(start, packet_filter):
    """So that a mistake looks like a closed port and not like a broken network: TCP as a closed port answers."""
    lab = start("domain-0")
    outsider = lab["outsider"]
    apply(lab["node-a"], packet_filter, FIREWALL)
    for address, prohibited in ((NODE, "icmp 3/13"), (NODE6, "icmp 1/1")):
        assert outsider.ask(do="refusal", address=address, port=8002)["refusal"] == "reset"
        assert outsider.ask(do="refusal", address=address, port=5353, udp=True)["refusal"] == prohibited


@pytest.mark.parametrize("address, iptables", [(NODE, "iptables"), (NODE6, "ip6tables")], ids=["IPv4", "IPv6"])
def test_what_is_refused_is_logged_at_a_limited_rate(make_lab, packet_filter, address, iptables):
    """A rate is the same whether or not bridged packets pass through iptables as well."""
    lab = make_lab("domain-0", iptables_of(packet_filter))
    node, outsider = lab["node-a"], lab["outsider"]
    apply(node, packet_filter, FIREWALL)

    def logged() -> int:
        if packet_filter == "nftables":
            found = re.search(r"counter packets (\d+) .*\blog\b", node.run("nft", "list", "ruleset").stdout)
        else:
            found = re.search(r"^ *(\d+) .* LOG ", node.run(iptables, "-nvL", "DOMAIN-0").stdout, re.MULTILINE)
        return int(found[1])

    assert ping(lab, "admin", address) == "open"
    assert logged() == 0
    begin = time.monotonic()
    for _ in range(100):
        assert outsider.probe(address, 8002) == "refused"
    # five at once, then ten a minute
    assert 5 <= logged() <= 5 + (time.monotonic() - begin) / 6


def test_an_open_connection_outlives_the_rules_until_conntrack_forgets_it(start, packet_filter):
    """"Established" lets it go on; ``conntrack -D`` ends that."""
    lab = start("domain-0")
    node, outsider = lab["node-a"], lab["outsider"]
    node.listen(8002)
    # Connections are tracked from the first rule that asks for it; a host with any such rule knows this one.
    node.sh("nft add table ip t; nft add chain ip t c '{ type filter hook input priority 0; }'; "
            "nft add rule ip t c ct state new counter")
    outsider.ask(do="hold", address=NODE, port=8002)
    apply(node, packet_filter, FIREWALL)
    assert outsider.probe(NODE, 8002) == "refused"
    assert outsider.ask(do="alive")["alive"]
    node.run("conntrack", "-D", "-p", "tcp", "--orig-src", "203.0.113.66", "--dport", "8002")
    assert not outsider.ask(do="alive")["alive"]


def test_no_connection_gets_in_while_the_rules_are_applied_again(make_lab, packet_filter):
    """A commit is the same whether or not bridged packets pass through iptables as well."""
    assert_no_open_moment(make_lab("domain-0", iptables_of(packet_filter)), packet_filter, FIREWALL, NODE, 8002)


def test_the_rules_survive_a_boot(make_lab, packet_filter):
    """What the page saves is loaded on a host that has just come up: the same rules, which test_cycle has tried."""
    lab = prepared(make_lab("domain-0", iptables_of(packet_filter)))
    node = lab["node-a"]
    apply(node, packet_filter, FIREWALL)
    if packet_filter == "nftables":
        node.sh("mkdir -p /etc/nftables.d && cp domain-0/firewall.nft /etc/nftables.d/domain-0.nft && "
                "echo 'include \"/etc/nftables.d/*.nft\"' >> /etc/nftables.conf && nft flush ruleset")
        succeed({"without rules": lambda: lab["outsider"].probe(NODE, 8002)})
        node.run("nft", "-f", "/etc/nftables.conf")
    else:
        node.sh("mkdir -p /etc/iptables && iptables-save > /etc/iptables/rules.v4 && "
                "ip6tables-save > /etc/iptables/rules.v6 && "
                "for i in iptables ip6tables; do $i -F; $i -X; done")
        succeed({"without rules": lambda: lab["outsider"].probe(NODE, 8002)})
        node.sh("iptables-restore < /etc/iptables/rules.v4 && ip6tables-restore < /etc/iptables/rules.v6")
    fail(attacks(lab))
    succeed(wanted(lab))


def test_what_the_page_has_the_reader_add(make_lab):
    """The lines for guests' services and for the nodes' ssh, put where the page says; its bridge is another here."""
    lab = make_lab("isolated-management-network")
    node, guest = lab["node-a"], lab["guest-a"]
    page = (PROJECT / "source" / "considerations.md").read_text(encoding="utf-8")
    lines = re.findall(r"`(iifname [^`]* accept)`", page)
    assert len(lines) == 3
    for port in (22, 53):
        node.listen(port)
    for port in (53, 67, 547):
        node.ask(do="listen_udp", address="::", port=port)
    added = {f"guest-a -> {address} {port}, UDP": lambda address=address, port=port: guest.ask(
                 do="datagram", address=address, port=port)["verdict"]
             for address in (NODE, NODE6) for port in (53, 67, 547)}
    added |= probes(lab, ["guest-a"], [NODE, NODE6], 53) | probes(lab, ["node-b"], ["192.168.1.1"], 22)
    attacks = probes(lab, ["outsider", "guest-a"], [NODE, NODE6], 22)
    apply(node, "nftables", FIREWALL)
    fail(added | attacks)
    text = node.run("cat", f"{FIREWALL}.nft").stdout
    added_lines = "\n".join(lines).replace("xenbr1", "xenbr0")
    node.run("tee", f"{FIREWALL}.nft", input=text.replace("limit rate", f"{added_lines}\nlimit rate"))
    apply(node, "nftables", FIREWALL)
    succeed(added)
    fail(attacks)
