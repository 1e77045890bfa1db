#!/usr/bin/env python3
r"""Tells who can open a connection to the management and migration ports of this host.

    python3 exposure.py [--allow [PORT=]NETWORK]... [--json] [--from DIR]
    python3 exposure.py --capture DIR

reads the packet filter rules, the listening sockets, the addresses and the routes
that are in force, and prints for each TCP port with a listener exactly which source
addresses can open a connection, by input interface. What goes beyond the networks
that you allow is an exposure, and is named with the rule that lets it in. Run it as
root. --capture writes what was read to a folder, for --from on another machine.

Exit status 0: nothing beyond what is allowed. 1: an exposure. 2: something could not
be told, or bad input. A rule that it does not understand is never guessed: what
depends on it "may be open". It changes nothing. Standard library only, and one file.

It sees the way of a packet through nftables, iptables (both back ends), the reverse
path check and the routes; not XDP, tc, eBPF, IPVS, switches or other hosts.
"""
import argparse
import bisect
import errno
import gc
import ipaddress
import itertools
import json
import os
import re
import shlex
import socket
import stat
import struct
import subprocess
import sys

GUIDE = "https://securing-xen.readthedocs.io/en/latest"
END = {4: 1 << 32, 6: 1 << 128}
#: Bytes of one file of a capture, or of what one command prints, beyond which it is not read.
LARGEST = 256 << 20
#: Steps of the walk through the rules beyond which it is given up: sets of rules that people have need far fewer.
PATIENCE = 300 * 1000 * 1000


class BadInput(Exception):
    """What cannot be judged; the message is one line that says why."""


def show(text, length=200):
    r"""A text from a capture, safe to print: no control character reaches the terminal.

    >>> show("eth0"), show("a\x1b[31m\n\u202e")
    ('eth0', 'a\\x1b[31m\\n\\u202e')
    >>> show("eth0", 4), show("bridge0", 4)
    ('eth0', 'b...')
    """
    text = str(text)
    if len(text) > length:
        text = text[:length - 3] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def count(number):
    """A number with commas; of those of IPv6 that fill a line, the power of two at or below.

    >>> count(16777216), count(1 << 64), count((1 << 128) - 1)
    ('16,777,216', '18,446,744,073,709,551,616', 'over 2^127')
    >>> count(1 << 128)
    '2^128'
    """
    if number <= 1 << 64:
        return format(number, ",")
    power = number.bit_length() - 1
    return ("2^%d" if number == 1 << power else "over 2^%d") % power


# ---------------------------------------------------------------------------------------
# Sets of numbers: a sorted list [begin, end, begin, end, ...], each end one beyond the last.

def united(begins, ends):
    """The set of many ranges, given as two lists in any order, which may overlap.

    >>> united([5, 1, 3], [6, 4, 5])
    [1, 6]
    """
    if not begins:
        return []
    begins.sort()
    ends.sort()
    # Before begins[i] as many ranges have ended as have begun, where ends[i - 1] is smaller: there is a gap.
    flat = [begins[0]]
    flat += [x for b, e in zip(itertools.islice(begins, 1, None), ends) if e < b for x in (e, b)]
    flat.append(ends[-1])
    return flat


def union(*flats):
    """What is in one of the sets at least.

    >>> union([1, 3], [2, 5], [], [9, 10])
    [1, 5, 9, 10]
    """
    some = [flat for flat in flats if flat]
    if len(some) < 2:
        return some[0] if some else []
    return united([x for flat in some for x in flat[::2]], [x for flat in some for x in flat[1::2]])


def intersection(one, other):
    """What is in both sets.

    >>> intersection([1, 5, 7, 9], [4, 8])
    [4, 5, 7, 8]
    """
    if not one or not other:
        return []
    for some, whole in ((one, other), (other, one)):
        if len(whole) == 2 and whole[0] <= some[0] and some[-1] <= whole[1]:
            return some
    begins = sorted(one[::2] + other[::2])
    ends = sorted(one[1::2] + other[1::2])
    return [x for b, e in zip(itertools.islice(begins, 1, None), ends) if b < e for x in (b, e)]


def complement(flat, end):
    """What is in [0, end) and not in the set.

    >>> complement([0, 3, 5, 9], 10), complement([], 10), complement([0, 10], 10)
    ([3, 5, 9, 10], [0, 10], [])
    """
    if not flat:
        return [0, end]
    result = flat[1:] if flat[0] == 0 else [0] + flat
    if result and result[-1] == end:
        return result[:-1]
    return result + [end]


def without(one, other, end):
    """What is in the first set and not in the second."""
    if not other or not one or one[-1] <= other[0] or other[-1] <= one[0]:
        return one
    return [] if one is other else intersection(one, complement(other, end))


def size(flat):
    """How many numbers a set has."""
    return sum(flat[1::2]) - sum(flat[::2])


def contains(flat, number):
    """Whether a number is in a set.

    >>> contains([1, 3], 2), contains([1, 3], 3)
    (True, False)
    """
    return bisect.bisect_right(flat, number) % 2 == 1


def networks(flat, family, most=None):
    """The fewest networks that make up a set of addresses, as texts; at most so many.

    >>> networks([0xC0A80100, 0xC0A80180], 4), networks([0, 1 << 128], 6), networks([1, 4], 4)
    (['192.168.1.0/25'], ['::/0'], ['0.0.0.1/32', '0.0.0.2/31'])
    >>> networks([1, 4], 4, most=1)
    ['0.0.0.1/32']
    """
    found = []
    bits = 32 if family == 4 else 128
    for begin, end in zip(flat[::2], flat[1::2]):
        while begin < end:
            if most is not None and len(found) >= most:
                return found
            step = min(begin & -begin if begin else 1 << bits, 1 << ((end - begin).bit_length() - 1))
            found.append("%s/%d" % (address_text(begin, family), bits - step.bit_length() + 1))
            begin += step
    return found


def address_text(number, family):
    """An address as people write it."""
    packed = number.to_bytes(4 if family == 4 else 16, "big")
    return socket.inet_ntop(socket.AF_INET if family == 4 else socket.AF_INET6, packed)


def address(text, family):
    """The number of an address; raises ValueError where it is none of this family."""
    try:
        packed = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, text)
    except (OSError, TypeError, UnicodeError):
        raise ValueError("%s is not an IPv%d address" % (show(text), family)) from None
    return int.from_bytes(packed, "big")


def network(text, family):
    """The set of addresses of a network as a rule names it; host bits are masked, as the packet filter does.

    >>> networks(network("192.168.1.1/8", 4), 4), networks(network("10.0.0.0/255.0.0.0", 4), 4)
    (['192.0.0.0/8'], ['10.0.0.0/8'])
    >>> networks(network("2001:db8::1/32", 6), 6), networks(network("::1", 6), 6)
    (['2001:db8::/32'], ['::1/128'])
    >>> network("10.0.0.0/255.0.0.255", 4)
    Traceback (most recent call last):
    ...
    ValueError: 255.0.0.255 is not a prefix length
    """
    base, slash, length = text.partition("/")
    if length == "32" and family == 4:
        number = address(base, 4)
        return [number, number + 1]
    bits = 32 if family == 4 else 128
    number = address(base, family)
    if not slash:
        return [number, number + 1]
    if re.match(r"[0-9]{1,3}\Z", length):
        prefix = int(length)
    else:
        mask = address(length, family)
        prefix = bin(mask).count("1")
        if mask != (1 << bits) - (1 << (bits - prefix)):
            raise ValueError("%s is not a prefix length" % show(length))
    if prefix > bits:
        raise ValueError("%s is not a prefix length" % show(length))
    begin = number >> (bits - prefix) << (bits - prefix)
    return [begin, begin + (1 << (bits - prefix))]


# ---------------------------------------------------------------------------------------
# Rules in a small form of our own, the same for nftables and iptables.

class Doubt:
    """Neither yes nor no: why it cannot be told."""

    __slots__ = ("why",)

    def __init__(self, why):
        self.why = why


class Where:
    """Yes for the peer's addresses in ``sure``, a doubt for those in ``perhaps``, no for the rest."""

    __slots__ = ("sure", "perhaps", "why")

    def __init__(self, sure, perhaps=(), why=None):
        self.sure, self.perhaps, self.why = sure, perhaps, why

    def negated(self, end):
        """No for yes."""
        return Where(complement(union(self.sure, self.perhaps), end), self.perhaps, self.why)


#: The value of the field that holds the peer's address: the walk through the rules is about all of them at once.
PEER = object()
#: What the kernel has no value for: the rule ends there, whether the condition is negated or not.
BREAK = object()
#: Fields whose value depends on the rules that a packet has met before.
STATE = frozenset(["mark", "ctmark", "ctstate", "ctdir", "ctstatus"])


class Numbers:
    """Holds for a number that, masked, is in a set."""

    __slots__ = ("numbers", "mask")

    def __init__(self, numbers, mask=None):
        self.numbers, self.mask = numbers, mask

    def holds(self, value):
        """Whether it holds for this number."""
        return contains(self.numbers, value if self.mask is None else value & self.mask)


class Names:
    """Holds for a name that is one of these; a star at the end stands for the rest of it."""

    __slots__ = ("names", "beginnings")

    def __init__(self, names):
        self.names = frozenset(name for name in names if not name.endswith("*"))
        self.beginnings = tuple(name[:-1] for name in names if name.endswith("*"))

    def holds(self, value):
        """Whether it holds for this name."""
        return value in self.names or bool(self.beginnings) and value.startswith(self.beginnings)


class Bits:
    """Holds for a number that has one of these bits."""

    __slots__ = ("bits",)

    def __init__(self, bits):
        self.bits = bits

    def holds(self, value):
        """Whether it holds for this number."""
        return bool(value & self.bits)


class Cond:
    """A condition of a rule: one of ``elements``, each a test for each of ``fields``, has to hold.

    ``needs`` has what the packet has to be, 4, 6 or "tcp"; where it is not, the condition fails, negated or not.
    """

    __slots__ = ("needs", "fields", "elements", "negate")

    def __init__(self, fields, elements, negate=False, needs=()):
        self.fields, self.elements, self.negate, self.needs = fields, elements, negate, needs

    def moving(self, peer):
        """Whether the answer may differ from one address of the peer to the other."""
        return peer in self.fields

    def whole(self):
        """The set that it asks for, where it is one set and nothing else."""
        return self.elements[0][0].numbers if len(self.fields) == 1 and len(self.elements) == 1 else None

    def numbers(self, peer):
        """The sets of addresses of the peer that it asks for."""
        at = self.fields.index(peer) if peer in self.fields else None
        return [] if at is None else [element[at].numbers for element in self.elements]

    def evaluate(self, values):
        """True, False, a Doubt or a Where, for a packet with these values."""
        family = values["family"]
        for need in self.needs:
            if family != need and (need != "tcp" or family == 0):
                return False
        found = [values[field] for field in self.fields]
        if BREAK in found:
            return False
        if PEER not in found:
            answer = self.told(found)
            return answer if isinstance(answer, Doubt) else answer != self.negate
        where = self.located(found, values["end"])
        return where.negated(values["end"]) if self.negate else where

    def told(self, found):
        """The answer where no address of the peer decides, before a negation."""
        doubts = next((value for value in found if isinstance(value, Doubt)), None)
        answer = False
        for element in self.elements:
            outcome = True
            for value, test in zip(found, element):
                if isinstance(value, Doubt):
                    outcome = doubts
                elif not test.holds(value):
                    outcome = False
                    break
            if outcome is True:
                return True
            answer = outcome or answer
        return answer

    def located(self, found, end):
        """For which addresses of the peer it holds, before a negation."""
        numbers = self.whole()
        if numbers is not None:
            return Where(numbers)
        at = found.index(PEER)
        sure, perhaps, why = [], [], None
        for element in self.elements:
            rest = Cond((), ((element[:at] + element[at + 1:]),)).told(found[:at] + found[at + 1:])
            if isinstance(rest, Doubt):
                perhaps.append(element[at].numbers)
            elif rest:
                sure.append(element[at].numbers)
            why = rest.why if isinstance(rest, Doubt) else why
        sure = union(*sure)
        return Where(sure, without(union(*perhaps), sure, end), why)


class Setless:
    """What conditions have in common that ask for no set of addresses."""

    __slots__ = ()
    needs = ()

    def numbers(self, peer):
        """No sets."""
        return []

    def whole(self):
        """No set."""


class Unknown(Setless):
    """A condition that cannot be told."""

    __slots__ = ("why",)
    fields = ()

    def __init__(self, why):
        self.why = why

    def moving(self, peer):
        """It is not told by an address either."""
        return False

    def evaluate(self, values):
        """A Doubt, always."""
        return Doubt(self.why)


class ReversePath(Setless):
    """Whether the way back to the source of a packet is by the interface that it came in by; or, loose, by any.
    ``second``: or, for IPv6, a way that would be taken if there were no better one to the same network."""

    __slots__ = ("loose", "negate", "second")
    fields = ("iif",)

    def __init__(self, loose, negate, second=False):
        self.loose, self.negate, self.second = loose, negate, second

    def moving(self, peer):
        """It asks the routes, which differ from address to address."""
        return True

    def evaluate(self, values):
        """A Where, or a Doubt for the way out, where this is asked of nobody."""
        if values["way"] == "out":
            return Doubt("a reverse path check on the way out")
        if isinstance(values["iif"], Doubt) and not self.loose:
            return values["iif"]
        where = values["back"](None if self.loose else values["iif"], self.second)
        return where.negated(values["end"]) if self.negate else where


NEVER = Cond(("family",), ())
ACCEPT, DROP, RETURN, FALL = "accept", "drop", "return", "fall"
JUMP, GOTO = "jump", "goto"


class Rule:
    """Where a rule is, in parts of a sentence, its text, and steps in their order.

    A step is ("if", condition), ("mark", function), ("ctmark", function), ("untrack",), ("do", verdict, chain),
    ("branch", [(condition, steps)]), of which one at most is taken, or ("any", why): what it does cannot be told.
    ``first`` is a condition on the source before the others; many rules differ in nothing else, and share their steps.
    """

    __slots__ = ("first", "others", "place", "text")

    def __init__(self, others, place, text, first=None):
        self.first, self.others, self.place, self.text = first, others, place, text

    @property
    def steps(self):
        """All steps."""
        return self.others if self.first is None else [("if", self.first)] + self.others

    def __str__(self):
        text = self.text() if callable(self.text) else self.text
        return show("%s rule %d: %s" % (" ".join(self.place[:-1]), self.place[-1], text), 300)


class Chain:
    """Rules in their order. A base chain has a hook, and a policy for what gets to its end."""

    def __init__(self, name, family, hook=None, priority=0, policy=ACCEPT, kind="filter", devices=None):
        self.name, self.family, self.hook, self.priority = name, family, hook, priority
        self.policy, self.kind, self.devices = policy, kind, devices
        self.rules = []
        self.prepared = {}


# ---------------------------------------------------------------------------------------
# The walk: what becomes of packets from all addresses at once.

class Ready:
    """A rule as the walk takes it: conditions that no address decides, those that the peer's decides, those on the
    state of the packet, and the other steps. ``once`` is the set of addresses where nothing else is asked of them."""

    __slots__ = ("rule", "lead", "peers", "states", "rest", "once", "verdict")

    def __init__(self, rule, peer, shared, kept):
        self.rule = rule
        self.once = None
        simple = rule.first is not None and peer == "saddr" and not rule.first.negate
        alike = kept.get(id(rule.others)) if simple else None
        if alike is not None:
            self.lead, self.states, self.rest, self.verdict = alike.lead, alike.states, alike.rest, alike.verdict
            if alike.once is not None:
                self.once = rule.first.elements[0][0].numbers
                self.peers = (rule.first,)
                return
        self.sort(rule.steps, peer, shared)
        if len(self.peers) == 1 and not self.states and self.verdict in (ACCEPT, DROP, RETURN):
            if not self.peers[0].negate:
                self.once = self.peers[0].whole()
        if simple:
            kept[id(rule.others)] = self

    def sort(self, steps, peer, shared):
        """Sort the steps."""
        lead, peers, states = [], [], []
        asked = list(itertools.takewhile(lambda step: step[0] == "if", steps))
        for _, cond in asked:
            if not STATE.isdisjoint(cond.fields):
                states.append(cond)
            elif cond.moving(peer):
                peers.append(cond)
                if cond.needs:
                    lead.append(shared(Cond((), ((),), needs=cond.needs)))
            else:
                lead.append(shared(cond))
        self.lead, self.peers, self.states, self.rest = tuple(lead), peers, states, steps[len(asked):]
        self.verdict = self.rest[0][1] if len(self.rest) == 1 and self.rest[0][0] == "do" else None


class Block:
    """Rules in a row that differ in nothing but the peer's addresses and the verdict: they are walked once for all."""

    def __init__(self, rules):
        self.lead = rules[0].lead
        #: Whether no two rules are about the same address: their order means nothing, and is that of the addresses.
        self.apart = all(len(rule.once) == 2 for rule in rules)
        if self.apart:
            ordered = sorted(rules, key=lambda rule: rule.once[0])
            # Sums are new numbers, which lie in memory in this order. Those that were sorted lie all over it: a million
            # of them take twice as long to read, and they are read often.
            self.begins = [rule.once[0] + 0 for rule in ordered]
            self.ends = [rule.once[1] + 0 for rule in ordered]
            self.apart = all(end <= begin for end, begin in zip(self.ends, itertools.islice(self.begins, 1, None)))
            self.bounds = sorted(self.begins + self.ends)
            self.rules = ordered if self.apart else rules
        else:
            self.rules, self.bounds = rules, sorted(itertools.chain.from_iterable(rule.once for rule in rules))


#: The least number of rules that are worth a block.
BLOCK = 64


def prepare(chain, peer, shared):
    """The rules of a chain as the walk takes them, for one way; long rows of alike rules as blocks."""
    if peer not in chain.prepared:
        items, kept = [], {}
        for (_, simple), rules in itertools.groupby(
                (Ready(rule, peer, shared, kept) for rule in chain.rules), lambda r: (r.lead, r.once is not None)):
            rules = list(rules)
            items += [Block(rules)] if simple and len(rules) >= BLOCK else rules
        chain.prepared[peer] = items
    return chain.prepared[peer]


def called(steps):
    """The chains that steps may jump to."""
    for step in steps:
        if step[0] == "do" and step[1] in (JUMP, GOTO):
            yield step[2]
        elif step[0] == "branch":
            for _, inner in step[1]:
                for chain in called(inner):
                    yield chain


def callees_first(base):
    """A base chain and all that its rules may jump to, each behind those that it jumps to itself.

    Raises BadInput where there is a loop, which no kernel loads.
    """
    order, state = [], {}
    stack = [(base, None)]
    while stack:
        chain, rest = stack.pop()
        if rest is None:
            if state.get(chain) == "done":
                continue
            if state.get(chain) == "open":
                raise BadInput("the rules jump in a loop, by the chain %s" % show(chain.name))
            state[chain] = "open"
            rest = iter(list(dict.fromkeys(c for rule in chain.rules for c in called(rule.steps))))
        for callee in rest:
            if state.get(callee) == "open":
                raise BadInput("the rules jump in a loop, by the chain %s" % show(callee.name))
            if callee not in state:
                stack += [(chain, rest), (callee, None)]
                break
        else:
            state[chain] = "done"
            order.append(chain)
    return order


class Runs:
    """What becomes of packets: ``outs[i]`` of those from addresses in [begins[i], ends[i]); the others fall through
    with nothing changed. An out is a tuple of all that may happen: (verdict, state, rule, why it is in doubt)."""

    __slots__ = ("begins", "ends", "outs")

    def __init__(self, begins, ends, outs):
        self.begins, self.ends, self.outs = begins, ends, outs


#: How long a set is a big one, and how many of them are told apart: each doubles the walks.
BIG, MOST_BIG = 4096, 4


class Base:
    """A base chain with all that it calls, for one way of packets; its walks are kept by what decides about them."""

    def __init__(self, chain, way, shared):
        self.chain, self.way = chain, way
        self.peer = "saddr" if way == "in" else "daddr"
        #: Whether connection tracking has seen a packet that comes here.
        self.tracking = (chain.family not in ("bridge", "netdev") and chain.hook != "ingress"
                         and (chain.hook not in ("prerouting", "output") or chain.priority > -200))
        #: Why it cannot be told what that knows.
        self.untold = ("connection tracking on a bridge" if chain.family == "bridge" else
                       "which of two is first at priority -200" if chain.hook in ("prerouting", "output")
                       and chain.priority == -200 else None)
        self.order = callees_first(chain)
        leads, moving = {}, {}
        self.effects = False
        self.reads = set()
        #: The conditions on what a peer chooses.
        self.asked = []
        for inner in self.order:
            for item in prepare(inner, self.peer, shared):
                leads.update((cond, None) for cond in item.lead)
                # The rules of a block are alike: all have this lead, and ask for the source besides.
                rule = item.rules[0] if isinstance(item, Block) else item
                conds = list(conditions(rule.rule.steps))
                self.effects |= any(step[0] in ("mark", "ctmark", "untrack", "branch") for step in rule.rest)
                self.reads.update(field for cond in conds for field in cond.fields)
                self.asked += [cond for cond in conds if "sport" in cond.fields or "dport" in cond.fields
                               or "flags" in cond.fields]
                if rule.once is None:
                    moving.update((field, None) for cond in conds for field in cond.fields)
        self.leads = list(leads)
        big = {id(numbers): numbers for inner in self.order for item in inner.prepared[self.peer]
               if isinstance(item, Ready) for cond in item.peers for numbers in [cond.whole()] if numbers is not None}
        #: Sets of very many addresses: who is in them, and who is not, goes through the rules as one.
        self.big = sorted((numbers for numbers in big.values() if len(numbers) > BIG), key=len)[-MOST_BIG:]
        self.fields = [field for field in moving if field not in STATE and field != self.peer] + ["connection"]
        #: All that may decide about a walk: each is kept by these, and those by which rules answer alike are one.
        self.decisive = sorted({field for cond in leads for field in cond.fields}.union(self.fields))
        self.walks, self.alike, self.blocks, self.cut = {}, {}, {}, None

    def regions(self, end):
        """[(set of addresses, {big set: whether they are in it})], which together are all addresses."""
        if self.cut is None:
            self.cut = []
            for inside in itertools.product((True, False), repeat=len(self.big)):
                region = [0, end]
                for within, numbers in zip(inside, self.big):
                    region = intersection(region, numbers if within else complement(numbers, end))
                if region:
                    self.cut.append((region, {id(numbers): within for within, numbers in zip(inside, self.big)}))
        return self.cut

    def walk(self, values):
        """The walk of packets with these values."""
        key = self.told(values, self.decisive)
        if key not in self.walks:
            answers = tuple(cond.evaluate(values) for cond in self.leads)
            alike = (tuple(answer.why if isinstance(answer, Doubt) else answer for answer in answers),
                     self.told(values, self.fields))
            if alike not in self.alike:
                self.alike[alike] = Walk(self, values, dict(zip(self.leads, answers)))
            self.walks[key] = self.alike[alike]
        return self.walks[key]

    @staticmethod
    def told(values, fields):
        """Some values, and those that always decide, as a key."""
        some = [values[name] for name in itertools.chain(fields, ("family", "end", "tracking", "status"))]
        return tuple(value.why if isinstance(value, Doubt) else value for value in some)


def conditions(steps):
    """Every condition in some steps."""
    for step in steps:
        if step[0] == "if":
            yield step[1]
        elif step[0] == "branch":
            for cond, inner in step[1]:
                yield cond
                for each in conditions(inner):
                    yield each


class Walk:
    """The walk through a base chain, of packets that differ in nothing but the peer's address and their state. Where
    rules name big sets there is a part of it for each mixture of being in them and not."""

    def __init__(self, base, values, answers):
        self.base, self.end = base, values["end"]
        self.summaries = {}
        self.parts = [(region, Part(base, values, answers, known)) for region, known in base.regions(self.end)]

    def summary(self, state):
        """({state behind the chain: addresses that may get there}, whether some may be dropped as well)."""
        if state not in self.summaries:
            parts = [(region,) + part.summary(state) for region, part in self.parts]
            passes = {behind: self.joined([(region, passing.get(behind, ())) for region, passing, _, _ in parts])
                      for behind in {behind for _, passing, _, _ in parts for behind in passing}}
            self.summaries[state] = passes, any(mixed for _, _, _, mixed in parts)
        return self.summaries[state]

    def drops(self, state):
        """The addresses that may be dropped."""
        return self.joined([(region, part.summary(state)[1]) for region, part in self.parts])

    @staticmethod
    def joined(parts):
        """Of each region its part of a set."""
        first = parts[0][1]
        if all(flat == first for _, flat in parts):
            return first
        return union(*(intersection(flat, region) for region, flat in parts))

    def runs(self, state):
        """[(region, Runs)] of packets that came in this state."""
        return [(region, part.results[key]) for region, part in self.parts
                for key in [("chain", self.base.chain, state)] if key in part.results]


class Part:
    """A walk of packets of which it is known whether they come from each of the base chain's big sets."""

    steps = 0

    def __init__(self, base, values, answers, known):
        self.base, self.values, self.answers, self.known = base, values, answers, known
        self.end = values["end"]
        self.results, self.summaries = {}, {}
        self.items, self.bounds = {}, {}
        self.stated = {}
        for chain in base.order:
            self.lay_out(chain)

    def lay_out(self, chain):
        """Keep of a chain what these packets may meet, and where its answers may change."""
        items, bounds = [], []
        leads = {}
        for item in chain.prepared[self.base.peer]:
            if item.lead not in leads:
                leads[item.lead] = self.together(item.lead)
            lead = leads[item.lead]
            if lead is False:
                continue
            if isinstance(item, Block):
                bounds.append(item.bounds)
                if lead is True or item.apart:
                    items.append((item, lead, None))
                else:  # each of them may hold, and whoever meets two of them may meet the second, too
                    items += [(ready, lead, Where(ready.once)) for ready in item.rules]
                continue
            where = None
            for cond in item.peers:
                inside = self.known.get(id(cond.whole()))
                if inside is not None:
                    if inside == cond.negate:
                        lead = False
                        break
                    continue
                here = cond.evaluate(self.values)
                if here is False:
                    lead = False
                    break
                if isinstance(here, Doubt):
                    lead = here if lead is True else lead
                    continue
                where = here if where is None else both(where, here, self.end)
            if lead is False:
                continue
            if where is not None:
                bounds += [where.sure, where.perhaps]
            bounds += [flat for cond in item.states for flat in cond.numbers(self.base.peer)]
            for step in item.rest:
                if step[0] == "do" and step[2] is not None:
                    bounds.append(self.bounds[step[2]])
                elif step[0] in ("if", "branch"):
                    bounds += self.inner_bounds([step])
            items.append((item, lead, where))
        every = sorted(itertools.chain((0, self.end), *bounds))
        every = [bound for bound, following in zip(every, every[1:] + [None]) if bound != following]
        Part.steps += len(every)
        if Part.steps > PATIENCE:
            raise BadInput("the rules are too tangled to be judged")
        self.items[chain], self.bounds[chain] = items, every

    def inner_bounds(self, steps):
        """Where the answers of conditions behind an effect, and of chains called from branches, may change."""
        found = []
        for cond in conditions(steps):
            if isinstance(cond, ReversePath):
                where = cond.evaluate(self.values)
                if isinstance(where, Where):
                    found += [where.sure, where.perhaps]
            found += cond.numbers(self.base.peer)
        return found + [self.bounds[chain] for chain in called(steps)]

    def together(self, conds):
        """True where all hold, False where one fails, else a Doubt."""
        answer = True
        for cond in conds:
            here = self.answers[cond]
            if here is False:
                return False
            answer = here if answer is True else answer
        return answer

    def state_values(self, state):
        """The values of a packet in this state."""
        if state not in self.stated:
            mark, ctmark, tracked = state
            values = dict(self.values)
            values["mark"] = Doubt("a mark that cannot be told") if mark is None else mark
            entry = values["tracking"] and tracked
            values["ctmark"] = BREAK if not entry else Doubt("a connection mark") if ctmark is None else ctmark
            values["ctstate"] = 64 if not tracked else values["connection"] if entry else 1
            values["ctdir"] = BREAK if not entry else int(values["way"] == "out")
            values["ctstatus"] = (BREAK if not entry else values["status"] if values["way"] == "in"
                                  else Doubt("the status of a connection that has been answered"))
            if self.base.untold:
                values.update((field, Doubt(self.base.untold)) for field in STATE if field != "mark")
            self.stated[state] = values
        return self.stated[state]

    def result(self, state):
        """The Runs of the base chain for packets that come in this state. No recursion, however deep the chains."""
        stack = [(("chain", self.base.chain, state), None)]
        answer = None
        while stack:
            key, running = stack.pop()
            if running is None:
                kept = self.base.blocks if key[0] == "block" else self.results
                if key in kept:
                    answer = kept[key]
                    continue
                if len(self.results) > 100000:
                    raise BadInput("the rules are too tangled to be judged")
                running = self.through(*key)
                answer = None
            try:
                wanted = running.send(answer)
                stack += [(key, running), (wanted, None)]
                answer = None
            except StopIteration as stop:
                answer = stop.value
                (self.base.blocks if key[0] == "block" else self.results)[key] = answer
        return answer

    def summary(self, state):
        """({state behind the chain: addresses that may get there}, those that may be dropped, whether some may both).
        """
        if state in self.summaries:
            return self.summaries[state]
        runs = self.result(state)
        fates = {}
        mixed = False
        for begin, end, outs in zip(runs.begins, runs.ends, runs.outs):
            if len(outs) > 1:
                mixed = True
            for out in outs:
                fate = fates.get(out[:2])
                if fate is None:
                    fate = fates[out[:2]] = ([], [])
                fate[0].append(begin)
                fate[1].append(end)
        rest = complement(united(list(runs.begins), list(runs.ends)), self.end)
        fall = fates.setdefault((FALL, state), ([], []))
        fall[0].extend(rest[::2])
        fall[1].extend(rest[1::2])
        passes, drops = {}, ([], [])
        for (verdict, behind), (begins, ends) in fates.items():
            passing = verdict == ACCEPT or verdict != DROP and self.base.chain.policy == ACCEPT
            into = passes.setdefault(behind, ([], [])) if passing else drops
            into[0].extend(begins)
            into[1].extend(ends)
        self.summaries[state] = ({behind: united(*pair) for behind, pair in passes.items()}, united(*drops), mixed)
        return self.summaries[state]

    def through(self, what, chain, state):
        """Walk a chain or a block; a generator that yields the keys of the Runs that it needs, and returns its own."""
        if what == "block":
            if chain.apart:
                return Runs(chain.begins, chain.ends, [((rule.verdict, state, rule.rule, None),)
                                                       for rule in chain.rules])
            crowd = Crowd(sorted({0, self.end}.union(chain.bounds)), state)
            crowd.paint(chain.rules, state)
            return crowd.runs(state)
        crowd = Crowd(self.bounds[chain], state)
        for item, lead, where in self.items[chain]:
            why = lead.why if isinstance(lead, Doubt) else None
            for now in crowd.states():
                if isinstance(item, Block):
                    runs = yield ("block", item, now)
                    crowd.meet(runs, now, None, why, "block")
                    continue
                for flat, reason in self.chosen(item, now, where, why):
                    if flat:
                        yield from self.act(crowd, item, now, flat, reason)
            crowd.settle()
        return crowd.runs(state)

    def chosen(self, item, state, where, why):
        """Sets of addresses for which a rule's conditions hold, each with None, or with why they only may."""
        for cond in item.states:
            here = cond.evaluate(self.state_values(state))
            if here is False:
                return []
            if isinstance(here, Where):
                where = here if where is None else both(where, here, self.end)
            elif isinstance(here, Doubt):
                why = why or here.why
        if where is None:
            return [([0, self.end], why)]
        if why is not None:
            return [(union(where.sure, where.perhaps), why)]
        return [(where.sure, None), (where.perhaps, where.why)]

    def act(self, crowd, item, state, flat, why):
        """Do what a rule does to packets in a state from a set of addresses; ``why`` where it only may."""
        rule, verdict = item.rule, item.verdict
        if verdict in (ACCEPT, DROP, RETURN):
            crowd.claim(flat, state, ((verdict, state, rule, why),), why)
        elif verdict in (JUMP, GOTO):
            runs = yield ("chain", item.rest[0][2], state)
            crowd.meet(runs, state, flat, why, verdict)
        elif item.rest:
            group = {state: crowd.take(flat, state, why is None)}
            crowd.pend((yield from self.perform(crowd, rule, item.rest, group, why)))

    def perform(self, crowd, rule, steps, group, why):
        """Take steps one after the other with a group of packets, {state: segments}; returns what is left of it."""
        for step in steps:
            if not any(group.values()):
                return {}
            what = step[0]
            if what == "if":
                group, others = self.split(crowd, step[1], group)
                crowd.pend(others)
            elif what in ("mark", "ctmark", "untrack"):
                changed = {}
                for state, segments in group.items():
                    behind = self.changed(step, state)
                    if behind is None:
                        crowd.pend({state: segments})
                    else:
                        changed.setdefault(behind, []).extend(segments)
                group = changed
            elif what == "any":
                for state, segments in group.items():
                    # Whatever it does, packets may also be let in, be dropped, or go on.
                    for verdict in (ACCEPT, DROP):
                        crowd.settle_for(segments, ((verdict, state, rule, step[1]),))
                crowd.pend(group)
                return {}
            elif what == "branch":
                taken = {}
                for cond, inner in step[1]:
                    chosen, group = self.split(crowd, cond, group)
                    for state, segments in (yield from self.perform(crowd, rule, inner, chosen, why)).items():
                        taken.setdefault(state, []).extend(segments)
                crowd.pend(group)
                group = taken
            else:
                verdict, target = step[1], step[2]
                for state, segments in group.items():
                    if verdict in (JUMP, GOTO):
                        runs = yield ("chain", target, state)
                        crowd.send(runs, state, segments, why, verdict)
                    else:
                        crowd.settle_for(segments, ((verdict, state, rule, why),))
                return {}
        return group

    def split(self, crowd, cond, group):
        """The part of a group for which a condition holds, and the part for which it does not; both, in doubt."""
        yes, no = {}, {}
        for state, segments in group.items():
            here = cond.evaluate(self.state_values(state))
            if here is True or isinstance(here, Doubt):
                yes[state] = segments
            if here is False or isinstance(here, Doubt):
                no[state] = segments
            if isinstance(here, Where):
                yes[state] = [k for k in segments if contains(here.sure, crowd.bounds[k])
                              or contains(here.perhaps, crowd.bounds[k])]
                no[state] = [k for k in segments if not contains(here.sure, crowd.bounds[k])]
        return yes, no

    def changed(self, step, state):
        """The state of a packet behind a step that changes it; None where the rule ends at it."""
        mark, ctmark, tracked = state
        if step[0] == "untrack":
            return state if self.values["tracking"] else (mark, None, False)
        values = self.state_values(state)
        if step[0] == "ctmark" and values["ctmark"] is BREAK:
            return state
        value = step[1](values)
        return None if value is BREAK else (value, ctmark, tracked) if step[0] == "mark" else (mark, value, tracked)


def both(one, other, end):
    """Where two conditions hold."""
    sure = intersection(one.sure, other.sure)
    possible = intersection(union(one.sure, one.perhaps), union(other.sure, other.perhaps))
    return Where(sure, without(possible, sure, end), one.why or other.why)


class Crowd:
    """Packets on their way through a chain. The addresses are cut into segments that no rule tells apart; ``alive``
    has for each state a byte for each segment, 1 where such packets are still under way."""

    def __init__(self, bounds, state):
        self.bounds = bounds
        self.alive = {state: bytearray(b"\1") * (len(bounds) - 1)}
        self.out = [None] * (len(bounds) - 1)
        self.asked = {}
        self.pending = []

    def states(self):
        """The states of packets that are under way."""
        return [state for state, alive in self.alive.items() if alive.find(1) >= 0]

    def living(self, alive, flat):
        """The segments of a set of addresses at which a byte is 1."""
        bounds, find, left = self.bounds, alive.find, bisect.bisect_left
        for begin, end in zip(flat[::2], flat[1::2]):
            at = left(bounds, begin)
            until = left(bounds, end, at)
            at = find(1, at, until)
            while at >= 0:
                yield at
                at = find(1, at + 1, until)

    def add(self, segment, outs):
        """Note what may happen to packets of a segment. What is known already is not said twice; a rule that only may
        be meant gives way to one that is."""
        before = self.out[segment]
        if before is None:
            self.out[segment] = outs
        else:
            sure = {out[:2] for out in outs if out[3] is None}
            before = tuple(out for out in before if out[3] is None or out[:2] not in sure)
            known = {out[:2] for out in before}
            self.out[segment] = before + tuple(out for out in outs if out[:2] not in known)

    def claim(self, flat, state, outs, why):
        """End the way of packets; where they only may be meant, they go on as well."""
        alive, out = self.alive[state], self.out
        if why is None:
            for segment in self.living(alive, flat):
                alive[segment] = 0
                if out[segment] is None:
                    out[segment] = outs
                else:
                    self.add(segment, outs)
            return
        # What may have been dropped once need not be asked about a second time.
        asked = self.asked.setdefault((state, outs[0][0]), bytearray(alive))
        for segment in self.living(asked, flat):
            asked[segment] = 0
            if alive[segment]:
                self.add(segment, outs)

    def paint(self, rules, state):
        """Claim for many rules of a block, one after the other."""
        alive, out, bounds, left = self.alive[state], self.out, self.bounds, bisect.bisect_left
        for ready in rules:
            once = ready.once
            outs = ((ready.verdict, state, ready.rule, None),)
            at = left(bounds, once[0]) if once else 0
            if len(once) == 2 and bounds[at + 1] == once[1]:  # one segment, as most often
                if alive[at]:
                    alive[at] = 0
                    out[at] = outs
            else:
                self.claim(once, state, outs, None)

    def take(self, flat, state, certain):
        """The segments under way in a set of addresses; they are no longer, if it is certain that they are meant."""
        alive = self.alive[state]
        segments = list(self.living(alive, flat))
        if certain:
            for segment in segments:
                alive[segment] = 0
        return segments

    def settle_for(self, segments, outs):
        """End the way of these segments."""
        for segment in segments:
            self.add(segment, outs)

    def pend(self, group):
        """Let segments go on, from the next rule."""
        self.pending += [(state, segments) for state, segments in group.items() if segments]

    def settle(self):
        """A rule is done: who goes on meets the next."""
        for state, segments in self.pending:
            alive = self.alive.setdefault(state, bytearray(len(self.out)))
            again = [alive] + [asked for (of, _), asked in self.asked.items() if of == state]
            for each in again:
                for segment in segments:
                    each[segment] = 1
        self.pending = []

    def meet(self, runs, state, flat, why, verdict):
        """Send packets through a chain or a block, to which these Runs belong."""
        if verdict == GOTO or flat is not None and flat != [self.bounds[0], self.bounds[-1]]:
            self.send(runs, state, self.take(flat, state, why is None), why, verdict)
            return
        alive, out, bounds, left = self.alive[state], self.out, self.bounds, bisect.bisect_left
        until = 0
        simple = why is None and verdict == "block"
        for begin, end, outs in zip(runs.begins, runs.ends, runs.outs):
            # Most ranges begin where the last ended, or one further: to search all bounds for each takes longer.
            at = until if bounds[until] == begin else until + 1
            if bounds[at] != begin:
                at = left(bounds, begin, at)
            until = at + 1 if bounds[at + 1] == end else left(bounds, end, at)
            if simple and until == at + 1 and alive[at] and out[at] is None:
                alive[at] = 0
                out[at] = outs
                continue
            at = alive.find(1, at, until)
            while at >= 0:
                if why is None:
                    alive[at] = 0
                self.come_out(at, outs, why, verdict)
                at = alive.find(1, at + 1, until)

    def send(self, runs, state, segments, why, verdict):
        """The same for single segments, which are no longer under way unless in doubt."""
        falls = ((FALL, state, None, None),)
        for segment in segments:
            at = bisect.bisect_right(runs.begins, self.bounds[segment]) - 1
            inside = at >= 0 and self.bounds[segment] < runs.ends[at]
            self.come_out(segment, runs.outs[at] if inside else falls, why, verdict)

    def come_out(self, segment, outs, why, verdict):
        """What becomes of a segment that has been through a chain."""
        if why is None and len(outs) == 1 and self.out[segment] is None and (
                outs[0][0] in (ACCEPT, DROP) or outs[0][0] == RETURN and verdict == "block"):
            self.out[segment] = outs
            return
        ended = []
        for out in outs:
            if out[0] == FALL or out[0] == RETURN and verdict != "block":
                if verdict == GOTO:
                    ended.append((RETURN, out[1], out[2], out[3] or why))
                else:
                    self.pending.append((out[1], (segment,)))
            else:
                ended.append(out if why is None or out[3] else out[:3] + (why,))
        if ended:
            self.add(segment, tuple(ended))

    def runs(self, state):
        """The Runs of the chain: neighbours with the same outs are one, and those that just fall through are none."""
        begins, ends, all_outs = [], [], []
        bounds = self.bounds
        living = list(self.alive.items())
        falls = {now: (FALL, now, None, None) for now, _ in living}
        trivial = (falls[state],)
        last = None
        for segment, outs in enumerate(self.out):
            if outs is None and len(living) == 1:
                last = None
                continue
            for now, alive in living:
                if alive[segment]:
                    outs = (falls[now],) if outs is None else outs + (falls[now],)
            if outs is None or outs == trivial:
                last = None
            elif last is not None and (outs is last or outs == last):
                ends[-1] = bounds[segment + 1]
            else:
                begins.append(bounds[segment])
                ends.append(bounds[segment + 1])
                all_outs.append(outs)
                last = outs
        return Runs(begins, ends, all_outs)


def pass_hooks(walks, state, end):
    """Send packets from all addresses through base chains, one after the other.

    Returns (from where they may get through, those of them that may be dropped as well, [(walk, state)]).
    """
    crowd = {state: [0, end]}
    met, mixed = [], False
    for walk in walks:
        following = {}
        for now, flat in crowd.items():
            if walk.base.chain.kind == "nat" and not now[2]:
                following.setdefault(now, []).append(flat)
                continue
            passes, some = walk.summary(now)
            met.append((walk, now, flat))
            mixed |= some
            for behind, passing in passes.items():
                following.setdefault(behind, []).append(intersection(passing, flat))
        crowd = {now: flat for now, flat in ((now, union(*flats)) for now, flats in following.items()) if flat}
        if len(crowd) > 1000:
            raise BadInput("the rules are too tangled to be judged")
    # Where nothing was in doubt, no packet can be both let in and dropped.
    doubtful = union(*(intersection(walk.drops(now), flat) for walk, now, flat in met)) if mixed else []
    return union(*crowd.values()), doubtful, [(walk, now) for walk, now, _ in met]


# ---------------------------------------------------------------------------------------
# iptables, as iptables-save and ip6tables-save print it.

#: Where the kernel asks the tables of iptables: (hook, priority) of their chains; netfilter_ipv4.h has the numbers.
PLACES = {
    ("raw", "PREROUTING"): ("prerouting", -300), ("mangle", "PREROUTING"): ("prerouting", -150),
    ("nat", "PREROUTING"): ("prerouting", -100), ("mangle", "INPUT"): ("input", -150),
    ("filter", "INPUT"): ("input", 0), ("security", "INPUT"): ("input", 50), ("nat", "INPUT"): ("input", 100),
    ("raw", "OUTPUT"): ("output", -300), ("mangle", "OUTPUT"): ("output", -150), ("nat", "OUTPUT"): ("output", -100),
    ("filter", "OUTPUT"): ("output", 0), ("security", "OUTPUT"): ("output", 50),
    ("mangle", "POSTROUTING"): ("postrouting", -150), ("nat", "POSTROUTING"): ("postrouting", 100),
}
PORTS = 1 << 16
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECE": 64, "ECN": 64, "CWR": 128, "NONE": 0,
         "ALL": 63}
STATES = {"INVALID": 1, "ESTABLISHED": 2, "RELATED": 4, "NEW": 8, "UNTRACKED": 64}
#: What the same match calls states, and is the status of a connection.
STATUS = {"SNAT": 1 << 4, "DNAT": 1 << 5}
#: Targets behind which a packet goes on to the next rule, unchanged in what rules ask for.
NO_EFFECT = frozenset("""ACCOUNT AUDIT CHECKSUM CLASSIFY CONNSECMARK DSCP ECN HL IDLETIMER LED LOG NFLOG RATEEST SECMARK
    SET TCPMSS TCPOPTSTRIP TEE TOS TRACE TTL ULOG""".split())


def one(field, test, negate):
    """A step: go on where the test of one field holds."""
    return "if", Cond((field,), ((test,),), negate)


def port_numbers(text):
    """The ports that iptables means by 22, 80:90 or a list of these.

    >>> port_numbers("22,80:90,100:")
    [22, 23, 80, 91, 100, 65536]
    """
    begins, ends = [], []
    for part in text.split(","):
        first, colon, last = part.partition(":")
        begins.append(int(first or 0))
        ends.append((int(last) if last else PORTS - 1) + 1 if colon else int(first) + 1)
    if not all(0 <= begin < end <= PORTS for begin, end in zip(begins, ends)):
        raise ValueError("%s is no port" % show(text))
    return united(begins, ends)


def masked(text):
    """The value and the mask of 0x1/0xff; without a mask, every bit counts."""
    value, slash, mask = text.partition("/")
    return int(value, 0), int(mask, 0) if slash else 0xFFFFFFFF


SOURCE = re.compile(r"(! )?-s (\S+) ?")


class Iptables:
    """Reads one family of one back end."""

    def __init__(self, text, family, program):
        self.family, self.program = family, program
        self.tables = {}
        self.table = None
        for number, line in enumerate(text.split("\n"), 1):
            line = line.strip()
            if not line or line[0] == "#":
                continue
            if line[0] == "[":
                line = line.partition("] ")[2]
            try:
                self.read(line)
            except (ValueError, IndexError, KeyError) as error:
                raise BadInput("%s, line %d: %s: %s" % (program, number, show(line, 60), show(error, 80))) from None
        if self.table is not None:
            raise BadInput("%s: the table %s does not end with COMMIT: is it cut off?" % (program, show(self.table)))
        self.link()

    def read(self, line):
        """One line: of a table, a chain, a rule, or the end of a table."""
        if line[0] == "*" and self.table is None:
            self.table = line[1:]
            self.tables[self.table] = ({}, {})
        elif self.table is None:
            raise ValueError("a line *TABLE is expected first")
        elif line == "COMMIT":
            self.table = None
        elif line[0] == ":":
            name, policy = line[1:].split()[:2]
            hook, priority = PLACES.get((self.table, name), (None, 0))
            if policy not in ("ACCEPT", "DROP", "-"):
                raise ValueError("no such policy")
            self.tables[self.table][0][name] = Chain(
                name, self.family, hook, priority, DROP if policy == "DROP" else ACCEPT,
                "nat" if self.table == "nat" else "filter")
            self.tables[self.table][1][name] = []
        elif line.startswith("-A "):
            name, _, rest = line[3:].partition(" ")
            self.tables[self.table][1][name].append(rest)
        else:
            raise ValueError("not a line of iptables-save")

    def link(self):
        """Make rules of the texts, now that every chain is known."""
        for table, (chains, texts) in self.tables.items():
            kept = {}
            for name, chain in chains.items():
                program = self.program.replace("-save", "")
                for number, text in enumerate(texts[name], 1):
                    first, others = self.steps(text, chains, kept)
                    chain.rules.append(Rule(others, (program, table, name, number), text, first))

    def steps(self, text, chains, kept):
        """(A condition on the source or None, the other steps) of a rule. iptables-save prints the source first."""
        found = SOURCE.match(text)
        first = None
        if found:
            try:
                numbers = Numbers(network(found.group(2), self.family))
                first = Cond(("saddr",), ((numbers,),), bool(found.group(1)))
                text = text[found.end():]
            except ValueError:
                pass
        if text not in kept:
            try:
                words = shlex.split(text) if '"' in text else text.split()  # it has no other quotes
                kept[text] = self.words(words, chains)
            except (ValueError, IndexError, KeyError):
                kept[text] = [("any", "a rule that exposure.py cannot read")]
        return first, kept[text]

    def words(self, words, chains):
        """The steps of a rule without its source."""
        steps = []
        at, negate, module = 0, False, ""
        while at < len(words):
            word = words[at]
            value = words[at + 1] if at + 1 < len(words) else ""
            at += 1
            if word == "!":
                negate = True
                continue
            if word in ("-j", "-g"):
                options = words[at + 1:]
                if "-j" in options or "-g" in options:  # the first was a word of a match that is not known
                    return steps + [("any", "a rule with two targets")]
                return steps + self.target(word, value, options, chains)
            if word == "-m":
                module = value
                known = self.module(module)
                at += 1
                if not known:
                    steps.append(("if", Unknown("the match %s" % show(module, 30))))
                    at += self.until(words[at:])
            else:
                taken, more = self.option(module, word, value, words[at:], negate)
                steps += more
                at += taken
            negate = False
        return steps

    def module(self, module):
        """Whether the options of a match are known here."""
        return module in ("tcp", "udp", "icmp", "icmp6", "ipv6-icmp", "multiport", "iprange", "state", "conntrack",
                          "mark", "connmark", "addrtype", "rpfilter", "pkttype", "comment")

    def option(self, module, word, value, rest, negate):
        """How many words an option takes, and its steps; an option that is not known is a doubt until the next -m."""
        if word in ("-s", "-d"):
            try:
                flat = network(value, self.family)
            except ValueError as error:
                return 1, [("if", Unknown(str(error)))]
            return 1, [one("saddr" if word == "-s" else "daddr", Numbers(flat), negate)]
        if word in ("-i", "-o"):
            name = value[:-1] + "*" if value.endswith("+") else value
            return 1, [one("iif" if word == "-i" else "oif", Names([name]), negate)]
        if word == "-p":
            tcp = value in ("tcp", "6", "all", "0")
            return 1, [] if tcp != negate else [("if", NEVER)]
        if word == "-f":
            return 0, [] if negate else [("if", NEVER)]
        if (module, word) in (("tcp", "--dport"), ("multiport", "--dports")):
            return 1, [one("dport", Numbers(port_numbers(value)), negate)]
        if (module, word) in (("tcp", "--sport"), ("multiport", "--sports")):
            return 1, [one("sport", Numbers(port_numbers(value)), negate)]
        if (module, word) == ("multiport", "--ports"):
            some, every = Numbers(port_numbers(value)), Numbers([0, PORTS])
            return 1, [("if", Cond(("sport", "dport"), ((some, every), (every, some)), negate))]
        if (module, word) == ("tcp", "--tcp-flags"):
            mask, wanted = (sum(FLAGS[name] for name in names.split(",")) for names in rest[:2])
            return 2, [one("flags", Numbers([wanted, wanted + 1], mask), negate)]
        if (module, word) == ("tcp", "--syn"):
            return 0, [one("flags", Numbers([2, 3], 23), negate)]
        if module in ("udp", "icmp", "icmp6", "ipv6-icmp"):
            return self.until(rest), [("if", NEVER)]
        if word in ("--src-range", "--dst-range") and module == "iprange":
            begin, end = (address(each, self.family) for each in value.split("-"))
            return 1, [one("saddr" if word == "--src-range" else "daddr", Numbers([begin, end + 1]), negate)]
        if (module, word) in (("state", "--state"), ("conntrack", "--ctstate")):
            names = value.split(",")
            # What belongs to no connection is asked for its state only, whatever else the match says.
            if self.until(rest) > 1 and (negate or not {"INVALID", "UNTRACKED"}.isdisjoint(names)):
                return self.until(rest), [("if", Unknown("a state of no connection, and more of the same match"))]
            return 1, [self.state(names, negate)]
        if (module, word) == ("conntrack", "--ctdir"):
            way = {"ORIGINAL": 0, "REPLY": 1}[value]
            return 1, [one("ctdir", Numbers([way, way + 1]), negate)]
        if module in ("mark", "connmark") and word == "--mark":
            wanted, mask = masked(value)
            return 1, [one("mark" if module == "mark" else "ctmark", Numbers([wanted, wanted + 1], mask), negate)]
        if (module, word) == ("addrtype", "--dst-type") and self.until(rest) == 1:
            return 1, [one("dtype", Names(self.types(value.lower().split(","))), negate)]
        if module == "rpfilter":
            taken = self.until(rest)
            options = [word] + list(rest[:taken])
            return taken, [("if", ReversePath("--loose" in options, "--invert" in options, self.family == 6))]
        if (module, word) == ("pkttype", "--pkt-type"):
            return 1, [one("pkttype", Names([value.replace("unicast", "host")]), negate)]
        if (module, word) == ("comment", "--comment"):
            return 1, []
        return self.until(rest), [("if", Unknown("the option %s of the match %s" % (show(word, 30), show(module, 30))))]

    @staticmethod
    def state(names, negate):
        """A step: go on where a packet has one of these states."""
        status = sum({STATUS[name] for name in names if name in STATUS})
        states = Bits(sum({STATES[name] for name in names if name not in STATUS}))
        if not status:
            return one("ctstate", states, negate)
        every = Numbers([0, 1 << 32])
        return "if", Cond(("ctstate", "status"), ((states, every), (every, Bits(status))), negate)

    def types(self, names):
        """The types of an address that the routes tell, of those that addrtype asks for."""
        if self.family == 4:
            return names
        # ip6tables takes these two for the form of an address, and wants one of the others besides, if there are any.
        return ["multicast"] if "multicast" in names else [name for name in names if name != "unicast"] or ["local"]

    @staticmethod
    def until(rest):
        """How many words there are before the next match or target."""
        return next((at for at, word in enumerate(rest) if word in ("-m", "-j", "-g")), len(rest))

    def target(self, word, name, options, chains):
        """The steps of a target."""
        if name in chains:
            return [("do", GOTO if word == "-g" else JUMP, chains[name])]
        if name in ("ACCEPT", "DROP", "REJECT", "RETURN"):
            return [("do", DROP if name == "REJECT" else name.lower(), None)]
        if name in NO_EFFECT or name == "CT" and "--notrack" not in options:
            return []
        if name in ("NOTRACK", "CT"):
            return [("untrack",)]
        if name in ("SNAT", "MASQUERADE"):
            return [("do", ACCEPT, None)]
        if name == "MARK" and options[:1] == ["--set-xmark"]:
            value, mask = masked(options[1])
            return [("mark", lambda values: changed_bits(values["mark"], value, mask))]
        if name == "CONNMARK" and options[:1] == ["--set-xmark"] and len(options) == 2:  # more is a shift
            value, mask = masked(options[1])
            return [("ctmark", lambda values: changed_bits(values["ctmark"], value, mask))]
        if name == "CONNMARK":
            full = options[:1] in (["--save-mark"], ["--restore-mark"]) and all(
                word in ("--nfmask", "--ctmask", "0xffffffff") for word in options[1:])
            if options[:1] == ["--restore-mark"]:
                return [("mark", lambda values: number_or_none(values["mark"]) if values["ctmark"] is BREAK else
                         number_or_none(values["ctmark"]) if full else None)]
            return [("ctmark", lambda values: number_or_none(values["mark"]) if full else None)]
        if name == "HMARK":
            return [("mark", lambda values: None)]
        if name in ("DNAT", "REDIRECT", "TPROXY", "NETMAP"):
            return [("any", "the target %s" % name, translation(options))]
        return [("any", "the target %s" % show(name, 30))]

    def bases(self):
        """The base chains that have anything to say."""
        return [chain for chains, _ in self.tables.values() for chain in chains.values()
                if chain.hook and (chain.rules or chain.policy != ACCEPT)]


def translation(options):
    """The address and the set of ports that a target sends packets on to; None where it does not say.

    >>> translation(["--to-destination", "192.0.2.1:80-81"]), translation(["--to-ports", "8080"]), translation([])
    (('192.0.2.1', [80, 82]), (None, [8080, 8081]), (None, None))
    >>> for to in "192.0.2.1-192.0.2.9:80 :80 2001:db8::1 [2001:db8::1]:80 2001:db8::1-2001:db8::9".split():
    ...     print(translation(["--to-destination", to]))
    (None, [80, 81])
    (None, [80, 81])
    ('2001:db8::1', None)
    ('2001:db8::1', [80, 81])
    (None, None)
    """
    where, ports = None, None
    if options[:1] in (["--to-ports"], ["--on-port"]):
        ports = options[1]
    elif options[:1] == ["--to-destination"]:
        where, _, ports = options[1].partition("]:" if "]" in options[1] else ":")
        if ":" in ports:  # IPv6, without a port
            where, ports = options[1], None
        where = None if "-" in where else where.strip("[]")  # of several addresses, any may be this host's
    return where or None, port_numbers(ports.split("/")[0].replace("-", ":")) if ports else None


def number_or_none(value):
    """A number; None for what cannot be told, or is not there."""
    return value if isinstance(value, int) else None


def changed_bits(before, value, mask):
    """What MARK --set-xmark makes of a mark: the bits of the mask are zeroed, then the value is xored."""
    if not isinstance(before, int):
        return value if mask == 0xFFFFFFFF else None
    return before & ~mask & 0xFFFFFFFF ^ value


# ---------------------------------------------------------------------------------------
# nftables, as `nft -j list ruleset` prints it; libnftables-json(5) describes the format.

NFT_FLAGS = {name.lower(): bits for name, bits in FLAGS.items() if name not in ("NONE", "ALL", "ECN")}
NFT_STATES = {name.lower(): bits for name, bits in STATES.items()}
NFT_STATUS = dict({"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "dying": 512},
                  **{name.lower(): bits for name, bits in STATUS.items()})
PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58,
             "comp": 108, "sctp": 132, "udplite": 136, "hopopt": 0, "ipv6": 41, "gre": 47, "ipv6-nonxt": 59, "ip": 0,
             "ipv6-route": 43, "ipv6-frag": 44, "ipv6-opts": 60}
ETHER = {"ip": 0x800, "arp": 0x806, "ip6": 0x86DD, "vlan": 0x8100, "8021q": 0x8100, "8021ad": 0x88A8}
#: Names of numbers, by field.
NAMED = {"flags": NFT_FLAGS, "ctstate": NFT_STATES, "ctstatus": NFT_STATUS, "l4proto": PROTOCOLS, "nexthdr": PROTOCOLS,
         "ethertype": ETHER, "nfproto": {"ipv4": 2, "ipv6": 10}, "ctdir": {"original": 0, "reply": 1}}
BITS = (("flags",), ("ctstate",), ("ctstatus",))
TEXTS = ("iif", "oif", "dtype", "pkttype")
#: What an expression asks for: the field, and what the packet has to be.
EXPRESSIONS = {
    ("payload", "ip", "saddr"): ("saddr", (4,)), ("payload", "ip", "daddr"): ("daddr", (4,)),
    ("payload", "ip6", "saddr"): ("saddr", (6,)), ("payload", "ip6", "daddr"): ("daddr", (6,)),
    ("payload", "ip", "protocol"): ("l4proto", (4,)), ("payload", "ip6", "nexthdr"): ("nexthdr", (6,)),
    ("payload", "tcp", "sport"): ("sport", ("tcp",)), ("payload", "tcp", "dport"): ("dport", ("tcp",)),
    ("payload", "th", "sport"): ("sport", ("tcp",)), ("payload", "th", "dport"): ("dport", ("tcp",)),
    ("payload", "tcp", "flags"): ("flags", ("tcp",)), ("payload", "ether", "type"): ("ethertype", ()),
    ("meta", "iifname"): ("iif", ()), ("meta", "iif"): ("iif", ()), ("meta", "oifname"): ("oif", ()),
    ("meta", "oif"): ("oif", ()), ("meta", "l4proto"): ("l4proto", ("tcp",)), ("meta", "nfproto"): ("nfproto", ()),
    ("meta", "protocol"): ("ethertype", ()), ("meta", "mark"): ("mark", ()), ("meta", "pkttype"): ("pkttype", ()),
    ("ct", "state"): ("ctstate", ()), ("ct", "direction"): ("ctdir", ()), ("ct", "mark"): ("ctmark", ()),
    ("ct", "status"): ("ctstatus", ()),
}
#: Headers that a TCP packet does not have: a rule that asks for them ends there.
OTHERS = ("udp", "udplite", "icmp", "icmpv6", "igmp", "sctp", "dccp", "esp", "ah", "comp", "arp", "gre")
#: What a packet has to be for a statement to be about it, where nft prints no condition that says so.
FAMILY = {"ip": (4,), "icmp": (4,), "ip6": (6,), "icmpv6": (6,)}
#: What an element of a set may have and still be in it for every packet: not a limit, which ends the rule at times.
HARMLESS = {"val", "timeout", "expires", "comment", "counter", "last"}
#: Statements behind which a packet goes on to the next one, unchanged in what rules ask for.
SILENT = frozenset(["counter", "log", "comment", "last", "dup", "flow", "ct helper", "ct timeout", "ct expectation",
                    "secmark"])


class Strange(ValueError):
    """An expression that is not known here; the message says what it is."""


def compact(found):
    """Called for each object of the JSON as it is read, so that a million of them take little memory."""
    if len(found) != 1:
        return found
    (key, value), = found.items()
    try:
        if key == "prefix":
            return "prefix", value["addr"], value["len"]
        if key == "range":
            return "range", value[0], value[1]
        if key == "elem" and isinstance(value, dict) and HARMLESS.issuperset(value):
            return value["val"]
        if key == "counter" and looks_up_nothing(value):
            return COUNTER
        if key == "payload" and len(value) == 2:  # with a third part it is about bytes, or a packet in a tunnel
            return "payload", value["protocol"], value["field"]
        if key == "meta":
            return "meta", value["key"]
        if key == "ct" and "dir" not in value:
            return "ct", value["key"]
    except (KeyError, TypeError, IndexError):
        pass
    return found


def looks_up_nothing(value):
    """Whether a statement has all that it needs: a rule ends where it looks something up and finds nothing."""
    return not isinstance(value, dict) or not any(isinstance(each, (dict, tuple)) for each in value.values())


COUNTER = {"counter": None}


class Nftables:
    """Reads all tables. ``saved`` has the text of a rule that iptables-nft-save printed, by (family, table, chain,
    number), and is asked for what nft has no words for."""

    def __init__(self, text, saved=None):
        try:
            listed = json.loads(text, object_hook=compact)["nftables"]
            if not isinstance(listed, list):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadInput("nft.json is not what `nft -j list ruleset` prints: is it cut off?") from None
        self.saved = saved
        self.chains, self.sets, self.rules = {}, {}, []
        self.dormant, self.changed_sets, self.tests = set(), set(), {}
        for entry in listed:
            if not isinstance(entry, dict) or len(entry) != 1:
                raise BadInput("nft.json has an entry that nft does not print")
            (kind, thing), = entry.items()
            if not isinstance(thing, dict):
                continue
            try:
                self.note(kind, thing)
            except (KeyError, TypeError):
                raise BadInput("nft.json has a %s that nft does not print" % show(kind, 20)) from None
        self.find_changed_sets()
        if saved is not None:
            saved.count(self.rules)
        numbers = {}
        for thing in self.rules:
            key = thing["family"], thing["table"], thing["chain"]
            if key not in self.chains:
                raise BadInput("nft.json has a rule of the chain %s, which is not there" % show(thing["chain"], 30))
            numbers[key] = numbers.get(key, 0) + 1
            self.chains[key].rules.append(self.rule(thing, key, numbers[key]))
        self.rules = self.sets = None  # and with them a million texts of addresses

    def note(self, kind, thing):
        """Keep a table, chain, set, map or rule."""
        if kind == "table":
            if "dormant" in (thing.get("flags") or ()):
                self.dormant.add((thing["family"], thing["name"]))
        elif kind == "chain":
            policy = thing.get("policy", "accept")
            priority = thing.get("prio", 0)
            if policy not in ("accept", "drop") or not isinstance(priority, int):
                raise TypeError
            devices = thing.get("dev")
            chain = Chain(thing["name"], thing["family"], thing.get("hook"), priority, policy,
                          thing.get("type", "filter"), [devices] if isinstance(devices, str) else devices)
            self.chains[thing["family"], thing["table"], thing["name"]] = chain
        elif kind in ("set", "map"):
            key = thing["family"], thing["table"], thing["name"]
            self.sets[key] = thing
            limits = (statement for statement in thing.get("stmt") or () if not HARMLESS.issuperset(statement))
            if "dynamic" in (thing.get("flags") or ()) or any(limits):
                self.changed_sets.add(key)
        elif kind == "rule":
            if not isinstance(thing["expr"], list) or not all(
                    isinstance(thing[part], str) for part in ("family", "table", "chain")):
                raise TypeError
            self.rules.append(thing)

    def find_changed_sets(self):
        """The sets that rules change: what is in them now says nothing about the next packet."""
        for thing in self.rules:
            for statement in thing["expr"]:
                inner = statement.get("set", statement.get("map")) if isinstance(statement, dict) else None
                if isinstance(inner, dict) and isinstance(inner.get("set", inner.get("map")), str):
                    name = inner.get("set", inner.get("map")).lstrip("@")
                    self.changed_sets.add((thing["family"], thing["table"], name))

    def rule(self, thing, key, number):
        """A rule in the small form."""
        expressions = thing["expr"]
        steps = None
        if any(isinstance(expression, dict) and "xt" in expression for expression in expressions):
            steps = self.saved(key, number, self.chains) if self.saved is not None else None
        if steps is None:
            steps = []
            try:
                for expression in expressions:
                    steps += self.statement(expression, key[:2])
            except Strange as strange:
                steps.append(("any", str(strange)))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError):
                steps.append(("any", "an expression that exposure.py cannot read"))
        return Rule(steps, ("nftables", key[0], key[1] + ", chain", key[2] + ",", number),
                    lambda: nft_text(expressions))

    def statement(self, expression, table):
        """The steps of one statement."""
        (key, value), = expression.items()
        if key in SILENT:
            return [] if looks_up_nothing(value) else [("if", Unknown("what a statement looks up"))]
        if key == "match":
            try:
                return [("if", self.match(value["op"], value["left"], value["right"], table))]
            except Strange as strange:
                return [("if", Unknown(str(strange)))]
        if key == "continue":  # with what is next in the rule
            return []
        if key in (ACCEPT, DROP, RETURN):
            return [("do", key, None)]
        if key == "reject":
            return self.about(value["type"] if value else None) + [("do", DROP, None)]
        if key in (JUMP, GOTO):
            return [("do", key, self.chain(table, value["target"]))]
        if key in ("masquerade", "snat"):
            return [("do", ACCEPT, None)]
        if key == "notrack":
            return [("untrack",)]
        if key in ("limit", "quota", "ct count"):
            return [("if", Unknown(key))]
        if key in ("set", "map"):
            return [("if", Unknown("a change of a set"))]
        if key == "xt":
            name = value.get("name", "") if isinstance(value, dict) else ""
            if isinstance(value, dict) and value.get("type") == "match":
                return [("if", Unknown("the match %s" % show(name, 30)))]
            return [("any", ("what only iptables can print %s" % show(name, 30)).strip())]
        if key == "vmap":
            return [self.branch(value["key"], value["data"], table,
                                lambda verdict: self.statement(verdict, table))]
        if key == "mangle":
            return self.mangle(value["key"], value["value"], table)
        if key in ("dnat", "redirect", "tproxy"):
            value = value if isinstance(value, dict) else {}
            to, ports = value.get("addr"), value.get("port")
            return [("any", "the statement %s" % key, (to if isinstance(to, str) else None,
                                                       [ports, ports + 1] if isinstance(ports, int) else None))]
        return [("any", "the statement %s" % show(key, 30))]

    @staticmethod
    def about(family):
        """The step of a statement that is for packets of one family only; None for all."""
        return [("if", Cond((), ((),), needs=FAMILY[family]))] if family in FAMILY else []

    def mangle(self, key, value, table):
        """The steps of a statement that changes the packet, or what is noted of it."""
        if key in (("meta", "mark"), ("ct", "mark")):
            return self.marks("mark" if key[0] == "meta" else "ctmark", value, table)
        if key[-1] not in ("priority", "nftrace", "dscp", "ecn", "ttl", "hoplimit", "event", "label", "helper"):
            raise Strange("a change of the packet")
        return self.about(key[1]) + self.statement({"log": {"value": value}}, table)

    def chain(self, table, name):
        """The chain that a rule jumps to."""
        if table + (name,) not in self.chains:
            raise BadInput("nft.json has a jump to the chain %s, which is not there" % show(name, 30))
        return self.chains[table + (name,)]

    def marks(self, into, value, table):
        """The steps that set a mark."""
        if isinstance(value, dict) and "map" in value:
            return [self.branch(value["map"]["key"], value["map"]["data"], table,
                                lambda number: self.marks(into, number, table))]
        number = expression(value)
        if number is None:  # whether it has a value for every packet cannot be told either
            return [("if", Unknown("what a mark is set to")), (into, lambda values: None)]
        return [(into, number)]

    def branch(self, key, data, table, steps):
        """A step that looks its key up and takes what it finds."""
        grouped, default = {}, None
        for each, verdict in self.items(data, table):
            if each == "*":
                default = steps(verdict)
            else:
                grouped.setdefault(json.dumps(verdict), (verdict, []))[1].append(each)
        try:
            fields, needs = self.fields(key, table)
        except Strange as strange:
            raise Strange("a map by %s" % strange) from None
        if needs is None:
            return "branch", []
        branches = [(Cond(fields, elements(fields, items), needs=needs), steps(verdict))
                    for verdict, items in grouped.values()]
        if default is not None:
            branches.append((Cond(fields, (), True, needs), default))  # whatever it is, but it has to have the key
        return "branch", branches

    def items(self, data, table):
        """What is in a set or a map, given in a rule or by its name."""
        if isinstance(data, str) and data.startswith("@"):
            key = table + (data[1:],)
            if key in self.changed_sets:
                raise Strange("the set %s, which packets change" % show(data, 30))
            if key not in self.sets:
                raise BadInput("nft.json has a rule that asks for %s, which is not there" % show(data, 30))
            return self.sets[key].get("elem", [])
        return data["set"] if isinstance(data, dict) and "set" in data else [data]

    def fields(self, left, table):
        """The fields that an expression asks for, and what the packet has to be: None where no TCP packet is that."""
        if isinstance(left, dict) and "concat" in left:
            parts = [self.fields(part, table) for part in left["concat"]]
            needs = None if any(needs is None for _, needs in parts) else tuple(
                dict.fromkeys(need for _, needs in parts for need in needs))
            return tuple(field for fields, _ in parts for field in fields), needs
        if isinstance(left, tuple) and left in EXPRESSIONS:
            field, needs = EXPRESSIONS[left]
            if left[1] == "ether" and table[0] not in ("bridge", "netdev"):
                raise Strange("an Ethernet header, which not every packet has here")
            return (field,), needs
        if isinstance(left, tuple) and left[0] == "payload" and left[1] in OTHERS:
            return (), None
        if isinstance(left, dict) and "fib" in left:
            fib = left["fib"]
            if fib.get("result") == "type" and fib.get("flags") in (["daddr"], "daddr"):
                return ("dtype",), ()
        raise Strange(nft_text([{"match": {"left": left}}]))

    def match(self, operator, left, right, table):
        """The condition of a match statement."""
        if isinstance(left, dict) and "fib" in left and left["fib"].get("result") == "oif":
            return self.reverse_path(left["fib"]["flags"], operator, right)
        mask = None
        if isinstance(left, dict) and "&" in left:
            left, mask = left["&"]
        fields, needs = self.fields(left, table)
        if needs is None:
            return NEVER
        if mask is not None:
            mask = one_number(fields[0], mask)
            if fields[0] in TEXTS + ("saddr", "daddr") or len(fields) > 1:
                raise Strange("a mask")
        if operator in ("in", "!") and fields in BITS and mask is None:
            return Cond(fields, ((Bits(one_number(fields[0], right)),),), operator == "!", needs)
        if operator in ("<", ">", "<=", ">="):
            if fields[0] in TEXTS + ("ctstatus",):
                raise Strange("an order")
            number = one_number(fields[0], right)
            return Cond(fields, ((Numbers({"<": [0, number], "<=": [0, number + 1], ">": [number + 1, 1 << 128],
                                           ">=": [number, 1 << 128]}[operator], mask),),), False, needs)
        if operator not in ("==", "!="):
            raise Strange("the operator %s" % show(operator, 10))
        tests = self.tests_of(fields, right, table)
        if mask is not None:
            tests = tuple((Numbers(test.numbers, mask),) for test, in tests)
        return Cond(fields, tests, operator == "!=", needs)

    def tests_of(self, fields, right, table):
        """The tests that fields are to pass. Those of a named set are made once."""
        if not isinstance(right, str) or not right.startswith("@"):
            return elements(fields, self.items(right, table))
        key = table + (right[1:], fields)
        if key not in self.tests:
            items = self.items(right, table)
            if "map" in self.sets[key[:3]]:
                items = [each for each, _ in items]
            self.tests[key] = elements(fields, items)
        return self.tests[key]

    @staticmethod
    def reverse_path(flags, operator, right):
        """The condition of `fib saddr . iif oif missing` and the like."""
        flags = {flags} if isinstance(flags, str) else set(flags)
        missing = right in (False, "0")
        if "saddr" not in flags or not flags <= {"saddr", "iif", "mark"} or operator not in ("==", "!=") or (
                right is not True and not missing):
            raise Strange("fib")
        return ReversePath("iif" not in flags, missing == (operator == "=="))

    def bases(self):
        """The base chains of tables that are not asleep."""
        return [chain for (family, table, _), chain in self.chains.items()
                if chain.hook and (family, table) not in self.dormant and (chain.rules or chain.policy != ACCEPT)]


def expression(value):
    """A function that gives the number which a mark is set to, or None where it cannot be told; None for an expression
    that is not known here."""
    if isinstance(value, int):
        return lambda values: value & 0xFFFFFFFF
    if value in (("meta", "mark"), ("ct", "mark")):
        field = "mark" if value[0] == "meta" else "ctmark"
        return lambda values: BREAK if values[field] is BREAK else number_or_none(values[field])
    sign = next(iter(value), None) if isinstance(value, dict) else None
    if sign in ("|", "&", "^"):
        one_side, other = (expression(side) for side in value[sign])
        if one_side and other:
            return lambda values: calculated(sign, one_side(values), other(values))
    return None


def calculated(sign, one_side, other):
    """The number that comes of two, either of which may be None, or end the rule.

    >>> calculated("|", 1, 6), calculated("&", 3, 6), calculated("^", 3, 6)
    (7, 2, 5)
    >>> calculated("&", None, 0), calculated("|", None, 0), calculated("^", 6, None)
    (0, None, None)
    """
    if BREAK in (one_side, other):
        return BREAK
    if sign == "&" and 0 in (one_side, other):
        return 0
    if one_side is None or other is None:
        return None
    return one_side | other if sign == "|" else one_side & other if sign == "&" else one_side ^ other


def one_number(field, item):
    """The number that a text, or several texts of bits, stand for."""
    # A status with no name may be one that the kernel has set for itself.
    if isinstance(item, bool) or field == "ctstatus" and isinstance(item, int):
        raise Strange("the value %s" % show(item, 30))
    if isinstance(item, int):
        return item
    if isinstance(item, dict):
        item = item.get("|")
    if isinstance(item, (list, tuple)):
        number = 0
        for part in item:
            number |= one_number(field, part)
        return number
    if item in NAMED.get(field, ()):
        return NAMED[field][item]
    try:
        return int(item, 0)
    except (ValueError, TypeError):
        raise Strange("the value %s" % show(item, 30)) from None


def elements(fields, items):
    """The tests that a set's items are; where there is one field, all are one test."""
    if len(fields) == 1:
        return ((one_test(fields[0], items),),) if items else ()
    found = []
    for item in items:
        parts = item["concat"]
        if len(parts) != len(fields):
            raise Strange("an element of another length")
        found.append(tuple(one_test(field, [part]) for field, part in zip(fields, parts)))
    return tuple(found)


def one_test(field, items):
    """The test that holds for each of the items."""
    if field in TEXTS:
        if not all(isinstance(item, str) for item in items):
            raise Strange("an interface by its number")
        return Names(["host" if item == "unicast" else item for item in items])
    if field in ("saddr", "daddr"):
        return Numbers(addresses(items))
    begins, ends = [], []
    for item in items:
        if field in ("l4proto", "nexthdr") and isinstance(item, str) and item not in PROTOCOLS and item[:1].isalpha():
            continue  # some other protocol: the names of those that matter are known
        first, last = item[1:] if isinstance(item, tuple) and item[0] == "range" else (item, item)
        begins.append(one_number(field, first))
        ends.append(one_number(field, last) + 1)
    return Numbers(united(begins, ends))


def addresses(items):
    """The set of addresses of many items. Those that are plain are read many at a time."""
    texts = [item for item in items if isinstance(item, str)]
    try:
        some = texts[0] if texts else items[0][1]
        kind, width = (socket.AF_INET6, 16) if ":" in some else (socket.AF_INET, 4)
        begins = [int.from_bytes(socket.inet_pton(kind, text), "big") for text in texts]
        begins.sort()  # so that the ends are sorted, too
        ends = [begin + 1 for begin in begins]
        for item in items:
            if isinstance(item, str):
                continue
            what, first, last = item
            begin = int.from_bytes(socket.inet_pton(kind, first), "big")
            begins.append(begin)
            if what == "prefix" and 0 <= last <= 8 * width:
                ends.append(begin + (1 << (8 * width - last)))
            elif what == "range":
                ends.append(int.from_bytes(socket.inet_pton(kind, last), "big") + 1)
            else:
                raise Strange("an address")
    except (OSError, ValueError, TypeError, LookupError):
        raise Strange("an address that exposure.py cannot read") from None
    return united(begins, ends)


def nft_text(expressions):
    """Roughly what nft would print for a rule; enough to find it again."""
    return " ".join(filter(None, (nft_word(expression) for expression in expressions)))


def nft_word(thing, depth=0):
    """One expression or statement, as text."""
    if depth > 8:
        return "..."
    if isinstance(thing, tuple):  # as compact() has made it
        if thing[0] in ("prefix", "range"):
            return ("%s/%s" if thing[0] == "prefix" else "%s-%s") % thing[1:]
        return " ".join(str(part) for part in thing[thing[0] == "payload":])
    if isinstance(thing, list):
        some = [nft_word(part, depth + 1) for part in thing[:6]]
        return ", ".join(some + ["..."] * (len(thing) > 6))
    if not isinstance(thing, dict):
        return "" if thing is None else json.dumps(thing) if isinstance(thing, str) and not re.match(
            r"[\w.:/@*-]+\Z", thing) else str(thing)
    words = []
    for key, value in thing.items():
        if key == "match" and isinstance(value, dict):
            sign = "" if value.get("op") in ("==", "in", None) else value.get("op")
            words += [nft_word(value.get("left"), depth + 1), sign, nft_word(value.get("right"), depth + 1)]
        elif key == "set" and isinstance(value, list):
            words.append("{ %s }" % nft_word(value, depth + 1))
        elif key == "counter":
            continue
        elif key in ("|", "&", "^") and isinstance(value, list):
            words.append((" %s " % key).join(nft_word(part, depth + 1) for part in value))
        elif key == "concat" and isinstance(value, list):
            words.append(" . ".join(nft_word(part, depth + 1) for part in value))
        elif key == "mangle" and isinstance(value, dict):
            words.append("%s set %s" % (nft_word(value.get("key"), depth + 1), nft_word(value.get("value"), depth + 1)))
        elif key in ("jump", "goto") and isinstance(value, dict):
            words.append("%s %s" % (key, value.get("target")))
        else:
            words += [str(key), nft_word(value, depth + 1)]
    return " ".join(filter(None, words))


# ---------------------------------------------------------------------------------------
# What is read of a host: what a few commands print, and a few files. A capture has each as a file of that name.

COMMANDS = {
    "nft.json": ["nft", "-j", "list", "ruleset"],
    "iptables-legacy-save": ["iptables-legacy-save"], "ip6tables-legacy-save": ["ip6tables-legacy-save"],
    "iptables-nft-save": ["iptables-nft-save"], "ip6tables-nft-save": ["ip6tables-nft-save"],
    "sockets": ["ss", "-ltnep"],
    "links": ["ip", "-o", "-d", "link"], "addresses": ["ip", "-o", "address"],
    "rules4": ["ip", "-4", "rule"], "rules6": ["ip", "-6", "rule"],
    "routes4": ["ip", "-o", "-4", "route", "show", "table", "all"],
    "routes6": ["ip", "-o", "-6", "route", "show", "table", "all"],
    "sshd": ["sshd", "-T"],
}
FILES = {"xend-config.sxp": "/etc/xen/xend-config.sxp", "libvirtd.conf": "/etc/libvirt/libvirtd.conf"}
#: Without these nothing can be told.
NEEDED = ("sockets", "links", "addresses", "routes4", "routes6", "settings")
SETTINGS = "/proc/sys/net"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def gather():
    """What this host is now, as {name: text}. A command that is not installed has no text; one that fails raises
    BadInput."""
    if os.geteuid() != 0:
        raise BadInput("only root can read the rules of this host; run it as root")
    found = {}
    for name, command in COMMANDS.items():
        text = printed(command)
        if text is None and name.endswith("-save"):
            text = old_iptables(name)
        if text is not None:
            found[name] = text
    for name, path in FILES.items():
        try:
            found[name] = read_file(path)
        except OSError:
            pass
    found["settings"] = settings()
    found["host"] = socket.gethostname() + "\n"
    if "nft.json" not in found:
        found["unread-tables"] = "".join(table + "\n" for table in kernel_tables())
    return found


def printed(command):
    """What a command prints; None where it is not installed."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(os.environ, LC_ALL="C", PATH=PATH))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise BadInput("%s: %s" % (" ".join(command), error.strerror)) from None
    if done.returncode:
        if command[0] == "sshd":
            return None
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["exit status %d" % done.returncode]
        raise BadInput("%s: %s" % (" ".join(command), show(said[-1])))
    return decoded(done.stdout, command[0])


def old_iptables(name):
    """Where there is one iptables-save, it is of the back end that its version names: none is the legacy one."""
    program = name.replace("-legacy", "").replace("-nft", "")
    version = printed([program.replace("-save", ""), "-V"])
    if version is None or ("nf_tables" in version) != ("-nft-" in name):
        return None
    return printed([program])


def decoded(data, name):
    """Bytes as text; raises BadInput where they are too many."""
    if len(data) > LARGEST:
        raise BadInput("%s: more than %s bytes, which is no rule set of a host" % (name, format(LARGEST, ",")))
    return data.decode("utf-8", "replace")


def read_file(path):
    """The text of a plain file of a reasonable size."""
    about = os.stat(path)  # before it is opened: to open a pipe is to wait for who writes to it
    if not stat.S_ISREG(about.st_mode):
        raise BadInput("%s: not a plain file" % show(path))
    if about.st_size > LARGEST:
        raise BadInput("%s: %s bytes; more than %s are no rule set of a host" % (
            show(path), format(about.st_size, ","), format(LARGEST, ",")))
    with open(path, "rb") as file:
        return decoded(file.read(LARGEST + 1), path)


def settings():
    """The kernel's settings that decide about sources, a line for each: those of an interface and of all."""
    lines = []
    for version, names in (("ipv4", ("rp_filter", "route_localnet", "src_valid_mark")), ("ipv6", ("disable_ipv6",))):
        folder = "%s/%s/conf" % (SETTINGS, version)
        for interface in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            for name in names:
                try:
                    with open("%s/%s/%s" % (folder, interface, name)) as file:
                        lines.append("%s %s %s %s\n" % (version, interface, name, file.read().strip()))
                except OSError:
                    pass
    return "".join(lines)


def kernel_tables():
    """The tables of nftables in the kernel, as FAMILY NAME, where no nft is there to list them.

    The message is NFT_MSG_GETTABLE of linux/netfilter/nf_tables.h. A kernel that has no nftables has no tables.
    """
    found = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as sock:  # NETLINK_NETFILTER
            sock.settimeout(5)
            # length, type (subsystem 10, message 1), flags (request, dump), number, port; family, version, resource
            sock.send(struct.pack("=IHHIIBBH", 20, 10 << 8 | 1, 0x301, 1, 0, 0, 0, 0))
            while True:
                data = sock.recv(1 << 16)
                while data:
                    length, kind = struct.unpack_from("=IH", data)
                    if kind in (2, 3):  # NLMSG_ERROR, NLMSG_DONE
                        error = -struct.unpack_from("=i", data, 16)[0]
                        if error not in (0, errno.EINVAL):  # EINVAL: this kernel has no nftables
                            raise OSError(error, os.strerror(error))
                        return found
                    size_, = struct.unpack_from("=H", data, 20)
                    name = data[24:20 + size_].split(b"\0")[0].decode("utf-8", "replace")
                    found.append("%s %s" % ({1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}.get(
                        data[16], data[16]), name))
                    data = data[length + 3 & ~3:]
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            return found
        raise BadInput("the tables of nftables cannot be listed: %s" % (error.strerror or error)) from None


def keep(found, folder):
    """Write a capture; the folder must be new, so that it is for root only."""
    try:
        os.makedirs(folder, 0o700)
        for name, text in sorted(found.items()):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise BadInput("%s: %s" % (show(folder), error.strerror)) from None


def load(folder):
    """Read a capture."""
    found = {}
    try:
        for name in sorted(os.listdir(folder)):
            if name in COMMANDS or name in FILES or name in ("settings", "host", "unread-tables"):
                found[name] = read_file(os.path.join(folder, name))
    except OSError as error:
        raise BadInput("%s: %s" % (show(folder), error.strerror)) from None
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise BadInput("%s is no capture: it has no file %s" % (show(folder), missing[0]))
    return found


class Interface:
    """A network interface: whether it is up, what it belongs to, and its addresses."""

    def __init__(self, name, up, master, slave_of, loopback):
        self.name, self.up, self.master, self.slave_of, self.loopback = name, up, master, slave_of, loopback
        self.addresses = {4: [], 6: []}


class Host:
    """What a capture says of a host, apart from its rules."""

    def __init__(self, found):
        self.name = show(found.get("host", "").strip() or "this host", 60)
        self.interfaces = {}
        try:
            self.read_links(found["links"])
            self.read_addresses(found["addresses"])
            self.settings = {tuple(line.split()[:3]): int(line.split()[3]) for line in found["settings"].splitlines()}
            self.routes = {4: Routes(found["routes4"], found.get("rules4", ""), 4),
                           6: Routes(found["routes6"], found.get("rules6", ""), 6)}
            self.sockets = sockets(found["sockets"])
        except (ValueError, IndexError, KeyError) as error:
            raise BadInput("the capture cannot be read: %s" % show(error, 100)) from None
        #: The ports of each bridge.
        self.ports = {}
        for each in self.interfaces.values():
            if each.slave_of == "bridge":
                self.ports.setdefault(each.master, []).append(each)
        #: The addresses at which packets of others are taken in; of a whole network that is this host's own (`ip route
        #: add local`) there is a Doubt. And the set of them all.
        self.local, self.own = {}, {}
        for family in (4, 6):
            numbers = {number for each in self.interfaces.values() for number in each.addresses[family]}
            wide = []
            for begin, end in self.routes[family].locals:
                if end - begin == 1:
                    numbers.add(begin)
                elif begin >> 24 != 127:
                    wide.append(Doubt("an address of a network that is this host's own"))
            self.local[family] = sorted(numbers) + wide[:1]
            self.own[family] = union(*([number, number + 1] for number in numbers), *self.routes[family].locals)

    def read_links(self, text):
        """`ip -o -d link`"""
        for line in text.splitlines():
            found = re.match(r"\d+: ([^:@\s]+)(?:@\S+)?: <([^>]*)>(.*)", line)
            if not found:
                raise ValueError("links: %s" % line[:60])
            name, flags, rest = found.groups()
            master = re.search(r" master (\S+)", rest)
            slave = re.search(r"\b(bridge|bond|vrf|openvswitch|team)_slave\b", rest)
            flags = flags.split(",")
            self.interfaces[name] = Interface(name, "UP" in flags, master and master.group(1),
                                              slave and slave.group(1), "LOOPBACK" in flags)

    def read_addresses(self, text):
        """`ip -o address`"""
        for line in text.splitlines():
            words = line.split()
            if words[2] in ("inet", "inet6"):
                family = 4 if words[2] == "inet" else 6
                self.interfaces[words[1].partition("@")[0]].addresses[family].append(
                    address(words[3].partition("/")[0], family))

    def setting(self, version, interface, name):
        """The setting of an interface."""
        return self.settings.get((version, interface, name), 0)

    def entrances(self, family):
        """The interfaces that packets of others come in by: (interface, ports of a bridge)."""
        for each in self.interfaces.values():
            if each.up and not each.loopback and each.slave_of in (None, "vrf") and not (
                    family == 6 and self.setting("ipv6", each.name, "disable_ipv6")):
                yield each, sorted(port.name for port in self.ports.get(each.name, ()) if port.up)

    def checked(self, family, interface):
        """What the reverse path check of an interface lets in, as a Where."""
        mode = max(self.setting("ipv4", name, "rp_filter") for name in ("all", interface))
        if family == 6 or not mode:
            return Where([0, END[family]])
        # An interface that has no address is never checked loosely: __fib_validate_source in net/ipv4/fib_frontend.c.
        loose = mode != 1 and self.interfaces[interface].addresses[4]
        return self.routes[4].back(None if loose else interface)


class Routes:
    """Where answers go: of each address, the interfaces of the way to it."""

    def __init__(self, text, rules, family):
        self.family = family
        found, self.locals = {}, []
        tables, only = set(), None
        for line in text.splitlines():
            words = line.replace("\\", " ").split()
            if not words:
                continue
            kind = words.pop(0) if words[0] in ("unicast", "local", "broadcast", "multicast", "anycast", "unreachable",
                                                "blackhole", "prohibit", "throw", "nat") else "unicast"
            table = words[words.index("table") + 1] if "table" in words else "main"
            where = [0, END[family]] if words[0] == "default" else network(words[0], family)
            if kind == "local":
                self.locals.append(where)
            if kind in ("local", "broadcast", "multicast", "anycast") or table == "local":
                continue
            tables.add(table)
            if "tos" in words or "from" in words:
                only = "a route for some packets only"
            metric = int(words[words.index("metric") + 1]) if "metric" in words else 0
            devices = {word for before, word in zip(words, words[1:]) if before == "dev" and kind == "unicast"}
            found.setdefault(tuple(where), []).append((metric, devices))
        # Others than the three of every host: by source, by mark, ...: not told from the tables alone.
        plain = {"0: from all lookup local", "32766: from all lookup main", "32767: from all lookup default"}
        extra = [" ".join(line.split()) for line in rules.splitlines() if line.strip()]
        self.policy = "routing by rules (ip rule)" if set(extra) - plain or tables - {"main"} else only
        self.paint(found)
        self.kept = {}

    def paint(self, found):
        """Give each address to the smallest network that has it; of the same network, to the smallest metric."""
        pieces = {}
        open_ones = []
        at = 0

        def upto(end):
            if open_ones and at < end:
                begins, ends = pieces.setdefault(open_ones[-1][1], ([], []))
                begins.append(at)
                ends.append(end)

        for where in sorted(found, key=lambda pair: (pair[0], -pair[1])):
            routes = found[where]
            least = min(metric for metric, _ in routes)
            linked = self.family == 6 and where[0] >> 118 == 0x3FA  # fe80::/10 has a way by each interface
            every = frozenset().union(*(d for _, d in routes))
            devices = every if linked else frozenset().union(*(d for metric, d in routes if metric == least))
            while open_ones and open_ones[-1][0] <= where[0]:
                upto(open_ones[-1][0])
                at = max(at, open_ones.pop()[0])
            upto(where[0])
            at = where[0]
            open_ones.append((where[1], (devices, every)))
        while open_ones:
            upto(open_ones[-1][0])
            at = max(at, open_ones.pop()[0])
        self.pieces = {ways: united(*pair) for ways, pair in pieces.items()}

    def back(self, device, second=False):
        """From where packets come whose answers leave by this device; None is by any. ``second``: or would, if there
        were no better route to the same network."""
        key = device, second
        if key not in self.kept:
            flat = union(*(flat for ways, flat in self.pieces.items()
                           if ways[0] and (device is None or self.policy or device in ways[second])))
            self.kept[key] = Where([], flat, self.policy) if device is not None and self.policy else Where(flat)
        return self.kept[key]

    def devices(self):
        """Every device that answers may leave by."""
        return sorted(frozenset().union(*(devices for devices, _ in self.pieces)))

    def ways(self, entrance):
        """By which devices the answers to whom may leave, of packets that came in by one: (devices, addresses)."""
        pieces = [((self.devices(), ()), self.back(None).sure)] if self.policy else self.pieces.items()
        for (devices, _), flat in pieces:
            # To a link-local address a way leads by the interface that a packet came in by, and by no other.
            near = intersection(flat, [0x3FA << 118, 0x3FB << 118]) if self.family == 6 else []
            yield from (each for each in (([entrance], near if entrance in devices else []),
                                          (devices, without(flat, near, END[self.family]))) if all(each))


class Socket:
    """A TCP socket that listens: ``numbers`` is its address, None for all."""

    def __init__(self, families, number, port, device, program):
        self.families, self.number, self.port, self.device, self.program = families, number, port, device, program


def sockets(text):
    """The TCP sockets of `ss -ltnep`, with or without its heading."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] != "LISTEN":
            continue
        place, _, port = words[3].rpartition(":")
        place, _, device = place.partition("%")
        place, device = place.strip("[]"), device.strip("]")
        program = re.search(r'users:\(\("([^"]*)"', line)
        number, families = None, (4,)
        # An old ss prints * and ::: where a newer one has 0.0.0.0 and *, and tells nothing of v6only.
        if place == "*":
            families = (4, 6) if "v6only:" in line else (4,)
        elif place == "::":
            families = (6,) if "v6only:1" in line else (4, 6)
        elif ":" in place:
            if place.lower().startswith("::ffff:") and "." in place:
                number = address(place[7:], 4)
            else:
                number, families = address(place, 6), (6,)
        elif place != "0.0.0.0":
            number = address(place, 4)
        found.append(Socket(families, number, int(port), device, program.group(1) if program else ""))
    return found


# ---------------------------------------------------------------------------------------
# The questions: who gets from an interface to a port?

#: Flags that whoever opens a connection may set beside SYN: PSH, URG, ECE, CWR.
FREE_FLAGS = (8, 32, 64, 128)
NOTHING = (0, 0, True)
#: The status of a connection whose destination was translated: IPS_DST_NAT, and that this is done.
TRANSLATED = STATUS["DNAT"] | 1 << 8
UNNAMED = "a chain at a device that nft does not name"


#: The families of the chains that packets of a family meet.
CHAINS_OF = {4: (4, "ip", "inet"), 6: (6, "ip6", "inet"), "bridge": ("bridge",), "netdev": ("netdev", "inet")}


class Filter:
    """All rules of a host, by the hooks that a packet meets."""

    def __init__(self, found):
        legacy = [Iptables(found.get("ip%stables-legacy-save" % letter, ""), family, "ip%stables-legacy-save" % letter)
                  for letter, family in (("", 4), ("6", 6))]
        chains = [chain for each in legacy for chain in each.bases()]
        saved = {family: Iptables(found.get("ip%stables-nft-save" % letter, ""), number,
                                  "ip%stables-nft-save" % letter)
                 for letter, family, number in (("", "ip", 4), ("6", "ip6", 6))}
        if "nft.json" in found:
            chains += Nftables(found["nft.json"], Companion(saved)).bases()
        else:
            chains += [chain for each in saved.values() for chain in each.bases()]
            known = {"%s %s" % (family, table) for family, each in saved.items() for table in each.tables}
            unread = set(found.get("unread-tables", "").splitlines()) - known
            if unread:
                raise BadInput("there is no program nft here, so the table %s of nftables cannot be read; install it"
                               % show(sorted(unread)[0], 60))
        self.chains, self.known = chains, {}
        kept = {}
        self.bases = []
        for chain in chains:
            if chain.kind == "nat" and not all(self.tracked(family) for family in (4, 6)
                                               if chain.family in CHAINS_OF[family]):
                chain = asked_perhaps(chain)
            if chain.hook in ("ingress", "prerouting", "input", "output", "postrouting", "egress"):
                way = "out" if chain.hook in ("output", "postrouting", "egress") else "in"
                if way == "out" and chain.kind == "nat":
                    continue  # asked about the first packet of a connection only, and an answer is not the first
                self.bases.append(Base(chain, way, lambda cond: kept.setdefault(likeness(cond), cond)))
        self.bases.sort(key=lambda base: base.chain.priority)
        self.reads = set().union(*(base.reads for base in self.bases))
        self.at_device = any(base.chain.hook == "ingress" for base in self.bases)
        #: Whether packets by one port of a bridge may meet other rules than those by another.
        self.by_port = self.at_device or any(base.chain.family == "bridge" for base in self.bases)
        #: (base chain, rule, where to) of all that sends a packet to another address or port.
        self.translations = [(base, rule, step[2]) for base in self.bases if base.chain.hook == "prerouting"
                             for chain in base.order for rule in chain.rules for step in rule.others
                             if step[0] == "any" and len(step) > 2]
        self.passages = {}
        self.choices = self.chosen()

    def chosen(self):
        """What a peer may choose that rules ask for: of its ports and flags, one for each that rules tell apart."""
        asked = {"sport": [], "flags": []}
        for base in self.bases:
            # An answer goes to the port that the packet came from, and its flags are not the peer's choice.
            names = {"sport": "sport", "flags": "flags"} if base.way == "in" else {"dport": "sport"}
            for cond in base.asked:
                for at, field in enumerate(cond.fields):
                    if field in names:
                        asked[names[field]] += [element[at] for element in cond.elements]
        bounds = {1}.union(bound for test in asked["sport"] for bound in test.numbers)
        ports = [bound for bound in sorted(bounds) if 1 <= bound < PORTS]
        flags = {}
        for extra in itertools.product(*((0, bit) for bit in FREE_FLAGS)):
            value = 2 + sum(extra)
            flags.setdefault(tuple(test.holds(value) for test in asked["flags"]), value)
        if len(ports) * len(flags) > 1024 or any(test.mask is not None for test in asked["sport"]):
            ports = [Doubt("source ports that rules tell apart")]
        return [(port, value) for port in ports for value in flags.values()]

    def hook(self, family, name):
        """The base chains at a hook, in the order in which they are asked."""
        return [base for base in self.bases if base.chain.hook == name and base.chain.family in CHAINS_OF[family]]

    def tracked(self, family):
        """Whether connection tracking sees the packets of a version of IP: it does where a rule asks what it knows, or
        translates, at whatever hook (those that call nf_ct_netns_get in net/netfilter)."""
        if family not in self.known:
            self.known[family] = any(needs_tracking(rule, chain.kind == "nat") for chain in self.chains
                                     if chain.family in CHAINS_OF[family]
                                     for each in callees_first(chain) for rule in each.rules)
        return self.known[family]

    def stages(self, family, names, values):
        """What packets with these values meet at some hooks."""
        return [(self.hook(family, name), values) for name in names]

    def passage(self, stages, end, state=NOTHING):
        """(from where packets may get through, from where they may be dropped, [(walk, state)]), of packets that meet
        stages one after the other: (base chains of one hook, values)."""
        walks = []
        for bases, common in stages:
            every = {tracking: dict(common, tracking=tracking and common["tracked"]) for tracking in (True, False)}
            walks.append([base.walk(every[base.tracking]) for base in bases])
        results = []
        for order in orders([bases for bases, _ in stages]):
            ordered = [walks[stage][at] for stage, at in order]
            key = tuple(map(id, ordered)), state, end
            if key not in self.passages:
                self.passages[key] = pass_hooks(ordered, state, end)
            results.append(self.passages[key])
        if len(results) == 1:
            return results[0]
        one_way, other = results
        passes = union(one_way[0], other[0])
        doubtful = without(passes, intersection(one_way[0], other[0]), end)
        return passes, union(one_way[1], other[1], doubtful), one_way[2] + other[2]


def needs_tracking(rule, may_translate):
    """Whether a rule makes the kernel track connections. A masquerade does, too, and cannot be told from an accept
    here: then it is not known."""
    return any(step[0] == "any" and len(step) > 2 and may_translate for step in rule.others) or any(
        not (STATE - {"mark"}).isdisjoint(cond.fields) for cond in conditions(rule.others))


def asked_perhaps(chain):
    """A base chain of type nat, where no connection may be tracked: then the kernel does not ask it (nf_nat_inet_fn in
    net/netfilter/nf_nat_core.c). Only what it drops matters."""
    if chain.policy != DROP and not any(
            step[0] == "do" and step[1] == DROP or step[0] == "branch"
            for each in callees_first(chain) for rule in each.rules for step in rule.steps):
        return chain
    whether = "if", Unknown("a chain of type nat, while no rule asks for the state of a connection")
    last = chain.rules[-1] if chain.rules else Rule([], ("nftables", chain.name, 0), "policy drop")
    perhaps = Chain(chain.name, chain.family, chain.hook, chain.priority, ACCEPT, chain.kind, chain.devices)
    perhaps.rules = [Rule([whether, ("do", verdict, target)], last.place, last.text)
                     for verdict, target in [(JUMP, chain)] + [(DROP, None)] * (chain.policy == DROP)]
    return perhaps


def orders(stages):
    """The orders in which base chains may be asked, as [(stage, place in it)]. Of those of the same hook and priority
    nobody says which is first; that matters where one leaves marks."""
    order = [(stage, at) for stage, bases in enumerate(stages) for at in range(len(bases))]
    if not any(one.chain.priority == other.chain.priority and (one.effects or other.effects)
               for bases in stages for one, other in zip(bases, bases[1:])):
        return [order]
    return [order, sorted(order, key=lambda each: (each[0], stages[each[0]][each[1]].chain.priority, -each[1]))]


def likeness(cond):
    """What is the same for conditions that are the same."""
    if isinstance(cond, Unknown):
        return cond.why
    return (cond.fields, cond.needs, cond.negate, tuple(
        tuple((tuple(test.numbers), test.mask) if isinstance(test, Numbers) else
              (test.names, test.beginnings) if isinstance(test, Names) else test.bits for test in element)
        for element in cond.elements))


class Companion:
    """Finds the rules that iptables-nft-save prints for those of nft, by their numbers."""

    def __init__(self, saved):
        self.saved = saved
        self.counts = {}

    def count(self, rules):
        """Learn how many rules nft has in each chain: where iptables-nft has another number, it is not asked."""
        for thing in rules:
            key = thing["family"], thing["table"], thing["chain"]
            self.counts[key] = self.counts.get(key, 0) + 1

    def __call__(self, key, number, chains):
        family, table, chain = key
        texts = self.saved[family].tables.get(table, ({}, {}))[1].get(chain, ()) if family in self.saved else ()
        if len(texts) != self.counts.get(key):
            return None
        known = {name: each for (of, within, name), each in chains.items() if (of, within) == (family, table)}
        first, others = self.saved[family].steps(texts[number - 1], known, {})
        return others if first is None else [("if", first)] + others


class Answer:
    """From where a connection can be opened (``open``), and from where that cannot be told (``perhaps``)."""

    def __init__(self, open_, perhaps, whys, walks):
        self.open, self.perhaps, self.whys, self.walks = open_, perhaps, whys, walks

    def same(self, other):
        """Whether it is the same answer."""
        return self.open == other.open and self.perhaps == other.perhaps


def either(answers, end):
    """The answer for whoever has the choice among several ways in.

    >>> either([Answer(some, perhaps, [], []) for some in [[1, 3]] for perhaps in ([2, 6], [7, 8])], 9).perhaps
    [3, 6, 7, 8]
    """
    answers = list({(id(answer.open), bool(answer.perhaps) and id(answer.perhaps)): answer
                    for answer in answers}.values())
    if len(answers) == 1:
        return answers[0]
    open_ = union(*(answer.open for answer in answers))
    perhaps = without(union(*(answer.perhaps for answer in answers)), open_, end)
    return Answer(open_, perhaps, list(dict.fromkeys(why for answer in answers for why in answer.whys)),
                  [walk for answer in answers for walk in answer.walks])


class Judge:
    """Answers questions about a host."""

    def __init__(self, found):
        self.host = Host(found)
        self.filter = Filter(found)
        self.kept = {}

    def ask(self, family, interface, port, socket_):
        """The Answer for a socket: who gets to it by an interface, and by a port of it where that is a bridge."""
        host = self.host
        if socket_.device and socket_.device != interface.name or family not in socket_.families:
            return None
        local = [socket_.number] if socket_.number is not None else host.local[family]
        local = [number for number in local if self.reachable(family, interface, number)]
        answers = [self.arrive(family, interface, port, number, socket_.port) for number in local]
        return either(answers, END[family]) if answers else None

    def reachable(self, family, interface, number):
        """Whether packets to this address of the host come in by an interface at all."""
        if isinstance(number, Doubt):
            return True
        if family == 4:
            return number >> 24 != 127 or bool(max(self.host.setting("ipv4", name, "route_localnet")
                                                   for name in ("all", interface.name)))
        return number != 1 and (number >> 118 != 0x3FA or number in interface.addresses[6])

    def arrive(self, family, interface, bridge_port, number, port):
        """The Answer for one address and port of the host."""
        key = family, interface.name, bridge_port, number, port
        if key in self.kept:
            return self.kept[key]
        plain = [self.way(family, interface, bridge_port, number, port, sport, flags)
                 for sport, flags in self.filter.choices]
        answer = either(plain, END[family])
        for name, early, late in self.tricks(family, bridge_port):
            other = either([self.way(family, interface, bridge_port, number, port, sport, flags, early, late)
                            for sport, flags in self.filter.choices], END[family])
            more = without(union(other.open, other.perhaps), union(answer.open, answer.perhaps), END[family])
            if more:
                answer = Answer(answer.open, union(answer.perhaps, more), answer.whys + [name],
                                answer.walks + other.walks)
        self.kept[key] = self.led_here(answer, family, interface, bridge_port, number, port)
        return self.kept[key]

    def tricks(self, family, bridge_port):
        """Shapes of a packet that hide from rules what they ask for: (name, values that rules meet early, those that
        they meet later)."""
        rules = self.filter
        if bridge_port or rules.at_device:
            for tag in ("8021q", "8021ad"):
                yield "a packet behind VLAN tags", {"family": 0, "ethertype": ETHER[tag]}, {}
            yield "a packet with a VLAN tag", {"ethertype": Doubt("a VLAN tag")}, {}
        if "flags" in rules.reads:
            # Connection tracking puts fragments together first, and the way to a socket does so at the latest.
            yield "a packet in fragments", {"flags": BREAK}, {} if rules.tracked(family) else {"flags": BREAK}
        if family == 6 and "nexthdr" in rules.reads:
            for header in (0, 43, 44, 60):
                yield "a packet with extension headers", {"nexthdr": header}, {"nexthdr": header}

    def way(self, family, interface, bridge_port, number, port, sport, flags, early=(), late=()):
        """The Answer for packets of one kind: in by the hooks, past the checks, and the way back."""
        host, rules, end = self.host, self.filter, END[family]
        name = Doubt("an interface of a VRF") if interface.slave_of == "vrf" else interface.name
        values = self.values(family, "in", iif=name, daddr=number, sport=sport, dport=port, flags=flags)
        early = dict(values, **dict(early))
        before = dict(values, **dict(late))
        values.update((name, value) for name, value in dict(late).items() if name != "flags")
        stages = []
        if bridge_port:
            stages += [self.on_device("ingress", bridge_port, early)]
            stages += rules.stages("bridge", ["prerouting", "input"],
                                   dict(early, iif=bridge_port, nfproto=7))
        stages += [self.on_device("ingress", interface.name, early)]
        stages += rules.stages(family, ["prerouting"], before) + rules.stages(family, ["input"], values)
        met, walks = self.met(stages, "ingress", early, end)
        open_, possible, whys = [0, end], [0, end], []
        for where in (met, host.checked(family, interface.name),
                      self.back(family, interface.name, number, port, sport, walks)):
            if where.sure != [0, end]:
                possible = intersection(possible, union(where.sure, where.perhaps))
                open_ = intersection(open_, where.sure)
                if where.perhaps and where.why:
                    whys.append(where.why)
        perhaps = without(possible, open_, end)
        if perhaps:
            whys = reasons(walks, perhaps) + whys
        return Answer(open_, perhaps, whys, walks)

    def values(self, family, way, **given):
        """The values that rules ask for, of a packet from a peer that begins a connection (in) or of its answer (out).
        """
        values = {"family": family, "end": END[family], "way": way, "connection": 8, "tracked": True, "status": 0,
                  "iif": "", "oif": "", "saddr": PEER, "daddr": PEER, "l4proto": 6, "nexthdr": 6,
                  "nfproto": 2 if family == 4 else 10, "ethertype": ETHER["ip" if family == 4 else "ip6"],
                  "flags": 18, "pkttype": "host", "dtype": "local", "back": self.host.routes[family].back}
        values.update(given)
        return values

    def on_device(self, hook, device, values):
        """The stage of packets at a device; that of None has the chains of which nft does not say where they are."""
        bases = [base for base in self.filter.hook("netdev", hook) if device in (base.chain.devices or (None,))]
        return bases, dict(values, nfproto=Doubt("the protocol family at a device"), **{
            "iif" if hook == "ingress" else "oif": device or Doubt(UNNAMED)})

    def met(self, stages, hook, values, end, state=NOTHING):
        """Who gets past stages, of which one is at a device, and [(walk, state)]."""
        sure, walks = [0, end], []
        unnamed = self.on_device(hook, None, values)
        if unnamed[0]:
            marked = None, None, True
            passes, drops, walks = self.filter.passage([unnamed], end, marked)
            sure = without(passes, drops, end)
            if any(base.effects for base in unnamed[0]):
                state = marked
        passes, drops, some = self.filter.passage(stages, end, state)
        certain = intersection(sure, without(passes, drops, end))
        return Where(certain, without(passes, certain, end), None if sure == [0, end] else UNNAMED), walks + some

    def back(self, family, entrance, number, port, sport, walks):
        """To whom the answer gets: there must be a route, and the rules must let it out."""
        rules, routes, end = self.filter, self.host.routes[family], END[family]
        if not any(base.way == "out" for base in rules.bases):
            return routes.back(None)
        # To whom connection tracking may know of no connection: the answer is none that it expects.
        untracked = union(*(flat for walk, state in walks for behind, flat in walk.summary(state)[0].items()
                            if not behind[2]))
        state = 0, None if any(base.effects for base in rules.bases) else 0, True
        found, whys = {}, []
        for device in routes.devices():
            values = self.values(family, "out", oif=device, saddr=number, connection=2, sport=port, dport=sport,
                                 dtype=Doubt("the kind of a peer's address"))
            where, some = self.leaving(family, device, values, state)
            if untracked:
                other, more = self.leaving(family, device, dict(values, tracked=False), state)
                certain = without(where.sure, without(untracked, other.sure, end), end)
                possible = union(where.sure, where.perhaps,
                                 intersection(untracked, union(other.sure, other.perhaps)))
                where = Where(certain, without(possible, certain, end), "a connection that is not tracked")
                some = some + more
            if where.perhaps:
                whys += reasons(some, where.perhaps) + [where.why]
            found[device] = where
        sure, perhaps = [], []
        for devices, flat in routes.ways(entrance):
            certain, possible = flat, []
            for where in (found[device] for device in devices):
                certain = intersection(certain, where.sure)
                possible = union(possible, intersection(flat, union(where.sure, where.perhaps)))
            if len(devices) > 1 and certain != possible:
                whys.append(routes.policy or "several ways to the same address")
            sure.append(certain)
            perhaps.append(possible)
        sure = union(*sure)
        return Where(sure, without(union(*perhaps), sure, end), "; ".join(dict.fromkeys(filter(None, whys))))

    def leaving(self, family, device, values, state):
        """Who gets an answer that leaves by a device, and [(walk, state)]."""
        stages = self.filter.stages(family, ["output", "postrouting"], values)
        stages.append(self.on_device("egress", device, values))
        if device in self.host.ports:
            port = Doubt("the port of a bridge that an answer leaves by")
            stages += self.filter.stages("bridge", ["output", "postrouting"], dict(values, oif=port, nfproto=7))
        return self.met(stages, "egress", values, END[family], state)

    def led_here(self, answer, family, interface, bridge_port, number, port):
        """The answer, with those in doubt whom a translation (DNAT, REDIRECT) may lead to this port from another."""
        perhaps, whys = answer.perhaps, list(answer.whys)
        for base, rule, to in self.filter.translations:
            if base.chain.family in CHAINS_OF[family] and self.leads(to, family, port):
                flat = [0, END[family]]
                for cond in conditions(rule.steps):
                    if cond.fields == ("saddr",) and not cond.negate and len(cond.elements) == 1:
                        flat = intersection(flat, cond.elements[0][0].numbers)
                more = without(flat, union(answer.open, perhaps), END[family])
                if more:
                    perhaps = union(perhaps, more)
                    whys.append("%s may lead here from another port" % rule)
        if perhaps is answer.perhaps:
            return answer
        values = self.values(family, "in", iif=interface.name, daddr=Doubt("a translated address"), dport=port,
                             sport=Doubt("any source port"), flags=Doubt("any flags"), status=TRANSLATED)
        inside = self.filter.passage(self.filter.stages(family, ["input"], values), END[family], (None, None, True))
        perhaps = union(answer.perhaps, intersection(perhaps, inside[0]))
        return Answer(answer.open, perhaps, whys if perhaps != answer.perhaps else answer.whys, answer.walks)

    def leads(self, to, family, port):
        """Whether a translation may end at this port of this host."""
        where, ports = to
        try:
            if where and not contains(self.host.own[family], address(where, family)) and not where.startswith("127."):
                return False
        except ValueError:
            return False
        return ports is None or contains(ports, port)


def reasons(walks, perhaps, most=3):
    """Why some addresses are in doubt: the rules that say neither yes nor no."""
    found = {}
    for walk, state in walks:
        for region, runs in walk.runs(state):
            for begin, end, outs in zip(runs.begins, runs.ends, runs.outs):
                for out in outs:
                    if out[3] is not None and (out[2], out[3]) not in found and len(found) < most and intersection(
                            intersection([begin, end], region), perhaps):
                        found[out[2], out[3]] = "%s (%s)" % (out[2], out[3]) if out[2] else out[3]
    return list(found.values())


def letting(row, flat):
    """By which rules addresses of a set get in: yields (begin, end, Rule or None where no rule says anything)."""
    walks = [part for walk, state in row.answer.walks if walk.base.way == "in" for part in walk.runs(state)]
    kept = {}

    def width(rule):
        if rule not in kept:
            kept[rule] = narrowness(rule, row)
        return kept[rule]

    for begin, until in zip(flat[::2], flat[1::2]):
        at = begin
        while at < until:
            upto, best = until, None
            for region, runs in walks:
                place = bisect.bisect_right(region, at)
                if place < len(region):
                    upto = min(upto, region[place])
                if place % 2 == 0:
                    continue
                place = bisect.bisect_right(runs.begins, at) - 1
                if place + 1 < len(runs.begins):
                    upto = min(upto, runs.begins[place + 1])
                if place >= 0 and at < runs.ends[place]:
                    upto = min(upto, runs.ends[place])
                    # A rule in doubt is not the one: whoever gets in without it does so by another, or by none.
                    for verdict, _, rule, why in runs.outs[place]:
                        if verdict == ACCEPT and why is None and (
                                best is None or width(rule) < width(best)):
                            best = rule
            yield at, upto, best
            at = upto


def narrowness(rule, row):
    """How much a rule admits: one that names its sources is the one to look at, then one that names a port."""
    flat = sources(rule, row)
    ports = any("dport" in cond.fields for cond in conditions(rule.steps))
    return (0, size(flat)) if flat is not None else (1 if ports else 2, 0)


def sources(rule, row):
    """The addresses that a rule admits to the port of a Row or an Exposure, as far as it names sources; None where it
    names none."""
    if any("saddr" in cond.fields for cond in conditions(rule.steps)):
        return admitted(rule.steps, [0, END[row.family]], row)
    return None


def admitted(steps, flat, row):
    """The part of a set of addresses that steps admit, as far as sources and the port decide."""
    for step in steps:
        if step[0] == "if":
            flat = intersection(flat, named(step[1], row)[0])
        elif step[0] == "branch":
            taken, rest = [], flat
            for cond, inner in step[1]:
                possible, sure = named(cond, row)
                taken = union(taken, admitted(inner, intersection(rest, possible), row))
                rest = without(rest, sure, END[row.family])
            flat = taken
        elif step[0] == "do" and step[1] != ACCEPT:
            return []
    return flat


def named(cond, row):
    """The sources for which a condition may hold, and those of them that it names without anything else."""
    if "saddr" not in cond.fields:
        return [0, END[row.family]], []
    values = dict.fromkeys(cond.fields, Doubt("not asked"))
    values.update(family=row.family, end=END[row.family], saddr=PEER, dport=row.port)
    where = cond.evaluate(values)
    return union(where.sure, where.perhaps), where.sure


# ---------------------------------------------------------------------------------------
# What is meant, what goes beyond it, and how it is told.

#: Ports of management and migration: (first, last, name, urgency, page of the guide). 0 is most urgent: no key.
ROLES = [
    (8002, 8003, "xend relocation", 0, "reference/ports.html#ports-xend"),
    (8000, 8000, "xend HTTP", 0, "reference/ports.html#ports-xend"),
    (8006, 8006, "xend XML-RPC", 0, "reference/ports.html#ports-xend"),
    (16509, 16509, "libvirt without TLS", 0, "reference/ports.html#ports-libvirt"),
    (49152, 49216, "libvirt migration", 0, "reference/ports.html#ports-libvirt"),
    (10809, 10809, "NBD", 0, "reference/ports.html#ports-xapi"),
    (5900, 5999, "VNC", 1, "reference/ports.html#ports-xl"),
    (80, 80, "XAPI without TLS", 1, "reference/ports.html#ports-xapi"),
    (16514, 16514, "libvirt over TLS", 2, "reference/ports.html#ports-libvirt"),
    (443, 443, "XAPI", 2, "reference/ports.html#ports-xapi"),
    (22, 22, "ssh", 2, "considerations.html"),
]
#: Settings that give one of these ports another number: file, pattern, name of the role.
MOVED = [
    ("xend-config.sxp", r"^[^#\n]*\(xend-relocation(?:-ssl)?-port\s+'?(\d+)", "xend relocation"),
    ("xend-config.sxp", r"^[^#\n]*\(xend-port\s+'?(\d+)", "xend HTTP"),
    ("xend-config.sxp", r"^[^#\n]*\(xend-tcp-xmlrpc-server-port\s+'?(\d+)", "xend XML-RPC"),
    ("sshd", r"^port (\d+)$", "ssh"),
    ("libvirtd.conf", r"^\s*tcp_port\s*=\s*[\"'](\d+)[\"']", "libvirt without TLS"),
    ("libvirtd.conf", r"^\s*tls_port\s*=\s*[\"'](\d+)[\"']", "libvirt over TLS"),
]
#: Settings that matter once somebody gets through: file, pattern, role, remark.
REMARKS = [
    # An empty pattern matches everybody, and between two spaces there is one.
    ("xend-config.sxp", r"\A(?![\s\S]*^[^#\n]*\(xend-relocation-hosts-allow\s+"
     r"(?:(['\"])[^ '\"]+(?: [^ '\"]+)*\1|[^\s'\"()]))[\s\S]", "xend relocation",
     "xend-relocation-hosts-allow is not set, or has an empty pattern: xend takes guests from whoever connects"),
    ("sshd", r"^passwordauthentication yes$", "ssh", "sshd takes passwords (PasswordAuthentication yes)"),
    ("sshd", r"^permitrootlogin yes$", "ssh", "sshd lets root log in in any way (PermitRootLogin yes)"),
    ("libvirtd.conf", r"^\s*auth_tcp\s*=\s*[\"']none[\"']", "libvirt without TLS",
     "libvirt asks for no password (auth_tcp none)"),
]


#: Beyond these, a set of addresses is listed as ranges.
MOST_NETWORKS = 10000


class Role:
    """What a port is for."""

    def __init__(self, name, urgency, page):
        self.name, self.urgency, self.page = name, urgency, page
        self.remarks = []


def role_of(port, found):
    """The role of a port, by its number or by this host's settings."""
    named = next((name for file, pattern, name in MOVED
                  if str(port) in re.findall(pattern, found.get(file, ""), re.MULTILINE)), None)
    for first, last, name, urgency, page in ROLES:
        if name == named or named is None and first <= port <= last:
            role = Role(name, urgency, page)
            role.remarks = [remark for file, pattern, of, remark in REMARKS
                            if of == name and re.search(pattern, found.get(file, ""), re.MULTILINE)]
            return role
    return Role("", 3, "considerations.html")


class Allowed:
    """Networks that are meant to get to a port, or to all."""

    def __init__(self, texts):
        self.meant = [self.read(text) for text in texts]

    @staticmethod
    def read(text):
        """[PORT=]NETWORK; raises BadInput where it is none, or has host bits set."""
        port, sign, rest = text.rpartition("=")
        try:
            net = ipaddress.ip_network(rest)
            number = int(port) if sign else None
            if number is not None and not 1 <= number < PORTS:
                raise ValueError("%s is not a port" % port)
        except ValueError as error:
            raise BadInput("--allow %s: %s; [PORT=]NETWORK is expected, such as 22=192.168.1.0/24"
                           % (show(text, 60), show(error, 60))) from None
        return number, net.version, [int(net.network_address), int(net.broadcast_address) + 1], str(net)

    def flat(self, port, family):
        """The set of addresses that may get to a port."""
        return union(*(flat for of, version, flat, _ in self.meant if version == family and of in (None, port)))

    def names(self, port, family):
        """The networks that may get to a port, as texts."""
        return [name for of, version, _, name in self.meant if version == family and of in (None, port)]


class Row:
    """Who gets to a port by one interface, over one version of IP."""

    def __init__(self, port, interface, family, answer):
        self.port, self.interface, self.family, self.answer = port, interface, family, answer


class Exposure:
    """What one rule admits to one port beyond what is meant."""

    def __init__(self, port, family, rule, role):
        self.port, self.family, self.rule, self.role = port, family, rule, role
        self.excess = []
        self.interfaces = []


class Report:
    """All that is to be told about a host."""

    def __init__(self, found, allowed):
        judge = Judge(found)
        self.host, self.allowed = judge.host, allowed
        self.ports, self.inside = {}, []
        self.rows, self.exposures, self.unknown = [], [], []
        for each in judge.host.sockets:
            self.ports.setdefault(each.port, []).append(each)
        self.roles = {port: role_of(port, found) for port in self.ports}
        exposures = {}
        for port in sorted(self.ports):
            rows = [row for family in (4, 6) for interface, bridge_ports in judge.host.entrances(family)
                    for row in self.entrance(judge, port, family, interface, bridge_ports)]
            if not rows:
                self.inside.append(port)
            self.rows += rows
            for row in rows:
                self.compare(row, exposures)
        self.exposures = sorted(exposures.values(), key=lambda each: (
            each.role.urgency, -size(each.excess), each.port, each.family))

    def entrance(self, judge, port, family, interface, bridge_ports):
        """The rows of an interface: one, or one for each port of a bridge, where the rules tell them apart."""
        names = bridge_ports if judge.filter.by_port else []
        rows = []
        for name in names or [None]:
            answers = [judge.ask(family, interface, name, each) for each in self.ports[port]]
            answers = [answer for answer in answers if answer is not None]
            if answers:
                rows.append(Row(port, interface.name + (" by " + name if name else ""), family,
                                either(answers, END[family])))
        if rows and all(row.answer.same(rows[0].answer) for row in rows):
            rows[0].interface = interface.name
            return rows[:1]
        return rows

    def compare(self, row, exposures):
        """Hold what is open against what is meant."""
        end = END[row.family]
        meant = self.allowed.flat(row.port, row.family)
        excess = without(row.answer.open, meant, end)
        by_rule = {}
        for begin, until, rule in letting(row, excess):
            by_rule.setdefault(rule, []).extend((begin, until))
        for rule, flat in by_rule.items():
            key = row.port, row.family, rule
            if key not in exposures:
                exposures[key] = Exposure(row.port, row.family, rule, self.roles[row.port])
            exposures[key].excess = union(exposures[key].excess, united(flat[::2], flat[1::2]))
            exposures[key].interfaces.append(row.interface)
        if without(row.answer.perhaps, meant, end):
            self.unknown.append(row)

    @property
    def status(self):
        """The exit status."""
        return 1 if self.exposures else 2 if self.unknown else 0

    def sentence(self, exposure):
        """What a rule admits, and what was meant."""
        names = self.allowed.names(exposure.port, exposure.family)
        meant = "nobody was meant to"
        if names:
            more = ["%d more" % (len(names) - 2)] if len(names) > 3 else names[2:]
            meant = "%s %s meant to" % (" and ".join(names[:2] + more), "was" if len(names) == 1 else "were")
        flat = sources(exposure.rule, exposure) if exposure.rule else None
        if flat is None:
            what = "a rule admits every source that gets to it" if exposure.rule else "no rule refuses"
            return "%s; %s" % (what, meant)
        some = networks(flat, exposure.family, 3)
        return "%s %s %s %s; %s" % (" and ".join(some[:2]) + (" and more" if len(some) > 2 else ""),
                                    "admits" if len(some) == 1 else "admit", count(size(flat)),
                                    "address" if size(flat) == 1 else "addresses", meant)

    def json(self):
        """Everything, for programs; exposure.schema.json describes it."""
        admits = {each: sources(each.rule, each) if each.rule else None for each in self.exposures}
        return {
            "version": 1, "host": self.host.name, "status": self.status,
            "allowed": [{"port": port, "network": name} for port, _, _, name in self.allowed.meant],
            "ports": [{
                "port": port, "role": self.roles[port].name, "remarks": self.roles[port].remarks,
                "listeners": [{"address": listens(each), "program": show(each.program, 40)}
                              for each in self.ports[port]],
                "reachable": [{
                    "interface": show(row.interface, 60), "family": row.family,
                    "open": listed(row.answer.open, row.family), "addresses": size(row.answer.open),
                    "perhaps": listed(row.answer.perhaps, row.family),
                    "perhaps_addresses": size(row.answer.perhaps), "reasons": row.answer.whys,
                } for row in self.rows if row.port == port],
            } for port in sorted(self.ports)],
            "exposures": [{
                "port": each.port, "family": each.family, "interfaces": [show(name, 60) for name in each.interfaces],
                "rule": str(each.rule) if each.rule else None, "text": self.sentence(each),
                "admits": None if admits[each] is None else size(admits[each]),
                "excess": listed(each.excess, each.family), "excess_addresses": size(each.excess),
                "advice": "%s/%s" % (GUIDE, each.role.page),
            } for each in self.exposures],
        }


def listed(flat, family):
    """A set of addresses as networks; where these are very many, as ranges FIRST-LAST.

    >>> listed([1, 4], 4)
    ['0.0.0.1/32', '0.0.0.2/31']
    """
    found = networks(flat, family, MOST_NETWORKS + 1)
    if len(found) <= MOST_NETWORKS:
        return found
    return ["%s-%s" % (address_text(begin, family), address_text(end - 1, family))
            for begin, end in zip(flat[::2], flat[1::2])]


def listens(each):
    """The address of a socket, as people write it."""
    if each.number is not None:
        text = address_text(each.number, each.families[0])
    else:
        text = {(4,): "0.0.0.0", (6,): "::", (4, 6): "*"}[each.families]
    return text + ("%" + show(each.device, 15) if each.device else "")


# ---------------------------------------------------------------------------------------
# For people: at most 80 columns, most urgent first.

WIDTH = 80
COLOURS = {"EXPOSED": "31;1", "PERHAPS": "33;1", "as meant": "32"}


def wrapped(text, indent):
    """Lines of at most 80 columns; a word that is longer is broken, since what comes from a capture may be anything."""
    lines, line = [], ""
    for word in text.split(" "):
        while len(word) > WIDTH - indent:
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:WIDTH - indent])
            word = word[WIDTH - indent:]
        if line and len(line) + 1 + len(word) > WIDTH - indent:
            lines.append(line)
            line = word
        else:
            line = line + " " + word if line else word
    return [" " * indent + each for each in lines + [line]]


def who(flat, family):
    """A set of addresses, in a few words."""
    if not flat:
        return "nobody"
    if flat == [0, END[family]]:
        return "everybody"
    names = networks(flat, family, 4)
    return " ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def table(report, colour):
    """The lines of the report."""
    lines = []
    verdicts = {port: "as meant" for port in report.ports}
    verdicts.update((row.port, "PERHAPS") for row in report.unknown)
    verdicts.update((each.port, "EXPOSED") for each in report.exposures)
    weights = {"EXPOSED": 0, "PERHAPS": 1, "as meant": 2}
    shown = [port for port in report.ports if port not in report.inside]
    for port in sorted(shown, key=lambda port: (weights[verdicts[port]], report.roles[port].urgency, port)):
        lines += about_port(report, port, verdicts[port], colour) + [""]
    if report.inside:
        lines += wrapped("Only from this host itself: " + " ".join(str(port) for port in report.inside), 0)
    absent = [str(first) for first, _, _, _, _ in sorted(ROLES) if first not in report.ports]
    lines += wrapped("Nothing listens on: " + " ".join(absent), 0)
    lines.append("")
    lines.append({0: "Nothing goes beyond what is allowed.",
                  1: "%d exposure%s." % (len(report.exposures), "" if len(report.exposures) == 1 else "s"),
                  2: "It could not be told for all addresses."}[report.status])
    return lines


def about_port(report, port, verdict, colour):
    """The lines about one port."""
    role = report.roles[port]
    programs = sorted({show(each.program, 20) for each in report.ports[port] if each.program})
    title = "%d %s" % (port, " ".join(filter(None, [role.name, "(%s)" % ", ".join(programs) if programs else ""])))
    title = title[:WIDTH - 10]
    mark = "\33[%sm%s\33[0m" % (COLOURS[verdict], verdict) if colour else verdict
    lines = [title + " " * (WIDTH - len(title) - len(verdict)) + mark]
    lines += wrapped("listens on " + ", ".join(dict.fromkeys(listens(each) for each in report.ports[port])), 2)
    lines += ["  ! " + line.strip() for remark in role.remarks for line in wrapped(remark, 4)]
    for row in report.rows:
        if row.port == port:
            lines += about_row(row)
    for each in report.exposures:
        if each.port == port:
            lines += about_exposure(report, each)
    return lines


def about_row(row):
    """Who gets in by one interface."""
    lines = []
    for flat, label in ((row.answer.open, ""), (row.answer.perhaps, "perhaps ")):
        if not flat and (label or row.answer.perhaps):
            continue
        number = count(size(flat)) if flat else ""
        text = "  %-16s IPv%d  %s%s" % (show(row.interface, 32), row.family, label, who(flat, row.family))
        if len(text) + 1 + len(number) <= WIDTH:
            lines.append(text + " " * (WIDTH - len(text) - len(number)) + number if number else text)
        else:
            lines += wrapped(text[2:], 2) + [number.rjust(WIDTH)]
    for why in row.answer.whys if row.answer.perhaps else ():
        lines += wrapped("because of " + why, 6)
    return lines


def about_exposure(report, each):
    """What goes beyond what is meant, by which rule, and where to read on."""
    lines = wrapped("%s." % report.sentence(each), 4)
    lines[0] = "  > " + lines[0].lstrip()
    lines += wrapped("IPv%d by %s: %s too many." % (each.family, ", ".join(show(name, 32) for name in each.interfaces),
                                                    count(size(each.excess))), 4)
    if each.rule:
        lines += wrapped(str(each.rule), 4)
    return lines + ["  %s/%s" % (GUIDE, each.role.page)]


def main(arguments):
    """Read, judge and tell; returns the exit status."""
    parser = argparse.ArgumentParser(prog="exposure.py", description="Tells who can open a connection to this host.")
    parser.add_argument("--allow", metavar="[PORT=]NETWORK", action="append", default=[],
                        help="whom you mean to let in, to one port or to all; may be given again")
    parser.add_argument("--from", metavar="DIR", dest="folder", help="judge a capture instead of this host")
    parser.add_argument("--capture", metavar="DIR", help="only write what was read to a new folder")
    parser.add_argument("--json", action="store_true", help="print JSON, described by exposure.schema.json")
    options = parser.parse_args(arguments)
    gc.disable()  # a million small objects, all of them needed to the end: looking for garbage takes half of the time
    try:
        allowed = Allowed(options.allow)
        found = load(options.folder) if options.folder else gather()
        if options.capture:
            keep(found, options.capture)
            return 0
        report = Report(found, allowed)
        if options.json:
            print(json.dumps(report.json(), indent=1))
        else:
            print("\n".join(table(report, sys.stdout.isatty())))
        return report.status
    except BadInput as error:
        print("exposure.py: %s" % error, file=sys.stderr)
        return 2
    except (MemoryError, RecursionError):
        print("exposure.py: this is too large to be judged", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
