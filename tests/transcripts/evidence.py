# SPDX-License-Identifier: MIT
"""What is kept of the runs: which block was run, when, on which versions. A guide built later shows it.

A block that was run is known by a hash of its own text and of all that decides what came out: the topology, what the
session ran before it, and the examples that it named. So a record ends when any of these changes: no page claims
what was not run.
"""
from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from source._ext.code_kinds import EXAMPLES, CodeBlock
from tests.transcripts import page as pages
from tests.transcripts.page import PROJECT

FILE = PROJECT / "build" / "evidence.json"
#: These only look at the files that they are given.
ONLY_LOOK = ("check_values.py", "cat", "grep", "sed")

#: The words of the shell before which or after which a command begins.
RESERVED = ("then", "do", "done", "else", "fi", "if", "until", "while", "!", "{", "}")


@dataclass
class Block:
    """A block that was run: where it stood then, its hash, and the seconds that its commands took together."""

    where: str
    sha256: str
    seconds: float


@dataclass
class Session:
    """A page that was run to its end as it says, with one packet filter or none, or its blocks for Xen on one.

    ``date`` is that of the run (YYYY-MM-DD), ``versions`` what ran it, ``examples`` the hash of each example file
    that its commands named.
    """

    page: str
    packet_filter: str
    date: str
    versions: dict[str, str]
    blocks: list[Block]
    examples: dict[str, str] = field(default_factory=dict)


@dataclass
class Evidence:
    """All that is kept: sessions, and the tests that pages name, each with the date of its last success."""

    sessions: list[Session] = field(default_factory=list)
    tests: dict[str, str] = field(default_factory=dict)

    def of(self, page: str, packet_filter: str, sha256: str) -> Session | None:
        """The session that ran a block."""
        return next((session for session in self.sessions
                     if (session.page, session.packet_filter) == (page, packet_filter)
                     and any(block.sha256 == sha256 for block in session.blocks)), None)

    def of_example(self, example: Path) -> list[Session]:
        """The sessions that used an example file as it is now."""
        name, sha256 = str(example.relative_to(EXAMPLES)), hash_of_file(example)
        return [session for session in self.sessions if session.examples.get(name) == sha256]


def load(path: Path = FILE) -> Evidence:
    """What has been kept; nothing where there is no such file. Raises ValueError where it is not evidence."""
    if not path.exists():
        return Evidence()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Evidence([Session(**session | {"blocks": [Block(**block) for block in session["blocks"]]})
                         for session in kept["sessions"]], kept["tests"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no evidence ({error!r}): remove it and run make test") from error


def save(evidence: Evidence, path: Path = FILE) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(evidence), indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def hashes(blocks: Sequence[CodeBlock], topology: str, packet_filter: str) -> Iterator[tuple[CodeBlock, str]]:
    """Each block that a session runs, with its hash."""
    known = hashlib.sha256((EXAMPLES / topology / "topology.toml").read_bytes())
    for block in pages.transcripts(blocks, packet_filter):
        known.update(f"\0{block.text}".encode())
        for example in examples_of(block):
            known.update(b"\0" + example.read_bytes())
        yield block, known.hexdigest()


def hash_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def examples_of(block: CodeBlock) -> list[Path]:
    """The example files that the commands of a transcript use; the names are taken from the folder of the examples.

    iptables.sh takes two files by what their names have in common. What a program only looks at is not used.
    """
    found = []
    for command in pages.commands(block):
        for simple in simple_commands(command.text):
            words = simple.split(" ")
            looks = next((number for number, word in enumerate(words[:2], 1) if word in ONLY_LOOK), len(words))
            for word in words[:looks]:
                names = [f"{word}.v4", f"{word}.v6"] if "iptables.sh" in words else []
                found += [EXAMPLES / name for name in [word, *names] if not name.startswith(("/", ".."))]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def simple_commands(text: str) -> list[str]:
    """The commands that a line of shell is made of, each without its redirections and with single spaces."""
    text = re.sub(r"(<<-?\s*'?EOF'?.*)(?s:.*?)^\s*EOF$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"\d*[<>]&\d", " ", text.replace("\\\n", " ").replace("\n", " ; "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:  # a quotation without an end, of which bash will say more
        return [text]
    commands: list[list[str]] = [[]]
    for word in words:
        if re.fullmatch(r"[;&|()]+", word) or (not commands[-1] and word in RESERVED):
            commands.append([])
        elif not re.match(r"\d*[<>]", word):
            commands[-1].append(word)
    return [" ".join(command) for command in commands if command and command[0] not in ("for", "case")]


def simple_commands_of(block: CodeBlock) -> Iterator[str]:
    """The same of all commands of a transcript."""
    for command in pages.commands(block):
        yield from simple_commands(command.text)


def filters_of(blocks: Sequence[CodeBlock], block: CodeBlock) -> list[str]:
    """The packet filters for which a page runs a block, or each Xen that it runs on."""
    return [name for name in pages.runs(blocks) if block in pages.transcripts(blocks, name)]


def cases(guide: Mapping[str, Sequence[CodeBlock]]) -> Iterator[tuple[str, str]]:
    """Each page that has transcripts, by name, with each packet filter that it offers, or with an empty string, and
    with each Xen where it has blocks for that."""
    for page, blocks in guide.items():
        for name in pages.runs(blocks):
            yield page, name
