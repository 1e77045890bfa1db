# SPDX-License-Identifier: MIT
"""Hosts as readers have them: the rules that are there before ours come.

Written in the shape of the real ones: the same tables, chains, priorities, policies and order, and of the
rules those that decide about what the tests probe. The shapes of ufw 0.36.2, firewalld 1.3.3 and Docker
20.10.24 were compared once with what these programs, as Debian 12 has them, load on a host of the lab.

Each host is an open one: it admits TCP to the ports 22, 5900, 8002, 16514 and 49152 from everywhere.
"""
from __future__ import annotations

from dataclasses import dataclass

from tests.lab.namespaces import BACK_ENDS, Host

#: To everybody.
OPEN = (22, 5900, 8002, 16514, 49152)


@dataclass(frozen=True)
class Rules:
    """What a host has before ours: command lines, and what each of them reads.

    ``accepts_first`` says that an accept of these rules spares a packet the rest of ``INPUT``, at the end of
    which the example for iptables has its jump. ``close`` is the script that closes port 8002 to everybody
    again, and ``admit`` the one that then admits the management network, as the page tells it.
    """

    name: str
    loads: tuple[tuple[str, str], ...]
    accepts_first: bool = False
    close: str = ""
    admit: str = ""

    def load(self, host: Host) -> None:
        """Put them in force, on a host without rules."""
        for command, text in self.loads:
            host.run(*command.split(), input=text)


def clear(host: Host) -> None:
    """Leave no rule of anybody."""
    host.run("nft", "flush", "ruleset")
    for family in ("iptables", "ip6tables"):
        host.run("xtables-legacy-multi", f"{family}-restore", input=EMPTY)


def table(chains: str, rules: list[str], table: str = "filter") -> str:
    """A table as iptables-restore reads it. ``chains``: built-in ones with their policy, and own ones with a dash."""
    words = chains.split()
    heads = [f":{name} {policy} [0:0]" for name, policy in zip(words[::2], words[1::2])]
    return "\n".join([f"*{table}", *heads, *rules, "COMMIT", ""])


#: No rule, and the policies of a new host.
EMPTY = (table("INPUT ACCEPT FORWARD ACCEPT OUTPUT ACCEPT", [])
         + table("PREROUTING ACCEPT INPUT ACCEPT OUTPUT ACCEPT POSTROUTING ACCEPT", [], "nat"))
#: The words that differ between the families: of ICMP, and of a refusal.
FAMILIES = {"iptables": ("icmp", "icmp-host-prohibited"), "ip6tables": ("ipv6-icmp", "icmp6-adm-prohibited")}


def _in_both_back_ends() -> tuple[tuple[str, str], ...]:
    """Each is asked about each packet; what one accepts, the other may still refuse."""
    rules = [f"-A INPUT -p tcp --dport {port} -j ACCEPT" for port in OPEN]
    rules += ["-A INPUT -p udp --dport 111 -j DROP", "-A FORWARD -p udp --dport 111 -j DROP"]
    text = table("INPUT ACCEPT FORWARD ACCEPT OUTPUT ACCEPT", rules)
    return tuple((f"{multi} {family}-restore", text) for multi in BACK_ENDS.values() for family in FAMILIES)


def _distribution() -> tuple[tuple[str, str], ...]:
    """As iptables-services has it: a list of what is admitted, and a last rule that refuses the rest."""
    return tuple((f"{family}-restore", table("INPUT ACCEPT FORWARD ACCEPT OUTPUT ACCEPT", [
        "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT",
        f"-A INPUT -p {icmp} -j ACCEPT",
        "-A INPUT -i lo -j ACCEPT",
        *(f"-A INPUT -p tcp -m state --state NEW -m tcp --dport {port} -j ACCEPT" for port in OPEN),
        f"-A INPUT -j REJECT --reject-with {prohibited}",
        f"-A FORWARD -j REJECT --reject-with {prohibited}",
    ])) for family, (icmp, prohibited) in FAMILIES.items())


def _ufw() -> tuple[tuple[str, str], ...]:
    """``ufw allow`` for each port, and ``ufw default reject``; with ``deny``, as shipped, it answers by silence."""
    hooks = {"input": "INPUT", "forward": "FORWARD", "output": "OUTPUT"}
    jumps = ("before-logging", "before", "after", "after-logging", "reject", "track")
    loads = []
    for family, (icmp, _) in FAMILIES.items():
        ufw = "ufw" if family == "iptables" else "ufw6"
        chains = "INPUT DROP FORWARD DROP OUTPUT ACCEPT " + " ".join(
            f"{ufw}-{name}-{hook} -" for hook in hooks for name in (*jumps, "user"))
        rules = [f"-A {hooks[hook]} -j {ufw}-{name}-{hook}" for hook in hooks for name in jumps]
        rules += [f"-A {ufw}-before-input -i lo -j ACCEPT", f"-A {ufw}-before-output -o lo -j ACCEPT",
                  *(f"-A {ufw}-before-{hook} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT" for hook in hooks),
                  f"-A {ufw}-before-input -m conntrack --ctstate INVALID -j DROP",
                  f"-A {ufw}-before-input -p {icmp} -j ACCEPT",
                  *(f"-A {ufw}-before-{hook} -j {ufw}-user-{hook}" for hook in hooks),
                  *(f"-A {ufw}-user-input -p tcp -m tcp --dport {port} -j ACCEPT" for port in OPEN),
                  f"-A {ufw}-reject-input -j REJECT",
                  f"-A {ufw}-track-output -p tcp -m conntrack --ctstate NEW -j ACCEPT",
                  f"-A {ufw}-track-output -p udp -m conntrack --ctstate NEW -j ACCEPT"]
        loads.append((f"{family}-restore", table(chains, rules)))
    return tuple(loads)


# A table of its own, whose base chains come after those of the plain priority.
FIREWALLD = f"""
table inet firewalld {{
    chain filter_PREROUTING {{
        type filter hook prerouting priority filter + 10; policy accept;
        icmpv6 type {{ nd-router-advert, nd-neighbor-solicit }} accept
        meta nfproto ipv6 fib saddr . mark . iif oif missing drop
    }}
    chain filter_INPUT {{
        type filter hook input priority filter + 10; policy accept;
        ct state {{ established, related }} accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        jump filter_INPUT_ZONES
        reject with icmpx admin-prohibited
    }}
    chain filter_FORWARD {{
        type filter hook forward priority filter + 10; policy accept;
        ct state {{ established, related }} accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        reject with icmpx admin-prohibited
    }}
    chain filter_OUTPUT {{
        type filter hook output priority filter + 10; policy accept;
        ct state {{ established, related }} accept
        oifname "lo" accept
    }}
    chain filter_INPUT_ZONES {{
        goto filter_IN_public
    }}
    chain filter_IN_public {{
        jump filter_IN_public_allow
        meta l4proto {{ icmp, ipv6-icmp }} accept
        reject with icmpx admin-prohibited
    }}
    chain filter_IN_public_allow {{
        tcp dport {{ {", ".join(map(str, OPEN))} }} accept
    }}
}}
"""
#: ``firewall-cmd --remove-port=8002/tcp``
FIREWALLD_CLOSE = """
    nft flush chain inet firewalld filter_IN_public_allow
    nft add rule inet firewalld filter_IN_public_allow tcp dport '{ 22, 5900 }' accept
"""
#: ``firewall-cmd --add-rich-rule='rule family=… source address=… port port=8002 protocol=tcp accept'``
FIREWALLD_ADMIT = """
    nft add rule inet firewalld filter_IN_public_allow ip saddr 192.168.1.0/24 tcp dport 8002 accept
    nft add rule inet firewalld filter_IN_public_allow ip6 saddr 2001:db8:1::/64 tcp dport 8002 accept
"""

# Docker 20.10 with its one network and no container. By default it does nothing over IPv6.
DOCKER = table("DOCKER -", [
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
    "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    "-A DOCKER -i docker0 -j RETURN",
], "nat") + table("FORWARD DROP DOCKER - DOCKER-USER - DOCKER-ISOLATION-STAGE-1 - DOCKER-ISOLATION-STAGE-2 -", [
    # In front of what is there, as at each of its starts.
    "-I FORWARD -i docker0 -o docker0 -j ACCEPT",
    "-I FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    "-I FORWARD -o docker0 -j DOCKER",
    "-I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-I FORWARD -j DOCKER-ISOLATION-STAGE-1",
    "-I FORWARD -j DOCKER-USER",
    "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
    "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
    "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
    "-A DOCKER-ISOLATION-STAGE-2 -j RETURN",
    "-A DOCKER-USER -j RETURN",
])

_CLOSE_UFW = "{0} -D {1}-user-input -p tcp -m tcp --dport 8002 -j ACCEPT;"
_ADMIT_UFW = "{0} -A {1}-user-input -i eth1 -p tcp -s {2} --dport 8002 -j ACCEPT;"
_CLOSE_LIST = "{0} -D INPUT -p tcp -m state --state NEW -m tcp --dport 8002 -j ACCEPT;"
_ADMIT_LIST = "{0} -I INPUT -i eth1 -p tcp -s {2} --dport 8002 -j ACCEPT;"


def _each(script: str) -> str:
    return (script.format("iptables", "ufw", "192.168.1.0/24")
            + script.format("ip6tables", "ufw6", "2001:db8:1::/64"))


RULES = {rules.name: rules for rules in (
    Rules("both back ends", _in_both_back_ends(), accepts_first=True),
    Rules("a distribution's list", _distribution(), True, _each(_CLOSE_LIST), _each(_ADMIT_LIST)),
    Rules("ufw", _ufw(), True, _each(_CLOSE_UFW), _each(_ADMIT_UFW)),
    Rules("firewalld", (("nft -f -", FIREWALLD),), False, FIREWALLD_CLOSE, FIREWALLD_ADMIT),
    Rules("Docker", (("iptables-restore --noflush", DOCKER),)),
)}
