# SPDX-License-Identifier: MIT
"""What runs each piece of code of the guide, read from its node in the doctree.

Everything that looks like code on a page is shown from a tested example, run as a transcript, run as a doctest,
or marked as not run; a command within a sentence may also be named as what a test runs. The tests use this
module to find each piece and whatever is none of these.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx_tabs.tabs import SphinxTabsPanel

from tabs_everywhere import labelled_panels

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROMPT = re.compile(r"[a-z_][a-z0-9_-]*@[a-z0-9-]+[#$] ")
"""A prompt of a transcript: user, host, ``#`` for root or ``$``, and a space before the command."""

PROGRAMS = frozenset("""
    [ apt apt-get awk bash cat cd chmod conntrack cp curl dnf du ebtables ebtables-legacy echo exec firewall-cmd getent
    grep head hostname install ip ip6tables ip6tables-apply ip6tables-legacy ip6tables-legacy-save ip6tables-restore
    ip6tables-save ipmitool iptables iptables-apply iptables-legacy iptables-legacy-save iptables-nft-save
    iptables-restore iptables-save journalctl kill libvirtd ls lsmod mkdir modprobe mv nc netfilter-persistent
    netstat nft nstat openssl passwd pkill printf ps python3 rm rmdir rmmod scp sed service set setpriv sh sleep
    socat sort ss ssh ssh-add ssh-keygen ssh-keyscan sshd sudo sysctl systemctl tail tcpdump test ufw umask unshare
    useradd userdel usermod virsh virt-pki-query-dn visudo wait wc wg wg-quick
    wireguard-go xe xen-livepatch xend xenstore-ls xl xm
""".split())
"""The programs of a Domain-0 and of its neighbours. Words in a sentence that begin with one are a command."""

ASSIGNMENTS = re.compile(r"^(\w+=\S* )+")
"""Variables for one program alone, before its name."""


@dataclass(frozen=True)
class CodeBlock:
    """One code block of a page, or a command within a sentence.

    ``kind`` is ``example``, ``transcript``, ``doctest``, ``not-run``, or empty when it is none of these. A command
    within a sentence, which is ``inline``, is also ``tested`` when it names tests in ``tests``, and a ``mention``
    when it says nothing: then a transcript of the guide has to have it.
    ``reason`` says why it is not run, ``xen`` that only real Xen nodes can run it, ``example`` is the file that it
    shows, ``tabs`` are the labels of the tabs around it.
    """

    kind: str
    language: str
    text: str
    source: str
    line: int
    reason: str = ""
    xen: bool = False
    example: Path | None = None
    tabs: frozenset[str] = frozenset()
    inline: bool = False
    tests: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """``file:line`` of the block."""
        return f"{self.source}:{self.line}"


def code_blocks(doctree: nodes.document, topology: str = "") -> Iterator[CodeBlock]:
    """Each code block of a page and each command within a sentence, in order.

    ``topology`` is the page's front matter of that name. Without one there are no hosts that a transcript
    could run on, so a console block is of no kind then.
    """
    for _, block in placed_blocks(doctree, topology):
        yield block


def placed_blocks(doctree: nodes.document, topology: str = "") -> Iterator[tuple[nodes.Element, CodeBlock]]:
    """The same, each with its node."""
    for node in doctree.findall(nodes.Element):
        if isinstance(node, (nodes.literal_block, nodes.doctest_block)):
            yield node, _block(node, topology)
        elif isinstance(node, nodes.literal) and is_command(node):
            yield node, _command(node, topology)


def is_command(node: nodes.literal) -> bool:
    """Whether words in a sentence are a command: they say so, or begin with a program and have arguments."""
    if any(name in node for name in ("run", "not-run", "tests")):
        return True
    program, _, arguments = ASSIGNMENTS.sub("", node.astext()).partition(" ")
    return (program.rpartition("/")[2] in PROGRAMS and bool(arguments)
            and node.get("language", "sh") in ("sh", "bash", "console"))


def _block(node: nodes.Element, topology: str) -> CodeBlock:
    language = "pycon" if isinstance(node, nodes.doctest_block) else node.get("language", "")
    source, line = _place(node)
    example = Path(node["source"]).resolve() if "source" in node else None
    return CodeBlock(_kind(node, language, topology), language, node.astext(), source, line,
                     node.get("not-run", ""), node.get("xen", False), example, frozenset(_tabs(node)))


def _command(node: nodes.literal, topology: str) -> CodeBlock:
    source, line = _place(node)
    text, kind = node.astext(), "mention"
    if "not-run" in node:
        kind = "not-run"
    elif "tests" in node:
        kind = "tested"
    elif "run" in node:
        kind = "transcript" if topology else ""
        text = f"{node['run']}{'#' if node['run'].startswith('root@') else '$'} {text}"
    return CodeBlock(kind, "console", text, source, line, node.get("not-run", ""), False, None, frozenset(_tabs(node)),
                     inline=True, tests=tuple(node.get("tests", ())))


def _kind(node: nodes.Element, language: str, topology: str) -> str:
    text = node.astext()
    if "not-run" in node:
        return "not-run"
    if "source" in node:
        return "example" if Path(node["source"]).resolve().is_relative_to(EXAMPLES) else ""
    if language == "console" and topology and PROMPT.match(text):
        return "transcript"
    if language in ("python", "pycon") and text.startswith(">>> "):
        return "doctest"
    return ""


def _place(node: nodes.Element) -> tuple[str, int]:
    """File and line of a node, or of the nearest node around it that knows them."""
    while node.parent is not None and not node.line:
        node = node.parent
    return node.source or node.document.get("source", ""), node.line or 0


def _tabs(node: nodes.Element) -> Iterator[str]:
    while (parent := node.parent) is not None:
        if isinstance(node, SphinxTabsPanel):
            yield from (label.astext() for label, panel in labelled_panels(parent) if panel is node)
        node = parent
