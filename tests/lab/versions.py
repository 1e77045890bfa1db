# SPDX-License-Identifier: MIT
"""Which versions of the kernel and of the programs decide what a host of the lab does."""
from __future__ import annotations

import re

from tests.lab.namespaces import Host

#: What asks each program, and where its answer has the version.
ASKED = {
    "Linux": (["uname", "-r"], r"(\S+)"),
    "Xen": (["xl", "info"], r"xen_version +: (\S+)"),
    "nftables": (["nft", "--version"], r"v(\S+)"),
    "iptables": (["iptables", "--version"], r"v(\S+ \(\w+\))"),
    "OpenSSH": (["ssh", "-V"], r"OpenSSH_([^\s,]+)"),
    "Python": (["python3", "--version"], r"Python (\S+)"),
}


def of(host: Host) -> dict[str, str]:
    """The version of each by its name, that of iptables with its back end; what a host lacks is left out."""
    found = {}
    for name, (command, pattern) in ASKED.items():
        answer = host.run(*command, check=False)
        if match := re.search(pattern, answer.stdout + answer.stderr):
            found[name] = match[1]
    return found
