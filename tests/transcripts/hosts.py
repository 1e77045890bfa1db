# SPDX-License-Identifier: MIT
"""The hosts that a page's transcripts run on, as its front matter says.

``topology``, ``sshd`` on some of them, and what it ``needs`` besides, such as ``wireguard``.
"""
from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from code_kinds import PROGRAMS
from tests.lab import namespaces, sshd, topology, wireguard
from tests.lab.filters import FILTERS, iptables_of
from tests.lab.hypervisor import cluster
from tests.lab.hypervisor.cluster import Cluster
from tests.lab.hypervisor.guest import MIGRATION
from tests.lab.namespaces import HUNG, PATH, Lab
from tests.lab.topology import TopologyError
from tests.transcripts.page import ON_XEN, Command, PageError, simple_commands

#: What the front matter of a page may ask for, and why this machine has none.
NEEDS = {"wireguard": wireguard.why_not}
#: Of the programs, those that the shell has built in or the lab brings along.
ALWAYS_THERE = {"echo", "exec", "kill", "printf", "set", "test", "umask", "xend"}


def check(file: str, metadata: Mapping[str, str]) -> None:
    """Raise PageError where the front matter of a page's file asks for what there is not."""
    try:
        known = topology.load(metadata["topology"]).hosts
    except TopologyError as error:
        raise PageError(f"{file}: topology: {error}") from error
    for key, names in (("sshd", known), ("needs", NEEDS)):
        for name in metadata.get(key, "").split():
            if name not in names:
                raise PageError(f"{file}: {key}: {name}: there is only {', '.join(names)}")


def why_not(metadata: Mapping[str, str], packet_filter: str, commands: Iterable[Command]) -> str:
    """Why this machine cannot run the commands of a page, and what would help; else an empty string."""
    if packet_filter in ON_XEN:
        return cluster.why_not()
    if reason := namespaces.why_not(iptables_of(packet_filter or FILTERS[0])):
        return reason
    if "sshd" in metadata and (reason := sshd.why_not()):
        return reason
    for what in metadata.get("needs", "").split():
        if reason := NEEDS[what]():
            return reason
    used = {simple.split(" ")[0] for command in commands for simple in simple_commands(command.text)}
    missing = sorted(name for name in used & PROGRAMS - ALWAYS_THERE if not shutil.which(name, path=PATH))
    return f"not installed: {', '.join(missing)}; sudo ./install-packages.sh test" if missing else ""


def limit(packet_filter: str) -> float:
    """Seconds after which a command of a page counts as hung: on Xen, a migration may take as long."""
    return MIGRATION if packet_filter in ON_XEN else HUNG


@contextmanager
def of_page(metadata: Mapping[str, str], packet_filter: str, bridge_nf: bool = False) -> Iterator[Lab]:
    """A lab with the hosts of a page, for one packet filter or on one Xen; ends with the block."""
    if packet_filter in ON_XEN:
        with Cluster(metadata["topology"], ON_XEN[packet_filter]) as lab:
            yield lab
        return
    with Lab(metadata["topology"], iptables_of(packet_filter or FILTERS[0]), bridge_nf) as lab:
        for name in metadata.get("sshd", "").split():
            sshd.prepare(lab[name])
            sshd.start(lab[name])
        yield lab
