# SPDX-License-Identifier: MIT
"""Write into the pages what their commands print now: ``make update``, or ``make update PAGE=source/….md``.

What still matches stays as it is, elisions included. ``git diff`` shows the rest.
"""
from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import conf  # noqa: F401, it puts the extensions on Python's path
from tests import guide
from tests.lab.namespaces import Lab
from tests.transcripts import hosts, output, session
from tests.transcripts import page as pages
from tests.transcripts.page import PROJECT, PROMPT, Command

#: Output that a page would take for a command, or for the end of the block.
ODD = re.compile(rf"^{PROMPT.pattern}|^\s*```|^\s*:::")


class Conflict(RuntimeError):
    """What cannot be put right by writing another output."""


def outputs(lab: Lab, commands: Sequence[Command]) -> list[list[str]]:
    """Run a page and return what it is to show below each command.

    Raises Conflict where a command hangs, fails without a word, or leaves something behind.
    """
    result = session.run(lab, commands)
    if len(result.outputs) < len(commands):
        raise Conflict("\n\n".join(result.failures))
    shown = []
    for command, said in zip(commands, result.outputs, strict=True):
        shown.append(output.updated(command.expected, said) if command.shown else command.expected)
    wrong = [failure for failure in result.failures if not isinstance(failure, session.WrongOutput)]
    if wrong:
        raise Conflict("\n\n".join(wrong))
    return shown


def rewrite(text: str, changes: Sequence[tuple[Command, list[str]]]) -> str:
    """The text of a page with other outputs below these commands.

    Raises Conflict where the old output is not at its place.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(end)
    for command, new in sorted(changes, key=lambda change: change[0].line, reverse=True):
        first, last = command.below - 1, command.below - 1 + len(command.expected)
        prompt = lines[command.line - 1]
        indent = prompt[:len(prompt) - len(prompt.lstrip())]
        if prompt.strip() != (command.prompt + command.text).partition("\n")[0].strip():
            raise Conflict(f"{command}\nthe command is not found in its file")
        if odd := [line for line in new if line not in command.expected and ODD.search(line)]:
            raise Conflict(f"{command}\nprints what would be read as something else on the page: {odd[0]}")
        old = [indent + line if line else "" for line in command.expected]
        if [line.rstrip() for line in lines[first:last]] != [line.rstrip() for line in old]:
            raise Conflict(f"{command}\nthe output that the page shows is not found in its file")
        lines[first:last] = [indent + line if line else "" for line in new]
    return end.join(lines)


def update(page: guide.Page) -> bool:
    """Bring the outputs of a page up to date; whether that changed its file.

    Each packet filter that the page offers has to give the same below a command that it shares. What needs a Xen is
    left as it is. Raises Conflict, with the file as it was.
    """
    changes: dict[str, tuple[Command, list[str]]] = {}
    ran: dict[str, list[str]] = {}
    blocks = guide.blocks(page)
    hosts.check(page.file, page.metadata)
    for packet_filter in (name for name in pages.runs(blocks) if name not in pages.ON_XEN):
        commands = pages.all_commands(blocks, packet_filter)
        if reason := hosts.why_not(page.metadata, packet_filter, commands):
            raise Conflict(f"{page.name} cannot be run: {reason}")
        for command in commands:
            command.expected = ran.get(command.where, command.expected)
        with hosts.of_page(page.metadata, packet_filter) as lab:
            for command, new in zip(commands, outputs(lab, commands), strict=True):
                if command.where in ran and new != command.expected:
                    raise Conflict(f"{command}\n{packet_filter} gives another output than the packet filters before "
                                   f"it:\n{output.difference(command.expected, chr(10).join(new))}")
                ran[command.where] = new
                if new != command.expected:
                    changes[command.where] = command, new
    by_file: dict[str, list[tuple[Command, list[str]]]] = {}
    for command, new in changes.values():
        by_file.setdefault(command.file, []).append((command, new))
    texts = {PROJECT / file: rewrite(_read(PROJECT / file), changes_of_file)
             for file, changes_of_file in by_file.items()}
    for path, text in texts.items():
        new = path.with_name(f".{path.name}.new")
        new.write_text(text, encoding="utf-8", newline="")
        new.replace(path)
    return bool(texts)


def _read(path: Path) -> str:
    """The text of a file, with its own ends of lines."""
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def main() -> int:
    """Update the pages that are named, or all; the exit status is 1 where one could not be."""
    parser = argparse.ArgumentParser(prog="make update", usage="make update [PAGE=source/….md]",
                                     description="Write what the commands print now into pages.")
    parser.add_argument("page", nargs="*", type=Path, help="the file of a page; all without it")
    try:
        chosen = guide.chosen(parser.parse_args().page)
    except LookupError as error:
        parser.error(str(error))
    failed = False
    for page in chosen:
        try:
            print(f"{page.file}: {'changed: see git diff' if update(page) else 'as it was'}")
        except (Conflict, pages.PageError) as error:
            failed = True
            print(f"{page.file}: left as it was:\n{error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
