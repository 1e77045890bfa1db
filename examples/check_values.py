#!/usr/bin/env python3
"""Checks the values that you put into the examples, before anything is applied.

    python3 check_values.py FILE...

reads rule and configuration files (.nft, .v4, .v6, .sxp, .sh, and WireGuard's
.conf) and checks every network, address, interface, port and key in them, on the
host where they are to be applied: the interfaces must exist here, or have a
configuration in /etc/wireguard. Silent and exit status 0 where all is well.
Otherwise one line that names the value and what is expected, and exit
status 2. It changes nothing.

It is stricter than what it checks for: ``nft -f`` and ``iptables-restore``
take 192.168.1.1/8 without a word and make 192.0.0.0/8 of it, and both take
interfaces that do not exist.

Standard library only, so that it can be copied to a Domain-0.
"""
import ipaddress
import os
import re
import shlex
import socket
import sys


class BadValue(ValueError):
    """A value that is not what is meant; the message names it and what is expected."""


def network(text, version):
    """The IPv4 or IPv6 (``version`` 4 or 6) network that a text names.

    >>> network("192.168.1.0/24", 4), network("192.168.1.1/32", 4)
    (IPv4Network('192.168.1.0/24'), IPv4Network('192.168.1.1/32'))
    >>> network("192.168.1.1/8", 4)
    Traceback (most recent call last):
    ...
    check_values.BadValue: 192.168.1.1/8 has host bits set: it means 192.0.0.0/8
    >>> network("2001:db8:1::/64", 4)
    Traceback (most recent call last):
    ...
    check_values.BadValue: 2001:db8:1::/64 is IPv6; an IPv4 network is expected, such as 192.168.1.0/24
    >>> network("192.168.1.1", 4)
    Traceback (most recent call last):
    ...
    check_values.BadValue: 192.168.1.1 has no prefix length; write 192.168.1.1/32 for this one address
    >>> network("0.0.0.0/0", 4)
    Traceback (most recent call last):
    ...
    check_values.BadValue: 0.0.0.0/0 is every address there is; a network of yours is expected
    """
    expected = "an IPv%d network is expected, such as %s" % (
        version, "192.168.1.0/24" if version == 4 else "2001:db8:1::/64")
    base, slash, length = text.partition("/")
    try:
        address_ = ipaddress.ip_address(base)
    except ValueError:
        raise BadValue("%s is not a network; %s" % (show(text), expected)) from None
    if address_.version != version:
        raise BadValue("%s is IPv%d; %s" % (text, address_.version, expected))
    if not slash:
        raise BadValue("%s has no prefix length; write %s/%d for this one address"
                       % (text, text, address_.max_prefixlen))
    if not re.match(r"[0-9]{1,3}\Z", length) or int(length) > address_.max_prefixlen:
        raise BadValue("%s is not a network; %s" % (show(text), expected))
    result = ipaddress.ip_network(text, strict=False)
    if result.prefixlen == 0:
        raise BadValue("%s is every address there is; a network of yours is expected" % text)
    if result.network_address != address_:
        raise BadValue("%s has host bits set: it means %s" % (text, result))
    return result


def source(text, version):
    """A network, an address, or a range of addresses, as a rule may name it.

    >>> source("192.0.2.7", 4); source("192.0.2.7-192.0.2.9", 4); source("fe80::/10", 6)
    >>> source("192.168.1.1/8", 4)
    Traceback (most recent call last):
    ...
    check_values.BadValue: 192.168.1.1/8 has host bits set: it means 192.0.0.0/8
    """
    if re.match(r"[0-9A-Fa-f:.-]+\Z", text):
        for end in text.split("-"):
            address(end, version)
    else:
        network(text, version)


def address(text, version):
    """The IPv4 or IPv6 address that a text names.

    >>> address("192.168.1.1", 4)
    IPv4Address('192.168.1.1')
    >>> address("192.168.1.0/24", 4)
    Traceback (most recent call last):
    ...
    check_values.BadValue: '192.168.1.0/24' is not an IPv4 address
    """
    try:
        return {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}[version](text)
    except ValueError:
        raise BadValue("%s is not an IPv%d address" % (show(text), version)) from None


def half(text):
    """The second half of an IPv6 address, as a number; :func:`check_halves` knows whose.

    >>> half("0xfe")
    >>> half("::fe")
    Traceback (most recent call last):
    ...
    check_values.BadValue: '::fe' is not half an IPv6 address as a number, such as 0xfe
    """
    if not re.match(r"0x[0-9a-f]{1,16}\Z", text):
        raise BadValue("%s is not half an IPv6 address as a number, such as 0xfe" % show(text))


def check_halves(values):
    """Refuse numbers that are not the second halves of the addresses beside them: other ones would be guarded.

    ``values`` has the texts of a file by their names, all of them checked.

    >>> check_halves({"own_address6": ["2001:db8::1", "2001:db8::a:b"], "own_half6": ["0x1", "0xa000b"]})
    >>> check_halves({"own_address6": ["2001:db8::2"], "own_half6": ["0x1"]})
    Traceback (most recent call last):
    ...
    check_values.BadValue: own_half6 does not fit own_address6; { 0x2 } is expected
    """
    for name in values:
        if name.endswith("_half6"):
            addresses = name[:-len("half6")] + "address6"
            expected = [hex(int(ipaddress.IPv6Address(text)) % 2 ** 64) for text in values.get(addresses, [])]
            if values[name] != expected:
                raise BadValue("%s does not fit %s; { %s } is expected" % (name, addresses, ", ".join(expected)))


def listen(text):
    """What xend is to listen on: an interface, or an IPv4 address, of this host.

    >>> listen("127.0.0.1")
    '127.0.0.1'
    >>> listen("0.0.0.0")
    Traceback (most recent call last):
    ...
    check_values.BadValue: 0.0.0.0 is every address of this host; the one to listen on is expected
    >>> listen("192.0.2.1")
    Traceback (most recent call last):
    ...
    check_values.BadValue: 192.0.2.1 is not an address of this host
    """
    if re.match("[A-Za-z]", text):
        return interface(text)
    if address(text, 4).is_unspecified:
        raise BadValue("%s is every address of this host; the one to listen on is expected" % text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((text, 0))
        except OSError:
            raise BadValue("%s is not an address of this host" % text) from None
    return text


def allow(text):
    r"""The patterns of xend's hosts-allow: separated by one space, and each from ``^`` to ``$``.

    xend splits at every space, and an empty pattern admits everybody (relocate.py:154 in Xen 4.4.0).
    In quotes it drops the character behind a single backslash (sxp.py:274-277).

    >>> allow(r"^192\\.168\\.1\\.[0-9]+$")
    >>> allow("")
    Traceback (most recent call last):
    ...
    check_values.BadValue: hosts-allow is empty: that admits everybody
    >>> allow("^a$  ^b$")
    Traceback (most recent call last):
    ...
    check_values.BadValue: hosts-allow '^a$  ^b$' has two spaces together, or one at an end: that admits everybody
    >>> allow("10.0.0.2")
    Traceback (most recent call last):
    ...
    check_values.BadValue: hosts-allow pattern '10.0.0.2' admits more than it says; ^ before and $ behind are expected
    >>> allow("^10")
    Traceback (most recent call last):
    ...
    check_values.BadValue: hosts-allow pattern '^10' admits more than it says; ^ before and $ behind are expected
    >>> allow(r"^10\.0\.0\.2$")
    Traceback (most recent call last):
    ...
    check_values.BadValue: hosts-allow pattern '^10\\.0\\.0\\.2$' has a single backslash; xend wants each doubled
    """
    if not text:
        raise BadValue("hosts-allow is empty: that admits everybody")
    patterns = text.split(" ")
    if "" in patterns:
        raise BadValue("hosts-allow %s has two spaces together, or one at an end: that admits everybody" % show(text))
    for pattern in patterns:
        if not (pattern.startswith("^") and pattern.endswith("$")):
            raise BadValue("hosts-allow pattern %s admits more than it says; ^ before and $ behind are expected"
                           % show(pattern))
        if "\\" in pattern.replace("\\\\", ""):
            raise BadValue("hosts-allow pattern %s has a single backslash; xend wants each doubled" % show(pattern))


def port(text):
    """A port, 1 to 65535, or a range of them.

    >>> port("1"); port("65535"); port("49152-49216"); port("49152:49216")
    >>> port("0")
    Traceback (most recent call last):
    ...
    check_values.BadValue: '0' is not a port; a number from 1 to 65535 is expected
    >>> port("65536")
    Traceback (most recent call last):
    ...
    check_values.BadValue: '65536' is not a port; a number from 1 to 65535 is expected
    """
    for number in re.split("[-:]", text):
        if not re.match(r"[0-9]{1,5}\Z", number) or not 1 <= int(number) <= 65535:
            raise BadValue("%s is not a port; a number from 1 to 65535 is expected" % show(text))


def key(text):
    """A WireGuard key: 32 bytes in base64. It may be a secret, so the message does not show it.

    >>> key("mCwC+pWA8lWBnv+rtIH98v/3nMmMk+/2Bjw0aX2m9kQ=")
    >>> key("NODE-B'S-PUBLIC-KEY")
    Traceback (most recent call last):
    ...
    check_values.BadValue: this is not a key; 44 characters that end in = are expected, as wg prints them
    """
    # Of the last four characters, 16 bits are the key's, and wg wants the two that are left over to be 0
    # (key_from_base64 in src/encoding.c of wireguard-tools).
    if not re.match(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z", text):
        raise BadValue("this is not a key; 44 characters that end in = are expected, as wg prints them")


def interface(text):
    """The name of a network interface that exists on this host.

    >>> interface("lo")
    'lo'
    >>> interface("eth0;reboot")
    Traceback (most recent call last):
    ...
    check_values.BadValue: 'eth0;reboot' is not the name of an interface
    """
    if re.match(r"[A-Za-z0-9_.:@-]{1,14}[*+]\Z", text):
        return text  # every interface whose name begins so; there may be none now
    # Linux: 15 characters at most, no slash, no white space (dev_valid_name in net/core/dev.c).
    if not re.match(r"[A-Za-z0-9_.:@-]{1,15}\Z", text):
        raise BadValue("%s is not the name of an interface" % show(text))
    names = [name for _, name in socket.if_nameindex()]
    # The rules come before the tunnel, whose interface wg-quick makes from this file.
    if text not in names and not os.path.exists("/etc/wireguard/%s.conf" % text):
        raise BadValue("there is no interface %s on this host; it has %s" % (text, ", ".join(names)))
    return text


def show(text):
    """A value in quotes, on one line, so that an odd one can be seen.

    >>> show("")
    "an empty value ('')"
    """
    return repr(text) if text else "an empty value ('')"


def check(name, text):
    """Check a value by the kind that its name ends in.

    >>> check("management_network", "192.168.1.0/24")
    >>> check("relocation_port", "")
    Traceback (most recent call last):
    ...
    check_values.BadValue: an empty value ('') is not a port; a number from 1 to 65535 is expected
    """
    kinds = {
        "network": lambda: network(text, 4),
        "network6": lambda: network(text, 6),
        "source": lambda: source(text, 4),
        "source6": lambda: source(text, 6),
        "address": lambda: address(text, 4),
        "address6": lambda: address(text, 6),
        "half6": lambda: half(text),
        "interface": lambda: interface(text),
        "port": lambda: port(text),
        "listen": lambda: listen(text),
        "allow": lambda: allow(text),
        "key": lambda: key(text),
        "mark": lambda: None,  # not the reader's to change
    }
    kind = name.rpartition("_")[2]
    if kind not in kinds:
        raise BadValue("%s: no kind of value is known for this name" % name)
    kinds[kind]()


def reader_of(path):
    """The function that finds the values in a line of this file, by the file's ending."""
    readers = {".nft": nft_values, ".v4": restore_values, ".v6": restore_values,
               ".sxp": sxp_values, ".sh": sh_values, ".conf": wireguard_values}
    ending = os.path.splitext(path)[1]
    if ending not in readers:
        raise BadValue("one of %s is expected" % ", ".join(sorted(readers)))
    return lambda line: readers[ending](line, ending)


#: What stands before a value in a rule of nftables, and the kind of the value.
NFT_KINDS = {"saddr": "source", "daddr": "source", "iifname": "interface", "oifname": "interface",
             "iif": "interface", "oif": "interface", "sport": "port", "dport": "port"}
#: The same for iptables.
RESTORE_KINDS = {"-s": "source", "--source": "source", "--src": "source",
                 "-d": "source", "--destination": "source", "--dst": "source",
                 "-i": "interface", "--in-interface": "interface", "-o": "interface", "--out-interface": "interface",
                 "--sport": "port", "--source-port": "port", "--dport": "port", "--destination-port": "port",
                 "--sports": "port", "--source-ports": "port", "--dports": "port", "--destination-ports": "port"}


def nft_values(line, _ending):
    """The values of a line of an nftables file: ``define NAME = VALUE``, or those in a rule.

    >>> list(nft_values('define admin_network = { 10.1.0.0/16, 10.2.0.0/16 }', ".nft"))
    [('admin_network', '10.1.0.0/16'), ('admin_network', '10.2.0.0/16')]
    >>> list(nft_values('iifname "xenbr1" ip saddr 192.168.1.1/8 udp dport { 53, 67 } accept', ".nft"))
    [('interface', 'xenbr1'), ('source', '192.168.1.1/8'), ('port', '53'), ('port', '67')]
    >>> list(nft_values('arp saddr ip 192.168.1.1 drop', ".nft"))
    [('source', '192.168.1.1')]
    """
    line = line.split("#")[0]
    if re.match(r"\s*(re)?define\b", line):
        match = re.match(r"\s*define\s+(\w+)\s*=\s*(.*?)\s*\Z", line)
        if not match:
            raise BadValue("%s cannot be read; define NAME = VALUE is expected" % show(line))
        for text in nft_items(match.group(2)):
            yield match.group(1), text
        return
    for word, items in re.findall(r"\b(%s)\s+(?:ip\s+)?(?:!=\s*)?(\{[^}]*\}|[^\s;{]+)" % "|".join(NFT_KINDS), line):
        for text in nft_items(items):
            if not text.startswith("$"):
                yield NFT_KINDS[word] + ("6" if NFT_KINDS[word] == "source" and ":" in text else ""), text


def nft_items(text):
    """The items of a set in braces, or the one item; without their quotes.

    >>> nft_items('{ "eth0", "eth1" }'), nft_items("8002")
    (['eth0', 'eth1'], ['8002'])
    """
    listed = re.match(r"\{(.*)\}\Z", text)
    return [re.sub(r'\A"(.*)"\Z', r"\1", item.strip()) for item in (listed.group(1).split(",") if listed else [text])]


def restore_values(line, ending):
    """The values of a line that iptables-restore (.v4) or ip6tables-restore (.v6) reads.

    A source from which ssh is admitted has a name that says so; the chain XEN-SSH is about nothing else.

    >>> list(restore_values("-A IN -s 10.1.0.0/16 -p tcp --dport 22 -j ACCEPT", ".v4"))
    [('ssh_network', '10.1.0.0/16'), ('port', '22')]
    >>> list(restore_values("-A XEN-SSH -s 10.1.0.0/16 -d 10.2.0.0/16 -j ACCEPT", ".v4"))
    [('ssh_network', '10.1.0.0/16'), ('source', '10.2.0.0/16')]
    >>> list(restore_values("-A IN -s 10.1.0.0/16 -p tcp --dport 22 -j DROP", ".v4"))
    [('source', '10.1.0.0/16'), ('port', '22')]
    >>> list(restore_values("-A IN --in-interface=eth9 -s10.1.0.0/16,10.2.0.0/16 -j DROP", ".v4"))
    [('interface', 'eth9'), ('source', '10.1.0.0/16'), ('source', '10.2.0.0/16')]
    """
    if not line.startswith("-"):
        return
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadValue("%s cannot be read: %s" % (show(line), error)) from None
    version = "6" if ending == ".v6" else ""
    ssh = "ACCEPT" in words and ("22" in words[1:] or "XEN-SSH" in words)
    for word, following in zip(words, words[1:] + [""]):
        joined = re.match(r"(--[a-z-]+)=(.*)\Z|(-[sdio])(.+)\Z", word)
        if joined:
            word, following = joined.group(1) or joined.group(3), joined.group(2) or joined.group(4) or ""
        kind = RESTORE_KINDS.get(word)
        for text in following.split(",") if kind else []:
            if kind == "source":
                yield ("ssh_network" if ssh and word in ("-s", "--source", "--src") else kind) + version, text
            else:
                yield kind, text


def sxp_values(line, _ending):
    r"""The relocation values of a line of xend's configuration.

    >>> list(sxp_values("(xend-relocation-address '192.168.1.1')", ".sxp"))
    [('relocation_listen', '192.168.1.1')]
    """
    match = re.match(r"\s*\(xend-relocation-((?:ssl-)?port|address|hosts-allow)\b\s*(.*?)\s*\)\s*\Z", line)
    if match:
        kinds = {"address": "relocation_listen", "hosts-allow": "relocation_allow"}
        quoted = re.match(r"(['\"])(.*)\1\Z", match.group(2))
        # Without quotes a backslash is a backslash; with them it takes two.
        text = quoted.group(2) if quoted else match.group(2).replace("\\", "\\\\")
        yield kinds.get(match.group(1), "relocation_port"), text


def sh_values(line, _ending):
    """The value of an assignment at the start of a line of a shell script.

    >>> list(sh_values("peer_address=203.0.113.12 # node-b", ".sh"))
    [('peer_address', '203.0.113.12')]
    """
    match = re.match(r"([a-z0-9_]+_(?:network6?|address6?|interface|port))=(.*)\Z", line)
    if match:
        text = re.sub(r"\s+#.*\Z", "", match.group(2)).strip()
        yield match.group(1), re.sub(r"\A(['\"])(.*)\1\Z", r"\2", text)


def wireguard_values(line, _ending):
    """The values of a line of WireGuard's configuration, as wg-quick(8) reads it.

    >>> list(wireguard_values("AllowedIPs = 192.168.1.2/32, 2001:db8:1::2/128", ".conf"))
    [('allowed_source', '192.168.1.2/32'), ('allowed_source6', '2001:db8:1::2/128')]
    >>> list(wireguard_values("Endpoint = [2001:db8:2::12]:51820", ".conf"))
    [('endpoint_address6', '2001:db8:2::12'), ('tunnel_port', '51820')]
    >>> list(wireguard_values("[Peer]  # node-b", ".conf")), list(wireguard_values("", ".conf"))
    ([], [])
    >>> list(wireguard_values("AllowTcpForwarding local", ".conf"))
    Traceback (most recent call last):
    ...
    check_values.BadValue: 'AllowTcpForwarding local' cannot be read; NAME = VALUE is expected
    """
    line = line.split("#")[0].strip()
    if not line or re.match(r"\[(interface|peer)\]\Z", line.lower()):
        return
    name, equals, value = (part.strip() for part in line.partition("="))
    if not equals:
        raise BadValue("%s cannot be read; NAME = VALUE is expected" % show(line))
    name = name.lower()
    if name in ("address", "allowedips"):
        kind = "inner_address" if name == "address" else "allowed_source"
        for text in value.split(","):
            yield kind + ("6" if ":" in text else ""), text.strip()
    elif name == "endpoint":
        # Not a host's name: whoever answers for the name server could point it elsewhere.
        match = re.match(r"(?:\[(.*)\]|([^:]*)):([^:]*)\Z", value)
        if not match:
            raise BadValue("%s is not an address and a port; 203.0.113.12:51820 or [2001:db8:2::12]:51820 is expected"
                           % show(value))
        yield ("endpoint_address6", match.group(1)) if match.group(1) else ("endpoint_address", match.group(2))
        yield "tunnel_port", match.group(3)
    elif name == "listenport":
        yield "tunnel_port", value
    elif name in ("publickey", "privatekey", "presharedkey"):
        yield name[:-3] + "_key", value


def login():
    """Where this login comes from: what sshd put into SSH_CONNECTION, or an empty string.

    That is the client's address and port and the server's (ssh(1), ENVIRONMENT).
    sudo takes the variable away, so the processes above this one are asked, too.
    """
    found, process = os.environ.get("SSH_CONNECTION", ""), os.getppid()
    while not found and process > 1:
        try:
            with open("/proc/%d/environ" % process, "rb") as file:
                for variable in file.read().decode("utf-8", "replace").split("\0"):
                    if variable.startswith("SSH_CONNECTION="):
                        found = variable.partition("=")[2]
            with open("/proc/%d/stat" % process) as file:
                process = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def admits_ssh(name, rules):
    """Whether a value is a network or an address from which ssh is admitted, by its name and the rules above it.

    >>> admits_ssh("admin_network", ""), admits_ssh("ssh_network6", "")
    (True, True)
    >>> admits_ssh("node_address", "table inet xen_ssh {"), admits_ssh("node_address", "table inet xen_relocation {")
    (True, False)
    """
    return bool(re.match("(admin|ssh)_network", name)
                or re.search(r"_(network|address)6?\Z", name) and re.search(r"\btable inet xen_ssh\b", rules))


def check_login(admitted, text):
    """Refuse rules that would not let in whoever is logged in by ssh right now.

    ``admitted`` are the networks from which ``text``, the rules, admits ssh.
    """
    words = login().split(" ")
    if len(words) != 4 or not admitted:
        return
    here = ipaddress.ip_address(words[0].split("%")[0])
    here = getattr(here, "ipv4_mapped", None) or here
    if not any(here in network_ for network_ in admitted if network_.version == here.version):
        raise BadValue("you are logged in from %s, and ssh is admitted only from %s: you would lock yourself out"
                       % (here, ", ".join(map(str, admitted))))
    if not re.search(r"dport (\{[^}]*\b)?%s\b" % words[3], text):
        raise BadValue("you are logged in on port %s, which no rule names: you would lock yourself out" % words[3])


def check_files(paths):
    """Check every value of every file; raises BadValue with file and line."""
    admitted, rules = [], ""
    for path in paths:
        where, text, networks, values = path, "", [], {}
        try:
            reader = reader_of(path)
            with open(path, encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    text += line
                    where = "%s:%d" % (path, number)
                    for name, value in reader(line.rstrip("\n")):
                        check(name, value)
                        values.setdefault(name, []).append(value)
                        if admits_ssh(name, text):
                            networks.append(ipaddress.ip_network(value))
            where = path
            check_halves(values)
        except BadValue as error:
            raise BadValue("%s: %s" % (where, error)) from None
        except OSError as error:
            raise BadValue("%s: %s" % (path, error.strerror)) from None
        except UnicodeDecodeError:
            raise BadValue("%s: not a text file in UTF-8" % path) from None
        # What a border firewall forwards is no login to itself.
        if re.search(r"\bhook input\b|\bINPUT\b", text):
            admitted += networks
            rules += text
    check_login(admitted, rules)


def main(arguments):
    """Run the check; returns the exit status."""
    if not arguments or arguments[0].startswith("-"):
        print(__doc__.strip() if arguments == ["--help"] else "usage: check_values.py FILE...",
              file=sys.stdout if arguments == ["--help"] else sys.stderr)
        return 0 if arguments == ["--help"] else 2
    try:
        check_files(arguments)
    except BadValue as error:
        print("check_values.py: %s" % error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
