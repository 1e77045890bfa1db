# SPDX-License-Identifier: MIT
"""The lab on a hypervisor: real Xen nodes in QEMU, by software emulation, so that any machine can run them.

The modules: ``packages`` asks Debian's mirror, ``image`` makes a node's image of its packages, ``cache`` keeps what is
made, ``qemu`` runs one node, saves and restores it, ``serial`` runs commands on it, ``cluster`` is the lab of one
topology, ``guest`` a guest that counts, ``libvirt`` the same in the care of libvirt, ``device_model`` brings a node
what guests of type HVM need. ``disk`` and ``systemd`` are the image and the lab of nodes that boot as Debian does, and
can be rebooted. The folder ``inside`` has what goes into the image.
"""
