# SPDX-License-Identifier: MIT
"""exposure.py about a host: its interfaces, routes and sockets, and which chains a packet and its answer meet."""
from __future__ import annotations

import re

import pytest

import exposure
from tests import captures
from tests.captures import DPORT, SADDR, base_chain, capture, legacy, match, prefix, rule_set, sockets

ALL = ["0.0.0.0/0"]
LINK_LOCAL = exposure.network("fe80::/10", 6)
DROP, ACCEPT = [{"drop": None}], [{"accept": None}]
TEN = [match(SADDR, prefix("10.0.0.0", 8))]
MARK, SET_MARK = [match({"meta": {"key": "mark"}}, 7)], [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}]
#: A bridge with two ports in the place of the node's eth0.
BRIDGE = {
    "links": "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n3: eth1: <BROADCAST,UP,LOWER_UP> mtu 1500\n"
             "2: eth0: <BROADCAST,UP,LOWER_UP> mtu 1500 master xenbr0 state UP\\    bridge_slave state forwarding\n"
             "5: vif1.0: <BROADCAST,UP,LOWER_UP> mtu 1500 master xenbr0 state UP\\    bridge_slave state forwarding\n"
             "6: vif2.0: <BROADCAST> mtu 1500 master xenbr0 state UP\\    bridge_slave state disabled\n"
             "4: xenbr0: <BROADCAST,UP,LOWER_UP> mtu 1500\\    bridge forward_delay 0\n",
    "addresses": captures.NODE["addresses"].replace("eth0", "xenbr0"),
    "routes4": captures.NODE["routes4"].replace("eth0", "xenbr0"),
    "routes6": captures.NODE["routes6"].replace("eth0", "xenbr0"),
}


def chain(family: str, hook: str, *rules: list, **more: object) -> list[dict]:
    """A base chain in a table of its own."""
    return base_chain(hook, *rules, family=family, table=f"{hook}{sorted(more.items())}", **more)


def who(found: dict[str, str], family: int = 4, port: int = 8002) -> dict[str, tuple[list, list]]:
    """By each way in: who gets to a port, and who perhaps."""
    rows = exposure.Report(found, exposure.Allowed([])).rows
    for row in rows:
        for flat in (row.answer.open, row.answer.perhaps):
            assert flat == sorted(set(flat)), "a set has no empty part"
    return {row.interface: (exposure.networks(row.answer.open, family), exposure.networks(row.answer.perhaps, family))
            for row in rows if (row.port, row.family) == (port, family)}


OPEN, CLOSED, PERHAPS = (ALL, []), ([], []), ([], ALL)
NEW = [match({"ct": {"key": "state"}}, "new", "in")]
IIF_ETH0 = [match({"meta": {"key": "iifname"}}, "eth0")]


# -- interfaces and sockets

LINKS = {
    "as it is": ("", [4, 6]),
    "down": ("<BROADCAST,MULTICAST> mtu 1500 state DOWN", []),
    "no carrier": ("<NO-CARRIER,BROADCAST,UP> mtu 1500 state DOWN", [4, 6]),
    "loopback": ("<LOOPBACK,UP,LOWER_UP> mtu 65536 state UNKNOWN", []),
    "part of a bond": ("<BROADCAST,SLAVE,UP> mtu 1500 master bond0 state UP\\    bond_slave state ACTIVE", []),
    "part of a bridge": ("<BROADCAST,UP> mtu 1500 master xenbr0 state UP\\    bridge_slave state forwarding", []),
    "part of a VRF": ("<BROADCAST,UP> mtu 1500 master red state UP\\    vrf_slave table 10", [4, 6]),
}


@pytest.mark.parametrize("name", LINKS)
def test_by_which_interfaces_packets_come(name: str):
    text, families = LINKS[name]
    found = capture(sockets=sockets("*:8002").replace("users", "v6only:0 users"))
    if text:
        found["links"] = found["links"].replace("eth1: <BROADCAST,UP,LOWER_UP> mtu 1500", f"eth1@if7: {text}")
    assert [family for family in (4, 6) if "eth1" in who(found, family)] == families
    assert "eth0" in who(found) and "eth0" in who(found, 6)


def test_an_interface_without_ipv6():
    found = capture(sockets=sockets("*:8002").replace("users", "v6only:0 users"))
    found["settings"] += "ipv6 eth0 disable_ipv6 1\nipv6 eth1 disable_ipv6 0\n"
    assert set(who(found)) == {"eth0", "eth1"} and set(who(found, 6)) == {"eth1"}


@pytest.mark.parametrize(("by_eth0", "place", "reached"), [
    ("fe80::1/64 scope link", "[::]:8002", {"eth0"}), ("fe80::1/64 scope link", "[fe80::1]:8002", {"eth0"}),
    ("fe80::1/64 scope link", "[fe80::1]%eth0:8002", {"eth0"}), ("fe80::1/64 scope link", "[fe80::1]%eth1:8002", set()),
    ("2001:db8::1/64 scope global", "[2001:db8::1]:8002", {"eth0", "eth1"}),
    ("2001:db8::1/64 scope global", "[::1]:8002", set()),
    ("2001:db8::1/64 scope global", "[::2]:8002", {"eth0", "eth1"}),
])
def test_which_addresses_are_reached_by_which_interface(by_eth0: str, place: str, reached: set):
    """A link-local one by its own alone; that of the loopback interface by none."""
    found = capture(addresses=f"1: lo    inet6 ::1/128 scope host \n2: eth0    inet6 {by_eth0} \n",
                    sockets=sockets(place).replace("users", "v6only:1 users"))
    assert set(who(found, 6)) == reached


@pytest.mark.parametrize(("line", "listens", "families"), [
    ("0.0.0.0:22      0.0.0.0:*", "0.0.0.0", (4,)),
    ("*:22    *:*    ino:1 sk:1 cgroup:/ v6only:0 <->", "*", (4, 6)),
    ("[::]:22   [::]:*    ino:1 sk:1 cgroup:/ v6only:1 <->", "::", (6,)),
    ("0.0.0.0%eth0:22      0.0.0.0:*", "0.0.0.0%eth0", (4,)),
    ("*%eth0:22      *:*   ino:1 v6only:0", "*%eth0", (4, 6)),
    ("[::]%eth0:22      [::]:*   ino:1 v6only:1", "::%eth0", (6,)),
    ("[fe80::1]%eth0:22      [::]:*   v6only:1", "fe80::1%eth0", (6,)),
    ("192.0.2.1:22      0.0.0.0:*", "192.0.2.1", (4,)),
    ("[2001:db8::1]:22      *:*   v6only:0", "2001:db8::1", (6,)),
    ("[::ffff:192.0.2.1]:22      *:*   v6only:0", "192.0.2.1", (4,)),
    ("[::ffff:c000:201:0]:22      *:*   v6only:0", "::ffff:c000:201:0", (6,)),
    ("[2001:db8::192.0.2.1]:22      *:*   v6only:0", "2001:db8::c000:201", (6,)),
    # Before iproute2 4.16, and before the kernel told of v6only.
    ("*:22    *:*", "0.0.0.0", (4,)),
    (":::22   :::*", "*", (4, 6)),
    (":::22   :::*    ino:1 sk:1 v6only:1", "::", (6,)),
    ("::1:22   :::*", "::1", (6,)),
    ("fe80::1%eth0:22   :::*", "fe80::1%eth0", (6,)),
])
def test_a_socket_is_what_ss_says(line: str, listens: str, families: tuple):
    socket, = exposure.sockets(f"State Recv-Q\nLISTEN 0 128 {line}\n\n")
    assert (exposure.listens(socket), socket.families, socket.port) == (listens, families, 22)


# -- chains at devices

@pytest.mark.parametrize(("chains", "by_eth0", "by_eth1"), [
    ([chain("netdev", "ingress", DROP, dev="eth0")], CLOSED, OPEN),
    ([chain("netdev", "ingress", DROP, dev=["eth0", "eth1"])], CLOSED, CLOSED),
    ([chain("inet", "ingress", DROP, dev="eth1")], OPEN, CLOSED),
    ([chain("netdev", "ingress", DROP)], PERHAPS, PERHAPS),
    ([chain("netdev", "ingress", ACCEPT)], OPEN, OPEN),
    # What one leaves on a packet, those behind it see.
    ([chain("netdev", "ingress", SET_MARK, dev="eth0"), chain("inet", "input", MARK + ACCEPT, policy="drop")],
     OPEN, CLOSED),
    ([chain("netdev", "ingress", SET_MARK), chain("inet", "input", MARK + ACCEPT, policy="drop")], PERHAPS, PERHAPS),
    ([chain("netdev", "ingress", SET_MARK, dev="eth0", prio=-1), chain("netdev", "ingress", MARK + DROP, dev="eth0")],
     CLOSED, OPEN),
    ([chain("netdev", "ingress", SET_MARK), chain("inet", "input", NEW + ACCEPT, policy="drop")], OPEN, OPEN),
    ([chain("netdev", "ingress", IIF_ETH0 + DROP, dev=["eth0", "eth1"])], CLOSED, OPEN),
    ([chain("netdev", "ingress", IIF_ETH0 + DROP)], PERHAPS, PERHAPS),
    # A netdev chain has a protocol family of its own, and not that of the packet.
    ([chain("netdev", "ingress", [match({"meta": {"key": "nfproto"}}, "ipv4"), *DROP], dev="eth0")], PERHAPS, OPEN),
], ids=["one", "two", "inet", "unnamed drop", "unnamed accept", "mark", "unnamed mark", "mark between",
        "unnamed mark and state", "iifname", "unnamed iifname", "nfproto"])
def test_chains_at_a_device(chains: list, by_eth0: tuple, by_eth1: tuple):
    """Not every nft names the devices of a chain in its JSON: 1.0.6 does not."""
    assert who(capture(nft=rule_set(*chains))) == {"eth0": by_eth0, "eth1": by_eth1}


INSIDE = exposure.network("192.168.1.0/24", 4)
OUTSIDE = exposure.complement(INSIDE, 1 << 32)


@pytest.mark.parametrize(("chains", "ways"), [
    ([], {"xenbr0": OPEN}),
    ([chain("netdev", "ingress", DROP, dev="eth0")], {"xenbr0 by eth0": CLOSED, "xenbr0 by vif1.0": OPEN}),
    ([chain("netdev", "ingress", DROP, dev="xenbr0")], {"xenbr0": CLOSED}),
    ([chain("bridge", "prerouting", DROP)], {"xenbr0": CLOSED}),
    ([chain("bridge", "input", [match({"meta": {"key": "iifname"}}, "vif1.0"), *DROP])],
     {"xenbr0 by eth0": OPEN, "xenbr0 by vif1.0": CLOSED}),
    ([chain("bridge", "forward", DROP)], {"xenbr0": OPEN}),
    # A packet that has a VLAN tag is not one of IPv4 to them.
    ([chain("bridge", "input", [match({"payload": {"protocol": "ether", "field": "type"}}, "ip"), *DROP])],
     {"xenbr0": PERHAPS}),
    # Whether connection tracking sees what a bridge passes on depends on the kernel and its settings.
    ([chain("bridge", "input", NEW + ACCEPT, policy="drop")], {"xenbr0": PERHAPS}),
    ([chain("bridge", "input", [match({"meta": {"key": "iifname"}}, "vif1.0"), *SET_MARK]),
      chain("inet", "input", MARK + ACCEPT, policy="drop")], {"xenbr0 by eth0": CLOSED, "xenbr0 by vif1.0": OPEN}),
    # The answer passes the bridge, too, but for a peer that is beyond eth1; by a port that nobody knows beforehand.
    ([chain("bridge", "output", DROP)], {"xenbr0": (["192.168.1.0/24"], [])}),
    ([chain("bridge", "postrouting", [match({"meta": {"key": "oifname"}}, "vif1.0"), *DROP])],
     {"xenbr0": (["192.168.1.0/24"], exposure.networks(OUTSIDE, 4))}),
], ids=["none", "device of a port", "device of the bridge", "prerouting", "input", "forward", "VLAN tag", "state",
        "mark", "output", "postrouting"])
def test_chains_at_a_bridge(chains: list, ways: dict):
    """A packet comes by a port that is up; where the rules do not tell the ports apart, there is one answer."""
    found = who(capture(nft=rule_set(*chains), **BRIDGE))
    assert {way: answer for way, answer in found.items() if way != "eth1"} == ways


@pytest.mark.parametrize(("chains", "open_", "perhaps"), [
    ([chain("netdev", "egress", DROP, dev="eth1")], OUTSIDE, []),
    ([chain("netdev", "egress", DROP, dev=["eth0", "eth1"])], [], []),
    ([chain("netdev", "egress", DROP)], [], [0, 1 << 32]),
    ([chain("netdev", "egress", ACCEPT)], [0, 1 << 32], []),
    ([chain("inet", "output", [match({"meta": {"key": "oifname"}}, "eth0"), *DROP])], INSIDE, []),
    ([chain("inet", "output", SET_MARK), chain("netdev", "egress", MARK + DROP, dev="eth1")], OUTSIDE, []),
], ids=["one", "two", "unnamed drop", "unnamed accept", "oifname", "mark"])
def test_chains_on_the_way_out(chains: list, open_: list, perhaps: list):
    assert who(capture(nft=rule_set(*chains)))["eth0"] == (exposure.networks(open_, 4), exposure.networks(perhaps, 4))


# -- what whoever connects may choose

SPORT = [match({"payload": {"protocol": "tcp", "field": "sport"}}, 53)]
ANY_SPORT = [match({"payload": {"protocol": "tcp", "field": "sport"}}, {"range": [0, 65535]})]
ODD_SPORT = [match({"&": [{"payload": {"protocol": "tcp", "field": "sport"}}, 1]}, 1),
             match({"payload": {"protocol": "tcp", "field": "sport"}}, 1001, ">")]
NOT_EXTENDED = [match({"payload": {"protocol": "ip6", "field": "nexthdr"}}, "tcp"), *DROP]
SYN = [match({"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, "syn"]}, "syn")]
ESTABLISHED = [match({"ct": {"key": "state"}}, "established", "in")]
REDIRECT = [match(DPORT, 81), {"redirect": {"port": 82}}]
TRACKED = [match({"ct": {"key": "state"}}, "invalid", "in"), *DROP]


@pytest.mark.parametrize(("chains", "family", "answer"), [
    # An extension header hides the protocol from one rule; another wants a source port, or a mark of the first chain.
    ([chain("ip6", "prerouting", NOT_EXTENDED), chain("ip6", "input", ACCEPT)], 6, "perhaps"),
    ([chain("ip6", "prerouting", NOT_EXTENDED), chain("ip6", "input", SPORT + ACCEPT, policy="drop")], 6, "perhaps"),
    ([chain("ip6", "prerouting", NOT_EXTENDED, SET_MARK), chain("ip6", "input", MARK + ACCEPT, policy="drop")], 6,
     "perhaps"),
    # A fragment may be too short for the flags. Connection tracking puts fragments together, of a version of IP that
    # some rule wants it for.
    ([chain("ip", "prerouting", SYN + DROP)], 4, "perhaps"),
    ([chain("ip", "prerouting", SYN + DROP), chain("ip", "input", TRACKED)], 4, "closed"),
    ([chain("ip", "prerouting", SYN + DROP), chain("inet", "input", TRACKED)], 4, "closed"),
    ([chain("ip", "prerouting", SYN + DROP), chain("ip6", "input", TRACKED)], 4, "perhaps"),
    ([chain("ip", "prerouting", SYN + DROP), chain("ip", "forward", TRACKED)], 4, "closed"),
    ([chain("ip", "prerouting", SYN + DROP), chain("ip", "prerouting", REDIRECT, type="nat", prio=-100)], 4, "closed"),
    ([chain("ip", "prerouting", SYN + DROP), chain("ip", "prerouting", ACCEPT, type="nat", prio=-100)], 4, "perhaps"),
    ([chain("ip", "prerouting", SYN + DROP), chain("ip", "input", MARK + DROP)], 4, "perhaps"),
    # A version of IP is no choice.
    ([chain("inet", "input", [match({"meta": {"key": "nfproto"}}, "ipv4"), *ACCEPT], policy="drop")], 4, "open"),
    ([chain("inet", "input", [match({"meta": {"key": "nfproto"}}, "ipv4"), *ACCEPT], policy="drop")], 6, "closed"),
    ([chain("inet", "input", [match({"meta": {"key": "protocol"}}, "ip"), *ACCEPT], policy="drop")], 4, "open"),
    ([chain("inet", "input", [match({"meta": {"key": "protocol"}}, "ip6"), *ACCEPT], policy="drop")], 6, "open"),
    # An answer belongs to a connection, and to one that is in order.
    ([chain("inet", "output", ESTABLISHED + ACCEPT, policy="drop")], 4, "open"),
    ([chain("inet", "output", TRACKED)], 4, "open"),
    ([chain("inet", "output", [match({"ct": {"key": "mark"}}, 0), *ACCEPT], policy="drop")], 4, "open"),
    # Of the source ports, the one that all rules let in.
    ([chain("ip", "input", SPORT + ACCEPT, policy="drop")], 4, "open"),
    ([chain("ip", "input", ANY_SPORT + DROP)], 4, "closed"),
    ([chain("ip", "input", ODD_SPORT + ACCEPT, policy="drop")], 4, "perhaps"),
    ([chain("ip", "output", [match(DPORT, 53), *ACCEPT], policy="drop")], 4, "open"),
    ([chain("ip", "output", [match(DPORT, 53), *ACCEPT], policy="drop"), chain("ip", "input", SPORT + DROP)], 4,
     "closed"),
], ids=["header", "header and port", "header and mark", "fragment", "tracked", "tracked by inet", "tracked by ip6",
        "tracked at forward", "tracked by nat", "nat that only filters", "only marks", "nfproto 4", "nfproto 6",
        "protocol 4", "protocol 6", "established", "invalid",
        "mark of the connection", "port", "any port", "masked port", "port of the answer", "port of neither"])
def test_what_whoever_connects_may_choose(chains: list, family: int, answer: str):
    both = sockets("*:8002").replace("users", "v6only:0 users")
    found = who(capture(nft=rule_set(*chains), sockets=both), family)["eth0"]
    every = ["::/0"] if family == 6 else ALL
    assert found == {"open": (every, []), "closed": ([], []), "perhaps": ([], every)}[answer]


def test_an_answer_that_is_not_tracked_is_in_doubt():
    """Connection tracking has no state of it that is sure, whatever it has of the answers of another port."""
    untracked = chain("inet", "prerouting", [match(DPORT, 8002), {"notrack": None}], prio=-300)
    established = chain("inet", "output", ESTABLISHED + ACCEPT, policy="drop")
    found = capture((22, 8002), nft=rule_set(untracked, established))
    assert (who(found, port=22)["eth0"], who(found)["eth0"]) == (OPEN, PERHAPS)


# -- routes

SETTINGS = "ipv4 all rp_filter {}\nipv4 eth0 rp_filter 0\nipv4 eth1 rp_filter 0\nipv4 lo rp_filter 0\n"
#: The node's eth1 without an address.
UNNUMBERED = {"addresses": captures.NODE["addresses"].replace("3: eth1    inet 192.168.1.1/24 scope global eth1\n", "")}


@pytest.mark.parametrize(("mode", "files", "by_eth1"), [
    (0, {}, ALL), (1, {}, ["192.168.1.0/24"]), (2, {}, ALL),
    (0, UNNUMBERED, ALL), (1, UNNUMBERED, ["192.168.1.0/24"]), (2, UNNUMBERED, ["192.168.1.0/24"]),
    (2, {"routes4": captures.NODE["routes4"].replace("default", "10.0.0.0/8")},
     ["10.0.0.0/8", "192.168.1.0/24", "203.0.113.0/24"]),
], ids=["none", "strict", "loose", "none, no address", "strict, no address", "loose, no address", "loose, no route"])
def test_the_reverse_path_check(mode: int, files: dict[str, str], by_eth1: list):
    found = capture(settings=SETTINGS.format(mode), **files)
    assert who(found)["eth1"] == (by_eth1, [])
    assert who(found | {"sockets": sockets("[::]:8002")}, 6)["eth0"] == (["::/0"], []), "there is none of IPv6"


MANY_WAYS = ("default proto static \\\tnexthop via 203.0.113.1 dev eth0 weight 1 "
             "\\\tnexthop via 192.168.1.2 dev eth1 weight 1 \n")
ETH0, ETH1 = "default via 203.0.113.1 dev eth0", "default via 192.168.1.2 dev eth1"
LOCAL = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n"


@pytest.mark.parametrize(("routes", "rules", "by_eth0", "by_eth1"), [
    (f"{ETH0}\n10.0.0.0/8 dev eth1\n", LOCAL, "not 10", "10"),
    (f"10.0.0.0/8 dev eth1\n{ETH0}\n10.0.0.0/9 dev eth0\n10.128.0.0/9 dev eth0\n", LOCAL, "all", "none"),
    (f"{ETH0} metric 100\n{ETH1} metric 200\n", LOCAL, "all", "none"),
    (f"{ETH0} metric 1\n{ETH1}\n", LOCAL, "none", "all"),
    (MANY_WAYS, LOCAL, "all", "all"),
    (f"{ETH0}\nunreachable 10.0.0.0/8 metric 4294967295\n", LOCAL, "not 10", "none"),
    (f"unicast {ETH0}\nblackhole 10.0.0.0/8\n", LOCAL, "not 10", "none"),
    (f"{ETH0}\nlocal 10.0.0.0/8 dev eth1 table main\nbroadcast 10.0.0.255 dev eth1 table local\n", LOCAL, "all",
     "none"),
    (f"{ETH0}\n10.0.0.0/8 dev eth1 table local\n", LOCAL, "all", "none"),
    # By rules, or by more than the address: it cannot be told.
    (f"{ETH0}\n{ETH1} table 100\n", LOCAL + "100:\tfrom all fwmark 0x1 lookup 100\n", "perhaps", "perhaps"),
    (f"{ETH0}\n", LOCAL + "100:\tfrom all fwmark 0x1 lookup 100\n", "perhaps", "perhaps"),
    (f"{ETH0}\n{ETH1} table 100\n", LOCAL, "perhaps", "perhaps"),
    (f"{ETH0}\n{ETH1} table default\n", LOCAL + "32767:\tfrom all lookup default\n", "perhaps", "perhaps"),
    (f"{ETH0}\n10.0.0.0/8 tos 0x10 dev eth1\n", LOCAL, "perhaps", "perhaps"),
], ids=["smaller", "covered", "metric", "no metric", "several ways", "unreachable", "blackhole", "local", "local table",
        "rule and table", "rule", "table", "default table", "tos"])
def test_which_way_an_answer_goes(routes: str, rules: str, by_eth0: str, by_eth1: str):
    """As a strict check of the reverse path sees it."""
    ten = exposure.network("10.0.0.0/8", 4)
    answers = {"all": OPEN, "none": CLOSED, "perhaps": PERHAPS, "10": (exposure.networks(ten, 4), []),
               "not 10": (exposure.networks(exposure.complement(ten, 1 << 32), 4), [])}
    found = capture(routes4=routes, rules4=rules, settings=SETTINGS.format(1))
    assert who(found) == {"eth0": answers[by_eth0], "eth1": answers[by_eth1]}


def out_by(device: str, family: str = "ip") -> str:
    """Rules that let answers out by one device only."""
    return rule_set(chain(family, "output", [match({"meta": {"key": "oifname"}}, device), *ACCEPT], policy="drop"))


@pytest.mark.parametrize(("routes", "device", "answer"), [
    (f"{ETH0}\n", "eth0", OPEN), (f"{ETH0}\n", "eth1", CLOSED), (MANY_WAYS, "eth1", PERHAPS), (MANY_WAYS, "*", OPEN),
    (f"{ETH0}\n{ETH1} table 100\n", "eth1", PERHAPS), (f"{ETH0}\n{ETH1} table 100\n", "*", OPEN),
    (f"{ETH0}\n{ETH1} table 100\n", "eth2", CLOSED),
], ids=["one", "other", "one of several", "all of several", "one by rules", "all by rules", "none by rules"])
def test_an_answer_passes_the_rules_of_its_way(routes: str, device: str, answer: tuple):
    """Which of several ways it takes, the kernel draws by the addresses."""
    assert who(capture(routes4=routes, nft=out_by(device)))["eth0"] == answer


def test_the_way_of_an_answer_over_ipv6():
    """To a link-local address it is by where the packet came in, to others by the least metric."""
    found = capture(nft=out_by("eth0", "ip6"), sockets=sockets("[::]:8002"))
    found["addresses"] += "3: eth1    inet6 2001:db8:1::1/64 scope global \n"
    found["routes6"] = ("fe80::/64 dev eth0 metric 256 pref medium\nfe80::/64 dev eth1 metric 1024 pref medium\n"
                        "2001:db8:a::/48 via fe80::a dev eth0 metric 100 pref medium\n"
                        "2001:db8:a::/48 via fe80::b dev eth1 metric 1024 pref medium\n"
                        "2001:db8:b::/48 via fe80::a dev eth0 metric 1024 pref medium\n"
                        "2001:db8:b::/48 via fe80::b dev eth1 metric 100 pref medium\n")
    near, a, b = ["fe80::/64"], ["2001:db8:a::/48"], ["2001:db8:b::/48"]
    assert who(found, 6) == {"eth0": (a + near, []), "eth1": (a, [])}
    assert who(found | {"nft.json": out_by("eth1", "ip6")}, 6) == {"eth0": (b, []), "eth1": (b + near, [])}
    assert who(found | {"routes6": "default from 2001:db8:2::/64 via fe80::a dev eth0 metric 1 pref medium\n",
                        "nft.json": out_by("eth9", "ip6")}, 6)["eth0"] == CLOSED


@pytest.mark.parametrize(("route", "meant", "answer"), [
    ("", "192.0.3.7", CLOSED), ("192.0.3.7", "192.0.3.7", OPEN), ("192.0.3.0/24", "192.0.3.7", PERHAPS),
    ("192.0.3.0/24", None, OPEN), ("127.0.0.0/8", "192.0.3.7", CLOSED),
])
def test_addresses_that_are_the_hosts_own_by_a_route(route: str, meant: str | None, answer: tuple):
    """AnyIP: a socket for all addresses is reached at each of them."""
    there = [match({"payload": {"protocol": "ip", "field": "daddr"}}, meant)] if meant else []
    found = capture(nft=rule_set(chain("ip", "input", there + ACCEPT, policy="drop")))
    if route:
        found["routes4"] += f"local {route} dev lo table local scope host\n"
    assert who(found)["eth0"] == answer


# -- translations

NO_WAY = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 8002 -j DROP\nCOMMIT\n"
NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {}-p tcp -m tcp --dport 80 -j {}\nCOMMIT\n"


@pytest.mark.parametrize(("condition", "target", "perhaps"), [
    ("", "REDIRECT --to-ports 8002", ALL), ("", "REDIRECT --to-ports 8003", []),
    ("", "DNAT --to-destination 203.0.113.11:8002", ALL), ("", "DNAT --to-destination 203.0.113.11", ALL),
    ("", "DNAT --to-destination 203.0.113.12:8002", []), ("", "DNAT --to-destination 127.0.0.2:8002", ALL),
    ("", "DNAT --to-destination 203.0.113.2-203.0.113.99:8002", ALL),
    ("", "DNAT --to-destination [2001:db8::1]:8002", []),
    ("-s 10.0.0.0/8 ", "REDIRECT --to-ports 8002", ["10.0.0.0/8"]),
    ("! -s 10.0.0.0/8 ", "REDIRECT --to-ports 8002", ALL),
    ("-s 10.0.0.0/8 ", "MARK --set-xmark 0x1/0xffffffff", []),
])
def test_who_may_be_led_to_a_port_from_another(condition: str, target: str, perhaps: list):
    """What a translation makes of a packet is not followed; it is in doubt where it may end here."""
    assert who(capture(legacy=NO_WAY + NAT.format(condition, target)))["eth0"] == ([], perhaps)


def test_a_translation_is_of_its_version_of_ip():
    six = NAT.format("", "REDIRECT --to-ports 8002")
    assert who(capture(legacy=NO_WAY, legacy6=six))["eth0"] == CLOSED
    assert who(capture(legacy=NO_WAY, nft=rule_set(chain("inet", "prerouting", [{"redirect": {"port": 8002}}]))))[
        "eth0"] == PERHAPS


def test_who_is_led_to_a_port_meets_the_rules_for_what_comes_in():
    for answer, rules in ((PERHAPS, legacy("-A INPUT -p tcp -m tcp --dport 8002 -j ACCEPT", policy="DROP")),
                          (CLOSED, legacy("-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT", policy="DROP")),
                          (CLOSED, legacy("-A INPUT -p tcp -m conntrack --ctstate UNTRACKED -j ACCEPT", policy="DROP")),
                          (PERHAPS, legacy("-A INPUT -p tcp -m mark --mark 0x7 -j ACCEPT", policy="DROP"))):
        found = capture(legacy=NO_WAY + NAT.format("", "REDIRECT --to-ports 8002") + rules)
        assert who(found)["eth0"] == answer


def test_a_target_that_is_not_known_is_no_translation():
    assert who(capture(legacy=NO_WAY + NAT.format("", "FROB --to-ports 8002")))["eth0"] == CLOSED


# -- why it is in doubt

QUEUE = [{"queue": {}}]


@pytest.mark.parametrize(("files", "reasons"), [
    ({}, []),
    ({"nft": rule_set(chain("netdev", "ingress", DROP))}, ["a chain at a device that nft does not name"]),
    ({"nft": rule_set(chain("netdev", "ingress", ACCEPT), chain("inet", "input", QUEUE))}, ["the statement queue"]),
    ({"nft": rule_set(chain("inet", "output", QUEUE))}, ["the statement queue"]),
    ({"nft": out_by("eth1"), "routes4": MANY_WAYS}, ["several ways to the same address"]),
    ({"nft": out_by("eth1"), "routes4": f"{ETH0}\n{ETH1} table 100\n"}, ["routing by rules (ip rule)"]),
    ({"nft": rule_set(chain("netdev", "egress", DROP, dev="eth1")), "routes4": f"{ETH0}\n"}, []),
    ({"settings": SETTINGS.format(1), "routes4": f"{ETH0}\n{ETH1} table 100\n"}, ["routing by rules (ip rule)"]),
    ({"legacy": NO_WAY + NAT.format("", "REDIRECT --to-ports 8002")}, ["may lead here from another port"]),
    ({"legacy": NO_WAY + NAT.format("", "REDIRECT --to-ports 8002") + legacy(policy="DROP")}, []),
    ({"legacy": NAT.format("", "REDIRECT --to-ports 8002")}, []),
    ({"nft": rule_set(chain("inet", "input", *([match(SADDR, f"10.0.0.{n}"), *QUEUE] for n in range(5))))},
     ["the statement queue"] * 3),
], ids=["no doubt", "unnamed", "not the unnamed", "way out", "several ways", "ip rule and chains", "one way", "ip rule",
        "translation", "translation to a closed port", "translation to an open port", "many"])
def test_the_reasons_of_a_doubt(files: dict[str, str], reasons: list[str]):
    report = exposure.Report(capture((8002,), host="", **files), exposure.Allowed([]))
    row = report.rows[0]
    assert len(row.answer.whys) == len(reasons) and bool(row.answer.perhaps) == bool(reasons), row.answer.whys
    assert all(re.search(re.escape(reason) + r"\)?\Z", why) for reason, why in zip(reasons, row.answer.whys))
    assert report.json()["host"] == "this host"
