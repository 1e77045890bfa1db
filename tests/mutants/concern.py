# SPDX-License-Identifier: MIT
"""Which tests concern which example: those that fail when it is broken are among these."""
from __future__ import annotations

from fnmatch import fnmatch

#: What decides nothing: the hosts of the lab are made of the one, and another is a licence. And what only a real node
#: can run, as tests/xen does.
EXEMPT = ("*/topology.toml", "*.schema.json", "LICENSE", "domain-0/sudoers-xen-migration", "domain-0/libvirtd.conf",
          "isolated-management-network/libvirtd-tls-listen.conf")

#: Rules are the same with bridged packets passed to iptables or not, and for both back ends of iptables. Left out
#: are also the tests that do again what others do, to see the moment of applying or the time after a boot.
ONCE = "not bridge-nf-on and not applied_again and not boot"
NFT = f"not iptables and {ONCE}"
IPTABLES = f"not nftables and not iptables-legacy and {ONCE}"

ISOLATED = "tests/test_isolated_management_network.py"
SUBNET = "tests/test_subnet_behind_a_firewall.py"
UNTRUSTED = "tests/test_untrusted_subnet.py"
WIREGUARD = "tests/test_wireguard.py"
SSH = "tests/test_ssh_rules.py"
LIBVIRT = "tests/test_libvirt_rules.py"
ACCOUNT = "tests/test_xl_account.py"
TOGETHER = "tests/test_together.py"
SCENARIOS = ("isolated-management-network", "subnet-behind-a-firewall", "untrusted-subnet")


def only(expression: str, scenario: str) -> list[str]:
    """An option for pytest: of the tests that run for each scenario, only those for this one."""
    return ["-k", " and ".join([expression, *(f"not {other}" for other in SCENARIOS if other != scenario)])]


#: Arguments for pytest by the file's name, which may have wildcards; the first that fits holds.
TESTS: dict[str, list[str]] = {
    "domain-0/firewall.nft": ["tests/test_domain_0.py", TOGETHER, *only(NFT, "isolated-management-network")],
    "domain-0/firewall.v?": ["tests/test_domain_0.py", TOGETHER, *only(IPTABLES, "isolated-management-network")],
    "domain-0/xen-rules.service": ["tests/test_persistence.py", "-k", "of_our_own"],
    "domain-0/exposure.py": [
        "examples/domain-0/exposure.py", *(f"tests/test_exposure{part}.py" for part in (
            "", "_iptables", "_nftables", "_host", "_report", "_walk", "_live", "_probed")),
        "tests/test_transcripts.py", "-k", "exposure"],
    "domain-0/xl-receive.sh": ["tests/test_xl_receive.py"],
    "domain-0/libvirt-certificate.sh": ["tests/test_libvirt_certificate.py"],
    "domain-0/ssh*-xen-migration.conf": [ACCOUNT, "-k", "not by_address and not subnet"],
    "isolated-management-network/sshd-management.conf": [ACCOUNT, "-k", "by_address"],
    "isolated-management-network/firewall.nft": [ISOLATED, TOGETHER, *only(NFT, "isolated-management-network")],
    "isolated-management-network/firewall.v?": [ISOLATED, TOGETHER, *only(IPTABLES, "isolated-management-network")],
    "isolated-management-network/ssh.nft": [SSH, "-k", f"isolated and {NFT}"],
    "isolated-management-network/ssh.v?": [SSH, "-k", f"isolated and {IPTABLES}"],
    "isolated-management-network/libvirt.nft": [LIBVIRT, "-k", f"isolated and {NFT}"],
    "isolated-management-network/libvirt.v?": [LIBVIRT, "-k", f"isolated and {IPTABLES}"],
    "isolated-management-network/xend-config.sxp": [ISOLATED, "-k", f"(the_configuration or together) and {NFT}"],
    "isolated-management-network/opens.py": ["examples/isolated-management-network/opens.py", "tests/test_opens.py"],
    "subnet-behind-a-firewall/border.nft": [SUBNET, "-k", f"border and {NFT}"],
    "subnet-behind-a-firewall/border.v?": [SUBNET, "-k", f"border and {IPTABLES}"],
    "subnet-behind-a-firewall/guests.nft": [SUBNET, "-k", f"guest and {NFT}"],
    "subnet-behind-a-firewall/firewall.nft": [
        SUBNET, TOGETHER, *only(f"not border and {NFT}", "subnet-behind-a-firewall")],
    "subnet-behind-a-firewall/firewall.v?": [
        SUBNET, TOGETHER, *only(f"not border and {IPTABLES}", "subnet-behind-a-firewall")],
    "subnet-behind-a-firewall/ssh-border.nft": [SSH, "-k", f"border and {NFT}"],
    "subnet-behind-a-firewall/ssh-border.v?": [SSH, "-k", f"border and {IPTABLES}"],
    "subnet-behind-a-firewall/ssh-guests.nft": [SSH, "-k", f"guests and {NFT}"],
    "subnet-behind-a-firewall/ssh.nft": [SSH, "-k", f"subnet_behind and not border and not guests and {NFT}"],
    "subnet-behind-a-firewall/ssh.v?": [SSH, "-k", f"subnet_behind and not border and {IPTABLES}"],
    "subnet-behind-a-firewall/libvirt-border.nft": [LIBVIRT, "-k", f"border and {NFT}"],
    "subnet-behind-a-firewall/libvirt-border.v?": [LIBVIRT, "-k", f"border and {IPTABLES}"],
    "subnet-behind-a-firewall/libvirt-guests.nft": [LIBVIRT, "-k", f"guests and {NFT}"],
    "subnet-behind-a-firewall/libvirt.nft": [LIBVIRT, "-k", f"subnet_behind and not border and not guests and {NFT}"],
    "subnet-behind-a-firewall/libvirt.v?": [LIBVIRT, "-k", f"subnet_behind and not border and {IPTABLES}"],
    "subnet-behind-a-firewall/admits.py": ["examples/subnet-behind-a-firewall/admits.py"],
    "untrusted-subnet/firewall.nft": [UNTRUSTED, TOGETHER, *only(NFT, "untrusted-subnet")],
    "untrusted-subnet/firewall.v?": [UNTRUSTED, TOGETHER, *only(IPTABLES, "untrusted-subnet")],
    "untrusted-subnet/ssh.nft": [SSH, "-k", f"untrusted and {NFT}"],
    "untrusted-subnet/ssh.v?": [SSH, "-k", f"untrusted and {IPTABLES}"],
    "untrusted-subnet/libvirt.nft": [LIBVIRT, "-k", f"untrusted and {NFT}"],
    "untrusted-subnet/libvirt.v?": [LIBVIRT, "-k", f"untrusted and {IPTABLES}"],
    "untrusted-subnet/wireguard.nft": [WIREGUARD, "-k", f"not stranger and not forged and {NFT}"],
    "untrusted-subnet/wireguard.v?": [WIREGUARD, "-k", f"not stranger and not forged and {IPTABLES}"],
    "untrusted-subnet/wg0-*.conf": [WIREGUARD, "-k", f"not the_wire and {NFT}"],
    "untrusted-subnet/xend-config-wireguard.sxp": [WIREGUARD, "-k", f"domain_0 and {NFT}"],
    "untrusted-subnet/xend-config*.sxp": [UNTRUSTED, "-k", f"(xend or tunnel) and not account and {NFT}"],
    "untrusted-subnet/sshd-no-migration.conf": [ACCOUNT, "-k", "subnet"],
    "untrusted-subnet/sshd-relocation.conf": [UNTRUSTED, "-k", f"not relocation_disabled and {NFT}"],
    "untrusted-subnet/tunnel.sh": [UNTRUSTED, "-k", f"not relocation_disabled and {NFT}"],
    "iptables.sh": ["tests/test_applying.py", "-k", "(usage or checks or domain-0 or isolated or iptables_ or kill)"
                    " and not undo_in and not nftables and not iptables-legacy and not bridge-nf-on"],
    "undo-in.sh": ["tests/test_applying.py", "-k", "undo_in and not iptables"],
    "check_values.py": ["examples/check_values.py", "tests/test_check_values.py"],
}


def tests_of(file: str) -> list[str] | None:
    """What pytest is to run for an example; None where it decides nothing. Raises LookupError for a new one."""
    if any(fnmatch(file, name) for name in EXEMPT):
        return None
    for name, arguments in TESTS.items():
        if fnmatch(file, name):
            return arguments
    raise LookupError(f"examples/{file}: which tests concern it? tests/mutants/concern.py is to say")
