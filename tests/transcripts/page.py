# SPDX-License-Identifier: MIT
"""The commands of a page: which are run for a packet filter, where they stand, and what they are to print."""
from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from code_kinds import PROMPT, CodeBlock
from tests.lab.filters import FILTERS
from tests.lab.hypervisor.packages import RELEASES
from tests.transcripts import output

PROJECT = Path(__file__).resolve().parents[2]
PROMPT_IN_TEXT = re.compile(rf"^{PROMPT.pattern}", re.MULTILINE)
#: The tab that a packet filter's commands are in.
TABS = {packet_filter: packet_filter.partition("-")[0] for packet_filter in FILTERS}
#: What stands in the place of a packet filter where blocks run on real nodes: the version of Xen by that name.
ON_XEN = {f"xen-{version}": version for version in RELEASES}
SHELLS = {"#": "root", "$": "user"}
#: The words of the shell before which or after which a command begins.
RESERVED = ("then", "do", "done", "else", "fi", "if", "until", "while", "!", "{", "}")
REDIRECTION = re.compile(r"\d*[<>]")
HERE_DOCUMENT = re.compile(r"(?<!<)<<-?\s*([\"']?)(\w+)\1")
DELIMITER = "EOF"


class PageError(ValueError):
    """A transcript that cannot be run as it is written; the message begins with its place."""


@dataclass
class Command:
    """One command of a transcript, with the output that the page shows below it.

    ``line`` is that of the prompt, ``below`` the one after the command, where its output begins. ``shown`` is
    False for a command within a sentence, whose output no page shows.
    """

    file: str
    line: int
    prompt: str
    text: str
    block: CodeBlock
    expected: list[str] = field(default_factory=list)
    below: int = 0
    shown: bool = True

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

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


def runs(blocks: Iterable[CodeBlock]) -> list[str]:
    """What a page is run for: its packet filters, or an empty string; and each Xen, where it has blocks for that."""
    transcripts = [block for block in blocks if block.kind == "transcript"]
    return [name for on_xen, names in ((False, filters(blocks) or [""]), (True, list(ON_XEN)))
            for name in names if any(block.xen == on_xen for block in transcripts)]


def transcripts(blocks: Iterable[CodeBlock], packet_filter: str = "") -> list[CodeBlock]:
    """The transcripts that are run for a packet filter, or on a Xen."""
    others = set(TABS.values()) - {TABS.get(packet_filter)}
    return [block for block in blocks if block.kind == "transcript" and block.xen == (packet_filter in ON_XEN)
            and not block.tabs & others]


def filters_of(blocks: Sequence[CodeBlock], block: CodeBlock) -> list[str]:
    """The packet filters for which a page runs a block, or each Xen that it runs on."""
    return [name for name in runs(blocks) if block in transcripts(blocks, name)]


def cases(guide: Mapping[str, Sequence[CodeBlock]]) -> Iterator[tuple[str, str]]:
    """Each page that has transcripts, by name, with each packet filter that it offers, or with an empty string, and
    with each Xen where it has blocks for that."""
    for page, blocks in guide.items():
        for name in runs(blocks):
            yield page, name


def all_commands(blocks: Iterable[CodeBlock], packet_filter: str = "") -> list[Command]:
    """The commands of all transcripts that are run for a packet filter, or on a Xen. Raises PageError."""
    return [command for block in transcripts(blocks, packet_filter) for command in commands(block)]


def commands(block: CodeBlock) -> list[Command]:
    """The commands of a transcript, in order. Raises PageError."""
    found: list[Command] = []
    file, first = place(block)
    lines = enumerate(block.text.splitlines(), first)
    for number, line in lines:
        if prompt := PROMPT.match(line):
            command = Command(file, number, prompt.group(), line[prompt.end():], block, shown=not block.inline)
            if SHELLS[command.prompt[-2]] != command.user:
                raise PageError(f"{command}\na prompt is root@HOST# or user@HOST$")
            command.text = "\n".join([command.text, *_further_lines(command, lines)])
            command.below = number + 1 + command.text.count("\n")
            found.append(command)
        elif found:
            found[-1].expected.append(line)
        else:
            raise PageError(f"{file}:{number}: {line}\nno command comes before this output")
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


def simple_commands(text: str) -> list[str]:
    """The commands that a line of shell is made of, each with single spaces, and without its redirections and the
    variables that are set before it."""
    return [" ".join(words) for command in commands_in_words(text)
            if (words := [word for word in command if not REDIRECTION.match(word)]) and words[0] not in ("for", "case")]


@functools.cache
def commands_in_words(text: str) -> list[list[str]]:
    """The commands that a line of shell is made of, in words, of which a redirection is one."""
    text = re.sub(r"(<<-?\s*'?EOF'?.*)(?s:.*?)^\s*EOF$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"(^|\s)#.*", "", text)
    text = re.sub(r"\d*[<>]&\d", " ", text.replace("\\\n", " ").replace("\n", " ; "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:  # a quotation without an end, of which bash will say more
        return [[text]]
    commands: list[list[str]] = [[]]
    for word in words:
        if re.fullmatch(r"[;&|()]+", word) or (not commands[-1] and word in RESERVED):
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", word):
            commands[-1].append(word)
    return commands


def simple_commands_of(block: CodeBlock) -> Iterator[str]:
    """The same of all commands of a transcript."""
    for command in commands(block):
        yield from simple_commands(command.text)


def where(block: CodeBlock) -> str:
    """``file:line`` of a block's text, the file from the project's folder."""
    return ":".join(map(str, place(block)))


def place(block: CodeBlock) -> tuple[str, int]:
    """The file of a block, and the line on which its text begins.

    The doctree knows the line of the directive, or one shortly before it where that is in a tab, and of a command
    within a sentence that of the paragraph. So the text itself is looked for from there on.
    """
    source = Path(block.source)
    name = str(source.relative_to(PROJECT)) if source.is_relative_to(PROJECT) else block.source
    lines = _plain(source.read_text(encoding="utf-8")) if source.is_file() else ()
    text = _plain(PROMPT.sub("", block.text) if block.inline else block.text)
    for start in range(max(block.line - 1, 0), len(lines)):
        if block.inline:
            # A sentence may break within the command, behind its first word.
            here = text[0].split()[0] in lines[start] and text[0] in " ".join(lines[start:start + 2])
        else:
            here = lines[start:start + len(text)] == text
        if here:
            return name, start + 1
    return name, block.line


@functools.cache
def _plain(text: str) -> tuple[str, ...]:
    """The lines of a text, the same however far they are indented."""
    return tuple(" ".join(line.split()) for line in text.splitlines())
