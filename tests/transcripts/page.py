# SPDX-License-Identifier: MIT
"""The commands of a page: which are run for a packet filter, where they stand, and what they are to print."""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from source._ext.code_kinds import PROMPT, CodeBlock
from tests.lab.filters import FILTERS
from tests.transcripts import output

PROJECT = Path(__file__).resolve().parents[2]
#: The tab that a packet filter's commands are in.
TABS = {packet_filter: packet_filter.partition("-")[0] for packet_filter in FILTERS}
SHELLS = {"#": "root", "$": "user"}
HERE_DOCUMENT = re.compile(r"(?<!<)<<-?\s*([\"']?)(\w+)\1")
DELIMITER = "EOF"


class PageError(ValueError):
    """A transcript that cannot be run as it is written; the message begins with its place."""


@dataclass
class Command:
    """One command of a transcript, with the output that the page shows below it."""

    where: str
    prompt: str
    text: str
    expected: list[str] = field(default_factory=list)

    @property
    def user(self) -> str:
        return self.prompt.partition("@")[0]

    @property
    def host(self) -> str:
        return self.prompt.partition("@")[2][:-2]

    def __str__(self) -> str:
        return f"{self.where}: {self.prompt}{self.text}"


def filters(blocks: Iterable[CodeBlock]) -> list[str]:
    """The packet filters that a page offers in tabs; none where it has no such tabs."""
    blocks = list(blocks)
    return [name for name, tab in TABS.items() if any(tab in block.tabs for block in blocks)]


def transcripts(blocks: Iterable[CodeBlock], packet_filter: str = "") -> list[CodeBlock]:
    """The transcripts that are run for a packet filter."""
    others = set(TABS.values()) - {TABS.get(packet_filter)}
    return [block for block in blocks if block.kind == "transcript" and not block.tabs & others]


def commands(block: CodeBlock) -> list[Command]:
    """The commands of a transcript, in order. Raises PageError."""
    found: list[Command] = []
    place, first = _place(block)
    lines = enumerate(block.text.splitlines(), first)
    for number, line in lines:
        if prompt := PROMPT.match(line):
            command = Command(f"{place}:{number}", prompt.group(), line[prompt.end():])
            if SHELLS[command.prompt[-2]] != command.user:
                raise PageError(f"{command}\na prompt is root@HOST# or user@HOST$")
            command.text = "\n".join([command.text, *_further_lines(command, lines)])
            found.append(command)
        elif found:
            found[-1].expected.append(line)
        else:
            raise PageError(f"{place}:{number}: {line}\nno command comes before this output")
    for command in found:
        if output.says_nothing(command.expected):
            raise PageError(f"{command}\nan output of elisions alone says nothing")
    return found


def _further_lines(command: Command, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    """Take what belongs to the command from the lines below it."""
    line = command.text
    while True:
        if here_document := HERE_DOCUMENT.search(line):
            if here_document[2] != DELIMITER:
                raise PageError(f"{command}\nthe copy button knows no here-document but <<{DELIMITER}")
            ended = False
            for _, line in lines:
                yield line
                if ended := line.lstrip("\t") == DELIMITER:
                    break
            if not ended:
                raise PageError(f"{command}\nthe here-document has no end: {DELIMITER} on a line of its own")
        elif line.endswith("\\"):
            _, line = next(lines, (0, ""))
            yield line
        else:
            return


def _place(block: CodeBlock) -> tuple[str, int]:
    """The file of a block, and the line on which its text begins.

    The doctree knows the line of the directive, or one shortly before it where that is in a tab. So the text
    itself is looked for from there on.
    """
    source = Path(block.source)
    name = str(source.relative_to(PROJECT)) if source.is_relative_to(PROJECT) else block.source
    text = _plain(block.text)
    lines = _plain(source.read_text(encoding="utf-8")) if source.is_file() else []
    for start in range(max(block.line - 1, 0), len(lines)):
        if lines[start:start + len(text)] == text:
            return name, start + 1
    return name, block.line


def _plain(text: str) -> list[str]:
    """The lines of a text, the same however far they are indented."""
    return [" ".join(line.split()) for line in text.splitlines()]
