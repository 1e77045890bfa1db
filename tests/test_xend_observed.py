# SPDX-License-Identifier: MIT
"""What the real xend was measured to do, the model does: each case of xend-observed.json, on the same network."""
from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import guide
from tests.lab.measured import ETC_HOSTS, OBSERVED, RESOLVER, Measured

#: What the model does not claim: the sending client, and the Unix socket.
NOT_MODELLED = {"client", "unix"}
CASES = [case for case in OBSERVED["cases"]
         if case["group"] not in NOT_MODELLED and "a race" not in case["note"]]
#: What the probe says where the real one was seen to say this. A peer that is not let in may lose the connection
#: while it still shakes hands: which of the two it sees is a race.
MEANING = {"accepted": "ready", "rejected": "rejected", "tls-failed": "rejected", "refused": "refused"}
#: Makes the model as it is on a host of that kind, or as impatient as a test.
BEFORE = {
    "ssl-nopyopenssl": "import sys; sys.modules['ssl'] = None",
    "port-busy": "import socket; busy = socket.create_server(('0.0.0.0', 8002)); "
                 "from tests.lab.xend import listener; listener.BUSY = 0",
}


def text(config: str | None) -> str | None:
    """A configuration with one byte a character; the file has those that are not ASCII as a literal of Python."""
    if config is not None and config.startswith("b'"):
        return ast.literal_eval(config).decode("latin-1")
    return config


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_as_observed(measured: Measured, case: dict):
    started = measured.start(text(case["config"]), case.get("etc_hosts", ETC_HOSTS),
                             case.get("etc_resolv_conf", RESOLVER), BEFORE.get(case["id"], ""))

    assert (started["status"] is None) == case["still_running"], started
    assert (started["errors"] == ["xend: started"]) == (case["exit_status"] == 0), started
    assert started["output"] == [f"listening {socket}" for socket in case["listening"]]
    assert measured.sockets() == sorted(case["listening"])
    tls_ports = (":8003", ":9443")
    # No more peers at a time than wait in its backlog.
    with ThreadPoolExecutor(4) as pool:
        said = pool.map(lambda way: measured.relocate(*way.split(" -> "), tls=way.endswith(tls_ports)),
                        case["verdicts"])
    assert dict(zip(case["verdicts"], said)) == {way: MEANING[verdict] for way, verdict in case["verdicts"].items()}


def test_no_case_is_lost():
    """Two of the client, one of the Unix socket and four races are left out, as the guide says."""
    assert len({case["id"] for case in CASES}) == len(CASES) == len(OBSERVED["cases"]) - 2 - 1 - 4
    page = guide.pages()["reference/how-this-guide-is-tested"].doctree.astext()
    assert f"{len(CASES)} of the {len(OBSERVED['cases'])} cases" in guide.words(page)
