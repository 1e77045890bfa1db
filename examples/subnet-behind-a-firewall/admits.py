#!/usr/bin/env python3
"""Tells how many addresses a source in a firewall rule really admits.

    python3 subnet-behind-a-firewall/admits.py SOURCE...

A source is written as for ``iptables --source`` or ``ip saddr``: an address, or
an address with a prefix length. Exit status 0 where each source says what it
means, 1 where one has host bits set and so admits more than it names, 2 where
one cannot be read.

Needs ``check_values.py`` in the folder above or beside it, and nothing else.
"""
import ipaddress
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from check_values import BadValue, show  # noqa: E402


def admitted(source):
    """The network that the packet filter makes of a source: host bits are masked.

    >>> admitted("192.168.1.1/8")
    IPv4Network('192.0.0.0/8')
    >>> admitted("192.168.1.7")
    IPv4Network('192.168.1.7/32')
    >>> admitted("192.168.1.0/33")
    Traceback (most recent call last):
    ...
    check_values.BadValue: '192.168.1.0/33' is not an address, nor a network such as 192.168.1.0/24
    """
    try:
        return ipaddress.ip_network(source, strict=False)
    except ValueError:
        raise BadValue("%s is not an address, nor a network such as 192.168.1.0/24" % show(source)) from None


def sentence(source):
    """What a source admits, in words.

    >>> sentence("192.168.1.0/24")
    '192.168.1.0/24 admits 256 addresses: 192.168.1.0 to 192.168.1.255'
    >>> sentence("192.168.1.1/8")
    '192.168.1.1/8 means 192.0.0.0/8 and admits 16,777,216 addresses: 192.0.0.0 to 192.255.255.255'
    >>> sentence("192.168.1.7")
    '192.168.1.7 admits 1 address'
    """
    network = admitted(source)
    means = " means %s and" % network if host_bits(source) else ""
    if network.num_addresses == 1:
        return "%s%s admits 1 address" % (source, means)
    return "%s%s admits %s addresses: %s to %s" % (
        source, means, format(network.num_addresses, ","), network[0], network[-1])


def host_bits(source):
    """Whether a source names more than its network: 192.168.1.1/8 does.

    >>> host_bits("192.168.1.1/8"), host_bits("192.168.1.0/24")
    (True, False)
    """
    return ipaddress.ip_interface(source).ip != admitted(source).network_address


def main(sources):
    """Print a sentence for each source; returns the exit status.

    >>> main(["192.168.1.7", "192.168.1.1/32"])
    192.168.1.7 admits 1 address
    192.168.1.1/32 admits 1 address
    0
    >>> main(["192.168.1.7", "192.168.1.1/31"])
    192.168.1.7 admits 1 address
    192.168.1.1/31 means 192.168.1.0/31 and admits 2 addresses: 192.168.1.0 to 192.168.1.1
    1
    >>> main([]), main(["192.168.1.0/33"])
    (2, 2)
    """
    if not sources:
        print("usage: admits.py SOURCE...", file=sys.stderr)
        return 2
    try:
        for source in sources:
            print(sentence(source))
    except BadValue as error:
        print("admits.py: %s" % error, file=sys.stderr)
        return 2
    return 1 if any(host_bits(source) for source in sources) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
