# SPDX-License-Identifier: MIT
"""exposure.py on a host of the lab that has no nft: what tables the kernel has, it asks the kernel itself."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import namespaces, skip
from tests.lab.namespaces import Host, Lab

TABLES = """
import sys
sys.path.insert(0, "domain-0")
import exposure
try:
    sys.stdout.write("".join(table + "\\n" for table in exposure.kernel_tables()))
except exposure.BadInput as error:
    sys.exit("one line: %s" % error)
"""


@pytest.fixture
def node() -> Iterator[Host]:
    skip.without_lab(namespaces.why_not())
    with Lab("domain-0") as lab:
        yield lab["node-a"]


def tables(node: Host) -> list[str]:
    return sorted(node.run("python3", "-c", TABLES).stdout.splitlines())


def test_every_table_is_named(node):
    """As many as fill more than one answer of the kernel's, of every family there is."""
    families = ["inet", "ip", "ip6", "arp", "bridge", "netdev"]
    assert tables(node) == []
    made = [f"{family} {'t' * (100 + number)}" for family in families for number in range(60)]
    node.run("nft", "-f", "-", input="".join(f"table {table} {{ }}\n" for table in made))
    assert tables(node) == sorted(made)


def test_who_may_not_list_them_is_told_so(node):
    """And is not told that there are none."""
    done = node.run("setpriv", "--bounding-set=-net_admin", "python3", "-c", TABLES, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "one line: the tables of nftables cannot be listed: Operation not permitted\n"
