# SPDX-License-Identifier: MIT
"""Domain-0's firewall: refuses by default, keeps what the host and its administrator need."""
from __future__ import annotations

import re

import pytest

from tests.lab.cycle import assert_cycle, fail, succeed
from tests.lab.filters import apply, undo
from tests.lab.namespaces import Lab
from tests.lab.wait import until

FIREWALL = "domain-0/firewall"
NODE, NODE6 = "203.0.113.11", "2001:db8:2::11"


def attacks(lab: Lab) -> dict:
    """Strangers at every kind of port, and the administrator's network at all but ssh."""
    from_strangers = {
        f"{name} -> {address} {port}": (lambda name=name, address=address, port=port: lab[name].probe(address, port))
        for name in ("outsider", "guest-a") for address in (NODE, NODE6) for port in (22, 8002)
    }
    return from_strangers | {
        "admin -> 8002": lambda: lab["admin"].probe(NODE, 8002),
        "guest -> link-local": lambda: lab["guest-a"].probe(lab["node-a"].link_local("xenbr0") + "%eth0", 22),
        "outsider by UDP": lambda: lab["outsider"].ask(do="datagram", address=NODE, port=5353)["verdict"],
    }


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
        "ping": lambda: lab["admin"].ask(do="ping", address=NODE)["verdict"],
        "ping over IPv6": lambda: lab["admin"].ask(do="ping", address=NODE6)["verdict"],
        "loopback": lambda: node.probe("127.0.0.1", 8002),
        "loopback over IPv6": lambda: node.probe("::1", 8002),
        "DHCP": lambda: router.ask(do="datagram", address=NODE, port=68, source_port=67)["verdict"],
        "DHCPv6": lambda: router.ask(do="datagram", address=node.link_local("xenbr0") + "%eth0",
                                     port=546, source_port=547)["verdict"],
    }


def prepared(lab: Lab) -> Lab:
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


def test_what_ipv6_needs_reaches_the_node(start, packet_filter):
    """Router advertisements and multicast listener queries; without rules they do, and with the rules as well."""
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

    assert router.ask(do="mld_query", interface="eth0")["verdict"] == "open"
    assert learnt()
    for name in ("guest-a", "outsider"):  # so that only the node is there to answer
        lab[name].sh("ip link set eth0 down")
    apply(node, packet_filter, FIREWALL)
    assert router.ask(do="mld_query", interface="eth0")["verdict"] == "open"
    assert learnt()


def test_a_packet_of_no_connection_gets_no_answer(start, packet_filter):
    """Answers to what is invalid help only whoever sends it."""
    lab = start("domain-0")
    assert lab["outsider"].ask(do="odd_packet", address=NODE, port=8002)["verdict"] == "refused"
    apply(lab["node-a"], packet_filter, FIREWALL)
    assert lab["outsider"].probe(NODE, 8002) == "refused"
    assert lab["outsider"].ask(do="odd_packet", address=NODE, port=8002)["verdict"] == "filtered"


def test_a_refusal_is_answered(start, packet_filter):
    """So that a mistake looks like a closed port and not like a broken network."""
    lab = start("domain-0")
    apply(lab["node-a"], packet_filter, FIREWALL)
    for address in (NODE, NODE6):
        assert lab["outsider"].probe(address, 8002) == "refused"
        assert lab["outsider"].ask(do="datagram", address=address, port=5353)["verdict"] == "refused"


@pytest.mark.parametrize("address, iptables", [(NODE, "iptables"), (NODE6, "ip6tables")], ids=["IPv4", "IPv6"])
def test_what_is_refused_is_logged_at_a_limited_rate(start, packet_filter, address, iptables):
    lab = start("domain-0")
    node, outsider = lab["node-a"], lab["outsider"]
    apply(node, packet_filter, FIREWALL)
    for _ in range(100):
        assert outsider.probe(address, 8002) == "refused"
    if packet_filter == "nftables":
        logged = re.search(r"counter packets (\d+) .*log prefix", node.run("nft", "list", "ruleset").stdout)
    else:
        logged = re.search(r"^ *(\d+) .* LOG ", node.run(iptables, "-nvL", "DOMAIN-0").stdout, re.MULTILINE)
    assert 1 <= int(logged.group(1)) <= 10


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


def test_no_connection_gets_in_while_the_rules_are_applied_again(start, packet_filter):
    lab = prepared(start("domain-0"))
    node, outsider = lab["node-a"], lab["outsider"]
    apply(node, packet_filter, FIREWALL)
    with outsider.hammering(NODE, 8002) as result:
        for _ in range(10):
            apply(node, packet_filter, FIREWALL)
    assert result["tries"] > 100 and result["open"] == 0, result
    undo(node, packet_filter, FIREWALL)
    with outsider.hammering(NODE, 8002) as result:
        node.run("true")
    assert result["open"] > 0, result


def test_the_rules_survive_a_boot(start, packet_filter):
    """What the page saves is loaded on a host that has just come up."""
    lab = prepared(start("domain-0"))
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
