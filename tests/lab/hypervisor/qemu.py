# SPDX-License-Identifier: MIT
"""One node: a QEMU by software emulation, with the image of a release."""
from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.lab.hypervisor.serial import Serial, SerialError

PROGRAM = "qemu-system-x86_64"
#: Megabytes of a node, and of these Domain-0's; the rest is for Xen and the guests.
MEMORY, DOMAIN_0 = 768, 576
#: Megabytes of the machine that a node takes.
TAKES = 1200
#: The network cards of every node.
CARDS = ("eth0", "eth1")
#: Seconds after which a node that starts counts as hung: cold, and from a saved state.
BOOT, RESTORE = 300, 120
#: The same for one that goes down: systemd kills after 90 s what does not end.
SHUTDOWN = 150

#: What Xen says when Domain-0 has ended.
CRASHED = "Dom0 crashed"


class NodeError(RuntimeError):
    """A node did not start, or is gone; the message has the end of its console."""


def version() -> str:
    """The version of QEMU, to which a saved state belongs."""
    return subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def arguments(image: Path) -> list[str]:
    """What every node has. A saved state fits these arguments only.

    A root that is a ramfs may take more than half of the memory, as a tmpfs may not.
    """
    return [
        "-accel", "tcg", "-cpu", "qemu64,+svm,+npt", "-M", "pc", "-m", str(MEMORY), "-smp", "1",
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-kernel", str(image / "xen"),
        "-append", "console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=warning noreboot "
                   f"dom0_mem={DOMAIN_0}M,max:{DOMAIN_0}M",
        "-initrd", f"{image / 'vmlinux'} console=hvc0 quiet net.ifnames=0 rootfstype=ramfs,{image / 'root.cpio'}",
        "-serial", "chardev:console", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control",
        *(word for card in CARDS for word in ("-device", f"virtio-net-pci,netdev={card},romfile="))]


class Machine:
    """A node as a process. ``enter`` is the command prefix of the namespaces that it runs in, ``folder`` a folder
    there as seen from here (``seen``) and from there, ``taps`` the interfaces that its cards are plugged into.
    A node with a disk has it in that folder."""

    def __init__(self, name: str, image: Path, enter: Sequence[str], folder: str, seen: Path,
                 taps: Mapping[str, str]):
        self.name = name
        self._image = image
        self._enter = enter
        self._folder = folder
        self._seen = seen
        self._taps = taps
        self.disk = seen / f"{name}.disk"
        self.serial: Serial | None = None
        self._process: subprocess.Popen | None = None

    def start(self, state: Path | None = None) -> None:
        """Start the node, cold or from a saved state; returns when it obeys. Raises NodeError."""
        own = [
            "-chardev", f"file,id=console,append=on,path={self._folder}/{self.name}.console",
            "-chardev", f"socket,id=control,path={self._folder}/{self.name}.control,server=on,wait=off",
            "-qmp", f"unix:{self._folder}/{self.name}.qmp,server=on,wait=off",
            *(word for card, tap in self._taps.items()
              for word in ("-netdev", f"tap,id={card},ifname={tap},script=no,downscript=no"))]
        if self.disk.exists():
            own += ["-drive", f"file={self._folder}/{self.name}.disk,format=raw,if=virtio"]
        incoming = ["-incoming", f"exec:cat {state}"] if state else []
        self._process = subprocess.Popen([*self._enter, PROGRAM, *arguments(self._image), *own, *incoming],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         text=True)
        deadline = time.monotonic() + (RESTORE if state else BOOT)
        while not self._obeys():
            if self._process.poll() is not None:
                raise NodeError(f"QEMU of {self.name} has ended: {self._process.stdout.read().strip()}")
            if time.monotonic() > deadline or CRASHED in self.console():
                raise NodeError(f"{self.name} did not start within {RESTORE if state else BOOT} s; "
                                f"its console:\n{self.console()[-3000:]}")

    def go_down(self, begin: Callable[[], object]) -> None:
        """Have ``begin`` tell the node to reboot; returns when it has gone down. Raises NodeError.

        QEMU ends with it: a second boot within one takes nearly twice as long.
        """
        begin()
        try:
            self._process.wait(SHUTDOWN)
        except subprocess.TimeoutExpired as error:
            raise NodeError(f"{self.name} did not go down within {SHUTDOWN} s; "
                            f"its console:\n{self.console()[-3000:]}") from error
        self._process.stdout.close()
        self.serial.close()
        self.serial = None

    def _obeys(self) -> bool:
        """Whether commands can be run on it."""
        try:
            self.serial = self.serial or Serial(self._seen / f"{self.name}.control")
            return self.serial.hello(1)
        except (OSError, SerialError):
            time.sleep(0.02)
            return False

    def console(self) -> str:
        """All that Xen and Domain-0's kernel have printed."""
        try:
            return (self._seen / f"{self.name}.console").read_text(errors="replace")
        except OSError as error:
            return f"(no console: {error})"

    def save(self, to: Path) -> None:
        """Write the state of the node to a file, and end it. Raises NodeError where that does not work.

        It is not stopped before: a node that is restored goes on where it was, and would stay stopped.
        """
        self.serial.close()
        with Qmp(self._seen / f"{self.name}.qmp") as qmp:
            qmp.do("migrate-set-parameters", **{"max-bandwidth": 2 ** 40})
            qmp.do("migrate", uri=f"exec:cat > {to}")
            while (status := qmp.do("query-migrate"))["status"] not in ("completed", "failed"):
                time.sleep(0.05)
        if status["status"] == "failed":
            raise NodeError(f"the state of {self.name} could not be saved: {status.get('error-desc', 'QEMU failed')}")
        self.stop()

    def stop(self) -> None:
        """End it at once, as a power cut would."""
        if self.serial:
            self.serial.close()
        if self._process:
            # nsenter, which is between QEMU and here, passes no signal on.
            if self._process.poll() is None:
                try:
                    with Qmp(self._seen / f"{self.name}.qmp") as qmp:
                        qmp.do("quit")
                except (OSError, NodeError):
                    self._process.kill()
            self._process.wait()
            self._process.stdout.close()


class Qmp:
    """QEMU's own control; use it as a context manager."""

    def __init__(self, path: Path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r")
        self._lines.readline()  # the greeting
        self.do("qmp_capabilities")

    def __enter__(self) -> Qmp:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def do(self, command: str, **arguments: object) -> dict:
        """Run a command; what it returns. Raises NodeError where QEMU refuses."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        for line in self._lines:
            said = json.loads(line)
            if "error" in said:
                raise NodeError(f"QEMU refuses {command}: {said['error']['desc']}")
            if "return" in said:
                return said["return"]
        return {}


def memory_available() -> int:
    """Megabytes that the machine has left."""
    return int(re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())[1]) // 1024
