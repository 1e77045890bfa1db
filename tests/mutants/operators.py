# SPDX-License-Identifier: MIT
"""Makes the mutants of an example: each operator of the table changes one thing at one place.

Comments are left alone. The operators prefer what is still a valid file: what the packet filter itself refuses
tells nothing of the tests.
"""
from __future__ import annotations

import ast
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

NFT, RESTORE = (".nft",), (".v4", ".v6")
RULES = NFT + RESTORE
SXP, CONF, UNIT, SHELL, PYTHON = (".sxp",), (".conf",), (".service",), (".sh",), (".py",)
#: The kinds of files that have mutants, by their ending.
KINDS = RULES + SXP + CONF + UNIT + SHELL + PYTHON


@dataclass(frozen=True)
class Mutant:
    """An example with one change. ``old`` and ``new`` are the lines that differ, without their indentation.

    ``nth`` tells apart the same change of lines that are the same; ``text`` is all of the changed file.
    """

    file: str
    operator: str
    old: str
    new: str
    nth: int = 1
    line: int = field(default=0, compare=False)
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        old, new = (text.replace("\n", " / ") for text in (self.old, self.new))
        return f"{self.file}:{self.line}: {self.operator}: - {old} + {new}"


@dataclass(frozen=True)
class Operator:
    """One way to break a file: its name, what it changes, in which kinds of file, and how.

    ``edit`` yields the changed versions of a line's code, without its comment; where ``whole``, of a text.
    """

    name: str
    what: str
    kinds: tuple[str, ...]
    edit: Callable[[str], Iterable[str]]
    whole: bool = False


def each(pattern: str, change: str | Callable[[re.Match[str]], str]) -> Callable[[str], Iterator[str]]:
    """An edit: each match of a pattern is changed by itself. A match that would not change is none."""
    def edit(code: str) -> Iterator[str]:
        for match in re.finditer(pattern, code):
            new = match.expand(change) if isinstance(change, str) else change(match)
            if new != match.group():
                yield code[:match.start()] + new + code[match.end():]
    return edit


def any_of(*edits: Callable[[str], Iterable[str]]) -> Callable[[str], Iterator[str]]:
    """An edit that does what each of these does."""
    return lambda code: (new for edit in edits for new in edit(code))


def one_of(words: dict[str, str], before: str = r"\b", behind: str = r"\b") -> Callable[[str], Iterator[str]]:
    """An edit: each of these words becomes the one beside it."""
    return each(f"{before}({'|'.join(map(re.escape, words))}){behind}", lambda match: words[match[1]])


def plus(step: int) -> Callable[[re.Match[str]], str]:
    """The last group of a match is a number; it grows by ``step``."""
    return lambda match: match[1] + str(int(match[2]) + step)


def wider(match: re.Match[str]) -> str:
    """A network twice as large, an address together with its neighbour."""
    return str(ipaddress.ip_network(match[0]).supernet())


def narrower(match: re.Match[str]) -> str:
    """The lower half of a network; an address has none."""
    network = ipaddress.ip_network(match[0])
    return match[0] if network.num_addresses == 1 else str(next(network.subnets()))


NETWORK = r"(?<![\w:.[])(?:(?:\d+\.){3}\d+|[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*)(?:/\d+)?(?![\w:.])"


#: A refusal in nftables.
REJECT = r"(?<![-\w])reject\b.*"


def one_item_less(code: str) -> Iterator[str]:
    """Sets in braces, and lists of connection states or addresses, without each of their items."""
    lists = r"(?<=\{ )[^}]*,[^}]*(?= \})|(?<=state )\w+(?:,\w+)+|"
    lists += r"(?:(?<=-s )|(?<=--dports )|(?<=Address ))[^ ,]+(?:,[^ ,]+)+|(?<= = )[^ ,{]+(?:, [^ ,]+)+"
    for match in re.finditer(lists, code, re.IGNORECASE):
        items = re.split(r", ?", match.group())
        comma = ", " if ", " in match.group() else ","
        for item in items:
            yield code[:match.start()] + comma.join(other for other in items if other != item) + code[match.end():]


NFT_CONDITION = (r"(?:[io]ifname|ip6? [sd]addr|ip6 hoplimit|(?:tcp|udp) [sd]port|icmp(?:v6)? type|ct state|"
                 r"meta mark(?! set)|meta l4proto|ether type)(?: !=)? (?:\{[^}]*\}|\S+) |"
                 r"limit rate \S+ burst \d+ packets ")
RESTORE_CONDITION = (r"(?:! )?-[ios] \S+ |-m limit --limit \S+ --limit-burst \S+ |"
                     r"(?:-m (?:conntrack|hl) )?--(?:ctstate|hl-eq|[sd]ports?|icmp-type|icmpv6-type) \S+ ")
RESTORE_PROTOCOL = r"-p \S+ (?:--(?:[sd]port|icmp-type|icmpv6-type) \S+ )*"


def no_line(code: str) -> Iterator[str]:
    """The line goes; what only opens or closes a block, or gives a name, is no line of its own."""
    if not re.match(r"\s*(table|chain|define|[{}(]*$|\}|:|\*|COMMIT|if|then|else|fi|for|done|case|esac|;;|\*?\[.*[])]$|"
                    r"[a-z*]+\)$)", code):
        yield ""


def swapped(text: str) -> Iterator[str]:
    """Two rules, one right below the other in one chain, change places where their verdicts differ.

    Where the verdicts are the same the order says nothing, and no packet would be decided differently.
    """
    lines = text.splitlines(keepends=True)
    rules = [number for number, line in enumerate(lines) if VERDICT.search(code_of(line))]
    for first, second in zip(rules, rules[1:]):
        between = lines[first + 1:second]
        verdicts = {VERDICT.search(code_of(lines[number]))[0].strip() for number in (first, second)}
        chains = {CHAIN.match(lines[number])[0] for number in (first, second)}
        if len(verdicts) == 2 and len(chains) == 1 and not any(code_of(line).strip() for line in between):
            changed = lines.copy()
            changed[first], changed[second] = lines[second], lines[first]
            yield "".join(changed)


VERDICT = re.compile(r"(meta mark set \S+ )?(accept|drop)$|reject.*$|jump \S+$|log prefix.*$| -[jg] .*$")
CHAIN = re.compile(r"-[AI] \S+|\s*")


def one_family(text: str) -> Iterator[str]:
    """A table of both families holds for one of them."""
    for family in ("ip", "ip6"):
        if "table inet " in text:
            yield text.replace("table inet ", f"table {family} ")


def python_edits(text: str) -> Iterator[str]:
    """What decides in a program: comparisons, ``and``, ``or``, ``not``, truth values, and numbers that are compared
    or returned."""
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    source = text.encode()

    def between(first: ast.AST, second: ast.AST) -> tuple[int, int]:
        return (starts[first.end_lineno - 1] + first.end_col_offset, starts[second.lineno - 1] + second.col_offset)

    def change(start: int, end: int, pattern: bytes, words: dict[bytes, bytes]) -> Iterator[str]:
        for match in re.finditer(pattern, source[start:end]):
            yield (source[:start + match.start()] + words[match.group()] + source[start + match.end():]).decode()

    tree = ast.parse(text)
    deciding = {id(value) for node in ast.walk(tree) if isinstance(node, ast.Compare | ast.Return | ast.IfExp)
                for value in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for first, second in zip([node.left, *node.comparators], node.comparators):
                yield from change(*between(first, second), rb"not in|is not|[<>=!]+|in|is", COMPARISONS)
        elif isinstance(node, ast.BoolOp):
            for first, second in zip(node.values, node.values[1:]):
                yield from change(*between(first, second), rb"and|or", {b"and": b"or", b"or": b"and"})
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            start = starts[node.lineno - 1] + node.col_offset
            yield from change(start, start + 4, rb"not ", {b"not ": b""})
        elif isinstance(node, ast.Constant) and (isinstance(node.value, bool)
                                                 or isinstance(node.value, int) and id(node) in deciding):
            start, end = (starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset)
            new = {True: "False", False: "True"}[node.value] if isinstance(node.value, bool) else str(node.value + 1)
            yield (source[:start] + new.encode() + source[end:]).decode()


COMPARISONS = {b"==": b"!=", b"!=": b"==", b"<": b"<=", b"<=": b"<", b">": b">=", b">=": b">",
               b"in": b"not in", b"not in": b"in", b"is": b"is not", b"is not": b"is"}

OPERATORS = (
    Operator("port", "another port, or another end of a range", RULES + SXP + CONF + SHELL, any_of(
        each(r"\b([sd]port |[A-Za-z_]*[Pp]ort ?= ?|-port |(?:PermitOpen|Endpoint =) [\d.]+:)(\d+)", plus(1)),
        each(r"((?:\{ |, ?|-|:|dports ))(\d{5})\b", plus(1)))),
    Operator("wider", "a network twice as large, or an address together with its neighbour", RULES + CONF,
             each(NETWORK, wider)),
    Operator("narrower", "the lower half of a network", RULES, each(NETWORK, narrower)),
    Operator("verdict", "let in for refused, and refused for let in", RULES, any_of(
        one_of({"accept": "drop", "drop": "accept"}), each(REJECT, "accept"), each(r"\bjump \S+", "accept"),
        one_of({"ACCEPT": "DROP", "DROP": "ACCEPT", "RETURN": "DROP"}, "(?<=-j )"),
        each(r"-j (?:REJECT .*|(?!ACCEPT|DROP|RETURN|REJECT|LOG)\S+)", "-j ACCEPT"))),
    Operator("silent", "a refusal without an answer", RULES,
             any_of(each(REJECT, "drop"), each(r"-j REJECT .*", "-j DROP"))),
    Operator("answer", "a refusal with another answer", RULES,
             any_of(each(r"(?<=\breject) with .*", ""), each(r" --reject-with .*", ""))),
    Operator("condition", "a rule without one of its conditions: interface, family, network, port, state", RULES,
             any_of(each(NFT_CONDITION, ""), each(RESTORE_CONDITION, ""), each(RESTORE_PROTOCOL, ""))),
    Operator("item", "a set or list without one of its items", RULES + CONF, one_item_less),
    Operator("not", "a negation less", RULES + SHELL, any_of(each("!= ", ""), each(r"(?:^|(?<= ))! ", ""))),
    Operator("family", "IPv4 or IPv6 left out", NFT, one_family, whole=True),
    Operator("hook", "the rules look at other packets", RULES, any_of(
        one_of({"input": "forward", "forward": "input", "output": "input", "prerouting": "input"}, "(?<=hook )"),
        one_of({"INPUT": "FORWARD", "FORWARD": "INPUT", "OUTPUT": "INPUT"}, "(?<=^-[AI] )"))),
    Operator("place", "before or behind the rules of others", RULES, any_of(
        one_of({"raw": "filter", "filter;": "filter - 20;"}, "(?<=priority )", ""),
        each("(?<=priority filter )- ", "+ "),
        one_of({"-I": "-A"}, "^"), each(r"^-A (?=(?:INPUT|OUTPUT|FORWARD) )", "-I "))),
    Operator("number", "a hop limit, type, rate or mark that is off by one", RULES, any_of(
        each(r"((?:hoplimit|--hl-eq|-type|rate|--limit|burst|--limit-burst) )(\d+)", plus(-1)),
        each(r"0x[0-9a-f]+", lambda match: hex(int(match[0], 16) + 1)))),
    Operator("emptied", "an option without its value", RULES + SXP + CONF + UNIT + SHELL, any_of(
        each(r"(?<=[= ])[\w-]+\.target ?", ""),
        each(r'(?<=log) prefix "[^"]*"| --log-prefix "[^"]*"|meta mark set \S+ ', ""),
        each(r"(?<= )'[^']+'(?=\)$)", "''"),
        each(r"(?:^|(?<= ))-o \S+ | -i \S+(?= )| -[NTc](?= |$)| --(?:noflush|wait)\b", ""),
        each(r"(?<=-L \")127\.0\.0\.1:", ""))),
    Operator("switch", "yes for no, and what else lets more in", SXP + CONF + SHELL, any_of(
        one_of({"yes": "no", "no": "yes"}, "(?<= )", r"(?=\)?$)"), one_of({"yes": "no"}, "(?<==)"),
        each(r"(?<=Forwarding )local", "yes"), each(r"(?<=PermitOpen ).*", "any"), each(r"(?<=Methods )\S+", "any"),
        each(r"(?<=Match User )\S+", "*"))),
    Operator("pattern", "a pattern that matches more", SXP,
             any_of(each(r"(?<=')\^", ""), each(r"\$(?=')", ""), each(r"\\\\\.", "."), each(r"\[0-9\]\+", ".*"))),
    Operator("decision", "the other branch of a script, or its success", SHELL, any_of(
        one_of({"&&": "||", "||": "&&", "=": "!=", "!=": "=", "-eq": "-ne", "-ne": "-eq"}, "(?<= )", "(?= )"),
        each(r"(?<=exit )[1-9]|(?<=return )[1-9]", "0"))),
    Operator("removed", "a line less", RULES + SXP + CONF + UNIT + SHELL, no_line),
    Operator("swapped", "two neighbouring rules of different verdicts in the other order", RULES, swapped, whole=True),
    Operator("python", "a comparison, a logical word, a truth value, or a number that is compared or returned", PYTHON,
             python_edits, whole=True),
)


def code_of(line: str) -> str:
    """A line without its comment and line end."""
    comment = re.search(r"""^(?:[^'"#]|'[^']*'|"[^"]*"|(?<=[^\s])#)*?((?:^|(?<=\s))#.*)$""", line)
    return (line[:comment.start(1)] if comment else line).rstrip()


def changed_lines(old: str, new: str) -> tuple[int, str, str]:
    """The number of the first line that differs, and what was there and is there now, without indentation."""
    before, after = old.splitlines(), new.splitlines()
    start = next(number for number, pair in enumerate(zip(before, after)) if pair[0] != pair[1])
    stop = next(number for number, pair in enumerate(zip(before[::-1], after[::-1])) if pair[0] != pair[1])
    ends = [lines[start:len(lines) - stop] for lines in (before, after)]
    return start + 1, *("\n".join(filter(None, (code_of(line).strip() for line in lines))) for lines in ends)


def texts(operator: Operator, text: str) -> Iterator[str]:
    """The texts that an operator makes of one."""
    if operator.whole:
        yield from operator.edit(text)
        return
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        code = code_of(line)
        indent = len(code) - len(code.lstrip())
        if code.strip() and not line.startswith("#!"):
            for new in dict.fromkeys(operator.edit(code[indent:])):
                whole = line[:indent] + new.rstrip() + line[len(code):]
                yield "".join([*lines[:number], whole, *lines[number + 1:]])


def mutants(file: str, text: str) -> list[Mutant]:
    """All mutants of a file that is named ``file`` and has this text; two that are the same count once."""
    kind = "." + file.rpartition(".")[2]
    seen: set[str] = {text}
    same: Counter[Mutant] = Counter()
    found = []
    for operator in OPERATORS:
        for new in texts(operator, text) if kind in operator.kinds else ():
            if new not in seen:
                seen.add(new)
                line, was, now = changed_lines(text, new)
                mutant = Mutant(file, operator.name, was, now)
                same[mutant] += 1
                found.append(replace(mutant, nth=same[mutant], line=line, text=new))
    return found
