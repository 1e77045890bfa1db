# SPDX-License-Identifier: MIT
"""Rule sets as hypothesis draws them, for nftables and for iptables: what exposure.py says it knows, in every mixture.

The addresses are few and close together, so that rules overlap.
"""
from __future__ import annotations

import ipaddress

from hypothesis import strategies as st

PORTS = (22, 80, 8002)
BASES = {4: ("10.1.2.0", "10.1.0.0", "192.168.1.0", "198.51.100.0", "203.0.113.64"),
         6: ("2001:db8:1::", "2001:db8:2::40", "2001:db8:a::", "fd00:1::", "2001:db8:a:1::")}
LENGTHS = {4: (0, 1, 7, 8, 15, 16, 22, 24, 25, 26, 29, 30, 31, 32),
           6: (0, 1, 16, 32, 47, 48, 63, 64, 120, 125, 127, 128)}
MARKS = (0, 1, 2, 0x58656E, 0x10)


@st.composite
def addresses(draw, family: int) -> str:
    """An address near one of the bases."""
    base = ipaddress.ip_address(draw(st.sampled_from(BASES[family])))
    return str(base + draw(st.integers(0, 70)))


@st.composite
def networks(draw, family: int) -> str:
    """A network around one of them."""
    length = draw(st.sampled_from(LENGTHS[family]))
    return str(ipaddress.ip_network(f"{draw(addresses(family))}/{length}", strict=False))


@st.composite
def ranges(draw, family: int) -> str:
    """A range of addresses."""
    ends = sorted(ipaddress.ip_address(draw(addresses(family))) for _ in range(2))
    return f"{ends[0]}-{ends[1]}"


@st.composite
def ports(draw, sign: str = "-") -> str:
    """A port, or a range of ports."""
    first = draw(st.sampled_from([1, 21, 22, 23, 80, 81, 1024, 8001, 8002, 8003, 65535]))
    last = draw(st.sampled_from([first, first, 100, 8002, 65535]))
    return f"{first}{sign}{last}" if last > first else str(first)


def listed(values: st.SearchStrategy[str], most: int = 4) -> st.SearchStrategy[list[str]]:
    return st.lists(values, min_size=1, max_size=most, unique=True)


def apart(texts: list[str], family: int) -> list[str]:
    """Those of some networks and ranges that do not overlap one before: within braces nft takes no others."""
    taken, kept = [], []
    for text in texts:
        if "-" in text:
            low, high = map(ipaddress.ip_address, text.split("-"))
        else:
            network = ipaddress.ip_network(text)
            low, high = network[0], network[-1]
        if all(high < begin or low > end for begin, end in taken):
            taken.append((low, high))
            kept.append(text)
    return kept


def numbers_apart(texts: list[str]) -> list[str]:
    """The same of ports."""
    taken, kept = [], []
    for text in texts:
        low, _, high = text.partition("-")
        low, high = int(low), int(high or low)
        if all(high < begin or low > end for begin, end in taken):
            taken.append((low, high))
            kept.append(text)
    return kept


def braces(texts: list[str]) -> str:
    return "{ %s }" % ", ".join(texts)


# -- nftables

@st.composite
def sources(draw, family: int) -> str:
    """What stands behind `ip saddr`."""
    sign = draw(st.sampled_from(["", "", "", "!= "]))
    some = st.one_of(networks(family), ranges(family))
    kind = draw(st.sampled_from(["one", "one", "set"]))
    return sign + (draw(some) if kind == "one" else braces(apart(draw(listed(some)), family)))


@st.composite
def nft_match(draw, hook: str, family: int) -> str:
    """One condition of an nftables rule."""
    ip = "ip" if family == 4 else "ip6"
    kind = draw(st.sampled_from(
        ["saddr"] * 8 + ["dport"] * 4 + ["iif"] * 2 + [
            "ct", "ct", "ct", "mark", "daddr",
            "sport", "concat", "flags", "proto", "fib", "other", "named", "iifsaddr"]))
    sign = draw(st.sampled_from(["", "", "!= "]))
    if kind == "saddr":
        return f"{ip} saddr {draw(sources(family))}"
    if kind == "named":
        return f"{ip} saddr {sign}@some{family}"
    if kind == "dport":
        return f"tcp dport {sign}" + draw(st.one_of(ports(), listed(ports()).map(numbers_apart).map(braces)))
    if kind == "sport":
        return f"tcp sport {sign}" + draw(st.sampled_from(
            ["1024-65535", "1-1023", "{ 300-1023, 40000-50000 }", "40000-45000"]))
    if kind == "iif":
        return draw(st.sampled_from(["iifname", "iifname", "iif"])) + " " + sign + draw(
            st.sampled_from(['"eth0"', '"eth1"', '{ "eth0", "lo" }', '"lo"']))
    if kind == "iifsaddr":
        return "iifname . %s saddr %s%s" % (ip, sign, braces(
            [f'"eth{n}" . {each}' for n, each in enumerate(draw(st.lists(addresses(family), min_size=2, max_size=2)))]))
    if kind == "daddr":
        return f"{ip} daddr {sign}" + draw(st.sampled_from(
            ["203.0.113.11", "192.168.1.0/24", "{ 192.168.1.1, 10.0.0.0/8 }"] if family == 4 else
            ["2001:db8:2::11", "2001:db8:1::/64", "{ 2001:db8:1::1, ::1 }"]))
    if kind == "ct":
        return draw(st.sampled_from(["ct state new", "ct state established,related", "ct state invalid",
                                     "ct state { new, untracked }", "ct state != new", "ct direction original",
                                     "ct direction reply", "ct state untracked", "ct status dnat", "ct mark 0",
                                     "ct mark 7"]))
    if kind == "mark":
        how = draw(st.sampled_from(["meta mark", "meta mark !=", "meta mark & 0xff =="]))
        return f"{how} {draw(st.sampled_from(MARKS)) & 0xff}"
    if kind == "concat":
        return "%s saddr . tcp dport %s%s" % (ip, sign, braces(
            [f"{each} . {draw(st.sampled_from(PORTS))}" for each in draw(listed(addresses(family)))]))
    if kind == "flags":
        return draw(st.sampled_from(["tcp flags & (syn | ack) == syn", "tcp flags & (fin | syn | rst | ack) != syn",
                                     "tcp flags syn", "tcp flags ack", "tcp flags & (syn | ack) != syn"]))
    if kind == "proto":
        return draw(st.sampled_from(["meta l4proto tcp", "meta l4proto { tcp, udp }", f"meta nfproto ipv{family}",
                                     "ip protocol tcp" if family == 4 else "meta l4proto tcp", f"meta protocol {ip}"]))
    if kind == "fib":
        return draw(st.sampled_from(["fib daddr type local", "fib saddr . iif oif missing",
                                     "fib saddr . iif oif exists"]))
    return draw(st.sampled_from(["udp dport 22", "meta l4proto != tcp", "udp dport != 22"]))


@st.composite
def nft_rule(draw, hook: str, chains: list[str]) -> str:
    """A rule that may jump to the chains."""
    # nft refuses a rule that is about two families, or two protocols.
    family = draw(st.sampled_from([4, 6]))
    words = draw(st.lists(nft_match(hook, family), max_size=3))
    if draw(st.integers(0, 5)) == 0:
        words.append(f"meta mark set {draw(st.sampled_from(MARKS))}")
        words += draw(st.lists(nft_match(hook, family), max_size=1))
    others = [word for word in words if "udp dport" in word or "!= tcp" in word]
    if others:
        words = others[:1] + [word for word in words if "tcp" not in word]
    if draw(st.integers(0, 12)) == 0:
        words.append(draw(st.sampled_from([
            "ct mark set 7", "meta mark set meta mark | 1", "meta mark set ct mark", "counter",
            "meta mark set meta mark & 0xf0",
            "meta mark set ip saddr map { 10.1.2.3 : 1, 192.168.1.0/24 : 2 }" if family == 4 else "meta mark set 2"])))
    if hook == "prerouting" and draw(st.integers(0, 20)) == 0:
        words.append("notrack")
    verdicts = ["accept", "drop", "accept", "drop", "return", "continue"]
    verdicts += [f"{how} {chain}" for how in ("jump", "jump", "goto") for chain in chains]
    if hook == "input":
        verdicts.append("reject")
    kind = draw(st.integers(1 if others else 0, 9))
    if kind == 0:
        keys = apart(draw(listed(st.one_of(networks(family), ranges(family)))), family)
        pairs = [f"{key} : {draw(st.sampled_from([v for v in verdicts if v != 'reject']))}" for key in keys]
        words.append(f"{'ip' if family == 4 else 'ip6'} saddr vmap {braces(pairs)}")
    elif kind == 1 and not others:
        pairs = [f"{key} : {draw(st.sampled_from([v for v in verdicts if v != 'reject']))}"
                 for key in numbers_apart(draw(listed(ports())))]
        words.append(f"tcp dport vmap {braces(pairs)}")
    elif kind == 2:
        pairs = [f"{key} : {draw(st.sampled_from([v for v in verdicts if v != 'reject']))}"
                 for key in draw(listed(st.sampled_from(['"eth0"', '"eth1"', '"lo"'])))]
        words.append(f"iifname vmap {braces(pairs)}")
    elif kind > 3 or not words:
        words.append(draw(st.sampled_from(verdicts)))
    return " ".join(words)


@st.composite
def nftables(draw) -> str:
    """Tables with base chains at several hooks, and chains that they call."""
    tables = []
    for number in range(draw(st.integers(1, 3))):
        chains = []
        for base in range(draw(st.integers(1, 2))):
            hook, priority = draw(st.sampled_from(
                [("input", -10), ("input", 0), ("input", 0), ("input", 10), ("prerouting", -300),
                 ("prerouting", -150)]))
            # No two at one place: in which order they are asked, nobody knows.
            priority += 3 * number + base
            inner = [f"c{base}{n}" for n in range(draw(st.integers(0, 3)))]
            for at, name in enumerate(inner):
                rules = draw(st.lists(nft_rule(hook, inner[:at]), max_size=4))
                chains.append("\n".join([f"chain {name} {{", *rules, "}"]))
            rules = draw(st.lists(nft_rule(hook, inner), min_size=1, max_size=8))
            policy = draw(st.sampled_from(["accept", "accept", "drop"] if hook == "input" else ["accept"]))
            chains.append("\n".join([
                f"chain b{base} {{", f"type filter hook {hook} priority {priority}; policy {policy};", *rules, "}"]))
        named = [f"set some{family} {{\ntype ipv{family}_addr; flags interval;\nelements = "
                 + braces(apart(draw(listed(st.one_of(networks(family), ranges(family)), 8)), family)) + "\n}"
                 for family in (4, 6)]
        tables.append("\n".join([f"table inet t{number} {{", *named, *chains, "}"]))
    return "\n".join(tables) + "\n"


# -- iptables

@st.composite
def iptables_match(draw, family: int, chain: str) -> str:
    """One condition of an iptables rule."""
    sign = draw(st.sampled_from(["", "", "! "]))
    kind = draw(st.sampled_from(["dport"] * 4 + ["iif"] * 2 + ["iprange"] * 2 + [
        "multiport", "ct", "mark", "daddr", "sport", "flags", "proto", "rpfilter", "addrtype", "comment", "state",
        "connmark"]))
    if kind == "dport":
        return f"-p tcp -m tcp {sign}--dport {draw(ports(':'))}"
    if kind == "multiport":
        return f"-p tcp -m multiport {sign}--dports {','.join(draw(listed(ports(':'))))}"
    if kind == "sport":
        return f"-p tcp -m tcp {sign}--sport " + draw(st.sampled_from(
            ["1024:65535", "1:1023", "300:700", "40000:50000"]))
    if kind == "iif":
        return f"{sign}-i " + draw(st.sampled_from(["eth0", "eth1", "eth+", "lo"]))
    if kind == "iprange":
        return f"-m iprange {sign}--src-range {draw(ranges(family))}"
    if kind == "ct":
        return f"-m conntrack {sign}--ctstate " + draw(st.sampled_from(
            ["NEW", "RELATED,ESTABLISHED", "INVALID", "NEW,UNTRACKED", "DNAT"]))
    if kind == "state":
        return draw(st.sampled_from(["-m state --state NEW", "-m state --state RELATED,ESTABLISHED",
                                     "-m conntrack --ctdir REPLY", "-m conntrack --ctdir ORIGINAL"]))
    if kind == "mark":
        return f"-m mark {sign}--mark " + draw(st.sampled_from(["0x1", "0x0", "0x1/0x1", "0x2/0xff", "0x58656e"]))
    if kind == "connmark":
        return f"-m connmark {sign}--mark " + draw(st.sampled_from(["0x0", "0x7"]))
    if kind == "daddr":
        return f"{sign}-d " + draw(st.sampled_from(["203.0.113.11", "192.168.1.0/24"] if family == 4 else
                                                   ["2001:db8:2::11", "2001:db8:1::/64"]))
    if kind == "flags":
        flags = draw(st.sampled_from(["SYN,ACK SYN", "FIN,SYN,RST,ACK SYN", "ACK ACK"]))
        return f"-p tcp -m tcp {sign}--tcp-flags {flags}"
    if kind == "proto":
        return draw(st.sampled_from(["-p tcp", "-p udp", "! -p tcp", "-p udp -m udp --dport 22"]))
    if kind == "rpfilter" and chain == "PREROUTING":
        return "-m rpfilter" + draw(st.sampled_from(["", " --invert", " --loose"]))
    if kind == "addrtype":
        return f"-m addrtype {sign}--dst-type LOCAL"
    return '-m comment --comment "a rule -j DROP"'


@st.composite
def iptables_rule(draw, family: int, chain: str, table: str, chains: list[str]) -> str:
    """A rule that may jump to the chains."""
    words = []
    if draw(st.integers(0, 3)):
        source = draw(networks(family))
        # Of the whole there is no rest.
        words = [draw(st.sampled_from(["", "", "! "] if not source.endswith("/0") else [""])) + f"-s {source}"]
    matches = draw(st.lists(iptables_match(family, chain), max_size=2))
    # -p, -i and -d may be given once, each.
    matches = list({" ".join(match.replace("! ", "").split()[:1 + match.startswith("-m")]): match
                    for match in matches}.values())
    targets = ["ACCEPT", "DROP", "ACCEPT", "DROP", "RETURN"]
    if table == "filter":
        targets.append("REJECT")
    if table == "mangle":
        targets += ["MARK --set-xmark 0x1/0xffffffff", "MARK --set-xmark 0x2/0xff", "MARK --set-xmark 0x0/0x1",
                    "CONNMARK --set-xmark 0x7/0xffffffff"]
    if table == "raw":
        targets.append("CT --notrack")
    how = [f"-j {target}" for target in targets]
    how += [f"{jump} {name}" for jump in ("-j", "-j", "-g") for name in chains]
    return " ".join([*words, *matches, draw(st.sampled_from([*how, *how, ""]))])


@st.composite
def iptables(draw, family: int) -> str:
    """What iptables-restore reads: rules of the filter table, and often of others."""
    text = ""
    for table, builtins, wanted in (("raw", ["PREROUTING"], 1), ("mangle", ["PREROUTING", "INPUT"], 1),
                                    ("filter", ["INPUT"], 0)):
        if draw(st.integers(0, 3)) < wanted * 2:
            continue
        own = [f"{table[0].upper()}{n}" for n in range(draw(st.integers(0, 3)))]
        lines = [f"*{table}"]
        for name in builtins:
            policy = draw(st.sampled_from(["ACCEPT", "ACCEPT", "DROP"])) if table == "filter" else "ACCEPT"
            lines.append(f":{name} {policy} [0:0]")
        lines += [f":{name} - [0:0]" for name in own]
        for at, name in enumerate(own):
            # Its callers may be of either hook.
            lines += [f"-A {name} {draw(iptables_rule(family, 'own', table, own[:at]))}"
                      for _ in range(draw(st.integers(0, 4)))]
        for name in builtins:
            lines += [f"-A {name} {draw(iptables_rule(family, name, table, own))}"
                      for _ in range(draw(st.integers(1, 7)))]
        text += "\n".join([*lines, "COMMIT", ""])
    return text
