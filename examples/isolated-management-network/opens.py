#!/usr/bin/env python3
r"""Tells what the relocation server of xend would open, and to whom.

    python3 opens.py /etc/xen/xend-config.sxp 192.168.1.0/24

reads a configuration as xend does and prints a line for each socket. The second
argument is the management network. Run it on the node: the names of interfaces
and hosts, and where the names of peers come from, are those of this host.

Exit status 0: each socket is on an address of the management network or on the
loopback address, and xend lets in nobody from elsewhere. 1: it opens more, or
what it lets in cannot be told. 2: the configuration is one that xend does not
start with, or an argument is wrong.

Where the name service of this host asks DNS, whoever writes the PTR record of an
address chooses its name, and so passes every pattern: that is status 1. Only a
packet filter closes it then, and this program does not look at packet filters,
nor at other services of xend. Standard library only, and one file.
"""
import fcntl
import ipaddress
import re
import socket
import struct
import sys
import warnings

SPACE = " \t\n\v\f\r"
SIOCGIFADDR = 0x8915  # asks the kernel for the address of an interface
ESCAPES = {"a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r",
           "\\": "\\", "'": "'", '"': '"'}


class BadInput(ValueError):
    """What xend would not start with, or an argument that is wrong; the message says which."""


def read(text):
    r"""Every form of a configuration, as lists of texts. Reads like xend's own reader, sxp.py.

    A semicolon begins no comment. In quotes an unknown escape loses its letter
    and keeps the backslash.

    >>> read("; (a yes) # (b yes)\n(c '^10\\.0$')")
    [';', ['a', 'yes'], ['c', '^10\\0$']]
    >>> read("(a yes\n")
    Traceback (most recent call last):
    ...
    opens.BadInput: a parenthesis is not closed
    >>> read("\x7f")
    Traceback (most recent call last):
    ...
    opens.BadInput: character 127 is neither in quotes nor in a word
    """
    forms = []
    lists = [forms]
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "#":
            if "\n" not in text[position:]:
                return forms  # and forgets a list that is still open
            position = text.index("\n", position) + 1
        elif char == "(":
            lists.append([])
        elif char == ")":
            if len(lists) == 1:
                raise BadInput("a parenthesis is closed that is not open")
            done = lists.pop()
            lists[-1].append(done)
        elif char in "'\"":
            value, position = quoted(text, position, char)
            lists[-1].append(value)
        elif " " < char < "\x7f":
            end = re.compile(r"[ \t-\r{}()<>[\];#]|\Z").search(text, position).start()
            lists[-1].append(text[position - 1:end])
            position = end
            if end == len(text):
                return forms
        elif char == "\x04":
            break  # ctrl-D ends the text
        elif char not in SPACE:
            raise BadInput("character %d is neither in quotes nor in a word" % ord(char))
    if len(lists) > 1:
        raise BadInput("a parenthesis is not closed")
    return forms


def quoted(text, position, quote):
    r"""The value of a text in quotes that begins at a position, and the position behind it.

    >>> quoted(r"\\.\d\56\x2e'", 0, "'")
    ('\\.\\.$', 13)
    >>> quoted(r"\377'", 0, "'")
    ('\xff', 5)
    """
    value = ""
    while position < len(text):
        char = text[position]
        position += 1
        if char == quote:
            return value, position
        if char == "\\":
            code = re.compile(r"([0-7]{1,3})|x([0-9A-Fa-f]{2})").match(text, position)
            if code and code.group(1):
                char, position = chr(int(code.group(1), 8)), code.end()
                if char > "\xff":
                    raise BadInput("\\%s is no character" % code.group(1))
            elif code:
                # xend counts a from 0, as it does 0.
                high, low = (int(digit, 16) % 10 for digit in code.group(2))
                char, position = chr(16 * high + low), code.end()
            elif text.startswith("x", position):
                raise BadInput("\\x without two hexadecimal digits")
            else:
                char, position = ESCAPES.get(text[position:position + 1], "\\"), position + 1
        value += char
    raise BadInput("a quote is not closed")


def setting(forms, name, default):
    """The first value of the first setting of that name: a text, or a list.

    >>> setting([["a", "1", "2"], ["a", "3"], ["b"]], "a", ""), setting([["b"]], "b", "none")
    ('1', 'none')
    """
    for form in forms:
        if isinstance(form, list) and form[:1] == [name]:
            values = form[1:]
            if values and isinstance(values[0], list) and values[0][:1] == ["@"]:
                values = values[1:]
            return values[0] if values else default
    return default


def flag(forms, name):
    """Whether a switch is on. Each is off where it is not set.

    >>> flag([["a", "YES"]], "a"), flag([], "a")
    (True, False)
    >>> flag([["a", "enabled"]], "a")
    Traceback (most recent call last):
    ...
    opens.BadInput: a: 'enabled' is neither yes nor no
    """
    value = setting(forms, name, "no")
    word = "" if isinstance(value, list) else value.lower()
    if word not in ("yes", "y", "1", "on", "true", "t", "no", "n", "0", "off", "false", "f"):
        raise BadInput("%s: %r is neither yes nor no" % (name, value))
    return word in ("yes", "y", "1", "on", "true", "t")


def port(forms, name, default):
    """The port in a setting; 0 stands for one of the kernel's choice.

    >>> port([["p", "08002"]], "p", 8002), port([["p", "0"]], "p", 8002), port([["p", "65535"]], "p", 8002)
    (8002, 0, 65535)
    >>> port([["p", "65536"]], "p", 8002)
    Traceback (most recent call last):
    ...
    opens.BadInput: p: '65536' is not a port
    >>> port([["p", "8002-8003"]], "p", 8002)
    Traceback (most recent call last):
    ...
    opens.BadInput: p: '8002-8003' is not a port
    """
    value = setting(forms, name, str(default))
    match = None if isinstance(value, list) else re.match(r"[ \t-\r]*([+-]?)[ \t-\r]*([0-9]+)[ \t-\r]*\Z", value)
    if not match or not 0 <= int("".join(match.groups())) <= 65535:
        raise BadInput("%s: %r is not a port" % (name, value))
    return int("".join(match.groups()))


def address_of(name):
    """The IPv4 address that xend binds for an address, an interface or a host of this host.

    >>> address_of(""), address_of("010.0.0.255"), address_of("10.1"), address_of("lo")
    ('0.0.0.0', '10.0.0.255', '10.0.0.1', '127.0.0.1')
    >>> address_of("10.0.0.0/8")
    Traceback (most recent call last):
    ...
    opens.BadInput: xend-relocation-address: '10.0.0.0/8' is no address, interface or host here
    """
    number = r"[ \t-\r]*[+-]?[0-9]+"
    hexadecimal = r"[ \t-\r]*[+-]?[ \t-\r]*(0[xX])?[0-9a-fA-F]+[ \t-\r]*\Z"
    if name == "":
        return "0.0.0.0"
    if name == "<broadcast>":
        return "255.255.255.255"
    try:
        # What looks like an address is not looked for among the interfaces: be0 looks like IPv6.
        if not re.match(r"[0-9]+(\.[0-9]+)*\Z", name) \
                and not all(word == "" or re.match(hexadecimal, word) for word in name.split(":")):
            name = interface_address(name.encode("latin-1")) or name
        if re.match(r"\.".join([number] * 4) + r"\Z", name):
            # Four numbers are decimal, zeros before them or not; each is cut to 32 bits.
            numbers = [int(text) & 0xFFFFFFFF for text in name.split(".")]
            if max(numbers) <= 255:
                return ".".join(map(str, numbers))
        if "\0" in name:
            raise ValueError(name)
        return socket.getaddrinfo(name.encode("latin-1"), None, socket.AF_INET)[0][4][0]
    except (OSError, ValueError, TypeError):
        raise BadInput("xend-relocation-address: %r is no address, interface or host here" % name) from None


def interface_address(name):
    """The IPv4 address of an interface of this host; None where there is none. A name has 15 characters."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            return socket.inet_ntoa(fcntl.ioctl(sock, SIOCGIFADDR, struct.pack("256s", name[:15]))[20:24])
        except OSError:
            return None


def span(pattern):
    r"""The first and the last address that a pattern matches; None for a plain name, which matches none.

    Only patterns of these two forms can be told. Raises ValueError for any other.

    >>> span(r"^192\.168\.1\.[0-9]+$")
    (IPv4Address('192.168.1.0'), IPv4Address('192.168.1.255'))
    >>> span(r"^node-b\.example\.org$")
    >>> span("10.0.0.2")
    Traceback (most recent call last):
    ...
    ValueError: 10.0.0.2
    """
    if re.match(r"\^[A-Za-z0-9-]+(\\\.[A-Za-z0-9-]+)*\$\Z", pattern) and re.search("[A-Za-z]", pattern):
        return None
    octets = re.match(r"\^%s\$\Z" % r"\\\.".join([r"([0-9]{1,3}|\[0-9\]\+)"] * 4), pattern)
    if not octets:
        raise ValueError(pattern)
    first, last = (".".join(end if octet == "[0-9]+" else str(int(octet)) for octet in octets.groups())
                   for end in ("0", "255"))
    return ipaddress.IPv4Address(first), ipaddress.IPv4Address(last)


def name_service():
    """Where this host looks for the name of an address: what ``hosts:`` says in /etc/nsswitch.conf."""
    try:
        with open("/etc/nsswitch.conf", encoding="latin-1") as file:
            lines = [line.split("#")[0].split() for line in file]
    except FileNotFoundError:
        lines = []
    services = [word for words in lines if words[:1] == ["hosts:"] for word in words[1:]]
    return services or ["dns"]  # that is glibc's own default, with files behind it


def names_here():
    """The IPv4 addresses and names of /etc/hosts."""
    with open("/etc/hosts", encoding="latin-1") as file:
        for words in (line.split("#")[0].split() for line in file):
            try:
                address = ipaddress.IPv4Address(words[0]) if words else None
            except ValueError:
                continue  # IPv6, of which xend knows nothing
            for name in words[1:]:
                yield address, name


def inside(address, network):
    """Whether an address belongs to the management network or to this host alone."""
    return address in network or address.is_loopback


def everybody(patterns):
    """The reason why patterns admit every address, where they are seen to do so; else an empty string."""
    if "" in patterns:
        return "a pattern in xend-relocation-hosts-allow is empty (two spaces together, or one at an end)"
    for pattern in patterns:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if all(re.match(pattern, text) for text in ("192.0.2.1", "203.0.113.254", "name", "other.example")):
                    return "the pattern %r matches everything" % pattern
        except (re.error, OverflowError):
            pass  # Python 2 may read it otherwise
    return ""


def admits(hosts_allow, network):
    """Whom xend lets in, in words, and whether nobody from outside of a network is among them.

    >>> management = ipaddress.ip_network("192.168.1.0/24")
    >>> admits("", management)
    ('every address, because xend-relocation-hosts-allow is not set, or empty', False)
    >>> admits("^node-b$  ^node-c$", management)[0]  # doctest: +ELLIPSIS
    'every address, because a pattern in xend-relocation-hosts-allow is empty (two spaces ...'
    >>> admits("10.0.0.2", management)[0]
    "what matches '10.0.0.2', and which addresses do cannot be told"
    >>> admits("^node-b$  ^node-c$", management)[1], admits("10.0.0.2", management)[1]
    (False, False)
    """
    if isinstance(hosts_allow, list):
        raise BadInput("xend-relocation-hosts-allow: a list, where a text is expected")
    if hosts_allow == "":
        return "every address, because xend-relocation-hosts-allow is not set, or empty", False
    patterns = hosts_allow.split(" ")
    if everybody(patterns):
        return "every address, because " + everybody(patterns), False
    parts, confined = [], True
    for pattern in patterns:
        try:
            ends = span(pattern)
        except ValueError:
            return "what matches %r, and which addresses do cannot be told" % pattern, False
        parts.append("the name %s" % pattern[1:-1].replace("\\", "") if ends is None else
                     str(ends[0]) if ends[0] == ends[1] else "%s to %s" % ends)
        confined = confined and (ends is None or all(inside(end, network) for end in ends)
                                 and ends[0].is_loopback == ends[1].is_loopback)
    words = ", ".join(parts)
    if name_service() != ["files"]:
        return words + ("; and every address whose PTR record says one of these, because this host asks more than "
                        "/etc/hosts for names (%s)" % " ".join(name_service())), False
    strangers = ["%s (%s)" % (address, name) for address, name in names_here() if not inside(address, network)
                 and any(re.match(pattern, name) for pattern in patterns)]
    if strangers:
        return words + "; and, by its name in /etc/hosts, " + ", ".join(strangers), False
    return words + "; names come from /etc/hosts alone", confined


def sockets(forms):
    """What is opened: (port, what it is for), in xend's order; and why the start fails behind that, or nothing.

    >>> sockets([["xend-relocation-server", "yes"], ["xend-relocation-ssl-server", "ja"]])
    ([(8002, 'relocation')], "xend-relocation-ssl-server: 'ja' is neither yes nor no")
    """
    found = []
    if flag(forms, "xend-relocation-server"):
        found.append((port(forms, "xend-relocation-port", 8002), "relocation"))
    try:
        if flag(forms, "xend-relocation-ssl-server"):
            number = port(forms, "xend-relocation-ssl-port", 8003)
            for name in ("xend-relocation-server-ssl-key-file", "xend-relocation-server-ssl-cert-file"):
                if not isinstance(setting(forms, name, None), str):
                    raise BadInput("%s is not set" % name)
            found.append((number, "relocation over SSL"))
    except BadInput as error:
        if not found:
            raise
        return found, str(error)
    return found, ""


def report(forms, network):
    """The lines that say what is opened, and whether it is no more than the network.

    >>> report([["xend-relocation-server", "yes"], ["xend-relocation-address", "10.0.0.1"]],
    ...        ipaddress.ip_network("10.0.0.0/8"))[0][0]  # doctest: +ELLIPSIS
    'listens on 10.0.0.1:8002 (relocation); admits every address, because xend-relocation-hosts-allow is not set...'
    >>> report([], ipaddress.ip_network("10.0.0.0/8"))
    (['opens nothing: relocation is off'], True)
    """
    flag(forms, "xend-unix-server")  # which opens a socket for root of this host only, and stops xend if it is wrong
    words, confined = admits(setting(forms, "xend-relocation-hosts-allow", ""), network)
    found, failure = sockets(forms)
    if not found:
        return ["opens nothing: relocation is off"], True
    name = setting(forms, "xend-relocation-address", "")
    if isinstance(name, list):
        raise BadInput("xend-relocation-address: a list, where a text is expected")
    address = address_of(name)
    where = ipaddress.IPv4Address(address)
    note = ", which is every address of this host" if where.is_unspecified else \
        ", which other hosts do not reach" if where.is_loopback else \
        "" if where in network else ", which is not in %s" % network
    lines = ["listens on %s:%s (%s)%s; admits %s" % (address, number or "a port that changes", purpose, note, words)
             for number, purpose in found]
    if failure:
        lines.append("then the start fails, and the process stays with what it has opened: " + failure)
    return lines, where.is_loopback or (where in network and not where.is_unspecified and confined)


def management_network(text):
    """The network in the second argument.

    >>> management_network("192.168.1.1/8")
    Traceback (most recent call last):
    ...
    opens.BadInput: '192.168.1.1/8' is not an IPv4 network such as 192.168.1.0/24
    """
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        network = None
    if network is None or "/" not in text or network.prefixlen == 0:
        raise BadInput("%r is not an IPv4 network such as 192.168.1.0/24" % text)
    return network


def main(arguments):
    """Print what is opened; returns the exit status."""
    if len(arguments) != 2:
        print("usage: opens.py XEND-CONFIG.SXP MANAGEMENT-NETWORK", file=sys.stderr)
        return 2
    where = ""
    try:
        network = management_network(arguments[1])
        where = arguments[0] + ": "
        with open(arguments[0], encoding="latin-1", newline="") as file:
            text = file.read()
        where += "xend would not start: "
        lines, confined = report(read(text), network)
    except BadInput as error:
        print("opens.py: %s%s" % (where, error), file=sys.stderr)
        return 2
    except OSError as error:
        print("opens.py: %s%s" % (where, error.strerror), file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0 if confined else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
