# SPDX-License-Identifier: MIT
"""The hosts that a page's transcripts run on, as its front matter says: ``topology``, and ``sshd`` on some of them."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.lab import namespaces, sshd
from tests.lab.filters import FILTERS, iptables_of
from tests.lab.namespaces import Lab


def why_not(metadata: Mapping[str, str], packet_filter: str) -> str:
    """Why this machine cannot run the page, and the command that would help; else an empty string."""
    reason = namespaces.why_not(iptables_of(packet_filter or FILTERS[0]))
    return reason or (sshd.why_not() if "sshd" in metadata else "")


@contextmanager
def of_page(metadata: Mapping[str, str], packet_filter: str) -> Iterator[Lab]:
    """A lab with the hosts of a page, for one packet filter; ends with the block."""
    with Lab(metadata["topology"], iptables_of(packet_filter or FILTERS[0])) as lab:
        for name in metadata.get("sshd", "").split():
            sshd.prepare(lab[name])
            sshd.start(lab[name])
        yield lab
