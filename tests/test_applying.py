# SPDX-License-Identifier: MIT
"""Applying rules: no open moment, never by half, always a way back."""
from __future__ import annotations

import signal

import pytest

from tests import guide
from tests.lab.cycle import assert_no_open_moment, fail, probes, succeed
from tests.lab.filters import FILTERS, apply, iptables_of, undo
from tests.lab.namespaces import Host
from tests.lab.wait import until
from tests.transcripts import page as pages

FIREWALLS = ["domain-0/firewall", "isolated-management-network/firewall", "subnet-behind-a-firewall/firewall",
             "subnet-behind-a-firewall/border", "untrusted-subnet/firewall", "isolated-management-network/ssh",
             "subnet-behind-a-firewall/ssh", "subnet-behind-a-firewall/ssh-border", "untrusted-subnet/ssh",
             "isolated-management-network/libvirt", "subnet-behind-a-firewall/libvirt",
             "subnet-behind-a-firewall/libvirt-border", "untrusted-subnet/libvirt"]
#: Those that iptables has no words for.
GUESTS = ["subnet-behind-a-firewall/guests", "subnet-behind-a-firewall/ssh-guests",
          "subnet-behind-a-firewall/libvirt-guests"]
EACH = [(packet_filter, name) for packet_filter in FILTERS for name in FIREWALLS] + [
    ("nftables", name) for name in GUESTS]


def host_for(make_lab, name: str, packet_filter: str) -> Host:
    lab = make_lab(name.split("/")[0], iptables_of(packet_filter))
    return lab["border" if name.endswith("border") else "node-a"]


@pytest.mark.parametrize("scenario, target", [("isolated-management-network", "203.0.113.11"),
                                              ("subnet-behind-a-firewall", "192.168.1.1"),
                                              ("untrusted-subnet", "203.0.113.11")])
def test_no_open_moment(make_lab, packet_filter, scenario, target):
    """Of a commit, which is the same whether or not bridged packets pass through iptables as well."""
    lab = make_lab(scenario, iptables_of(packet_filter))
    assert_no_open_moment(lab, packet_filter, f"{scenario}/firewall", target, 8002)


def test_no_open_moment_for_ssh(make_lab, packet_filter):
    """The rules about ssh are alike in each scenario; here those of one."""
    lab = make_lab("isolated-management-network", iptables_of(packet_filter))
    assert_no_open_moment(lab, packet_filter, "isolated-management-network/ssh", "203.0.113.11", 22)


def spoil(host: Host, file: str) -> None:
    """Add a last rule to a file that only the kernel can find at fault."""
    if file.endswith(".nft"):
        host.sh(f"echo 'add rule inet no_such_table input accept' >> {file}")
    else:
        host.sh(f"sed -i 's/^COMMIT/-A INPUT -j NO-SUCH-CHAIN\\n&/' {file}")


@pytest.mark.parametrize("packet_filter, name", EACH)
def test_a_failure_half_way_leaves_the_old_rules(make_lab, packet_filter, name):
    """Nothing is half applied, neither at first nor over rules that are in force: IPv4 is taken back for IPv6."""
    host = host_for(make_lab, name, packet_filter)
    assert_all_or_nothing(host, packet_filter, name)
    apply(host, packet_filter, name)
    assert_all_or_nothing(host, packet_filter, name)


def assert_all_or_nothing(host: Host, packet_filter: str, name: str) -> None:
    """A file that is at fault in its last line changes no rule."""
    before = host.rules()
    for ending in ("nft",) if packet_filter == "nftables" else ("v4", "v6"):
        host.sh(f"cp {name}.{ending} /run/good")
        # A change that would show, and then the fault.
        host.sh(f"sed -i 's/8002/8003/; s/dport 22/dport 23/' {name}.{ending}")
        spoil(host, f"{name}.{ending}")
        failed = host.run("nft", "-f", f"{name}.nft", check=False) if ending == "nft" else host.run(
            "sh", "iptables.sh", "apply", name, check=False)
        assert failed.returncode == 1
        assert host.rules() == before, failed.stderr
        if ending != "nft":
            assert f"iptables.sh: {name}.{ending} was not accepted" in failed.stderr
        host.sh(f"cp /run/good {name}.{ending}")


@pytest.mark.parametrize("back_end", ["iptables-nft", "iptables-legacy"])
def test_iptables_keeps_the_rules_of_others(make_lab, back_end):
    """A host's own rules stay where they are, through apply, undo, and a failure taken back."""
    host = host_for(make_lab, "domain-0/firewall", back_end)
    host.sh("iptables -A INPUT -s 192.0.2.1 -m comment --comment 'of others' -j DROP -c 7 700; iptables -N OTHERS; "
            "iptables -A OTHERS -j RETURN; iptables -P FORWARD DROP")
    before = host.rules()
    host.run("sh", "iptables.sh", "apply", "domain-0/firewall")
    assert "192.0.2.1" in host.rules()
    host.run("sh", "iptables.sh", "undo", "domain-0/firewall")
    assert host.rules() == before
    spoil(host, "domain-0/firewall.v6")
    assert host.run("sh", "iptables.sh", "apply", "domain-0/firewall", check=False).returncode == 1
    assert host.rules() == before
    assert "[7:700]" in host.run("iptables-save", "-c").stdout, "what they have counted is lost"


@pytest.mark.parametrize("name", [*FIREWALLS, *GUESTS])
def test_nftables_touches_no_table_but_its_own(make_lab, name):
    host = host_for(make_lab, name, "nftables")
    host.sh("nft add table inet others; nft add chain inet others c; "
            "nft add rule inet others c ip saddr 192.0.2.1 drop")
    before = host.rules()
    apply(host, "nftables", name)
    assert "192.0.2.1" in host.rules()
    undo(host, "nftables", name)
    assert host.rules() == before


@pytest.mark.parametrize("back_end", ["iptables-nft", "iptables-legacy"])
def test_iptables_undo_finds_the_jump_though_the_file_was_changed_since(make_lab, back_end):
    host = host_for(make_lab, "isolated-management-network/firewall", back_end)
    before = host.rules()
    name = "isolated-management-network/firewall"
    host.run("sh", "iptables.sh", "apply", name)
    host.sh(f"sed -i 's/8002/8003/' {name}.v4 {name}.v6")
    host.run("sh", "iptables.sh", "apply", name)
    assert "8002" not in host.rules() and "8003" in host.rules()
    host.sh(f"sed -i 's/8003/8004/' {name}.v4 {name}.v6")
    host.run("sh", "iptables.sh", "undo", name)
    assert host.rules() == before
    host.run("sh", "iptables.sh", "undo", name)
    assert host.rules() == before


def interrupted(host: Host, name: str, number: int) -> None:
    """Apply rules, and send a signal between the two commits: to the script and all it runs, as a terminal does."""
    host.sh("rm /run/bin/ip6tables-restore; printf '#!/bin/sh\ntouch /run/between; "
            "until [ -e /run/go ]; do sleep 0.02; done; exec xtables-nft-multi ip6tables-restore \"$@\"\n' "
            ">/run/bin/ip6tables-restore; chmod +x /run/bin/ip6tables-restore")
    script = host.popen("setsid", "sh", "-c", 'echo $$ >/run/pid; exec sh iptables.sh apply "$1"', "sh", name)
    until(lambda: host.run("test", "-e", "/run/between", check=False).returncode == 0, "IPv4 is done", script)
    host.sh(f"kill -s {number} -- -$(cat /run/pid)")
    host.sh("touch /run/go")  # on with IPv6, for whoever is still there
    script.wait(timeout=60)


def test_iptables_finishes_both_families_when_it_is_asked_to_stop(make_lab):
    """A login that ends, Ctrl-C, or a service manager, in the wrong moment."""
    name = "isolated-management-network/firewall"
    host = host_for(make_lab, name, "iptables-nft")
    interrupted(host, name, signal.SIGTERM)
    assert "XEN-RELOCATION" in host.run("iptables", "-S").stdout
    assert "XEN-RELOCATION" in host.run("ip6tables", "-S").stdout


def test_a_kill_between_the_two_leaves_each_family_whole_and_running_again_mends_it(make_lab):
    """What the page says of kill -9; here the half that waits dies as well."""
    name = "isolated-management-network/firewall"
    host = host_for(make_lab, name, "iptables-nft")
    host.sh("rm /run/bin/ip6tables-restore; printf '#!/bin/sh\\nkill -9 $(cat /run/pid); exit 1\\n' "
            ">/run/bin/ip6tables-restore; chmod +x /run/bin/ip6tables-restore")
    host.run("sh", "-c", 'echo $$ >/run/pid; exec sh iptables.sh apply "$1"', "sh", name, check=False)
    assert "XEN-RELOCATION" in host.run("iptables", "-S").stdout
    assert "XEN-RELOCATION" not in host.run("ip6tables", "-S").stdout
    host.sh("ln -sf $(command -v xtables-nft-multi) /run/bin/ip6tables-restore")
    host.run("sh", "iptables.sh", "apply", name)
    assert "XEN-RELOCATION" in host.run("ip6tables", "-S").stdout
    jumps = host.run("iptables", "-S", "INPUT").stdout.count("-j XEN-RELOCATION")
    assert jumps == 1


@pytest.mark.parametrize("arguments", [[], ["apply"], ["remove", "domain-0/firewall"], ["apply", "domain-0/nothing"],
                                       ["apply", "domain-0/firewall.v4"], ["save"], ["restore", "domain-0/nothing"],
                                       ["save", "domain-0/firewall"]])
def test_iptables_usage(make_lab, arguments):
    host = host_for(make_lab, "domain-0/firewall", "iptables-nft")
    before = host.rules()
    failed = host.run("sh", "iptables.sh", *arguments, check=False)
    assert failed.returncode == 2 and len(failed.stderr.splitlines()) == 1
    assert host.rules() == before


@pytest.mark.parametrize("back_end", ["iptables-nft", "iptables-legacy"])
def test_iptables_restores_what_it_saved(make_lab, back_end):
    """Rules of others too, and both families; of a host without rules, none."""
    host = host_for(make_lab, "domain-0/firewall", back_end)
    saved = [host.rules()]
    host.run("sh", "iptables.sh", "save", "/run/0")
    host.sh("iptables -A INPUT -s 192.0.2.1 -j DROP; iptables -P FORWARD DROP; ip6tables -N OTHERS")
    host.run("sh", "iptables.sh", "apply", "domain-0/firewall")
    saved.append(host.rules())
    host.run("sh", "iptables.sh", "save", "/run/1")
    for number, other in ((0, 1), (1, 0), (0, 1)):
        assert host.rules() == saved[other]
        host.run("sh", "iptables.sh", "restore", f"/run/{number}")
        assert host.rules() == saved[number]


def test_iptables_restores_what_it_can(make_lab):
    """A fault in one family does not keep the other."""
    host = host_for(make_lab, "domain-0/firewall", "iptables-nft")
    host.run("sh", "iptables.sh", "save", "/run/before")
    for family, faulty, command in (("v4", "v6", "iptables"), ("v6", "v4", "ip6tables")):
        host.sh(f"iptables -A INPUT -p 99 -j DROP; ip6tables -A INPUT -p 99 -j DROP; "
                f"cp /run/before.{family} /run/half.{family}; echo nonsense >/run/half.{faulty}")
        failed = host.run("sh", "iptables.sh", "restore", "/run/half", check=False)
        assert failed.returncode == 1 and "not all of /run/half.v4" in failed.stderr
        assert "99" not in host.run(command, "-S").stdout


@pytest.mark.parametrize("command", ["iptables-save", "ip6tables-save"])
def test_iptables_saves_all_or_nothing(make_lab, command):
    """What was saved before stays, and no half of it is taken for the whole."""
    host = host_for(make_lab, "domain-0/firewall", "iptables-nft")
    unwritten = host.run("sh", "iptables.sh", "save", "/run/nowhere/before", check=False)
    assert unwritten.returncode == 1 and "cannot be saved" in unwritten.stderr
    host.sh(f"ln -sf /bin/false /run/bin/{command}")
    failed = host.run("sh", "iptables.sh", "save", "/run/before", check=False)
    assert failed.returncode == 1 and "cannot be saved" in failed.stderr
    host.sh("! [ -e /run/before.v4 ] && ! [ -e /run/before.v6 ]")


def test_iptables_must_see_the_rules_that_are_there(make_lab):
    """Where they cannot be listed, old jumps cannot be removed, nor anything be taken back."""
    host = host_for(make_lab, "domain-0/firewall", "iptables-nft")
    before = host.rules()
    host.sh("rm /run/bin/ip6tables; printf '#!/bin/sh\nexit 1\n' >/run/bin/ip6tables; chmod +x /run/bin/ip6tables")
    failed = host.run("sh", "iptables.sh", "apply", "domain-0/firewall", check=False)
    assert failed.returncode == 1
    assert failed.stderr == "iptables.sh: ip6tables cannot list the rules that are there; nothing is changed\n"
    assert host.rules() == before


def test_iptables_applies_no_half_of_a_file(make_lab):
    """Where what is to be applied cannot be put together, nothing is."""
    host = host_for(make_lab, "domain-0/firewall", "iptables-nft")
    before = host.rules()
    host.sh("printf '#!/bin/sh\n[ \"$1\" != -e ] && exec /usr/bin/sed \"$@\"\n' >/run/bin/sed; chmod +x /run/bin/sed")
    failed = host.run("sh", "iptables.sh", "apply", "domain-0/firewall", check=False)
    assert failed.returncode == 1 and "domain-0/firewall.v4 was not accepted" in failed.stderr
    assert host.rules() == before


def test_iptables_checks_the_values_first(make_lab):
    host = host_for(make_lab, "isolated-management-network/firewall", "iptables-nft")
    host.sh("sed -i 's,192.168.1.0/24,192.168.1.1/8,' isolated-management-network/firewall.v4")
    before = host.rules()
    failed = host.run("sh", "iptables.sh", "apply", "isolated-management-network/firewall", check=False)
    assert failed.returncode == 2
    assert failed.stderr == ("check_values.py: isolated-management-network/firewall.v4:8: 192.168.1.1/8 has host bits "
                             "set: it means 192.0.0.0/8\n")
    assert host.rules() == before


def test_undo_in_undoes(make_lab, packet_filter):
    host = host_for(make_lab, "domain-0/firewall", packet_filter)
    before = host.rules()
    undo_command = (["nft", "delete", "table", "inet", "domain_0"] if packet_filter == "nftables"
                    else ["sh", "iptables.sh", "undo", "domain-0/firewall"])
    # However long the applying takes, the undoing comes after it.
    host.sh("mkfifo /run/go")
    host.run("sh", "undo-in.sh", "1", "sh", "-c", 'cat /run/go; exec "$@"', "sh", *undo_command)
    apply(host, packet_filter, "domain-0/firewall")
    assert host.rules() != before
    host.sh("echo >/run/go")
    until(lambda: host.rules() == before, "the rules are undone")
    late = host.run("sh", "undo-in.sh", "cancel", check=False)
    assert late.returncode == 1 and "nothing is waiting" in late.stderr and len(late.stderr.splitlines()) == 1


ON_THE_PAGES = [(page, packet_filter) for page, packet_filter in (
    ("considerations", "nftables"), ("considerations", "iptables-nft"), ("reference/when-it-fails", "nftables"))]


def tied(page: str, packet_filter: str) -> list[str]:
    """The commands of a page that check, start the timer and apply."""
    blocks = pages.transcripts(guide.blocks(guide.pages()[page]), packet_filter)
    return [command.text for block in blocks for command in pages.commands(block)
            if "sh undo-in.sh 120" in command.text]


def spoil_a_value(host: Host) -> None:
    host.sh("sed -i 's,198.51.100.0/24,198.51.100.7/24,' domain-0/firewall.nft domain-0/firewall.v4")


@pytest.mark.parametrize("trouble", ["a bad value", "a timer that waits", "a copy from before"])
@pytest.mark.parametrize("page, packet_filter", ON_THE_PAGES)
def test_a_command_of_the_pages_that_fails_applies_nothing(make_lab, page, packet_filter, trouble):
    """Not with a value that is refused, nor without a timer of its own, nor over a copy of good rules."""
    commands = tied(page, packet_filter)
    assert len(commands) == (2 if page == "considerations" else 1)
    for command in commands:
        changes = "/run/before" in command
        if trouble == "a copy from before" and not changes:
            continue
        host = host_for(make_lab, "domain-0/firewall", packet_filter)
        if changes:
            apply(host, packet_filter, "domain-0/firewall")
            host.sh("sed -i 's/dport 22 /dport 2222 /' domain-0/firewall.*")
        if trouble == "a bad value":
            spoil_a_value(host)
        elif trouble == "a timer that waits":
            host.run("sh", "undo-in.sh", "60", "true")
        else:
            host.sh("touch /run/before.nft /run/before.v4 /run/before.v6")
        before = host.rules()
        assert host.run("bash", "-c", command, check=False).returncode != 0
        assert host.rules() == before
        if trouble == "a copy from before":
            assert host.sh("cat /run/before.*").stdout == ""
        assert host.run("test", "-e", "/run/undo-in.pid", check=False).returncode == (trouble != "a timer that waits")


@pytest.mark.parametrize("page, packet_filter", ON_THE_PAGES)
def test_a_command_of_the_pages_applies_and_its_timer_waits(make_lab, page, packet_filter):
    host = host_for(make_lab, "domain-0/firewall", packet_filter)
    host.run("bash", "-c", tied(page, packet_filter)[0])
    assert "dport 22 " in host.rules()
    host.run("sh", "undo-in.sh", "cancel")


def test_the_timer_gives_the_border_back_after_a_wrong_card(make_lab, packet_filter):
    """The check cannot know which of its cards leads inside; the rules cut off even who was logged in."""
    name = "subnet-behind-a-firewall/border"
    lab = make_lab("subnet-behind-a-firewall", iptables_of(packet_filter))
    border, admin = lab["border"], lab["admin"]
    border.listen(22)
    logins = probes(lab, ["admin"], ["203.0.113.254", "2001:db8:2::fe"], 22)
    succeed(logins)
    assert admin.ask(do="hold", address="203.0.113.254", port=22)["alive"]
    before = border.rules()
    border.sh(f"sed -i 's/eth1/eth0/' {name}.*; mkfifo /run/go")
    command, = (text for text in tied("scenarios/subnet-behind-a-firewall", packet_filter) if f"{name}." in text)
    # Two minutes pass when the test says so.
    assert "undo-in.sh 120 " in command
    border.run("bash", "-c", command.replace("undo-in.sh 120 ", "undo-in.sh 0 sh -c 'cat /run/go; exec \"$@\"' sh "))
    fail(logins)
    assert not admin.ask(do="alive")["alive"]
    border.sh("echo >/run/go")
    until(lambda: border.rules() == before, "the timer has taken the rules back")
    succeed(logins)


def test_undo_in_cancelled_keeps_the_rules(make_lab):
    host = host_for(make_lab, "domain-0/firewall", "nftables")
    said = host.run("sh", "undo-in.sh", "60", "nft", "delete", "table", "inet", "domain_0").stdout
    assert said == "in 60 s: nft delete table inet domain_0\nto keep the new rules: sh undo-in.sh cancel\n"
    timer = host.run("cat", "/run/undo-in.pid").stdout.strip()
    assert "delete table" in host.run("ps", "-o", "args=", "-p", timer).stdout
    another = host.run("sh", "undo-in.sh", "60", "true", check=False)
    assert another.returncode == 1 and "one is waiting already" in another.stderr
    apply(host, "nftables", "domain-0/firewall")
    assert host.run("sh", "undo-in.sh", "cancel").stdout == "cancelled: the new rules stay\n"
    assert "nothing is waiting" in host.run("sh", "undo-in.sh", "cancel", check=False).stderr
    # Ended; the lab's first process leaves it listed as a zombie.
    until(lambda: host.run("ps", "-o", "stat=", "-p", timer, check=False).stdout[:1] in ("", "Z"), "the timer is gone")
    assert "domain_0" in host.rules()


def test_undo_in_is_not_held_up_by_a_timer_that_is_gone(make_lab):
    """After a kill -9 or a crash its file is there still: a cancel says that it is too late, and the next may wait."""
    host = host_for(make_lab, "domain-0/firewall", "nftables")
    gone = "echo 4194304 > /run/undo-in.pid"  # more than there are
    host.sh(gone)
    host.run("sh", "undo-in.sh", "60", "true")
    host.sh(gone)
    late = host.run("sh", "undo-in.sh", "cancel", check=False)
    assert late.returncode == 1 and "too late, it has been undone" in late.stderr
    assert "nothing is waiting" in host.run("sh", "undo-in.sh", "cancel", check=False).stderr


def test_undo_in_can_be_cancelled_at_once(make_lab):
    """However soon: the timer is there before its login can speak again."""
    host = host_for(make_lab, "domain-0/firewall", "nftables")
    host.sh("for i in $(seq 100); do sh undo-in.sh 60 touch /run/undone; sh undo-in.sh cancel; done")
    host.sh("pkill sleep -P 1 || true; ! [ -e /run/undone ]")


@pytest.mark.parametrize("arguments", [[], ["soon", "true"], ["5"], ["5", "no-such-command"]])
def test_undo_in_usage(make_lab, arguments):
    host = host_for(make_lab, "domain-0/firewall", "nftables")
    failed = host.run("sh", "undo-in.sh", *arguments, check=False)
    assert failed.returncode == 2 and len(failed.stderr.splitlines()) == 1
