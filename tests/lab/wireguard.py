# SPDX-License-Identifier: MIT
"""WireGuard on hosts of the lab: the kernel's implementation, or wireguard-go where the kernel has none.

``wg-quick`` chooses, on the hosts as on a reader's node.
"""
from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess

from tests.lab.namespaces import PATH, Host, unshare


@functools.cache
def why_not() -> str:
    """Why this machine's hosts can have no WireGuard, and the command that would help; else an empty string."""
    missing = [name for name in ("wg", "wg-quick") if not shutil.which(name, path=PATH)]
    if missing:
        return f"not installed: {', '.join(missing)}; sudo ./install-packages.sh test"
    # As wg-quick does it. /run is the lab's own there, too: wireguard-go has its socket in it.
    test = subprocess.run([*unshare(), "--net", "env", f"PATH={PATH}", "sh", "-c",
                           "mount -t tmpfs tmpfs /run && { ip link add wg0 type wireguard || wireguard-go wg0; }"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not test.returncode:
        return ""
    help = "run the tests as root" if os.geteuid() else "sudo modprobe -a wireguard tun"
    if not shutil.which("wireguard-go", path=PATH):
        help = "sudo ./install-packages.sh test"
    # wireguard-go recommends the kernel's, in a box.
    said = [line for line in test.stdout.splitlines() if line.strip() and line[0] not in "┌│└"]
    return f"no WireGuard: {said[-1]}; {help}"


def make_key(host: Host) -> str:
    """Make the host's key as the page does; returns the public half."""
    return host.sh("(umask 077; wg genkey >/etc/wireguard/private-key); "
                   "wg pubkey </etc/wireguard/private-key").stdout.strip()


def configure(host: Host, text: str, peer_key: str) -> None:
    """Put the other end's key into a configuration, check it, and bring the interface up."""
    text = re.sub("^PublicKey =.*", f"PublicKey = {peer_key}", text, flags=re.MULTILINE)
    host.run("tee", "/etc/wireguard/wg0.conf", input=text)
    host.sh("python3 check_values.py /etc/wireguard/wg0.conf; wg-quick up wg0")
