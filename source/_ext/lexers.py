# SPDX-License-Identifier: MIT
"""Highlighting for nftables rules, for the input of iptables-restore, for xend's configuration and for transcripts.

Pygments 2.21 has no lexers for the first two, stops at the ``#`` and the single quotes of the third, and takes what
is printed in brackets for a prompt.
"""
from __future__ import annotations

import re

from pygments.lexer import RegexLexer, bygroups, words
from pygments.lexers.shell import BashSessionLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text, Whitespace
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from code_kinds import PROMPT

ADDRESS = r"(?:\d+\.\d+\.\d+\.\d+|(?=[0-9a-fA-F:]*:[0-9a-fA-F]*:)[0-9a-fA-F:]+)(?:/\d+)?"
"""IPv4 or IPv6, with or without a prefix length. IPv6 has two colons at least, so ``tcp:`` is none."""


class NftLexer(RegexLexer):
    """nftables rules, as ``nft -f`` reads them."""

    name = "nftables"
    aliases = ("nft",)
    filenames = ("*.nft",)

    tokens = {
        "root": [
            (r"\s+", Whitespace),
            (r"#.*", Comment.Single),
            (r'"[^"]*"', String.Double),
            (ADDRESS, Number),
            (words(("table", "chain", "set", "map", "define", "include", "flush", "ruleset", "add", "delete",
                    "destroy", "create", "insert", "list", "type", "hook", "priority", "policy", "elements",
                    "flags", "typeof", "limit"), prefix=r"(?<![\w.-])", suffix=r"(?![\w.-])"), Keyword),
            (words(("accept", "drop", "reject", "jump", "goto", "return", "continue", "log", "counter",
                    "notrack", "masquerade", "snat", "dnat"), prefix=r"(?<![\w.-])", suffix=r"(?![\w.-])"),
             Keyword.Reserved),
            (words(("ip", "ip6", "inet", "arp", "bridge", "netdev", "tcp", "udp", "icmp", "icmpv6", "ct",
                    "meta", "fib", "ether", "iif", "iifname", "oif", "oifname", "saddr", "daddr", "sport",
                    "dport", "state", "l4proto", "nexthdr"), prefix=r"(?<![\w.-])", suffix=r"(?![\w.-])"),
             Name.Builtin),
            (r"\$\w+", Name.Variable),
            (r"@\w+", Name.Variable),
            (r"\d+(?![\w.])", Number.Integer),
            (r"[{}();,:]", Punctuation),
            (r"[=!<>&|*-]+", Operator),
            (r"[\w./-]+", Text),
            (r".", Text),
        ],
    }


class IptablesRestoreLexer(RegexLexer):
    """What ``iptables-restore`` and ``ip6tables-restore`` read."""

    name = "iptables-restore"
    aliases = ("iptables-restore", "iptables")
    filenames = ("*.v4", "*.v6", "*.rules")

    tokens = {
        "root": [
            (r"\s+", Whitespace),
            (r"^#.*", Comment.Single),
            (r"^\*\w+", Keyword),
            (r"^COMMIT\b", Keyword),
            (r"^:\S+", Name.Function),
            (r'"[^"]*"', String.Double),
            (ADDRESS, Number),
            (r"--?[a-zA-Z][\w-]*", Name.Attribute),
            (words(("ACCEPT", "DROP", "REJECT", "LOG", "RETURN"), prefix=r"\b", suffix=r"\b"),
             Keyword.Reserved),
            (r"\d+(?![\w.])", Number.Integer),
            (r"[!,:\[\]]", Punctuation),
            (r"[\w./-]+", Text),
            (r".", Text),
        ],
    }


class XendConfigLexer(RegexLexer):
    """S-expressions as xend reads them: ``#`` begins a comment, strings stand in quotes of either kind."""

    name = "xend configuration"
    aliases = ("sxp",)
    filenames = ("*.sxp",)

    tokens = {
        "root": [
            (r"\s+", Whitespace),
            (r"#.*", Comment.Single),
            (r"(\()([\w-]+)", bygroups(Punctuation, Name.Attribute)),
            (r"'(?:\\.|[^'\\])*'", String.Single),
            (r'"(?:\\.|[^"\\])*"', String.Double),
            (r"[()]", Punctuation),
            (r"\d+(?=[\s)])", Number.Integer),
            (r"(?:yes|no)(?=[\s)])", Keyword.Constant),
            (r"[^\s()]+", Text),
        ],
    }


class TranscriptLexer(BashSessionLexer):
    """Commands behind the prompts of this guide, and what they print."""

    name = "transcript"
    aliases = ("console",)

    _ps1rgx = re.compile(rf"({PROMPT.pattern})(.*\n?)")
    _venv = re.compile(r"(?!)")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_lexer("nft", NftLexer)
    app.add_lexer("iptables-restore", IptablesRestoreLexer)
    app.add_lexer("iptables", IptablesRestoreLexer)
    app.add_lexer("sxp", XendConfigLexer)
    app.add_lexer("console", TranscriptLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
