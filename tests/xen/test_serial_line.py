# SPDX-License-Identifier: MIT
"""What the hypervisor writes to the first serial port, by its own command line."""
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import skip
from tests.lab.hypervisor import cluster, image, qemu
from tests.lab.hypervisor.packages import RELEASES


@pytest.mark.parametrize(("options", "writes"), [
    ("", False), ("com1=115200,8n1", False), ("console=com1,vga", True), ("console=com1,vga com1=115200,8n1", True)])
def test_xen_writes_to_the_serial_line_only_if_its_console_is_there(xen, options, writes, tmp_path: Path):
    """Without Domain-0's kernel it says so, and ends the machine: then all is written that ever will be."""
    skip.without_lab(cluster.why_not())
    hypervisor = image.take(RELEASES[xen], lambda _: None) / "xen"
    line = tmp_path / "line"
    subprocess.run([qemu.PROGRAM, "-accel", "tcg", "-m", "256", "-nodefaults", "-no-user-config", "-no-reboot",
                    "-display", "none", "-vga", "std", "-serial", f"file:{line}", "-kernel", hypervisor,
                    "-append", f"xen {options}"], check=True, timeout=60)
    assert ("(XEN) dom0 kernel not specified" in line.read_text(errors="replace")) == writes
