# SPDX-License-Identifier: MIT
"""What is kept of the runs: which block was run, when, on which versions. A guide built later shows it.

A block that was run is known by a hash of its own text and of what decides what came out: what the session ran before
it, what the page's front matter asks for, all examples, and the model of xend. So a record ends when any of these
changes, rather too early than too late.
"""
from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from code_kinds import EXAMPLES, CodeBlock
from tests.transcripts import page as pages
from tests.transcripts.page import PROJECT

FILE = PROJECT / "build" / "evidence.json"
#: Examples that no transcript can apply, since the hosts of the lab have no systemd or no command takes them, and the
#: test that does.
TESTED = {"domain-0/xen-rules.service":
          "tests/test_persistence.py::test_a_unit_of_our_own_loads_ours_and_leaves_others_alone",
          "domain-0/exposure.schema.json": "tests/test_exposure.py::test_json_is_as_the_schema_says",
          "isolated-management-network/libvirtd-tls-listen.conf": "tests/xen/test_reboot.py::test_no_open_moment"}


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
    that its commands applied.
    """

    page: str
    packet_filter: str
    date: str
    versions: dict[str, str]
    blocks: list[Block]
    examples: dict[str, str] = field(default_factory=dict)


@dataclass
class Evidence:
    """All that is kept: sessions, and the tests that passed in the last whole run, each with its day and a hash."""

    sessions: list[Session] = field(default_factory=list)
    tests: dict[str, list[str]] = field(default_factory=dict)

    def of(self, page: str, packet_filter: str, sha256: str) -> Session | None:
        """The session that ran a block."""
        return next((session for session in self.sessions
                     if (session.page, session.packet_filter) == (page, packet_filter)
                     and any(block.sha256 == sha256 for block in session.blocks)), None)

    def of_test(self, test: str) -> str:
        """The day on which a test passed as it is now; empty where it did not."""
        day, sha256 = self.tests.get(test, ["", ""])
        return day if day and sha256 == hash_of_test(test) else ""

    def of_example(self, example: Path) -> list[Session]:
        """The sessions that applied an example file as it is now."""
        name, sha256 = str(example.relative_to(EXAMPLES)), hash_of_file(example)
        return [session for session in self.sessions if session.examples.get(name) == sha256]


def load(path: Path = FILE) -> Evidence:
    """What has been kept; nothing where there is no such file, or one that is not (or no longer) evidence."""
    if not path.exists():
        return Evidence()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        sessions = [Session(**session | {"blocks": [Block(**block) for block in session["blocks"]]})
                    for session in kept["sessions"]]
        tests = {test: [day, sha256] for test, (day, sha256) in kept["tests"].items()}
        for day in [session.date for session in sessions] + [day for day, _ in tests.values()]:
            date.fromisoformat(day)
        return Evidence(sessions, tests)
    except (AttributeError, KeyError, TypeError, ValueError):
        return Evidence()


def save(evidence: Evidence, path: Path = FILE) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(asdict(evidence), indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def tests_of(block: CodeBlock) -> tuple[str, ...]:
    """The test that an example needs in place of a transcript, if it is one of those."""
    name = str(block.example.relative_to(EXAMPLES)) if block.kind == "example" else ""
    return (TESTED[name],) if name in TESTED else ()


def hashes(blocks: Sequence[CodeBlock], metadata: Mapping[str, str],
           packet_filter: str) -> Iterator[tuple[CodeBlock, str]]:
    """Each block that a session runs, with its hash; ``metadata`` is the page's front matter."""
    asked = [metadata.get(name, "") for name in ("topology", "sshd", "needs")]
    known = hashlib.sha256("\0".join([hash_of_surroundings(), *asked]).encode())
    for block in pages.transcripts(blocks, packet_filter):
        known.update(f"\0{block.text}".encode())
        yield block, known.hexdigest()


def surroundings() -> list[Path]:
    """The files beside the pages that decide what their commands do: all examples, and the model of xend."""
    return sorted([*files_below(EXAMPLES), *files_below(PROJECT / "tests" / "lab" / "xend")])


@functools.cache
def files_below(folder: Path) -> list[Path]:
    """Looked up once, since a build asks a hundred times which files there are."""
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def hash_of_surroundings() -> str:
    known = hashlib.sha256()
    for path in surroundings():
        known.update(f"{path.name}\0{hash_of_file(path)}\0".encode())
    return known.hexdigest()


def hash_of_test(test: str) -> str:
    """The hash of a test's file, named as ``FILE::NAME``, and of what it looks at."""
    path = PROJECT / test.partition("::")[0]
    return hashlib.sha256((hash_of_file(path) + hash_of_surroundings()).encode()).hexdigest() if path.is_file() else ""


def hash_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def examples_of(block: CodeBlock) -> list[Path]:
    """The example files that the commands of a transcript apply; the names are taken from the folder of the examples.

    nft loads them, a shell or Python runs them, iptables.sh takes two by what their names have in common, and a
    program or its configuration is copied, installed or appended to its place. What is only looked at or checked is
    not applied.
    """
    found: list[str] = []
    for words in itertools.chain.from_iterable(
            pages.commands_in_words(command.text) for command in pages.commands(block)):
        match [word for word in words if word.startswith(">>") or not pages.REDIRECTION.match(word)]:
            case ["nft", *words] if "-f" in words and "-c" not in words:
                found += words
            case ["sh", "iptables.sh", "apply", name]:
                found += ["iptables.sh", f"{name}.v4", f"{name}.v6"]
            case ["sh" | "python3", program, *_]:
                found.append(program)
            case ["cp", name, _] if name.endswith((".sxp", ".conf")):
                found.append(name)
            case ["install", *_, name, _]:
                found.append(name)
            case ["cat", name, to] if to.startswith(">>"):
                found.append(name)
    here = [EXAMPLES / name for name in dict.fromkeys(found) if not name.startswith(("/", "."))]
    return [path for path in here if path.is_file()]
