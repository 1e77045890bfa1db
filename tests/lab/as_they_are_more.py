# SPDX-License-Identifier: MIT
"""More hosts as readers have them, for what only looks at rules: fail2ban, a Domain-0 of XCP-ng, libvirt.

Written in the shape of the real ones, by us: the same tables, chains, priorities, policies and order, and the matches
and targets that they use. fail2ban's is that of its actions iptables-multiport and nftables in Debian 12 (1.0.2),
XCP-ng's that of /etc/sysconfig/iptables of 8.2, libvirt's that of its default network with its iptables back end.
"""
from __future__ import annotations

from tests.lab.as_they_are import FAMILIES, Rules, table

BANNED = {"iptables": [f"198.51.100.{n}/32" for n in (7, 23, 66)],
          "ip6tables": [f"2001:db8:a::{n}/128" for n in (7, 23, 66)]}


def _fail2ban() -> tuple[tuple[str, str], ...]:
    return tuple((f"{family}-restore", table("INPUT ACCEPT FORWARD ACCEPT OUTPUT ACCEPT f2b-sshd -", [
        "-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd",
        *(f"-A f2b-sshd -s {address} -j REJECT --reject-with {icmp}-port-unreachable" for address in BANNED[family]),
        "-A f2b-sshd -j RETURN",
    ])) for family, icmp in (("iptables", "icmp"), ("ip6tables", "icmp6")))


FAIL2BAN_NFT = """
table inet f2b-table {
    set addr-set-sshd {
        type ipv4_addr
        elements = { 198.51.100.7, 198.51.100.23, 198.51.100.66 }
    }
    set addr6-set-sshd {
        type ipv6_addr
        elements = { 2001:db8:a::7, 2001:db8:a::17 }
    }
    chain f2b-chain {
        type filter hook input priority filter - 1; policy accept;
        tcp dport 22 ip saddr @addr-set-sshd reject with icmp port-unreachable
        tcp dport 22 ip6 saddr @addr6-set-sshd reject with icmpv6 port-unreachable
    }
}
"""


def _xcp_ng() -> tuple[tuple[str, str], ...]:
    """XAPI's chain is empty until a feature asks for it; the card xenapi is the host's internal one."""
    chain = "-A RH-Firewall-1-INPUT"
    return tuple((f"{family}-restore", table(
        "INPUT ACCEPT FORWARD ACCEPT OUTPUT ACCEPT RH-Firewall-1-INPUT - xapi-INPUT -", [
            "-A INPUT -p gre -j ACCEPT",
            "-A INPUT -j xapi-INPUT",
            "-A INPUT -j RH-Firewall-1-INPUT",
            "-A FORWARD -j RH-Firewall-1-INPUT",
            f"{chain} -i lo -j ACCEPT",
            f"{chain} -p {icmp} -j ACCEPT",
            f"{chain} -i xenapi -p udp -m udp --dport 67 -j ACCEPT",
            f"{chain} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            f"{chain} -p udp -m conntrack --ctstate NEW -m udp --dport 694 -j ACCEPT",
            *(f"{chain} -p tcp -m conntrack --ctstate NEW -m tcp --dport {port} -j ACCEPT" for port in (22, 80, 443)),
            f"{chain} -p tcp -m tcp --dport 21064 -j ACCEPT",
            f"{chain} -p udp -m multiport --dports 5404,5405 -j ACCEPT",
            f"{chain} -j REJECT --reject-with {prohibited}",
        ])) for family, (icmp, prohibited) in FAMILIES.items())


LIBVIRT = table("LIBVIRT_PRT -", [
    "-A POSTROUTING -j LIBVIRT_PRT",
    "-A LIBVIRT_PRT -o virbr0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill",
], "mangle") + table("LIBVIRT_PRT -", [
    "-A POSTROUTING -j LIBVIRT_PRT",
    "-A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN",
    "-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535",
    "-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE",
], "nat") + table("LIBVIRT_INP - LIBVIRT_OUT - LIBVIRT_FWO - LIBVIRT_FWI - LIBVIRT_FWX -", [
    "-A INPUT -j LIBVIRT_INP",
    "-A FORWARD -j LIBVIRT_FWX",
    "-A FORWARD -j LIBVIRT_FWI",
    "-A FORWARD -j LIBVIRT_FWO",
    "-A OUTPUT -j LIBVIRT_OUT",
    *(f"-A LIBVIRT_INP -i virbr0 -p {kind} -m {kind} --dport {port} -j ACCEPT"
      for port in (53, 67) for kind in ("udp", "tcp")),
    *(f"-A LIBVIRT_OUT -o virbr0 -p {kind} -m {kind} --dport {port} -j ACCEPT"
      for port in (53, 68) for kind in ("udp", "tcp")),
    "-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT",
    "-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable",
    "-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable",
    "-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT",
])

MORE_RULES = {rules.name: rules for rules in (
    Rules("fail2ban", _fail2ban()),
    Rules("fail2ban with nftables", (("nft -f -", FAIL2BAN_NFT),)),
    Rules("XCP-ng", _xcp_ng()),
    Rules("libvirt", (("iptables-restore --noflush", LIBVIRT),)),
)}
