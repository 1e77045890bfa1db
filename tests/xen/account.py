# SPDX-License-Identifier: MIT
"""The account that can receive a guest and do nothing else, set up between two nodes as the guide does it."""
from __future__ import annotations

from tests.lab.namespaces import Host

CLIENT = "/etc/xen/migration/ssh_config"
#: For ``xl migrate``.
THROUGH = ("-s", f"ssh -F {CLIENT}")


def reload_sshd(node: Host) -> None:
    """Returns when it listens again: it writes the file with its number after that."""
    node.sh("""
        sshd -t
        pid=$(cat /run/sshd.pid)
        rm /run/sshd.pid
        kill -HUP "$pid"
        until [ -s /run/sshd.pid ]; do sleep 0.1; done
    """)


def set_up(sender: Host, receiver: Host, interface: str) -> None:
    """Have one node send to the other, from and to their addresses on an interface; root's own way is taken away."""
    receiver.sh("""
        useradd --system --home-dir / --shell /bin/sh xen-migration
        install -m 755 domain-0/xl-receive.sh /usr/local/sbin/xl-receive
        install -m 440 domain-0/sudoers-xen-migration /etc/sudoers.d/xen-migration
        install -m 644 domain-0/sshd-xen-migration.conf /etc/ssh/sshd_config.d/00-xen-migration.conf
        rm /root/.ssh/authorized_keys
    """)
    sender.sh(f"""
        install -d -m 700 /etc/xen/migration
        install -m 644 domain-0/ssh-xen-migration.conf {CLIENT}
        ssh-keygen -q -t ed25519 -N '' -f /etc/xen/migration/key
    """)
    key = sender.run("cat", "/etc/xen/migration/key.pub").stdout
    address = receiver.address(interface=interface)
    receiver.run("tee", "/etc/ssh/xen-migration-authorized-keys",
                 input=f'restrict,from="{sender.address(interface=interface)}" {key}')
    sender.run("tee", "/etc/xen/migration/known_hosts",
               input=f"{address} {receiver.run('cat', '/etc/ssh/ssh_host_ed25519_key.pub').stdout}")
    reload_sshd(receiver)
