# SPDX-License-Identifier: MIT
"""The first process of a lab: makes its hosts and the wires between them, and lives until its standard input ends.

``python3 -IS anchor.pyc WIRES [NAME ROLE FOLDER BRIDGE_NF ADDRESSES SETTINGS]...``, the six for each host: its name and
role, the folder of /mnt that it has below its /run, 1 where bridged packets pass through iptables, its /etc/hosts, and
the batch for ip that gives it its bridges, addresses and routes. WIRES is the batch that makes the network namespaces
and what is between them. Says ``ready`` for each host on standard output, or ``failed``.

One program in place of a shell script, since to start another one takes longer than what most of them do; standard
library only, and little of it, for the same reason.
"""
from __future__ import annotations

import ctypes
import fcntl
import os
import sys
import time

# linux/sched.h, linux/mount.h, linux/sockios.h, linux/if.h, linux/if_addr.h
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_BIND = 0x1000
SIOCGIFFLAGS, IFF_UP, IFF_RUNNING = 0x8913, 0x1, 0x40
IFA_F_TENTATIVE = 0x40
AF_INET, SOCK_DGRAM = 2, 2
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments) -> int:
    """Call a function of the C library; raises OSError with its name."""
    result = getattr(LIBC, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{name}{arguments}")
    return result


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2)."""
    call("mount", *[text and text.encode() for text in (source, target, kind)], ctypes.c_ulong(flags),
         data and data.encode())


def write(path: str, text: str) -> None:
    """Write a file whole."""
    with open(path, "w") as file:
        file.write(text)


def start(*command: str) -> tuple[int, tuple[str, ...]]:
    """Start a program that must end well; returns what :func:`end` takes."""
    return os.posix_spawnp(command[0], command, os.environ), command


def end(started: tuple[int, tuple[str, ...]]) -> None:
    """Wait for the end of a program. Raises RuntimeError where it did not end well; it has said why."""
    process, command = started
    if os.waitpid(process, 0)[1]:
        raise RuntimeError(" ".join(command))


def ip(file: str, batch: str) -> tuple[int, tuple[str, ...]]:
    """Start ip with a batch, which it reads from a file."""
    write(file, batch + "\n")
    return start("ip", "-batch", file)


def bridged_packets(through_iptables: str) -> None:
    """Set whether iptables sees them, "1" or "0"; a kernel without br_netfilter has no such switch."""
    for name in ("iptables", "ip6tables"):
        file = "/proc/sys/net/bridge/bridge-nf-call-" + name
        if through_iptables == "1" or os.path.exists(file):
            write(file, through_iptables)


def as_in_the_topology(role: str, bridge_nf: str) -> None:
    """Set how the kernel treats the packets of this host."""
    # Of the interfaces that are there, too, and not only of those to come.
    for name in os.listdir("/proc/sys/net/ipv6/conf"):
        write(f"/proc/sys/net/ipv6/conf/{name}/accept_dad", "0")
        write(f"/proc/sys/net/ipv6/conf/{name}/accept_ra", "0")
    if role == "node":
        # The kernel's strict reverse path check, so that what gets in gets in despite it.
        for name in os.listdir("/proc/sys/net/ipv4/conf"):
            write(f"/proc/sys/net/ipv4/conf/{name}/rp_filter", "1")
    elif role in ("router", "border firewall"):
        write("/proc/sys/net/ipv4/ip_forward", "1")
        write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
    bridged_packets(bridge_nf)


def waiting() -> bool:
    """Whether an interface that is up has no link yet, or an IPv6 address is tentative.

    The kernel sees in its own time that the other end of a link is up, too, and listens for who asks for an IPv6
    address even later. Until then packets get lost.
    """
    with open("/proc/net/if_inet6") as addresses:
        if any(int(line.split()[4], 16) & IFA_F_TENTATIVE for line in addresses):
            return True
    with open("/proc/net/dev") as lines:
        names = [line.partition(":")[0].strip() for line in lines][2:]
    sock = call("socket", AF_INET, SOCK_DGRAM, 0)
    try:
        flags = [int.from_bytes(fcntl.ioctl(sock, SIOCGIFFLAGS, name.encode().ljust(40, b"\0"))[16:18], sys.byteorder)
                 for name in names]
    finally:
        os.close(sock)
    return any(each & IFF_UP and not each & IFF_RUNNING for each in flags)


def host(wires_are_made: int, name: str, role: str, folder: str, bridge_nf: str, addresses: str,
         settings: str) -> None:
    """Make this process a host; the pipe ends when its wires are made."""
    call("unshare", CLONE_NEWNS | CLONE_NEWUTS)
    call("sethostname", name.encode(), len(name.encode()))
    own = "/run/hosts/" + name
    for layer in ("etc", "etc-work", "run", "run-work"):
        os.makedirs(own + "/" + layer)
    # To make a key takes long: the nodes of the examples have one already.
    keys = "/mnt/keys/" + (name if os.path.exists("/mnt/keys/" + name) else "none")
    # /etc and /run are those of the template with a layer of the host's own on top, so that a page can say
    # /etc/nftables.conf and mean it.
    mount("overlay", "/etc", "overlay", 0, f"lowerdir={keys}:/mnt/etc,upperdir={own}/etc,workdir={own}/etc-work")
    mount("/run/media", "/media", None, MS_BIND)
    write("/etc/hosts", addresses + "\n")
    key = "/etc/ssh/ssh_host_ed25519_key"
    if role == "node" and not os.path.exists(key):
        end(start("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@" + name, "-f", key))
    os.read(wires_are_made, 1)
    # They were made after this process had left the anchor's mount namespace.
    network = os.open("/proc/1/root/run/netns/" + name, os.O_RDONLY)
    call("setns", network, CLONE_NEWNET)
    os.close(network)
    as_in_the_topology(role, bridge_nf)
    end(ip(own + "/settings", settings))
    mount("overlay", "/run", "overlay", 0,
          f"lowerdir=/mnt/{folder}:/mnt/run,upperdir={own}/run,workdir={own}/run-work")
    while waiting():
        time.sleep(0.002)


def forked(wires_are_made: int, made: int, *described: str) -> None:
    """Start a process that becomes a host and remains."""
    if os.fork():
        return
    os.close(made)
    try:
        host(wires_are_made, *described)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os.write(1, b"failed\n")
        os._exit(1)
    os.write(1, b"ready\n")
    os.execvp("sleep", ["sleep", "infinity"])


def main(wires: str, *words: str) -> None:
    """Make the lab, and wait."""
    os.setsid()  # so that Ctrl-C, which ends the tests, leaves them a lab to clean up in
    # So that lock and pid files of the machine's services are neither seen nor touched.
    mount("tmpfs", "/run", "tmpfs")
    os.mkdir("/run/media")
    wiring = ip("/run/wires", wires)
    wires_are_made, made = os.pipe()
    for at in range(0, len(words), 6):
        forked(wires_are_made, made, *words[at:at + 6])
    end(wiring)
    bridged_packets("0")
    os.close(made)
    while os.read(0, 1):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
