# SPDX-License-Identifier: MIT
"""What a guest of type HVM opens on Domain-0, and to whom: its screen, by VNC."""
from __future__ import annotations

from tests.lab.hypervisor import device_model, libvirt
from tests.lab.namespaces import Host

SCENARIO = "isolated-management-network"
#: A guest with a BIOS and nothing to boot.
XL = 'name = "h"\ntype = "hvm"\nmemory = 64\nvcpus = 1\n'
LIBVIRT = f"""
<domain type='xen'>
  <name>h</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='xenfv'>hvm</type><loader type='rom'>/usr/lib/xen-VERSION/boot/hvmloader</loader></os>
  <features><acpi/><apic/></features>
  <devices><emulator>{device_model.PROGRAM}</emulator><graphics type='vnc'/></devices>
</domain>
"""
#: What a client is told: the version, and how many ways there are to say who it is. Way 1 is: not at all (RFC 6143).
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], 5900), 20) as sock:
    version = sock.recv(12)
    sock.sendall(version)
    print(version.decode().strip(), list(sock.recv(2)))
"""
NO_QUESTION = "RFB 003.008 [1, 1]\n"
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


def listeners(node: Host) -> set[str]:
    return {socket for socket in node.tcp_listeners() if not socket.endswith(":22")}


def test_the_screen_of_a_guest(start_cluster, xen):
    """On the loopback address, for every user of Domain-0; on all addresses, if you say so. There is no password."""
    lab = start_cluster(SCENARIO, xen)
    node, outsider = lab["node-a"], lab["outsider"]
    device_model.install(node)

    node.run("tee", "/etc/xen/h.cfg", input=XL)
    node.run("xl", "create", "/etc/xen/h.cfg")
    assert listeners(node) == {"127.0.0.1:5900"}
    assert node.run(*NOBODY, "python3", "-c", ASK, "127.0.0.1").stdout == NO_QUESTION
    for host, address in (("outsider", "203.0.113.11"), ("node-b", "192.168.1.1")):
        assert lab[host].probe(address, 5900) == "refused"
    # The program that does it, and with what rights; its other sockets are files.
    assert "root" in node.run("ps", "-C", device_model.PROGRAM.rpartition("/")[2][:15], "-o", "user=").stdout.split()
    node.run("xl", "destroy", "h")
    assert listeners(node) == set()

    node.run("tee", "/etc/xen/h.cfg", input=f'{XL}vnclisten = "0.0.0.0"\n')
    node.run("xl", "create", "/etc/xen/h.cfg")
    assert listeners(node) == {"0.0.0.0:5900"}
    assert outsider.run("python3", "-c", ASK, "203.0.113.11").stdout == NO_QUESTION
    node.run("xl", "destroy", "h")

    libvirt.start(node)
    node.run("tee", "/etc/xen/h.xml", input=LIBVIRT.replace("VERSION", xen))
    node.run("virsh", "create", "/etc/xen/h.xml")
    assert listeners(node) == {"127.0.0.1:5900"}
