# SPDX-License-Identifier: MIT
"""The certificates by which nodes know one another to libvirt: what is in them, and what is refused."""
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab import skip
from tests.lab.topology import EXAMPLES

SCRIPT = EXAMPLES / "domain-0/libvirt-certificate.sh"


@pytest.fixture
def make(tmp_path: Path):
    """Run the script in a folder of its own."""
    skip.without_lab("" if shutil.which("openssl") else "not installed: openssl")

    def make(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True,
                              env=os.environ | {"PATH": path})
    return make


def openssl(folder: Path, *arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_two_nodes_of_one_authority(make, tmp_path):
    """Each is a server and a client under its own name and addresses, and can sign nothing."""
    for node, addresses in {"node-a": ["192.168.1.1", "2001:db8:1::1"], "node-b": ["192.168.1.2"]}.items():
        assert make(node, *addresses).returncode == 0
        for purpose in ("sslserver", "sslclient"):
            openssl(tmp_path, "verify", "-CAfile", "ca/cacert.pem", "-purpose", purpose,
                    "-verify_ip", addresses[-1], f"{node}/cert.pem")
        said = openssl(tmp_path, "x509", "-in", f"{node}/cert.pem", "-noout", "-subject", "-ext",
                       "subjectAltName,basicConstraints", "-nameopt", "RFC2253")
        for what in (f"subject=CN={node}\n", f"DNS:{node}, IP Address:{addresses[0]}", "CA:FALSE"):
            assert what in said
        assert sorted(path.name for path in (tmp_path / node).iterdir()) == ["cacert.pem", "cert.pem", "key.pem"]
        assert (tmp_path / node / "cacert.pem").read_bytes() == (tmp_path / "ca/cacert.pem").read_bytes()
        # The key is the certificate's.
        assert (openssl(tmp_path, "pkey", "-in", f"{node}/key.pem", "-pubout")
                == openssl(tmp_path, "x509", "-in", f"{node}/cert.pem", "-noout", "-pubkey"))
    keys = [*tmp_path.glob("*/key.pem")]
    assert len({path.read_bytes() for path in keys}) == 3
    assert {path.stat().st_mode & 0o77 for path in [*keys, *(path.parent for path in keys)]} == {0}
    # For years to come, as years go by unnoticed.
    openssl(tmp_path, "x509", "-in", "node-b/cert.pem", "-noout", "-checkend", str(9 * 365 * 86400))
    openssl(tmp_path, "x509", "-in", "ca/cacert.pem", "-noout", "-checkend", str(9 * 365 * 86400))


@pytest.mark.parametrize("arguments, said", [
    ([], "usage: sh libvirt-certificate.sh NODE ADDRESS..."),
    (["node-a"], "usage: sh libvirt-certificate.sh NODE ADDRESS..."),
    (["ca", "192.168.1.1"], "ca is not the name of a node"),
    (["-a", "192.168.1.1"], "-a is not the name of a node"),
    (["a/CN=node-b", "192.168.1.1"], "a/CN=node-b is not the name of a node"),
    (["", "192.168.1.1"], " is not the name of a node"),
    (["node-a", ""], " is not an address"),
    (["node-a", "192.168.1.1,DNS:node-b"], "192.168.1.1,DNS:node-b is not an address"),
    (["node-a", "192.168.1.1", "node-b"], "node-b is not an address")])
def test_what_is_refused(make, tmp_path, arguments, said):
    done = make(*arguments)
    assert (done.returncode, done.stderr) == (2, f"libvirt-certificate.sh: {said}\n")
    assert not list(tmp_path.iterdir())


def test_a_certificate_is_not_made_over(make, tmp_path):
    assert make("node-a", "192.168.1.1").returncode == 0
    before = (tmp_path / "node-a/cert.pem").read_bytes()
    done = make("node-a", "192.168.1.2")
    assert done.returncode == 2 and "node-a is there already" in done.stderr
    assert (tmp_path / "node-a/cert.pem").read_bytes() == before


def test_a_failure_is_not_passed_over(make, tmp_path):
    """Where openssl fails there is no certificate, and the exit status says so, also with an authority from before."""
    assert make("node-a", "192.168.1.1").returncode == 0
    (tmp_path / "openssl").symlink_to("/bin/false")
    assert make("node-b", "192.168.1.2", path=f"{tmp_path}:{os.environ['PATH']}").returncode != 0
    assert not list(tmp_path.glob("node-b/*"))
