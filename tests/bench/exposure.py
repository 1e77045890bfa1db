# SPDX-License-Identifier: MIT
"""What many rules cost: exposure.py that reads them, and the packets that pass them.

What is measured is kept in ``build/exposure-measured.json``, and drawn on the page of the program; a guide that is
built without it shows what stands in ``source/reference/exposure-measured.json``, which is a copy of such a file.
"""
from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import captures
from tests.lab import namespaces, topology
from tests.lab.many_sources import ManySources

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "exposure-measured.json"
READ = (1_000, 10_000, 100_000, 1_000_000)
PASSED = (1, 100, 1_000, 10_000)
TRIES = 400
REPEATS = 9
COST = """
import re, sys, time
sys.path.insert(0, sys.argv[1])
import exposure
exposure.main(["--from", sys.argv[2], "--allow", "0.0.0.0/0"])
most = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(time.process_time(), int(most) // 1024, file=sys.stderr)
"""


def cost(folder: Path) -> tuple[float, float]:
    """Seconds of the processor, and megabytes, that exposure.py takes for a capture, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", COST, topology.EXAMPLES / "domain-0", folder],
                          capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stderr.split())
    return seconds, megabytes


def reading() -> list[dict]:
    """What rules, one for each address, and sets of as many addresses cost to be judged."""
    found = []
    for kind, make in (("linear", captures.linear), ("set", captures.large_set)):
        for count in READ:
            with tempfile.TemporaryDirectory() as folder:
                seconds, megabytes = cost(captures.write(Path(folder), make(count)))
            found.append({"kind": kind, "count": count, "seconds": round(seconds, 3), "megabytes": round(megabytes)})
    return found


def passing() -> list[dict]:
    """Connections a second through rules, one for each address, and through a set of as many addresses."""
    found = []
    with ManySources() as lab:
        node = lab["node-a"]
        tries = [(f"10.9.{n // 250}.{1 + n % 250}", 0, "203.0.113.11", 22) for n in range(TRIES)]

        def rate() -> float:
            """The best of some runs: what else is at work can only make it worse."""
            rates = []
            for _ in range(REPEATS):
                begin = time.perf_counter()
                letters = lab.connect(tries)
                rates.append(TRIES / (time.perf_counter() - begin))
                assert letters == "o" * TRIES
            return max(rates)

        for count in PASSED:
            addresses = captures.many(count)
            rules = captures.legacy(*(f"-A INPUT -s {each}/32 -j DROP" for each in addresses))
            node.run("iptables-restore", input=rules)
            found.append({"kind": "linear", "count": count, "rate": round(rate())})
            node.run("nft", "flush", "ruleset")
            elements = ", ".join(addresses)
            node.run("nft", "-f", "-", input="table ip t {\nset many {\ntype ipv4_addr\nelements = { %s }\n}\n"
                     "chain in {\ntype filter hook input priority filter; policy accept;\nip saddr @many drop\n}\n}\n"
                     % elements)
            found.append({"kind": "set", "count": count, "rate": round(rate())})
            node.run("nft", "flush", "ruleset")
    return found


def main() -> None:
    """Measure, keep what was measured, and print the ratios."""
    read = reading()
    for kind in ("linear", "set"):
        rows = {row["count"]: row for row in read if row["kind"] == kind}
        for count in READ[1:]:
            small, large = rows[count // 10], rows[count]
            what = "rules of iptables" if kind == "linear" else "elements of an nftables set"
            print(f"{large['seconds'] / small['seconds']:5.2f} of {count // 10:,} {what}: exposure.py with {count:,} "
                  f"({large['seconds']:.2f} s, {large['megabytes']} MB)")
    if reason := namespaces.why_not():
        print(f"left out, and nothing is kept for the page: the rate of connections: {reason}")
        return
    passed = passing()
    rates = {(row["kind"], row["count"]): row["rate"] for row in passed}
    for count in PASSED:
        linear, one = rates["linear", count], rates["set", count]
        print(f"{linear / one:5.2f} of an nftables set of {count:,}: connections through {count:,} rules of "
              f"iptables ({linear:,} a second; the set {one:,})")
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps({
        "linux": platform.release().split("-")[0], "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"), "reading": read, "passing": passed}, indent=1) + "\n")


if __name__ == "__main__":
    main()
