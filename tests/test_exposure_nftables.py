# SPDX-License-Identifier: MIT
"""What exposure.py reads from `nft -j list ruleset`. The JSON of each rule is as nft 1.0.6 prints it for the text that
names it, and to whom it applies is what a kernel did with it."""
from __future__ import annotations

import json

import pytest

import exposure
from tests import captures
from tests.captures import DPORT, SADDR, base_chain, capture, match, nft, prefix, rule_set, vmap

#: Where connections come to, and the whole of each family.
HERE = {4: "203.0.113.11", 6: "2001:db8:2::11"}
ALL, NONE = {4: "0.0.0.0/0", 6: "::/0"}, {4: "", 6: ""}
FOUR, SIX = {4: "0.0.0.0/0", 6: ""}, {4: "", 6: "::/0"}
DOUBT = {4: "may 0.0.0.0/0", 6: "may ::/0"}
ONE = {4: "192.0.2.1/32", 6: ""}
PRIORITY = {"meta": {"key": "priority"}}
MARK, CTMARK = {"meta": {"key": "mark"}}, {"ct": {"key": "mark"}}
STATE, STATUS = {"ct": {"key": "state"}}, {"ct": {"key": "status"}}


def payload(protocol: str, field: str) -> dict:
    return {"payload": {"protocol": protocol, "field": field}}


def fib(result: str, *flags: str) -> dict:
    return {"fib": {"result": result, "flags": list(flags)}}


def mangle(key: dict, value: object) -> dict:
    return {"mangle": {"key": key, "value": value}}


FLAGS, PROTOCOL, NEXT = payload("tcp", "flags"), {"meta": {"key": "l4proto"}}, payload("ip6", "nexthdr")


def answer(text: str, family: int, interface: str = "eth0", **more: str) -> exposure.Answer:
    """From where port 8002 is open with these rules."""
    judge = exposure.Judge(capture(nft=text, **more))
    return judge.arrive(family, judge.host.interfaces[interface], None, exposure.address(HERE[family], family), 8002)


def said(sure: list, perhaps: list, family: int) -> str:
    """Both sets as one text."""
    return " ".join(exposure.networks(sure, family) + [f"may {each}" for each in exposure.networks(perhaps, family)])


def applies(expressions: list, family: int, more: tuple = (), interface: str = "eth0") -> str:
    """To whom a rule with these expressions applies: the same, whether it lets in or keeps out."""
    let_in = answer(nft([*expressions, {"accept": None}], chain={"policy": "drop"}, more=more), family, interface)
    kept_out = answer(nft([*expressions, {"drop": None}], more=more), family, interface)
    end = exposure.END[family]
    assert kept_out.perhaps == let_in.perhaps
    assert kept_out.open == exposure.complement(exposure.union(let_in.open, let_in.perhaps), end)
    return said(let_in.open, let_in.perhaps, family)


def named(kind: str, name: str, of: object, elements: list, **more: object) -> dict:
    """A set or a map."""
    return {kind: {"family": "inet", "table": "t", "name": name, "type": of, "elem": elements} | more}


#: Sets and maps that rules name.
SETS = (
    named("set", "limited", "ipv4_addr", [{"elem": {"val": "192.0.2.1", "quota": {"val": 5, "inv": True}}}],
          stmt=[{"quota": {"val": 5, "val_unit": "mbytes", "inv": True}}]),
    named("set", "two", "ipv4_addr", [{"elem": {"val": "192.0.2.1", "counter": {"packets": 0, "bytes": 0}}}],
          stmt=[{"counter": None}, {"quota": {"val": 5, "val_unit": "mbytes", "inv": True}}]),
    named("set", "filled", "ipv4_addr", ["192.0.2.1"], flags=["dynamic"]),
    named("set", "own_limit", "ipv4_addr", [{"elem": {"val": "192.0.2.1", "limit": {"rate": 1, "per": "day"}}}]),
    named("set", "counted", "ipv4_addr", [{"elem": {"val": "192.0.2.1", "counter": {"packets": 0, "bytes": 0}}}],
          stmt=[{"counter": None}]),
    named("set", "timed", "ipv4_addr", [{"elem": {"val": "192.0.2.1", "timeout": 60, "expires": 9, "comment": "x"}}]),
    named("set", "states", "ct_state", ["new", "established"]),
    named("set", "empty", "ipv4_addr", []),
    named("set", "rest", "ipv4_addr", ["192.0.2.1", "*"]),
    named("set", "pairs", ["ipv4_addr", "inet_service"], [{"concat": ["192.0.2.1", {"range": [8000, 8009]}]},
                                                          {"concat": ["192.0.2.2", 22]}]),
    {"counter": {"family": "inet", "name": "c", "table": "t", "packets": 0, "bytes": 0}},
    named("map", "counters", "ipv4_addr", [["192.0.2.1", "c"]], map="counter"),
    named("map", "marks", "ipv4_addr", [["192.0.2.1", 7]], map="mark"),
    named("map", "ports", "inet_service", [[8002, 1]], map="mark"),
)
#: Rules without their verdict: the JSON, and to whom they apply.
RULES = {
    # Statements that are about one family, or end the rule for whom they find nothing, without a word of it.
    "ip dscp set cs1": ([mangle(payload("ip", "dscp"), "cs1")], FOUR),
    "ip6 hoplimit set 64": ([mangle(payload("ip6", "hoplimit"), 64)], SIX),
    "meta nftrace set 1": ([mangle({"meta": {"key": "nftrace"}}, 1)], ALL),
    "meta priority set ip saddr map { 192.0.2.1 : 1:1 }": (
        [mangle(PRIORITY, {"map": {"key": SADDR, "data": {"set": [["192.0.2.1", "1:1"]]}}})], DOUBT),
    "meta mark set ip saddr map @marks": ([mangle(MARK, {"map": {"key": SADDR, "data": "@marks"}})], ONE),
    "meta mark set jhash ip saddr mod 2": ([mangle(MARK, {"jhash": {"mod": 2, "expr": SADDR}})], DOUBT),
    "counter": ([{"counter": {"packets": 1, "bytes": 60}}], ALL),
    "counter name c": ([{"counter": "c"}], ALL),
    "counter name ip saddr map @counters": ([{"counter": {"map": {"key": SADDR, "data": "@counters"}}}], DOUBT),
    'log prefix "a"': ([{"log": {"prefix": "a"}}], ALL),
    "continue": ([{"continue": None}], ALL),
    "tcp dport vmap { 8002 : continue }": ([vmap(DPORT, [8002, {"continue": None}])], ALL),
    "tcp dport vmap { 22 : continue }": ([vmap(DPORT, [22, {"continue": None}])], NONE),
    "ip saddr vmap { 192.0.2.1 : return, * : continue }": (
        [vmap(SADDR, ["192.0.2.1", {"return": None}], ["*", {"continue": None}])],
        {4: said(exposure.complement(exposure.network("192.0.2.1", 4), 1 << 32), [], 4), 6: ""}),
    "meta mark set ip saddr map { 192.0.2.1 : 1, * : 2 } meta mark 1": (
        [mangle(MARK, {"map": {"key": SADDR, "data": {"set": [["192.0.2.1", 1], ["*", 2]]}}}), match(MARK, 1)], ONE),
    "ct mark vmap { 1 : return, * : continue }": (
        [vmap(CTMARK, [1, {"return": None}], ["*", {"continue": None}])], ALL),
    "meta mark set 5 meta mark set meta mark & 6 meta mark 4": (
        [mangle(MARK, 5), mangle(MARK, {"&": [MARK, 6]}), match(MARK, 4)], ALL),
    "meta mark set 5 meta mark set meta mark ^ 4 meta mark 1": (
        [mangle(MARK, 5), mangle(MARK, {"^": [MARK, 4]}), match(MARK, 1)], ALL),
    "meta mark set 5 meta mark set meta mark & 7 | 2 meta mark 7": (
        [mangle(MARK, 5), mangle(MARK, {"|": [{"&": [MARK, 7]}, 2]}), match(MARK, 7)], ALL),
    "meta mark set meta mark << 1 | 16": ([mangle(MARK, {"|": [{"<<": [MARK, 1]}, 16]})], DOUBT),
    "ct mark set 5 meta mark set ct mark | 2 meta mark 7": (
        [mangle(CTMARK, 5), mangle(MARK, {"|": [CTMARK, 2]}), match(MARK, 7)], ALL),
    # Numbers with bits: one of them, none of them, exactly these, and those behind a mask.
    "ct state new,established": ([match(STATE, ["established", "new"], "in")], ALL),
    "ct state == new,established": ([match(STATE, {"|": ["established", "new"]})], NONE),
    "ct state != new,established": ([match(STATE, {"|": ["established", "new"]}, "!=")], ALL),
    "ct state != new": ([match(STATE, "new", "!=")], NONE),
    "ct state ! new": ([match(STATE, "new", "!")], NONE),
    "ct state ! established": ([match(STATE, "established", "!")], ALL),
    "ct state & (new|established) == new": ([match({"&": [STATE, ["established", "new"]]}, "new")], ALL),
    "ct state & established == new": ([match({"&": [STATE, "established"]}, "new")], NONE),
    "ct state { new, established }": ([match(STATE, {"set": ["established", "new"]})], ALL),
    "ct state @states": ([match(STATE, "@states")], ALL),
    "ct state != @states": ([match(STATE, "@states", "!=")], NONE),
    "ct state > 1": ([match(STATE, 1, ">")], ALL),
    "ct state > 8": ([match(STATE, 8, ">")], NONE),
    "ct state . tcp dport { new . 8002 }": (
        [match({"concat": [STATE, DPORT]}, {"set": [{"concat": ["new", 8002]}]})], ALL),
    "ct status dnat": ([match(STATUS, "dnat", "in")], NONE),
    "ct status != dnat": ([match(STATUS, "dnat", "!=")], ALL),
    "ct status == 0": ([match(STATUS, 0)], DOUBT),  # not where the kernel has noted that there is nothing to translate
    "ct status > snat": ([match(STATUS, "snat", ">")], DOUBT),
    "tcp flags & (fin|syn|rst|ack) == syn": ([match({"&": [FLAGS, ["fin", "syn", "rst", "ack"]]}, "syn")], ALL),
    "tcp flags & (fin|syn|rst|ack) == (syn|ack)": (
        [match({"&": [FLAGS, ["fin", "syn", "rst", "ack"]]}, ["syn", "ack"])], NONE),
    "tcp flags & (syn|ack) == { syn, ack }": (
        [match({"&": [FLAGS, {"|": ["syn", "ack"]}]}, {"set": ["syn", "ack"]})], ALL),
    "tcp flags syn,ack": ([match(FLAGS, ["syn", "ack"], "in")], ALL),
    "tcp flags ! ack": ([match(FLAGS, "ack", "!")], ALL),
    "tcp flags ! syn": ([match(FLAGS, "syn", "!")], NONE),
    "tcp flags { ack, syn|ack }": ([match(FLAGS, {"set": [{"|": ["syn", "ack"]}, "ack"]})], NONE),
    # Sets whose elements have limits are not the same for each packet.
    "ip saddr @limited": ([match(SADDR, "@limited")], DOUBT),
    "ip saddr @own_limit": ([match(SADDR, "@own_limit")], DOUBT),
    "ip saddr @two": ([match(SADDR, "@two")], DOUBT),  # nft prints one statement of an element, the set has both
    "ip saddr @filled": ([match(SADDR, "@filled")], DOUBT),
    "ip saddr @counted": ([match(SADDR, "@counted")], ONE),
    "ip saddr @timed": ([match(SADDR, "@timed")], ONE),
    "ip saddr @empty": ([match(SADDR, "@empty")], NONE),
    "ip saddr @rest": ([match(SADDR, "@rest")], DOUBT),
    "ip saddr @marks": ([match(SADDR, "@marks")], ONE),
    "tcp dport @ports": ([match(DPORT, "@ports")], ALL),
    "ip saddr . tcp dport @pairs": ([match({"concat": [SADDR, DPORT]}, "@pairs")], ONE),
    # What is not in this packet, or not in every one.
    "meta l4proto tcp": ([match(PROTOCOL, "tcp")], ALL),
    "meta l4proto != ospf": ([match(PROTOCOL, "ospf", "!=")], ALL),
    "meta l4proto ospf": ([match(PROTOCOL, "ospf")], NONE),
    "meta l4proto { udp, * }": ([match(PROTOCOL, {"set": ["udp", "*"]})], DOUBT),
    "meta l4proto st-udp": ([match(PROTOCOL, {"range": ["st", "udp"]})], DOUBT),
    "meta l4proto 5-17": ([match(PROTOCOL, {"range": [5, "udp"]})], ALL),
    "udp dport != 53": ([match(payload("udp", "dport"), 53, "!=")], NONE),
    "udp dport vmap { 53 : continue }": ([vmap(payload("udp", "dport"), [53, {"continue": None}])], NONE),
    "vxlan ip saddr 192.0.2.1": (
        [match({"payload": {"tunnel": "vxlan", "protocol": "ip", "field": "saddr"}}, "192.0.2.1")], DOUBT),
    "@nh,96,32 0xc0000201": ([match({"payload": {"base": "nh", "offset": 96, "len": 32}}, 0xC0000201)], DOUBT),
    "ether type ip": ([match(payload("ether", "type"), "ip")], DOUBT),
    "meta protocol ip": ([match({"meta": {"key": "protocol"}}, "ip")], FOUR),
    "meta nfproto ipv6": ([match({"meta": {"key": "nfproto"}}, "ipv6")], SIX),
    "ip version 4": ([match(payload("ip", "version"), 4)], DOUBT),
    "meta iif lo": ([match({"meta": {"key": "iif"}}, "lo")], NONE),
    "iifname eth*": ([match({"meta": {"key": "iifname"}}, "eth*")], ALL),
    "ct original ip saddr 192.0.2.1": ([match({"ct": {"key": "ip saddr", "dir": "original"}}, "192.0.2.1")], DOUBT),
    "fib daddr type local": ([match(fib("type", "daddr"), "local")], ALL),
    "fib daddr type != local": ([match(fib("type", "daddr"), "local", "!=")], NONE),
    "fib daddr type { broadcast, multicast }": ([match(fib("type", "daddr"), {"set": ["broadcast", "multicast"]})],
                                                NONE),
    "fib saddr type local": ([match(fib("type", "saddr"), "local")], DOUBT),
    "fib daddr . iif type local": ([match(fib("type", "daddr", "iif"), "local")], DOUBT),
    "fib daddr oif missing": ([match(fib("oif", "daddr"), False)], DOUBT),
    "fib saddr . daddr oif missing": ([match(fib("oif", "saddr", "daddr"), False)], DOUBT),
    "fib saddr . iif oif lo": ([match(fib("oif", "saddr", "iif"), "lo")], DOUBT),
    "fib saddr . iif oif > 0": ([match(fib("oif", "saddr", "iif"), "0", ">")], DOUBT),
    "fib saddr . iif oifname eth0": ([match(fib("oifname", "saddr", "iif"), "eth0")], DOUBT),
    # Masks and orders.
    "ip saddr & 0.0.0.1 == 0.0.0.1": ([match({"&": [SADDR, "0.0.0.1"]}, "0.0.0.1")], DOUBT),
    "tcp dport & 0xff00 == 0x1f00": ([match({"&": [DPORT, 0xFF00]}, 0x1F00)], ALL),
    "iifname & 1 == 1": ([match({"&": [{"meta": {"key": "iifname"}}, 1]}, 1)], DOUBT),
    "meta mark set 0x103 meta mark & 0xff 3": ([mangle(MARK, 259), match({"&": [MARK, 255]}, 3)], ALL),
    "meta mark & 0xff != { 0, 1 }": ([match({"&": [MARK, 255]}, {"set": [0, 1]}, "!=")], NONE),
    "meta mark set 0x103 meta mark & 0xff < 3": ([mangle(MARK, 259), match({"&": [MARK, 255]}, 3, "<")], NONE),
    "tcp dport < 8002": ([match(DPORT, 8002, "<")], NONE),
    "tcp dport <= 8002": ([match(DPORT, 8002, "<=")], ALL),
    "tcp dport > 8001": ([match(DPORT, 8001, ">")], ALL),
    "tcp dport > 8002": ([match(DPORT, 8002, ">")], NONE),
    "tcp dport >= 8002": ([match(DPORT, 8002, ">=")], ALL),
    "tcp dport >= 8003": ([match(DPORT, 8003, ">=")], NONE),
    "tcp dport < 0": ([match(DPORT, 0, "<")], NONE),
    "tcp dport > 65535": ([match(DPORT, 65535, ">")], NONE),
    'iifname > "a"': ([match({"meta": {"key": "iifname"}}, "a", ">")], DOUBT),
    "ip saddr < 192.0.2.2": ([match(SADDR, "192.0.2.2", "<")], DOUBT),
    # Addresses.
    "ip saddr 0.0.0.0/0": ([match(SADDR, prefix("0.0.0.0", 0))], FOUR),
    "ip saddr { 192.0.2.1 }": ([match(SADDR, {"set": ["192.0.2.1"]})], ONE),
    "ip saddr 192.0.2.1/32": ([match(SADDR, prefix("192.0.2.1", 32))], ONE),
    "ip6 saddr ::/0": ([match(payload("ip6", "saddr"), prefix("::", 0))], SIX),
    "ip6 saddr 2001:db8::/32": ([match(payload("ip6", "saddr"), prefix("2001:db8::", 32))],
                                {4: "", 6: "2001:db8::/32"}),
    "ip6 saddr 2001:db8::1": ([match(payload("ip6", "saddr"), "2001:db8::1")], {4: "", 6: "2001:db8::1/128"}),
    "ip saddr 192.0.2.0-192.0.2.3": ([match(SADDR, {"range": ["192.0.2.0", "192.0.2.3"]})], {4: "192.0.2.0/30", 6: ""}),
}


@pytest.mark.parametrize("text", RULES)
def test_to_whom_a_rule_applies(text: str):
    expressions, expected = RULES[text]
    assert {family: applies(expressions, family, SETS) for family in (4, 6)} == expected


@pytest.mark.parametrize("condition", [
    match({"osf": {"key": "name"}}, "Linux"), match(payload("ip", "version"), 4), {"limit": {"rate": 1, "per": "day"}},
    {"xt": {"type": "match", "name": "recent"}}, match(STATE, "frob", "in"), mangle(MARK, {"numgen": {"mod": 2}}),
    mangle(MARK, {}), match(SADDR, "@limited"), match(SADDR, "@own_limit")])
def test_a_condition_that_is_not_known_lets_nobody_in_by_itself(condition: dict):
    """Whether it holds or not: the rule drops, and so does the policy."""
    kept_out = answer(nft([condition, {"drop": None}], chain={"policy": "drop"}, more=SETS), 4)
    assert said(kept_out.open, kept_out.perhaps, 4) == ""


@pytest.mark.parametrize("statement", [{"xt": {"type": "target", "name": "TARPIT"}}, {"queue": {"num": 1}}])
def test_a_statement_that_is_not_known_may_let_in(statement: dict):
    let_in = answer(nft([statement, {"drop": None}], chain={"policy": "drop"}), 4)
    assert said(let_in.open, let_in.perhaps, 4) == "may 0.0.0.0/0"


@pytest.mark.parametrize(("statement", "perhaps"), [
    ({"redirect": {"port": 8002}}, "10.0.0.0/8"), ({"redirect": {"port": 22}}, ""), ({"redirect": None}, "10.0.0.0/8"),
    ({"redirect": {"port": {"range": [22, 23]}}}, "10.0.0.0/8"), ({"dnat": {"addr": "203.0.113.11"}}, "10.0.0.0/8"),
    ({"dnat": {"family": "ip", "addr": "203.0.113.11", "port": 8002}}, "10.0.0.0/8"),
    ({"dnat": {"family": "ip", "addr": "198.51.100.7", "port": 8002}}, ""), ({"queue": None}, "")])
def test_a_translation_may_lead_here_from_another_port(statement: dict, perhaps: str):
    """Nobody gets to the port itself; whoever comes to port 80 is sent on."""
    to_80 = [match(SADDR, prefix("10.0.0.0", 8)), match(DPORT, 80)]
    listed = rule_set(base_chain("prerouting", [*to_80, statement], name="nat", prio=-100, type="nat"),
                      base_chain("prerouting", [match(DPORT, 8002), {"drop": None}], name="early", prio=-150))
    answered = answer(listed, 4)
    assert (exposure.networks(answered.open, 4), " ".join(exposure.networks(answered.perhaps, 4))) == ([], perhaps)


NAT_DROP, TRACKS = [{"drop": None}], [match(STATE, "established", "in"), {"accept": None}]


@pytest.mark.parametrize(("nat", "elsewhere", "expected"), [
    ({"rules": [NAT_DROP]}, None, "may 0.0.0.0/0"), ({"policy": "drop"}, None, "may 0.0.0.0/0"),
    ({"rules": [[{"accept": None}]]}, None, "0.0.0.0/0"),
    ({"rules": [[{"jump": {"target": "other"}}]]}, None, "0.0.0.0/0"),
    ({"rules": [NAT_DROP]}, base_chain("input", TRACKS), ""),
    ({"rules": [NAT_DROP]}, base_chain("forward", TRACKS, family="ip"), "may 0.0.0.0/0"),
    ({"rules": [NAT_DROP], "family": "ip"}, base_chain("forward", TRACKS, family="ip"), ""),
    ({"rules": [NAT_DROP], "family": "ip"}, base_chain("input", TRACKS, family="ip6"), "may 0.0.0.0/0"),
    ({"rules": [[match(DPORT, 80), {"redirect": {"port": 81}}], NAT_DROP]}, None, ""),
], ids=["drops", "a policy", "accepts", "jumps", "tracked", "one of two families tracked", "tracked at forward",
        "another family tracked", "translates"])
def test_a_chain_of_type_nat_is_asked_where_connections_are_tracked(nat: dict, elsewhere: list, expected: str):
    """(The kernel was asked: without a rule that needs connection tracking, a drop in such a chain does nothing.)"""
    nat = {"name": "nat", "prio": -100, "type": "nat"} | nat
    rules = nat.pop("rules", [])
    listed = rule_set(base_chain("prerouting", *rules, **nat), base_chain(None, name="other"),
                      *filter(None, [elsewhere]))
    answered = answer(listed, 4)
    assert said(answered.open, answered.perhaps, 4) == expected


@pytest.mark.parametrize(("text", "expected"), [
    (rule_set(base_chain("input", policy="drop")), ""),
    (rule_set(base_chain("input", [{"drop": None}]), flags=["dormant"]), "0.0.0.0/0"),
    (rule_set(base_chain("input", policy="drop"), flags="dormant"), "0.0.0.0/0"),
    (rule_set(base_chain("input", policy="drop"), flags=["persist"]), ""),
    (rule_set(base_chain("forward", policy="drop")), "0.0.0.0/0"),
    (rule_set(base_chain(None, [{"drop": None}])), "0.0.0.0/0"),
], ids=["a policy", "a table that is asleep", "asleep, with a policy", "another flag", "another hook", "no hook"])
def test_which_chains_count(text: str, expected: str):
    answered = answer(text, 4)
    assert said(answered.open, answered.perhaps, 4) == expected


@pytest.mark.parametrize(("early", "open_to"), [([], ""), ([{"notrack": None}], "0.0.0.0/0")])
def test_the_rest_of_a_map_is_of_what_there_is(early: list, open_to: str):
    """A packet that is not tracked has no connection mark: not even "*" is for it."""
    marks = vmap(CTMARK, [1, {"accept": None}], ["*", {"drop": None}])
    answered = answer(rule_set(base_chain("prerouting", early, name="raw", prio=-300), base_chain("input", [marks])), 4)
    assert said(answered.open, answered.perhaps, 4) == open_to


def test_iptables_nft_save_is_asked_for_what_only_it_can_print():
    """Not for what nft prints: it leaves out what iptables has no words for, as iptables-nft-save 1.8.9 does here."""
    xt, count = {"xt": {"type": "match", "name": "iprange"}}, {"counter": {"packets": 0, "bytes": 0}}
    listed = nft([match(SADDR, {"range": ["10.0.0.0", "10.0.0.3"]}), {"accept": None}],
                 [match(DPORT, {"set": [22, 80]}), {"accept": None}],
                 [match(SADDR, "192.0.2.1"), xt, count, {"accept": None}], chain={"policy": "drop"})
    listed = listed.replace('"inet"', '"ip"').replace('"t"', '"filter"').replace('"in"', '"INPUT"')
    saved = captures.legacy(
        "-A INPUT -s 10.0.0.3/32 -j ACCEPT", "-A INPUT -p tcp -j ACCEPT",
        "-A INPUT -s 192.0.2.1/32 -m iprange --src-range 192.0.2.0-192.0.2.9 -j ACCEPT", policy="DROP")
    answered = answer(listed, 4, **{"iptables-nft-save": saved})
    assert said(answered.open, answered.perhaps, 4) == "10.0.0.0/30 192.0.2.1/32"


@pytest.mark.parametrize("entries", [
    [7], [{}], [{"table": {}, "chain": {}}], [{"table": {"flags": ["dormant"]}}],
    [{"chain": {"policy": "accept", "prio": "filter"}}], [named("set", "s", "ipv4_addr", [], stmt=7)],
    [named("set", "s", "ipv4_addr", [], flags=7)],
    [{"rule": {"family": "ip", "table": "t", "chain": "c", "expr": {}}}],
    [{"rule": {"family": "ip", "table": "t", "chain": ["c"], "expr": []}}],
])
def test_what_nft_does_not_print_is_bad_input(entries: list):
    with pytest.raises(exposure.BadInput):
        exposure.Judge(capture(nft=json.dumps({"nftables": entries})))


#: What a report shows of rules.
TEXTS = {
    'meta iifname "eth 0" tcp dport { 22, 8000-8009 } accept': [
        match({"meta": {"key": "iifname"}}, "eth 0"), match(DPORT, {"set": [22, {"range": [8000, 8009]}]}),
        {"counter": {"packets": 3, "bytes": 180}}, {"accept": None}],
    "ip saddr != 192.0.2.0/24 ct state established, new drop": [
        match(SADDR, prefix("192.0.2.0", 24), "!="), match(STATE, ["established", "new"], "in"),
        {"drop": None}],
    "ip saddr { 0, 1, 2, 3, 4, 5 } jump c": [match(SADDR, {"set": [0, 1, 2, 3, 4, 5]}), {"jump": {"target": "c"}}],
    "ip saddr { 0, 1, 2, 3, 4, 5, ... } goto c": [match(SADDR, {"set": [0, 1, 2, 3, 4, 5, 6]}),
                                                 {"goto": {"target": "c"}}],
    "tcp flags & syn | ack syn meta mark set meta mark ^ 1": [
        match({"&": [FLAGS, {"|": ["syn", "ack"]}]}, "syn"), mangle(MARK, {"^": [MARK, 1]})],
    "ip saddr . tcp dport @pairs limit rate 3 per day": [
        match({"concat": [SADDR, DPORT]}, "@pairs"), {"limit": {"rate": 3, "per": "day"}}],
    # What nft does not print is shown as it is.
    "match 7 set 7 | 7 concat 7 mangle 7 jump 7 goto x": [
        {"match": 7}, {"set": 7}, {"|": 7}, {"concat": 7}, {"mangle": 7}, {"jump": 7}, {"goto": "x"}],
}


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_of_a_rule(text: str):
    expressions = json.loads(json.dumps(TEXTS[text]), object_hook=exposure.compact)
    assert exposure.nft_text(expressions) == text


@pytest.mark.parametrize(("kind", "refused"), [
    (None, ALL), ("icmpx", ALL), ("tcp reset", ALL), ("icmp", FOUR), ("icmpv6", SIX)])
def test_a_reject_with_a_message_of_one_family_is_for_that_family(kind: str | None, refused: dict[int, str]):
    """nft prints no condition on the family, though the kernel has one."""
    text = nft([{"reject": kind and {"type": kind, "expr": "port-unreachable"}}])
    for family in (4, 6):
        assert bool(answer(text, family).open) != bool(refused[family])


@pytest.mark.parametrize(("header", "expected"), [
    ("ip", "may ::/0"), ("ipv6-route", "may ::/0"), ("ipv6-frag", "may ::/0"), ("ipv6-opts", "may ::/0"),
    ("udp", ""), ("ospf", ""), (89, ""), ("tcp", "::/0")])
def test_a_packet_may_have_any_extension_header(header: str | int, expected: str):
    """Before the header of TCP. The names are those of /etc/protocols; "ip" is that of 0, of the Hop-by-Hop Options."""
    let_in = answer(nft([match(NEXT, header), {"accept": None}], chain={"policy": "drop"}), 6)
    assert said(let_in.open, let_in.perhaps, 6) == expected


@pytest.mark.parametrize(("left", "op", "right", "expected"), [
    (fib("oif", "saddr", "iif"), "==", True, "192.168.1.0/24"),
    (fib("oif", "saddr", "iif"), "!=", "0", "192.168.1.0/24"),
    (fib("oif", "saddr", "iif"), "!=", False, "192.168.1.0/24"),
    (fib("oif", "saddr", "mark", "iif"), "==", True, "192.168.1.0/24"),
    (fib("oif", "saddr"), "==", True, "0.0.0.0/0"), ({"fib": {"result": "oif", "flags": "saddr"}}, "==", False, ""),
])
def test_the_reverse_path_check(left: dict, op: str, right: object, expected: str):
    """By eth1, behind which there is one network; and whether there is a route at all."""
    assert applies([match(left, right, op)], 4, interface="eth1") == expected
    opposite = {"==": "!=", "!=": "=="}[op]
    rest = exposure.complement(exposure.union(*(exposure.network(each, 4) for each in expected.split())), 1 << 32)
    assert applies([match(left, right, opposite)], 4, interface="eth1") == said(rest, [], 4)
