# SPDX-License-Identifier: MIT
"""The model of xend beyond the observed cases: the rules of its source, and what goes wrong in practice.

The answers on the wire, the fates of patterns and of configurations are what the
code of xen.git 9e8672f1c3^ did under Python 2.7.18 with the restore replaced, run
for this table; they are no guesses.
"""
from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.measured import RECORDS, Measured
from tests.lab.wait import until
from tests.lab.xend import listener, python2, sxp
from tests.lab.xend.options import Options
from tests.lab.xend.python2 import Raised

ON = "(xend-relocation-server yes)"
TLS = "(xend-relocation-ssl-server yes) (xend-relocation-server-ssl-key-file r.key) "
BOTH = TLS + "(xend-relocation-server-ssl-cert-file r.crt)"
OUTSIDE = "203.0.113.10"
HELP = "(ok (help quit receive sslreceive))\n"


def parse_error(words: str) -> str:
    return f"""(err (type "<class 'xen.xend.sxp.ParseError'>") (value '{words}'))\n"""


def invalid(name: str, quote: str = "'") -> str:
    said = f"{quote}Invalid operation: {name}{quote}"
    return f"""(err (type "<class 'xen.xend.XendError.XendError'>") (value {said}))\n"""


def python_error(kind: str, words: str) -> str:
    return f"""(err (type "<type 'exceptions.{kind}'>") (value "{words}"))\n"""


#: What a peer sends, part by part, and the line that comes back for each; "" is the end of the connection.
WIRE = {
    "a list": (["(help)"], [HELP]),
    "an atom, once something ends it": (["hel", "p\n"], [None, HELP]),
    "a string": (["'help'"], [HELP]),
    "arguments do not matter": (["(help (a b) 'c')"], [HELP]),
    "a comment": (["# (quit)\n(help)"], [HELP]),
    "quit": (["(quit)"], [""]),
    "quit ends what follows": (["(quit)(help)"], [""]),
    "ctrl-D ends the connection": (["\x04"], [""]),
    "ctrl-D within an atom does not": (["(help\x04)", "(help)"], [invalid(r"help\x04"), HELP]),
    "an end in the middle": (["(help", ""], [None, ""]),
    "receive, and what stands for the restore": (["receive\n", "0123456789abcdef"], ["(ready receive)\n", "(ok)\n"]),
    "the restore takes 16 bytes": (["(receive)", "0123456789abcdefhelp\n"], ["(ready receive)\n", "(ok)\n"]),
    "sslreceive in clear": (["sslreceive\n", "memory"], ["(ready sslreceive)\n", "(ok)\n"]),
    "unknown": (["(foo)"], [invalid("foo")]),
    "unknown, then known": (["foo bar\n", "(help)"], [invalid("foo"), invalid("bar")]),
    "HTTP": (["GET / HTTP/1.0\r\n\r\n"], [invalid("GET")]),
    "a name of the class": (["(dispatch)"], [invalid("dispatch")]),
    "a quote in a name": (["'it\\'s'"], [invalid("it's", '"')]),
    "bytes beyond ASCII in a name": (["'\xc3\xa9'"], [invalid(r"\xc3\xa9")]),
    "a semicolon is a name": (["; (help)", " "], [invalid(";"), HELP]),
    "braces end a name and begin one": (["{help}", "\n"], [invalid("{help"), invalid("}")]),
    "one parenthesis too many": ([")", "(help)"], [parse_error("syntax error: )"), HELP]),
    "after an error the rest is lost": (["(help))(foo)", " "], [parse_error("syntax error: )"), HELP]),
    "an empty list": (["()"], [python_error("AttributeError", "'NoneType' object has no attribute 'replace'")]),
    "a list in a list": (["((help))"], [python_error("AttributeError", "'list' object has no attribute 'replace'")]),
    "zero bytes": (["\0", "(help)"], [parse_error("invalid character: code 0"), HELP]),
    "TLS on the plain port": (["\x16\x03\x01\x02"], [parse_error("invalid character: code 22")]),
    "garbage": (["\xff\xfe", "(help)"], [parse_error("invalid character: code 255"), HELP]),
    "too large an octal escape": (["'\\400"], [parse_error("invalid octal escape: out of range 400")]),
    "half a hexadecimal escape": (["'\\xg'"], [python_error("NameError", "global name 'buf' is not defined")]),
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_answers_on_the_wire(measured: Measured, tls: bool):
    """The same operations on both ports, and the same answers to what is none."""
    measured.start(ON + BOTH)
    target = "203.0.113.1:8003" if tls else "203.0.113.1:8002"
    # The restore reads from the socket, below TLS: what it takes there is missing to the conversation.
    # A half-closed connection is TCP's; and xend answers once, where TLS has one end for both.
    left_out = {"receive, and what stands for the restore", "the restore takes 16 bytes", "an end in the middle"}
    exchanges = {what: exchange for what, exchange in WIRE.items() if not (tls and what in left_out)}
    with ThreadPoolExecutor(4) as pool:
        said = pool.map(lambda exchange: measured.converse(exchange[0], target, tls=tls), exchanges.values())
    assert dict(zip(exchanges, said)) == {what: answers for what, (_, answers) in exchanges.items()}


def test_receive_over_tls_reads_below_it(measured: Measured):
    """The restore takes 16 bytes out of a TLS record, and the conversation ends at what is left of it."""
    measured.start(BOTH)
    said = measured.converse(["receive\n", "memory", "(help)"], "203.0.113.1:8003", tls=True)
    assert said == ["(ready receive)\n", "(ok)\n", ""]


#: What a configuration opens. None: xend is gone after a failed start.
STARTS = {
    "no newline at the end, and the open list is forgotten": ("(xend-relocation-server yes", []),
    "a comment does the same": ("(xend-relocation-server yes # on", []),
    "with a newline it is an error": ("(xend-relocation-server yes\n", None),
    "an open string at the end": ("(xend-relocation-server 'yes", None),
    "nothing is read behind ctrl-D": (ON + "\x04)))'", ["0.0.0.0:8002"]),
    "ctrl-D in an open list": ("(xend-relocation-server yes \x04", None),
    "attributes before the value": ("(xend-relocation-server (@ (a b)) yes)", ["0.0.0.0:8002"]),
    "a list for a yes": ("(xend-relocation-server (yes))", None),
    "an octal escape": ("(xend-relocation-server '\\171es')", ["0.0.0.0:8002"]),
    "a hexadecimal digit beyond 9 counts from 0": ("(xend-relocation-server '\\x7F')", None),
    "an unknown escape loses its letter": ("(xend-relocation-server 'y\\es')", None),
    "a semicolon ends an atom": ("(xend-relocation-server yes;no)", ["0.0.0.0:8002"]),
    "space before a number of an address": (ON + "(xend-relocation-address ' 10. 0.0.1')", ["10.0.0.1:8002"]),
    "a sign before one": (ON + "(xend-relocation-address +10.0.0.1)", ["10.0.0.1:8002"]),
    "zeros before one are not octal": (ON + "(xend-relocation-address 0010.0.0.01)", ["10.0.0.1:8002"]),
    "an address with two numbers": (ON + "(xend-relocation-address 127.2)", ["127.0.0.2:8002"]),
    "a number too large for 32 bits": (ON + "(xend-relocation-address 127.0.0.4294967297)", ["127.0.0.1:8002"]),
    "a newline behind the address": (ON + "(xend-relocation-address '10.0.0.1\n')", None),
    "a zero byte": (ON + "(xend-relocation-address '10.0.0.1\\0')", None),
    "an interface in capitals": (ON + "(xend-relocation-address ETH1)", None),
    "hex digits with a space are an IPv6 address, too": (ON + "(xend-relocation-address 'be0 ')", None),
    "a host of /etc/hosts": (ON + "(xend-relocation-address mgmthost)", ["10.0.0.1:8002"]),
    "an address that is a list": (ON + "(xend-relocation-address (eth1))", None),
    "the same with the server off": ("(xend-relocation-address (eth1))", []),
    "a space behind the sign of a port": (ON + "(xend-relocation-port '+ 9002')", ["0.0.0.0:9002"]),
    "an underscore in a port": (ON + "(xend-relocation-port 9_002)", None),
    "a huge port": (ON + "(xend-relocation-port 99999999999999999999)", None),
    "a bad port with the server off": ("(xend-relocation-port none)", []),
    "a bad pattern with the server off": ("(xend-relocation-hosts-allow '+')", None),
    "a possessive repeat": (ON + "(xend-relocation-hosts-allow '^a++')", None),
    "flags for a group": (ON + "(xend-relocation-hosts-allow '(?i:a)')", None),
    "an unknown escape of a letter": (ON + "(xend-relocation-hosts-allow ^\\example)", ["0.0.0.0:8002"]),
    "neither yes nor no for the Unix socket": (ON + "(xend-unix-server maybe)", None),
    "neither yes nor no for SSL": (ON + "(xend-relocation-ssl-server maybe)", ["0.0.0.0:8002"]),
    "an SSL port that is none": (ON + BOTH + "(xend-relocation-ssl-port abc)", ["0.0.0.0:8002"]),
    "the same without the plain server": (BOTH + "(xend-relocation-ssl-port abc)", None),
    "a key without its certificate": (ON + TLS, ["0.0.0.0:8002"]),
    "a key that is none": (ON + "(xend-relocation-ssl-server yes) (xend-relocation-server-ssl-key-file r.crt) "
                           "(xend-relocation-server-ssl-cert-file r.crt)", ["0.0.0.0:8002"]),
    "a key of another certificate": (TLS + "(xend-relocation-server-ssl-cert-file other.crt)", ["0.0.0.0:8003"]),
    "both": (ON + BOTH, ["0.0.0.0:8002", "0.0.0.0:8003"]),
}
FAILED_HALF_WAY = {"neither yes nor no for SSL", "an SSL port that is none", "a key without its certificate",
                   "a key that is none"}


@pytest.mark.parametrize("what", STARTS)
def test_what_a_configuration_opens(measured: Measured, what: str):
    config, sockets = STARTS[what]
    started = measured.start(config)
    assert (started["status"], len(started["errors"])) == (1 if sockets is None else None, 1), started
    assert (started["errors"] != ["xend: started"]) == (sockets is None or what in FAILED_HALF_WAY)
    assert started["output"] == [f"listening {socket}" for socket in sockets or []]
    assert measured.sockets() == (sockets or [])


def test_a_key_of_another_certificate_listens_and_shakes_no_hand(measured: Measured):
    measured.start(TLS + "(xend-relocation-server-ssl-cert-file other.crt)")
    assert measured.converse(["(help)"], "203.0.113.1:8003", tls=True) == [""]


def test_port_0_is_a_port_of_the_kernel_s_choice(measured: Measured):
    line, = measured.start(ON + "(xend-relocation-port 0)")["output"]
    socket = line.removeprefix("listening ")
    assert int(socket.removeprefix("0.0.0.0:")) > 0
    assert measured.sockets() == [socket]


def test_a_port_in_use_is_tried_for_30_seconds(measured: Measured):
    """Here for as long as it is in use, which is not so long."""
    assert listener.BUSY == 30
    started = measured.start(ON, before="import socket, threading; busy = socket.create_server(('0.0.0.0', 8002)); "
                                        "threading.Timer(0.2, busy.close).start()")
    assert started["output"] == ["listening 0.0.0.0:8002"]


def test_one_peer_without_a_name_keeps_everybody_waiting(measured: Measured):
    """The name server never answers for one address; a peer of /etc/hosts waits for that answer, too."""
    measured.name_server(RECORDS | {"203.0.113.10": None}, "127.0.0.54")
    measured.start(ON + "(xend-relocation-hosts-allow '^localhost$')",
                   resolver="nameserver 127.0.0.54\noptions timeout:2 attempts:1")

    def seconds() -> float:
        """How long the peer of /etc/hosts waits."""
        began = time.monotonic()
        assert measured.relocate("127.0.0.1", "127.0.0.1:8002") == "ready"
        return time.monotonic() - began

    alone = seconds()
    with ThreadPoolExecutor(1) as pool:
        silent = pool.submit(measured.relocate, OUTSIDE, "203.0.113.1:8002")
        until(lambda: measured["dom0"].run("ss", "-Htn", "state", "established", "dst", OUTSIDE).stdout,
              "the peer without a name is connected")
        waited = seconds()
        assert silent.result() == "rejected"
    assert alone < 1 < waited


def test_no_peer_shows_a_certificate_or_is_asked_for_one(measured: Measured):
    """Whoever is let in speaks TLS without one, and the plain port takes the same operation in clear."""
    measured.start(ON + BOTH)
    assert measured.relocate(OUTSIDE, "203.0.113.1:8003", tls=True) == "ready"
    assert measured.converse(["sslreceive\n"]) == ["(ready sslreceive)\n"]


@pytest.mark.parametrize("nsswitch, verdict", [("files dns", "ready"), ("files", "rejected")])
def test_a_ptr_record_defeats_an_exact_address_where_dns_is_asked(measured: Measured, nsswitch: str, verdict: str):
    """203.0.113.52 has a PTR record with the name 10.0.0.2; a name service without DNS does not know it."""
    with measured.names_from(nsswitch):
        measured.start(ON + r"(xend-relocation-hosts-allow '^10\\.0\\.0\\.2$')")
        assert measured.relocate("10.0.0.2", "10.0.0.1:8002") == "ready"
        assert measured.relocate("203.0.113.52", "203.0.113.1:8002") == verdict


# The reader, without a network.

TEXT = st.binary(max_size=30)


def reading(chunks: list[bytes]) -> tuple[list, str]:
    """What the reader has of a text, and the error that stopped it."""
    reader = sxp.Reader()
    try:
        for chunk in chunks:
            reader.feed(chunk)
        reader.end()
    except Raised as error:
        return reader.values, str(error)
    return reader.values, ""


@given(st.lists(st.text("()'\"\\x07f#; \n\x04a\xe9", max_size=6).map(lambda text: text.encode("latin-1"))))
def test_a_text_may_come_in_any_parts(chunks: list[bytes]):
    assert reading(chunks) == reading([b"".join(chunks)])


@given(TEXT, st.sampled_from([b"'", b'"']))
def test_any_text_can_be_quoted(text: bytes, quote: bytes):
    """Double each backslash, and put one before the quote."""
    quoted = text.replace(b"\\", b"\\\\").replace(quote, b"\\" + quote)
    assert sxp.read(quote + quoted + quote) == [text]


@given(st.sampled_from([letter for letter in map(chr, range(33, 127)) if letter not in "abtnvfrx01234567\\'\""]))
def test_a_single_backslash_in_quotes_loses_the_letter(letter: str):
    assert sxp.read(f"'a\\{letter}b'".encode()) == [b"a\\b"]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="{}()<>[];#'\""), min_size=1))
def test_without_quotes_a_backslash_stays(atom: str):
    assert sxp.read(f"({atom})".encode()) == [[atom.encode()]]


@given(st.binary(max_size=20).filter(lambda text: b"\n" not in text), st.integers(0, 3))
def test_a_comment_ends_with_its_line_and_says_nothing(comment: bytes, place: int):
    parts = [b"", b"(a ", b"'b' c", b") d "]
    parts[place] += b" #" + comment + b"\n"
    assert sxp.read(b"".join(parts)) == [[b"a", b"b", b"c"], b"d"]


@given(st.binary(min_size=1, max_size=1).filter(lambda char: char > b"~" or char < b" ").filter(
    lambda char: char not in (b"\t", b"\n", b"\v", b"\f", b"\r", b"\x04")))
def test_outside_of_quotes_no_odd_byte_begins_anything(char: bytes):
    with pytest.raises(Raised, match=f"invalid character: code {char[0]}"):
        sxp.read(b"(a " + char + b")")
    assert sxp.read(b"(a" + char + b")") == [[b"a" + char]]


def test_the_first_of_two_settings_wins_and_a_missing_value_is_the_default():
    options = Options(sxp.read(b"(a) (a 1) (b 1 2) (b 3) ((c 1)) c (d () 1)"))
    assert options.value("a", b"default") == b"default"
    assert options.value("b", b"default") == b"1"
    assert options.value("c", b"default") == b"default"
    assert options.value("d", b"default") == []


#: A pattern, what it matches, and what it does not; with neither, it stops xend.
PATTERNS = {
    r"": (["", "203.0.113.1"], []),
    r"^10\.0\.0\.2$": (["10.0.0.2"], ["10.0.0.20", "10x0.0.2"]),
    r"10.0.0.2": (["10.0.0.20", "10-0-0-2.evil.example"], ["110.0.0.2"]),
    r"^host1\example\org$": (["host1exampleorg"], ["host1.example.org", r"host1\example\org"]),
    r"[\A]": (["A"], ["a", "\\"]),
    r"a(?i)b": (["ab", "AB"], ["b"]),
    r"\400": (["\0"], ["@"]),
    r"a{}": (["a{}"], ["a"]),
    r"a{,2}b": (["b", "aab"], ["aaab"]),
    r"^[]a]$": (["]", "a"], ["b"]),
    r"(?P<n>a)(?P=n)": (["aa"], ["a"]),
    r"a++": ([], []), r"a{2}+": ([], []), r"(?>a)": ([], []), r"(?i:a)": ([], []), r"(?a)b": ([], []),
    r"^10\.\0\.$|^\8": ([], []), r"+": ([], []), r"(": ([], []), r"\x4e\x4": ([], []), "()" * 100: ([], []),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_what_it_meant_to_python_2(pattern: str):
    matched, not_matched = PATTERNS[pattern]
    if not matched and not not_matched:
        with pytest.raises(Raised):
            python2.compile_pattern(pattern.encode())
        return
    compiled = python2.compile_pattern(pattern.encode())
    assert [text for text in matched + not_matched if compiled.match(text.encode())] == matched


@given(st.from_regex(r"[a-z0-9.|()^$*+?-]{0,8}", fullmatch=True), st.text("a0.-z", max_size=5))
def test_a_pattern_without_a_difference_means_what_it_means_today(pattern: str, text: str):
    try:
        today = bool(re.match(pattern, text))
    except re.error:
        today = None
    try:
        then = bool(python2.compile_pattern(pattern.encode()).match(text.encode()))
    except Raised:
        then = None
    if not re.search(r"[*+?]\+|\(\?", pattern):  # a possessive repeat, an extension
        assert then == today


@given(st.ip_addresses(v=4).map(str))
def test_an_address_is_itself(address: str):
    assert python2.host_for_bind(address.encode()) == address.encode() == listener.address_of(address.encode())
