# SPDX-License-Identifier: MIT
"""A real OpenSSH server on a host of the lab, with the accounts that somebody logs in to."""
from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from tests.lab.namespaces import HUNG, Host, LabError

#: The number of every account that is made here; it need not exist on the machine.
ACCOUNT_UID = 64998


def why_not() -> str:
    """Why this machine has no sshd to run, or an empty string."""
    return "" if shutil.which("sshd", path="/usr/sbin:/usr/bin") else "not installed: sshd"


def prepare(host: Host, account: str = "relocation", home: str = "/nonexistent",
            shell: str = "/usr/sbin/nologin") -> None:
    """An account, by default the one that the page has the reader make; a node has its host key anyway."""
    host.sh(f"""
        echo '{account}:x:{ACCOUNT_UID}:{ACCOUNT_UID}::{home}:{shell}' >> /etc/passwd
        echo '{account}:x:{ACCOUNT_UID}:' >> /etc/group
        echo '{account}:*:19000::::::' >> /etc/shadow
    """)


def start(host: Host) -> None:
    """Start sshd on port 22 with the host's /etc/ssh/sshd_config; returns when it listens.

    Without root, sshd cannot change to another account (``setgroups`` is
    denied), so it runs as the accounts' number from the start, in a user namespace of
    its own, and may bind port 22. The machine's root, who owns ``/``, is a
    stranger there, so sshd must not mind who owns the folders above its files.
    """
    command = ["/usr/sbin/sshd", "-D", "-e"]
    if os.geteuid() != 0:
        host.sh("echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
        command = ["unshare", "--user", f"--map-user={ACCOUNT_UID}", f"--map-group={ACCOUNT_UID}", *command,
                   "-o", "StrictModes=no"]
    log = Path(f"/proc/{host.pid}/root/run/sshd.log")
    process = host.popen("sh", "-c", 'exec "$@" >/run/sshd.log 2>&1', "sh", *command)
    deadline = time.monotonic() + HUNG
    while "Server listening" not in (text := log.read_text() if log.exists() else ""):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"sshd on {host.name} does not listen: {text}")
        time.sleep(0.02)
