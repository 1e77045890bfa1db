# SPDX-License-Identifier: MIT
"""A page from its first command to its last, on the hosts of a lab."""
from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from tests.lab.namespaces import HUNG, Host, Lab
from tests.transcripts import output
from tests.transcripts.page import Command
from tests.transcripts.shell import Shell, ShellError

NOBODY = "65534"


def unprivileged() -> list[str]:
    """The command prefix that takes every right away.

    Only root can become another user. Anybody else is root of the lab's user namespace and stays so by name,
    but without a capability even that root may change nothing.
    """
    other = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *other,
            "env", "USER=user", "HOME=/nonexistent"]


class WrongOutput(str):
    """A failure that is put right when the page shows another output."""


@dataclass
class Result:
    """What came of a page: what went wrong, a text for each failure; and of each command that was run, in order,
    what it printed and the seconds that it took."""

    failures: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def run(lab: Lab, commands: Sequence[Command], limit: float = HUNG) -> Result:
    """Run the commands of a page.

    A wrong output does not end the page, so that one run shows all of them. A command that has not ended
    after ``limit`` seconds does.
    """
    result = Result([f"{command}\n{lab.topology.name} has no host {command.host}; it has {', '.join(lab.hosts)}"
                     for command in commands if command.host not in lab.hosts])
    if result.failures:
        return result
    before = {host.name: host.rules() for host in lab.hosts.values()}
    with ExitStack() as stack:
        shells: dict[str, Shell] = {}
        for number, command in enumerate(commands):
            host = lab[command.host]
            if command.prompt not in shells:
                spawn = host.popen if command.user == "root" else partial(host.popen, *unprivileged())
                shells[command.prompt] = stack.enter_context(Shell(spawn))
            start = time.monotonic()
            try:
                said, status = shells[command.prompt].run(command.text, limit)
            except ShellError as error:
                result.failures.append(f"{command}\nThe command {error}. Until then it printed:\n"
                                       f"{error.output}\n{state(host)}")
                return result
            result.outputs.append(said)
            result.seconds.append(time.monotonic() - start)
            if wrong := _wrong(command, said, status, _next(commands, number)):
                result.failures.append(type(wrong)(f"{command}\n{wrong}\n\n{state(host)}"))
    for host in lab.hosts.values():
        if (after := host.rules()) != before[host.name]:
            change = output.difference(before[host.name].splitlines(), after)
            result.failures.append(f"{host.name}: the page does not undo what it does. "
                                   f"Rules of before (-) and after (+) it:\n{change}")
    return result


def _next(commands: Sequence[Command], number: int) -> str:
    """The next command of the same shell, if its output is shown."""
    later = (command for command in commands[number + 1:] if command.prompt == commands[number].prompt)
    return next((command.text for command in later if command.shown), "")


def _wrong(command: Command, said: str, status: int, following: str) -> str:
    """What is wrong with the way a command ended, or an empty string."""
    if command.shown and not output.same(command.expected, said):
        return WrongOutput(f"--- on the page\n+++ printed (exit status {status})\n"
                           f"{output.difference(command.expected, said)}")
    if status and not command.shown:
        return f"fails: exit status {status}. It printed:\n{said}"
    if status and not command.expected and following != "echo $?":
        return (f"fails without a word: exit status {status}. Show its output, or the status "
                "with `echo $?` in the next command of this shell.")
    return ""


def state(host: Host) -> str:
    """What to know about a host when a command on it fails: its addresses, rules and listeners."""
    shown = {
        "ip -br address": host.run("ip", "-br", "address", check=False).stdout,
        "rules": host.rules(),
        "ss -Hltnp": host.run("ss", "-Hltnp", check=False).stdout,
    }
    return "\n".join([f"State of {host.name}:"] + [
        f"  {what}:\n" + "".join(f"    {line}\n" for line in text.splitlines() or ["(none)"])
        for what, text in shown.items()])
