# SPDX-License-Identifier: MIT
"""A wrong value gets one line that names it, exit status 2, and nothing is changed."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import namespaces, skip
from tests.lab.namespaces import Host, Lab

#: What is wrong, and the words that must stand in the line.
WRONG = {
    "not a network": ("lamb", "'lamb' is not a network; an IPv4 network is expected"),
    "host bits": ("192.168.1.1/8", "192.168.1.1/8 has host bits set: it means 192.0.0.0/8"),
    "IPv6 for IPv4": ("2001:db8::/32", "2001:db8::/32 is IPv6; an IPv4 network is expected"),
    "too long a prefix": ("192.168.1.0/33", "'192.168.1.0/33' is not a network"),
    "everybody": ("0.0.0.0/0", "0.0.0.0/0 is every address there is"),
    "a netmask": ("192.168.1.0/255.255.255.0", "'192.168.1.0/255.255.255.0' is not a network"),
    "shell": ("$(reboot)", "'$(reboot)' is not a network"),
    "semicolon": ("192.168.1.0/24;reboot", "'192.168.1.0/24;reboot' is not a network"),
    "backquotes": ("`reboot`", "'`reboot`' is not a network"),
}
ISOLATED = "isolated-management-network"


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """One for all: the check changes nothing, and each test brings the files that it is about."""
    skip.without_lab(namespaces.why_not())
    with Lab(ISOLATED) as lab:
        yield lab["node-a"]


def refused(host, file: str) -> str:
    """The one line that the check has for a file; no rule of the host is changed."""
    before = host.rules()
    done = host.run("python3", "check_values.py", file, check=False)
    assert done.returncode == 2
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert host.rules() == before
    return done.stderr


def write(host, file: str, text: str) -> None:
    host.run("tee", file, input=text)


def test_the_interface_of_a_tunnel_may_not_be_there_yet(make_lab):
    """It is enough that wg-quick is to make it; another name is a mistake all the same."""
    node = make_lab(ISOLATED)["node-a"]
    write(node, "x.nft", 'define tunnel_interface = "wg0"\n')
    write(node, "x.v4", "*filter\n-A INPUT -i wg0 -j ACCEPT\n")
    for file in ("x.nft", "x.v4"):
        assert "there is no interface wg0" in refused(node, file)
    write(node, "/etc/wireguard/wg0.conf", "[Interface]\n")
    node.run("python3", "check_values.py", "x.nft", "x.v4")
    write(node, "x.nft", 'define tunnel_interface = "wg1"\n')
    assert "there is no interface wg1" in refused(node, "x.nft")


@pytest.mark.parametrize("value, words", WRONG.values(), ids=WRONG)
def test_wrong_networks_in_every_kind_of_file(node, value, words):
    write(node, "x.nft", f"define management_network = {value}\n")
    assert f"x.nft:1: {words}" in refused(node, "x.nft")
    write(node, "x.v4", f"*filter\n-A INPUT -s {value} -j ACCEPT\n")
    assert f"x.v4:2: {words}" in refused(node, "x.v4")
    write(node, "x.sh", f"management_network={value}\n")
    assert f"x.sh:1: {words}" in refused(node, "x.sh")


@pytest.mark.parametrize("file, text, words", [
    ("x.nft", "define management_network6 = 192.168.1.0/24", "192.168.1.0/24 is IPv4; an IPv6 network is expected"),
    ("x.v6", "-A INPUT -s 192.168.1.0/24 -j ACCEPT", "192.168.1.0/24 is IPv4; an IPv6 network is expected"),
    ("x.nft", "define management_network =", "an empty value ('') is not a network"),
    ("x.v4", "-A INPUT -s '' -j ACCEPT", "an empty value ('') is not a network"),
    ("x.v4", "-A INPUT -s", "an empty value ('') is not a network"),
    ("x.v4", "-A INPUT -s 'open", "cannot be read"),
    ("x.nft", "define management_network", "cannot be read; define NAME = VALUE is expected"),
    ("x.nft", "define management_network = { 10.1.0.0/16, 10.2.0.1/16 }", "10.2.0.1/16 has host bits set"),
    ("x.nft", "define number_of_guests = 3", "number_of_guests: no kind of value is known"),
    ("x.nft", 'define management_interface = "eth7"', "there is no interface eth7 on this host; it has lo, "),
    ("x.nft", 'define management_interface = "eth1; reboot"', "'eth1; reboot' is not the name of an interface"),
    ("x.nft", "define management_interface = \"\"", "an empty value ('') is not the name of an interface"),
    ("x.v4", "-A INPUT -i eth7 -j ACCEPT", "there is no interface eth7"),
    ("x.v4", "-A INPUT ! -i eth7 -j DROP", "there is no interface eth7"),
    ("x.nft", "define relocation_port = 80020", "'80020' is not a port"),
    ("x.v4", "-A INPUT -p tcp --dport 0 -j DROP", "'0' is not a port"),
    ("x.sxp", "(xend-relocation-port abc)", "'abc' is not a port"),
    ("x.sxp", "(xend-relocation-address '192.168.1.1/24')", "'192.168.1.1/24' is not an IPv4 address"),
    ("x.sxp", "(xend-relocation-address '')", "an empty value ('') is not an IPv4 address"),
    ("x.sxp", "(xend-relocation-address eth7)", "there is no interface eth7"),
    ("x.nft", "define admin_network = 198.51.100.0", "198.51.100.0 has no prefix length"),
    ("x.v4", "-A INPUT -s 198.51.100.0 -p tcp --dport 22 -j ACCEPT", "198.51.100.0 has no prefix length"),
    ("x.nft", "define own_half6 = 0xfe::", "'0xfe::' is not half an IPv6 address as a number"),
    ("x.nft", "arp saddr ip { 192.168.1.1, 192.168.1.300 } drop", "'192.168.1.300' is not an IPv4 address"),
    ("x.nft", 'iifname "eth9" accept', "there is no interface eth9"),
    ("x.nft", 'oifname { "lo", "eth9" } accept', "there is no interface eth9"),
    ("x.nft", "ip saddr 192.168.1.300 accept", "'192.168.1.300' is not an IPv4 address"),
    ("x.nft", "ip daddr != 192.168.1.1/8 drop", "192.168.1.1/8 has host bits set"),
    ("x.nft", "udp dport { 53, 99999 } accept", "'99999' is not a port"),
    ("x.nft", "tcp sport ssh accept", "'ssh' is not a port"),
    ("x.v4", "-A INPUT --in-interface=eth9 -j DROP", "there is no interface eth9"),
    ("x.v4", "-A INPUT -s192.168.1.1/8 -j ACCEPT", "192.168.1.1/8 has host bits set"),
    ("x.v4", "-A INPUT --src 10.0.0.0/8,192.168.1.1/8 -j ACCEPT", "192.168.1.1/8 has host bits set"),
    ("x.v4", "-A INPUT -p tcp -m multiport --dports 22,99999 -j DROP", "'99999' is not a port"),
    ("x.nft", "ip saddr 192.168.1.1/8 tcp dport 5666 accept", "192.168.1.1/8 has host bits set"),
    ("x.nft", "ip6 saddr { 2001:db8::1/32 } accept", "2001:db8::1/32 has host bits set"),
    ("x.sxp", "(xend-relocation-address '0.0.0.0')", "0.0.0.0 is every address of this host"),
    ("x.sxp", "(xend-relocation-address '192.168.1.2')", "192.168.1.2 is not an address of this host"),
    ("x.sxp", "(xend-relocation-hosts-allow '')", "hosts-allow is empty: that admits everybody"),
    ("x.sxp", "(xend-relocation-hosts-allow '^a$  ^b$')", "two spaces together"),
    ("x.sxp", r"(xend-relocation-hosts-allow '^10\.0\.0\.2$')", "has a single backslash"),
    ("x.sxp", "(xend-relocation-hosts-allow 10.0.0.2)", "admits more than it says"),
    ("x.conf", "PublicKey = THE-KEY", "this is not a key"),
    ("x.conf", "PublicKey = mCwC+pWA8lWBnv+rtIH98v/3nMmMk+/2Bjw0aX2m9k", "this is not a key"),
    ("x.conf", "PublicKey = mCwC+pWA8lWBnv+rtIH98v/3nMmMk+/2Bjw0aX2m9kQ==", "this is not a key"),
    ("x.conf", "PublicKey = mCwC+pWA8lWBnv+rtIH98v-3nMmMk+/2Bjw0aX2m9kQ=", "this is not a key"),
    ("x.conf", "PublicKey = mCwC+pWA8lWBnv+rtIH98v/3nMmMk+/2Bjw0aX2m9kR=", "this is not a key"),
    ("x.conf", "AllowedIPs = 192.168.1.2/24", "192.168.1.2/24 has host bits set"),
    ("x.conf", "AllowedIPs = 192.168.1.2/32, ::/0", "::/0 is every address there is"),
    ("x.conf", "address = 192.168.1.1/24", "'192.168.1.1/24' is not an IPv4 address"),
    ("x.conf", "ListenPort = 518200", "'518200' is not a port"),
    ("x.conf", "Endpoint = node-b.example.org:51820", "'node-b.example.org' is not an IPv4 address"),
    ("x.conf", "Endpoint = 203.0.113.12", "'203.0.113.12' is not an address and a port"),
    ("x.conf", "Endpoint = 2001:db8:2::12:51820", "'2001:db8:2::12:51820' is not an address and a port"),
    ("x.conf", "PermitOpen 127.0.0.1:8002", "cannot be read; NAME = VALUE is expected"),
    ("x.sh", "peer_address=203.0.113.300", "'203.0.113.300' is not an IPv4 address"),
])
def test_other_wrong_values(node, file, text, words):
    write(node, file, text + "\n")
    assert f"{file}:1: " in (line := refused(node, file)) and words in line


def test_halves_of_other_addresses_than_those_beside_them(node):
    """Also where an address was added and its half forgotten."""
    for halves in ("{ 0x1, 0x3 }", "0x1"):
        write(node, "x.nft", f"define own_address6 = {{ 2001:db8::1, 2001:db8::2 }}\ndefine own_half6 = {halves}\n")
        assert "x.nft: own_half6 does not fit own_address6; { 0x1, 0x2 } is expected" in refused(node, "x.nft")
    write(node, "x.nft", "define own_half6 = { 0x1, 0x2 }\ndefine own_address6 = { 2001:db8::1, 2001:db8::2 }\n")
    node.run("python3", "check_values.py", "x.nft")


def test_a_key_may_be_a_secret_and_is_not_shown(node):
    write(node, "x.conf", "PrivateKey = half-of-a-secret\n")
    assert "half-of-a-secret" not in refused(node, "x.conf")


def test_files_that_cannot_be_read(node):
    assert "nowhere.nft: No such file or directory" in refused(node, "nowhere.nft")
    write(node, "x.txt", "")
    assert "x.txt: one of .conf, .nft, .sh, .sxp, .v4, .v6 is expected" in refused(node, "x.txt")
    node.sh(r"printf 'define \377\n' > x.nft")
    assert "x.nft: not a text file in UTF-8" in refused(node, "x.nft")
    for wrong in ([], ["-x"]):
        usage = node.run("python3", "check_values.py", *wrong, check=False)
        assert (usage.returncode, usage.stdout, usage.stderr) == (2, "", "usage: check_values.py FILE...\n")
    help = node.run("python3", "check_values.py", "--help")
    assert "python3 check_values.py FILE..." in help.stdout and help.stderr == ""


@pytest.mark.parametrize("scenario", ["domain-0", ISOLATED, "subnet-behind-a-firewall", "untrusted-subnet"])
def test_every_example_passes_on_its_host(make_lab, scenario):
    """Each file on the host that it is for; the border firewall's on no other."""
    lab = make_lab(scenario)
    lab["node-a"].sh("ip link add wg0 type bridge; ip address add 192.0.2.1 dev wg0")  # what the tunnel's files name
    files = lab["node-a"].sh(f"ls {scenario}/*.nft {scenario}/*.v4 {scenario}/*.v6 {scenario}/*.sh {scenario}/*.sxp "
                             "2>/dev/null || true").stdout.split()
    assert len(files) >= 3
    for file in files:
        lab["border" if "border" in file else "node-a"].run("python3", "check_values.py", file)


@pytest.mark.parametrize("file", ["domain-0/firewall.nft", "domain-0/firewall.v4"])
def test_you_cannot_lock_yourself_out(node, file):
    def check(client: str):
        return node.run("env", f"SSH_CONNECTION={client} 50000 203.0.113.11 22", "python3", "check_values.py", file,
                        check=False)

    assert check("198.51.100.10").returncode == 0
    assert check("::ffff:198.51.100.10").returncode == 0
    locked = check("203.0.113.9")
    assert locked.returncode == 2
    # Of two logins, one from the other, it is the last that counts.
    assert node.sh("SSH_CONNECTION='203.0.113.9 50000 203.0.113.11 22' sh -c '"
                   "SSH_CONNECTION=\"198.51.100.10 50000 203.0.113.11 22\" python3 check_values.py \"$@\"; exit $?' "
                   f"sh {file}", check=False).returncode == 0
    assert "you are logged in from 203.0.113.9, and ssh is admitted only from 198.51.100.0/24" in locked.stderr
    assert "you would lock yourself out" in locked.stderr


@pytest.mark.parametrize("scenario, admitted", [(ISOLATED, "192.168.1.2"), ("subnet-behind-a-firewall", "192.168.1.2"),
                                                ("untrusted-subnet", "203.0.113.12")])
@pytest.mark.parametrize("ending", ["nft", "v4"])
def test_a_login_from_another_node_is_none_to_lock_out(make_lab, scenario, admitted, ending):
    """The rules about ssh admit the nodes beside the administrators, or without them."""
    node = make_lab(scenario)["node-a"]

    def status(client: str) -> int:
        return node.run("env", f"SSH_CONNECTION={client} 50000 203.0.113.11 22", "python3", "check_values.py",
                        f"{scenario}/ssh.{ending}", check=False).returncode

    assert [status(client) for client in (admitted, "198.51.100.10", "203.0.113.9")] == [0, 0, 2]
    node.sh(f"sed -i '/admin_network/d; /198.51.100.0/d' {scenario}/ssh.{ending}")
    assert [status(client) for client in (admitted, "198.51.100.10", "203.0.113.9")] == [0, 2, 2]


@pytest.mark.parametrize("file", [f"{ISOLATED}/firewall.nft", "subnet-behind-a-firewall/ssh-guests.nft",
                                  "subnet-behind-a-firewall/ssh-border.nft", "subnet-behind-a-firewall/ssh-border.v4"])
def test_rules_that_are_not_about_ssh_to_this_host_lock_nobody_out(node, file):
    node.run("env", "SSH_CONNECTION=203.0.113.9 50000 203.0.113.11 22", "python3", "check_values.py", file)


def test_a_login_is_found_behind_sudo(node):
    """sudo takes SSH_CONNECTION away; the login's own shell still has it."""
    locked = node.sh("SSH_CONNECTION='203.0.113.9 50000 203.0.113.11 22' "
                     "sh -c 'env -u SSH_CONNECTION python3 check_values.py domain-0/firewall.nft; exit $?'",
                     check=False)
    assert locked.returncode == 2 and "you are logged in from 203.0.113.9" in locked.stderr


@pytest.mark.parametrize("file", ["domain-0/firewall.nft", "domain-0/firewall.v4"])
def test_a_login_on_another_port_is_seen(make_lab, file):
    node = make_lab(ISOLATED)["node-a"]
    command = ["env", "SSH_CONNECTION=198.51.100.10 50000 203.0.113.11 2222", "python3", "check_values.py", file]
    locked = node.run(*command, check=False)
    assert locked.returncode == 2 and "you are logged in on port 2222, which no rule names" in locked.stderr
    node.sh(f"sed -i 's/dport 22 /dport 2222 /' {file}")
    assert node.run(*command, check=False).returncode == 0


def test_what_it_checks_for_is_taken_by_the_packet_filters_themselves(make_lab):
    """Why there is a check: neither command objects."""
    node = make_lab(ISOLATED)["node-a"]
    rules = 'table inet t { chain c {\n iifname "eth7" ip saddr 192.168.1.1/8 accept\n }\n}\n'
    node.run("nft", "-c", "-f", "-", input=rules)
    node.sh("iptables -A INPUT -i eth7 -s 192.168.1.1/8 -j ACCEPT")
