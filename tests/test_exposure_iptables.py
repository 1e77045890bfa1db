# SPDX-License-Identifier: MIT
"""exposure.py and what iptables-save prints: each match and target, as the kernel has it."""
from __future__ import annotations

import pytest

import exposure
from tests import captures
from tests.captures import capture, legacy
from tests.test_exposure import opened


def table(name: str, *lines: str) -> str:
    """A table as iptables-save prints it: heads of chains, and rules."""
    return "\n".join([f"*{name}", *(f"{line} [0:0]" if line[0] == ":" else line for line in lines), "COMMIT", ""])


EVERYBODY, NOBODY, DOUBT = (["0.0.0.0/0"], []), ([], []), ([], ["0.0.0.0/0"])


# -- connection tracking

NOT_TRACKED = table("raw", ":PREROUTING ACCEPT", "-A PREROUTING -p tcp -m tcp --dport 8002 -j CT --notrack")


@pytest.mark.parametrize("kept", ["--ctstate ESTABLISHED", "--ctdir REPLY"])
def test_the_answer_of_a_connection_that_is_not_tracked(kept: str):
    """It belongs to no connection that is known. The kernel was asked: such an answer is dropped."""
    out = table("filter", ":OUTPUT DROP", f"-A OUTPUT -m conntrack {kept} -j ACCEPT")
    for ports in ((8002,), (22, 8002)):
        assert opened(capture(ports, legacy=NOT_TRACKED + out)) == DOUBT
    assert opened(capture(legacy=NOT_TRACKED + out), port=22) == EVERYBODY
    raw = NOT_TRACKED.replace("COMMIT", ":OUTPUT ACCEPT\n-A OUTPUT -p tcp -m tcp --sport 8002 -j CT --notrack\nCOMMIT")
    out = out.replace(kept, "--ctstate ESTABLISHED,UNTRACKED")
    assert opened(capture(legacy=raw + out)) == EVERYBODY


REDIRECTED = table("nat", ":PREROUTING ACCEPT", "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8002")


@pytest.mark.parametrize(("states", "others", "redirected"), [
    ("DNAT", NOBODY, DOUBT), ("SNAT", NOBODY, NOBODY), ("SNAT,DNAT", NOBODY, DOUBT), ("NEW,DNAT", EVERYBODY, DOUBT),
    ("ESTABLISHED", NOBODY, NOBODY), ("ESTABLISHED,DNAT", NOBODY, DOUBT)])
def test_a_state_that_says_that_a_connection_was_translated(states: str, others: tuple, redirected: tuple):
    """Redirected ones are let in, and others are not; whoever connects to port 80 gets to port 8002."""
    rules = legacy(f"-A INPUT -p tcp -m tcp --dport 8002 -m conntrack --ctstate {states} -j ACCEPT", policy="DROP")
    assert opened(capture(legacy=rules)) == others
    assert opened(capture(legacy=REDIRECTED + rules)) == (others if others == EVERYBODY else redirected)
    rules = legacy(f"-A INPUT -m conntrack ! --ctstate {states} -j DROP")
    assert opened(capture(legacy=REDIRECTED + rules)) == (others if others == EVERYBODY else redirected)


def test_a_status_of_nftables_that_says_so():
    """As firewalld has it."""
    rules = captures.nft([captures.match({"ct": {"key": "status"}}, "dnat", "in"), {"accept": None}],
                         chain={"policy": "drop"})
    assert opened(capture(nft=rules)) == NOBODY
    assert opened(capture(nft=rules, legacy=REDIRECTED)) == DOUBT


# -- the type of an address: a packet to this host has a local one

@pytest.mark.parametrize(("types", "four", "six"), [
    ("LOCAL", True, True), ("UNICAST", False, True), ("UNICAST,LOCAL", True, True), ("MULTICAST", False, False),
    ("BROADCAST", False, None), ("LOCAL,MULTICAST", True, False), ("ANYCAST", False, False)])
def test_the_type_of_an_address(types: str, four: bool, six: bool | None):
    """For IPv4 one of the types has to be what the routes say; ip6tables has unicast for a form of the address, and
    wants all forms, and one of the rest (match_type6 in xt_addrtype.c). It takes no broadcast."""
    for holds, family, whole in ((four, 4, "0.0.0.0/0"), (six, 6, "::/0")):
        for sign in ("", "! ") if holds is not None else ():
            rules = legacy(f"-A INPUT -m addrtype {sign}--dst-type {types} -j ACCEPT", policy="DROP")
            found = capture(sockets=captures.sockets("0.0.0.0:8002", "[::]:8002"), legacy=rules, legacy6=rules)
            assert opened(found, family=family)[0] == ([whole] if holds != bool(sign) else []), (family, sign)


def test_the_type_of_an_address_for_one_interface_is_in_doubt():
    """Another interface's own address is none of this one's."""
    for types in ("UNICAST", "LOCAL"):
        rules = legacy(f"-A INPUT -m addrtype --dst-type {types} --limit-iface-in -j ACCEPT", policy="DROP")
        assert opened(capture(legacy=rules)) == DOUBT


# -- marks



SET, SAVE, RESTORE = "MARK --set-xmark", "CONNMARK --save-mark", "CONNMARK --restore-mark"
WHOLE, PART = "--nfmask 0xffffffff --ctmask 0xffffffff", "--nfmask 0xff --ctmask 0xff"


@pytest.mark.parametrize(("targets", "match", "who"), [
    ([], "mark --mark 0x0", EVERYBODY),
    ([f"{SET} 0x3/0xffffffff"], "mark --mark 0x3", EVERYBODY),
    ([f"{SET} 0x3/0xffffffff"], "mark ! --mark 0x3", NOBODY), ([f"{SET} 0x3/0xffffffff"], "mark --mark 3", EVERYBODY),
    ([f"{SET} 0x13/0xffffffff"], "mark --mark 0x3/0xf", EVERYBODY),
    ([f"{SET} 0x3/0xffffffff"], "connmark --mark 0x3", NOBODY),
    ([f"{SET} 0xff/0xffffffff", f"{SET} 0x1/0xf"], "mark --mark 0xf1", EVERYBODY),
    (["HMARK --hmark-tuple src --hmark-mod 4"], "mark --mark 0x1", DOUBT),
    (["HMARK --hmark-tuple src --hmark-mod 4", f"{SET} 0x1/0xffffffff"], "mark --mark 0x1", EVERYBODY),
    (["HMARK --hmark-tuple src --hmark-mod 4", f"{SET} 0x1/0xf"], "mark --mark 0x1", DOUBT),
    (["MARK --frob 0x1/0xffffffff"], "mark --mark 0x0", DOUBT),
    (["FROB --set-xmark 0x1/0xffffffff"], "mark --mark 0x0", DOUBT),
    (["CONNMARK --set-xmark 0x7/0xffffffff"], "connmark --mark 0x7", EVERYBODY),
    (["CONNMARK --set-xmark 0x7/0xffffffff"], "mark --mark 0x7", NOBODY),
    (["CONNMARK --set-xmark 0x7/0xffffffff --left-shift-mark 4"], "connmark --mark 0x70", DOUBT),
    (["CONNMARK --frob"], "connmark --mark 0x7", DOUBT),
    ([f"{SET} 0x7/0xffffffff", f"{SAVE} {WHOLE}"], "connmark --mark 0x7", EVERYBODY),
    ([f"{SET} 0x7/0xffffffff", f"{SAVE} {PART}"], "connmark --mark 0x7", DOUBT),
    (["CONNMARK --set-xmark 0x7/0xffffffff", f"{RESTORE} {WHOLE}"], "mark --mark 0x7", EVERYBODY),
    (["CONNMARK --set-xmark 0x7/0xffffffff", f"{RESTORE} {PART}"], "mark --mark 0x7", DOUBT),
    ([f"{SET} 0x7/0xffffffff", f"{RESTORE} {WHOLE}"], "mark --mark 0x0", EVERYBODY),
])
def test_marks(targets: list[str], match: str, who: tuple):
    """A mark is (mark & ~mask) ^ value behind --set-xmark; what only a shift or a part of a mask tells is a doubt."""
    marks = table("mangle", ":PREROUTING ACCEPT", *(f"-A PREROUTING -j {target}" for target in targets))
    assert opened(capture(legacy=marks + legacy(f"-A INPUT -m {match} -j ACCEPT", policy="DROP"))) == who


def test_a_mark_that_packets_come_to_have_later():
    """What may drop those that have it is asked about again, for those that have it now."""
    drop = "-A PREROUTING -m mark --mark 0x1 -m recent --rcheck -j DROP"
    marks = [f"-A PREROUTING -s {network} -j {SET} 0x1/0xffffffff" for network in ("10.0.0.0/8", "11.0.0.0/8")]
    found = capture(legacy=table("mangle", ":PREROUTING ACCEPT", marks[0], drop, marks[1], drop))
    assert opened(found)[1] == ["10.0.0.0/7"]


@pytest.mark.parametrize(("targets", "match", "who"), [
    ([f"{SET} 0x7/0xffffffff", f"{RESTORE} {WHOLE}"], "mark --mark 0x7", EVERYBODY),
    (["CONNMARK --set-xmark 0x7/0xffffffff"], "connmark --mark 0x7", NOBODY),
    (["CONNMARK --set-xmark 0x7/0xffffffff"], "connmark --mark 0x0", EVERYBODY),
    (["CT --notrack"], "connmark --mark 0x0", NOBODY), (["CT --notrack"], "connmark ! --mark 0x1", NOBODY),
    (["CT --notrack"], "conntrack --ctstate UNTRACKED", EVERYBODY), (["CT --notrack"], "state --state NEW", NOBODY),
    (["CT --notrack"], "conntrack --ctdir ORIGINAL", NOBODY), (["CT --notrack"], "state --state INVALID", NOBODY),
    (["NOTRACK"], "state --state UNTRACKED", EVERYBODY),
    (["CT --zone 5"], "state --state NEW", EVERYBODY), (["CT --helper ftp"], "state --state NEW", EVERYBODY),
    (["CT --notrack"], "conntrack --ctstate UNTRACKED --ctdir REPLY", DOUBT),
    (["CT --notrack"], "conntrack ! --ctstate NEW --ctdir REPLY", DOUBT),
    ([], "conntrack --ctstate NEW --ctdir REPLY", NOBODY), ([], "conntrack --ctstate NEW --ctdir ORIGINAL", EVERYBODY),
])
def test_before_there_is_a_connection_and_where_there_is_none(targets: list[str], match: str, who: tuple):
    """In the raw table nothing is known of a connection, and of what is not tracked there never is: it has no mark and
    no direction. But the match conntrack asks it for its state alone (conntrack_mt in xt_conntrack.c)."""
    raw = table("raw", ":PREROUTING ACCEPT", *(f"-A PREROUTING -j {target}" for target in targets))
    assert opened(capture(legacy=raw + legacy(f"-A INPUT -m {match} -j ACCEPT", policy="DROP"))) == who


# -- the way back to a source

TWO_WAYS = captures.NODE["routes6"] + "default via 2001:db8:1::1 dev eth1 metric 2048\n2001:db8:1::/64 dev eth1\n"


def checked(family: int, words: str, **files: str) -> dict[str, str]:
    """A capture with a rule on the way back: what it is not for does not get in."""
    rule = table("raw", ":PREROUTING ACCEPT", f"-A PREROUTING -m rpfilter {words}-j DROP")
    return capture(sockets=captures.sockets("0.0.0.0:8002", "[::]:8002"), routes6=TWO_WAYS, **files,
                   **{"legacy" if family == 4 else "legacy6": rule})


#: All but the network of the other interface: only that one has no route by eth1.
REST6 = exposure.networks(exposure.complement(exposure.network("2001:db8:2::/64", 6), exposure.END[6]), 6)


@pytest.mark.parametrize(("words", "four", "six"), [
    ("--invert ", ["192.168.1.0/24"], REST6), ("--validmark --invert ", ["192.168.1.0/24"], REST6),
    ("--loose --invert ", ["0.0.0.0/0"], ["::/0"]), ("--loose ", [], [])])
def test_the_way_back(words: str, four: list, six: list):
    """ip6tables asks for a route by the interface, and one of a larger metric will do (the kernel was asked)."""
    assert opened(checked(4, words), interface="eth1") == (four, [])
    assert opened(checked(6, words), family=6, interface="eth1") == (six, [])


def test_the_way_back_that_the_kernel_asks_for_is_the_best_one():
    two = captures.NODE["routes4"] + "default via 192.168.1.254 dev eth1 metric 2048\n"
    found = capture(settings="ipv4 all rp_filter 1\n", routes4=two)
    assert opened(found, interface="eth1") == (["192.168.1.0/24"], [])


def test_the_way_back_is_in_doubt_where_more_than_the_address_decides():
    rules = captures.NODE["rules4"] + "100:\tfrom all fwmark 0x1 lookup 7\n"
    assert opened(checked(4, "--invert ", rules4=rules)) == DOUBT


def test_an_answer_has_the_mark_of_its_connection():
    out = table("filter", ":OUTPUT DROP", "-A OUTPUT -m connmark --mark 0x0 -j ACCEPT")
    assert opened(capture(legacy=out)) == EVERYBODY


def test_the_way_back_of_nftables_is_the_best_one():
    """Of two routes to one network it is that of the smaller metric (the kernel was asked)."""
    fib = captures.match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False)
    found = checked(4, "") | {"iptables-legacy-save": "", "nft.json": captures.nft([fib, {"drop": None}])}
    assert opened(found, family=6, interface="eth1") == (["2001:db8:1::/64"], [])


# -- marks of nftables that go from one hook to another

MARK = {"meta": {"key": "mark"}}


def marking(chain: dict, *rules: list) -> str:
    """A chain that marks each packet with 7, and rules at input behind which the rest is dropped."""
    mark = captures.base_chain(chain["hook"], [{"mangle": {"key": MARK, "value": 7}}], **EARLY | {
        part: value for part, value in chain.items() if part != "hook"})
    return captures.rule_set(captures.base_chain("input", *rules, policy="drop"), mark)


BRIDGED = captures.NODE["links"].replace("eth1: <BROADCAST,UP,LOWER_UP> mtu 1500",
                                         "eth1: <BROADCAST,UP,LOWER_UP> mtu 1500 master eth0 \\    bridge_slave")
EARLY = {"table": "early", "name": "early", "type": "filter", "prio": -150, "policy": "accept"}
ALLOWED = [captures.match(MARK, 7), {"accept": None}]


@pytest.mark.parametrize(("chain", "others"), [
    ({"family": "netdev", "hook": "ingress", "dev": "eth0"}, NOBODY),
    ({"family": "inet", "hook": "ingress", "dev": "eth0"}, NOBODY),
    ({"family": "ip", "hook": "prerouting"}, EVERYBODY)])
def test_a_mark_that_a_packet_has_from_before(chain: dict, others: tuple):
    """One of an interface is not known to other interfaces. (The kernel was asked: it stays.)"""
    found = capture(nft=marking(chain, ALLOWED))
    assert opened(found) == EVERYBODY
    assert opened(found, interface="eth1") == others
    found["nft.json"] = found["nft.json"].replace("mangle", "comment")
    assert opened(found) == NOBODY


def test_a_mark_that_a_packet_has_from_a_bridge():
    found = capture(nft=marking({"family": "bridge", "hook": "prerouting"}, ALLOWED))
    assert opened(found) == NOBODY and opened(found | {"links": BRIDGED}) == EVERYBODY


def test_a_mark_that_a_packet_with_extension_headers_has():
    """Such a packet meets the first rule at input no more, and has its mark from prerouting as all have."""
    six = captures.match({"payload": {"protocol": "ip6", "field": "nexthdr"}}, "tcp")
    found = capture(nft=marking({"family": "ip6", "hook": "prerouting"}, [six, {"drop": None}], ALLOWED),
                    sockets=captures.sockets("[::]:8002"))
    assert opened(found, family=6) == ([], ["::/0"])


# -- matches and targets

@pytest.mark.parametrize(("words", "who"), [
    ("-p tcp -m tcp --dport 0:8002", EVERYBODY), ("-p tcp -m tcp --dport 8002:", EVERYBODY),
    ("-p tcp -m tcp --dport :8001", NOBODY), ("-p tcp -m tcp --dport 8003:8002", DOUBT),
    ("-p tcp -m tcp --dport 8002:65536", DOUBT), ("-p tcp -m multiport --ports 8002", EVERYBODY),
    ("-p tcp -m multiport ! --ports 8002", NOBODY), ("-i eth+", EVERYBODY), ("-i et", NOBODY), ("! -i eth1", EVERYBODY),
    ("-i ppp+", NOBODY),
    ("-f", NOBODY), ("! -f", EVERYBODY), ("-p all", EVERYBODY), ("-p 17", NOBODY), ("! -p udp", EVERYBODY),
    ("-p udp -m udp --dport 8002", NOBODY), ("-m pkttype --pkt-type unicast", EVERYBODY),
    ("-m pkttype --pkt-type broadcast", NOBODY), ('-m comment --comment "it\\\'s -j DROP" -i eth0', EVERYBODY),
    ("-m socket", DOUBT), ("-m recent ! --rcheck -m tcp --dport 22", NOBODY),
    ("-m tcp --frob 1", DOUBT), ("-m multiport --frob 22", DOUBT), ("-m iprange --frob 10.0.0.1-10.0.0.2", DOUBT),
    ("-m mark --frob 0x1", DOUBT), ("-m connmark --frob 0x1", DOUBT), ("-m conntrack --frob NEW", DOUBT),
    ("-m state --frob NEW", DOUBT), ("-m addrtype --frob LOCAL", DOUBT), ("-m pkttype --frob unicast", DOUBT),
])
def test_a_match(words: str, who: tuple):
    """Who is let in by a rule with this match, by eth0; the rest is dropped. What no manual has is in doubt."""
    assert opened(capture(legacy=legacy(f"-A INPUT {words} -j ACCEPT", policy="DROP"))) == who


@pytest.mark.parametrize("words", ["", "-s 192.0.2.0/24", "-p tcp -m tcp --syn", "-m frob", "-m frob --x", "-f"])
def test_a_rule_without_a_target_only_counts(words: str):
    assert opened(capture(legacy=legacy(f"-A INPUT {words}"))) == EVERYBODY


@pytest.mark.parametrize("text", ["hello\nCOMMIT\n", "*filter\n*nat\nCOMMIT\n", "*filter\nhello\nCOMMIT\n",
                                  "-A INPUT -j DROP\nCOMMIT\n", "*filter\n:INPUT FROB\nCOMMIT\n"])
def test_what_iptables_save_does_not_print_is_not_read(text: str):
    with pytest.raises(exposure.BadInput, match="line"):
        exposure.Judge(capture(legacy=text))


# -- conditions of nftables on more than one thing, and packets that have not everything

PAIR = {"concat": [captures.SADDR, captures.DPORT]}
EMPTY = {"set": {"family": "inet", "table": "t", "name": "empty", "type": "ipv4_addr"}}


def accepted(*conditions: dict, more: tuple[dict, ...] = (), **chain: str | int) -> dict[str, str]:
    """A capture with one rule that lets in, and all else dropped."""
    return capture(nft=captures.nft([*conditions, {"accept": None}], more=more, chain={"policy": "drop"} | chain))


def test_an_address_together_with_a_port():
    found = accepted(captures.match(PAIR, {"set": [{"concat": ["192.0.2.1", 22]}]}))
    assert opened(found) == NOBODY and opened(found, port=22) == (["192.0.2.1/32"], [])
    found = accepted(captures.match(PAIR, {"set": [{"concat": [f"192.0.2.{n}", 8000 + n]} for n in (1, 2, 3)]}))
    assert opened(found) == (["192.0.2.2/32"], [])


def test_an_address_together_with_flags():
    """Which a packet in fragments may not show; then the rule does not hold."""
    pair = {"concat": [captures.SADDR, {"payload": {"protocol": "tcp", "field": "flags"}}]}
    for hook in ("prerouting", "input"):
        found = accepted(captures.match(pair, {"set": [{"concat": ["192.0.2.1", "syn"]}]}), hook=hook)
        assert opened(found) == (["192.0.2.1/32"], [])


def test_an_address_together_with_a_mark():
    pair = captures.match({"concat": [captures.SADDR, MARK]}, {"set": [{"concat": ["192.0.2.1", 0]}]})
    near, far = (captures.match(captures.SADDR, captures.prefix(base, 24)) for base in
                 ("192.0.2.0", "198.51.100.0"))
    assert opened(accepted(pair)) == opened(accepted(pair, near)) == (["192.0.2.1/32"], [])
    assert opened(accepted(pair, far)) == NOBODY


def test_a_mask_on_an_address_is_in_doubt():
    masked = captures.match({"&": [captures.SADDR, "255.0.0.255"]}, "10.0.0.1")
    ten = captures.match(captures.SADDR, captures.prefix("10.0.0.0", 8))
    change = {"mangle": {"key": MARK, "value": 7}}
    number = captures.match({"&": [captures.SADDR, 0xff0000ff]}, 0x0a000001)
    for rule in ([masked], [number], [change, masked]):
        assert opened(accepted(*rule)) == DOUBT
    for both in ([masked, ten], [ten, masked], [change, masked, ten], [masked, change, ten]):
        assert opened(accepted(*both)) == ([], ["10.0.0.0/8"])


def test_an_interface_in_doubt():
    """Rules may see the VRF that an interface belongs to, or the interface."""
    vrf = captures.NODE["links"].replace("eth0: <BROADCAST,UP,LOWER_UP> mtu 1500",
                                         "eth0: <BROADCAST,UP,LOWER_UP> mtu 1500 master red \\    vrf_slave table 10")
    by = {"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["eth0", {"accept": None}]]}}}
    pair = {"concat": [{"meta": {"key": "iifname"}}, captures.SADDR]}
    one = captures.match(pair, {"set": [{"concat": ["eth0", "192.0.2.1"]}]})
    net = captures.match(captures.SADDR, captures.prefix("192.0.2.0", 24))
    for rule in ([one], [one, net], [net, one], [{"mangle": {"key": MARK, "value": 7}}, one]):
        found = accepted(*rule)
        assert opened(found) == (["192.0.2.1/32"], []) and opened(found | {"links": vrf}) == ([], ["192.0.2.1/32"])
    found = capture(nft=captures.nft([by], chain={"policy": "drop"}))
    assert opened(found) == EVERYBODY and opened(found | {"links": vrf}) == DOUBT
    assert opened(checked(4, "--invert ", links=vrf)) == DOUBT
    assert opened(checked(4, "--loose --invert ", links=vrf)) == EVERYBODY


def test_a_connection_on_a_bridge_is_in_doubt():
    """It depends on whether another module looks at its packets as well."""
    new = captures.match({"ct": {"key": "state"}}, "new", "in")
    rules = captures.nft([new, {"drop": None}], chain={"hook": "prerouting"}).replace('"inet"', '"bridge"')
    assert opened(capture(nft=rules, links=BRIDGED), interface="eth0") == DOUBT


def test_an_empty_set_has_nobody():
    assert opened(accepted(captures.match(captures.SADDR, "@empty"), more=(EMPTY,))) == NOBODY
    assert opened(accepted(captures.match(captures.SADDR, "@empty", "!="), more=(EMPTY,))) == EVERYBODY


def test_a_rule_on_tcp_does_not_see_what_is_behind_vlan_tags():
    """An interface takes such a packet to itself, and a rule at ingress meets the tags where the header would be."""
    rule = [captures.match(captures.DPORT, 8002), {"drop": None}]
    assert opened(capture(nft=captures.nft(rule, chain={"hook": "ingress", "dev": "eth0"}))) == DOUBT
    assert opened(capture(nft=captures.nft(rule))) == NOBODY


# -- long rows of rules

@pytest.mark.parametrize(("first", "second", "policy"), [("ACCEPT", "DROP", "ACCEPT"), ("DROP", "ACCEPT", "DROP")])
def test_a_long_row_of_rules_in_doubt(first: str, second: str, policy: str):
    """Where the first rule on an address may not hold, the next one may."""
    doubt = "-m recent --rcheck"
    row = [f"-A INPUT -s 10.0.{n}.0/24 {doubt} -j {verdict}" for n in range(100) for verdict in (first, second)]
    known = [f"-A INPUT -s 10.1.{n}.0/24 {doubt} -j {policy}" for n in range(100)]
    assert opened(capture(legacy=legacy(*row, *known, policy=policy)))[1] == [
        "10.0.0.0/18", "10.0.64.0/19", "10.0.96.0/22"]


@pytest.mark.parametrize(("rule", "who"), [
    ("-A INPUT -s 10.0.%d.0/24 -j ACCEPT", ["10.0.0.0/18", "10.0.64.0/19", "10.0.96.0/22"]),
    ("-A INPUT -s 10.0.%d.0/24 -m mark --mark 0x1 -j ACCEPT", []),
    ("-A INPUT -s 10.0.%d.0/24 -m iprange --src-range 10.0.2.7-10.0.3.0 -j ACCEPT",
     ["10.0.2.7/32", "10.0.2.8/29", "10.0.2.16/28", "10.0.2.32/27", "10.0.2.64/26", "10.0.2.128/25", "10.0.3.0/32"]),
    ("-A INPUT ! -s 10.0.%d.0/24 -j DROP", []), ("-A INPUT -s 10.0.%d.0/24 -j A", ["10.0.9.0/24"]),
    ("-A INPUT -s 10.0.%d.0/24 -g A", ["10.0.9.0/24"]), ("-A INPUT -s 10.0.%d.0/24", []),
])
def test_a_long_row_of_rules(rule: str, who: list):
    """They are taken together where their sources and their verdicts are all that tells them apart."""
    row = [rule % n for n in range(100)]
    split = "-A INPUT -s 10.0.9.64/26 -m mark --mark 0x1 -j DROP"  # no packet has this mark
    found = capture(legacy=legacy(split, *row, "-A A -s 10.0.9.0/24 -j ACCEPT", policy="DROP", chains=("A",)))
    assert opened(found) == (who, [])


def test_answers_are_told_apart_by_where_they_come_from():
    """For the way out it is the peer that is the destination, and rules that differ in their sources differ."""
    rules = [f"-A OUTPUT -s {source}/32 -d 10.0.0.0/8 -j ACCEPT" for source in ("192.0.2.1", "203.0.113.11")]
    found = capture(sockets=captures.sockets("203.0.113.11:8002"), legacy=table("filter", ":OUTPUT DROP", *rules))
    assert opened(found) == (["10.0.0.0/8"], [])


# -- when chains of nftables are asked

@pytest.mark.parametrize(("priority", "who"), [(-201, NOBODY), (-200, DOUBT), (-199, EVERYBODY)])
def test_connection_tracking_has_a_priority(priority: int, who: tuple):
    """It is -200; which of two at the same one is first depends on what was loaded first."""
    new = captures.match({"ct": {"key": "state"}}, "new", "in")
    assert opened(accepted(new, hook="prerouting", prio=priority)) == who


def test_connection_tracking_puts_fragments_together():
    """The first of them may be too short for the flags. Only rules that need tracking begin it, not an empty table."""
    syn = captures.match({"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, "syn"]}, "syn")
    rules = captures.nft([syn, {"drop": None}], chain={"hook": "prerouting"})
    for tracks_not in ("", table("nat", ":PREROUTING ACCEPT")):
        assert opened(capture(nft=rules, legacy=tracks_not)) == DOUBT
    for tracks in (REDIRECTED, legacy("-A INPUT -m conntrack --ctstate INVALID -j DROP")):
        assert opened(capture(nft=rules, legacy=tracks), port=22) == NOBODY


def test_translations_are_for_connections_that_are_tracked():
    new = captures.match({"ct": {"key": "state"}}, "new", "in")
    rules = captures.nft([new, captures.match(captures.DPORT, {"set": [22, 8002]}), {"drop": None}],
                         chain={"type": "nat", "hook": "prerouting", "prio": -100})
    assert opened(capture(nft=rules, legacy=NOT_TRACKED)) == EVERYBODY
    assert opened(capture(nft=rules, legacy=NOT_TRACKED), port=22) == opened(capture(nft=rules)) == NOBODY


# -- chains that call one another

@pytest.mark.parametrize(("rules", "policy", "who"), [
    (["INPUT -j A", "INPUT -j DROP", "A -s 10.0.0.0/8 -j ACCEPT"], "ACCEPT", ["10.0.0.0/8"]),
    (["INPUT -j A", "INPUT -s 10.0.0.0/8 -j ACCEPT", "A -s 10.0.0.0/9 -j RETURN", "A -j DROP"], "ACCEPT",
     ["10.0.0.0/9"]),
    (["INPUT -s 10.0.0.0/8 -g A", "INPUT -j ACCEPT", "A -s 10.0.0.0/9 -j ACCEPT"], "DROP",
     ["0.0.0.0/5", "8.0.0.0/7", "10.0.0.0/9", "11.0.0.0/8", "12.0.0.0/6", "16.0.0.0/4", "32.0.0.0/3", "64.0.0.0/2",
      "128.0.0.0/1"]),
    (["INPUT -j A", "INPUT -s 10.0.0.0/8 -j ACCEPT", "A -g B", "A -j ACCEPT", "B -s 10.0.0.0/9 -j DROP"], "DROP",
     ["10.128.0.0/9"]),
    (["INPUT -s 10.0.0.0/8 -j RETURN", "INPUT -j ACCEPT"], "DROP",
     ["0.0.0.0/5", "8.0.0.0/7", "11.0.0.0/8", "12.0.0.0/6", "16.0.0.0/4", "32.0.0.0/3", "64.0.0.0/2", "128.0.0.0/1"]),
])
def test_chains(rules: list[str], policy: str, who: list):
    """RETURN goes on in the calling chain, or to the policy; behind -g it is the chain before that goes on."""
    found = legacy(*(f"-A {rule}" for rule in rules), policy=policy, chains=("A", "B"))
    assert opened(capture(legacy=found)) == (who, [])


@pytest.mark.parametrize(("rules", "why"), [
    (["INPUT -m recent --rcheck -j A", "A -j ACCEPT"], "A rule 1: -j ACCEPT (the match recent)"),
    (["INPUT -m recent --rcheck -g A", "A -s 10.0.0.0/8 -j RETURN", "A -j ACCEPT"],
     "A rule 2: -j ACCEPT (the match recent)"),
    (["INPUT -m recent --rcheck -g A", "INPUT -j ACCEPT", "A -s 10.0.0.0/8 -j RETURN", "A -j ACCEPT"],
     "A rule 1: -s 10.0.0.0/8 -j RETURN (the match recent)"),
    (["INPUT -j A", "A -m recent --rcheck -j ACCEPT"], "A rule 1: -m recent --rcheck -j ACCEPT (the match recent)"),
    (["INPUT -m socket -j A", "A -m recent --rcheck -j ACCEPT"],
     "A rule 1: -m recent --rcheck -j ACCEPT (the match recent)"),
    ([f"INPUT -s 10.0.{n}.0/24 -m recent --rcheck -j ACCEPT" for n in range(100)],
     "INPUT rule 1: -s 10.0.0.0/24 -m recent --rcheck -j ACCEPT (the match recent)"),
])
def test_why_it_cannot_be_told(rules: list[str], why: str):
    """The first reason is a rule that decides, and what of it, or of the way to it, is in doubt."""
    found = capture(legacy=legacy(*(f"-A {rule}" for rule in rules), policy="DROP", chains=("A",)))
    judge = exposure.Judge(found)
    number = exposure.address("203.0.113.11", 4)
    whys = judge.arrive(4, judge.host.interfaces["eth0"], None, number, 8002).whys
    assert whys[0] == f"iptables-legacy filter {why}"
