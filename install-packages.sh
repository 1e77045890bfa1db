#!/bin/sh
# SPDX-License-Identifier: MIT
# Usage: install-packages.sh TASK, where TASK is venv, pdf, test, browser, xen or bench.
# As root, installs the distribution packages that the task needs and that are missing. Without root, says in one
# line what is left out and which command installs it, and exits with status 1.
set -eu

case "${1-}" in
venv)
    what='everything, since this Python has no ensurepip'
    if python3 -c 'import ensurepip' 2>/dev/null; then exit; fi
    set -- python3-venv ;;
pdf)
    what='the PDF'
    set -- latexmk librsvg2-bin tex-gyre texlive-fonts-recommended texlive-latex-extra texlive-latex-recommended ;;
test)
    what='the tests that use these programs'
    set -- conntrack epubcheck iproute2 iptables kmod man-db mandoc netcat-openbsd nftables openssh-client openssh-server \
        openssl poppler-utils procps shellcheck systemd tcpdump util-linux wireguard-go wireguard-tools ;;
browser)
    what='the tests in a browser'
    # Ubuntu has Chromium only as a snap, which cannot be driven from outside: there, install Google Chrome.
    if command -v google-chrome >/dev/null; then exit; fi
    set -- chromium ;;
xen)
    what='the tests on real Xen nodes'
    set -- cpio debian-archive-keyring dpkg e2fsprogs gcc iproute2 iptables kmod libc6-dev mmdebstrap netcat-openbsd \
        nftables openssh-client qemu-system-x86 tcpdump util-linux zstd ;;
bench)
    what='the comparison with pandoc'
    set -- pandoc ;;
*)
    echo "usage: $0 venv|pdf|test|browser|xen|bench" >&2
    exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "No dpkg here, so nothing is checked or installed. What is needed, by Debian's names: $*"
    exit
fi

for package do
    shift
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || state=unknown
    [ "$state" = installed ] || set -- "$@" "$package"
done
[ $# -gt 0 ] || exit 0

# The tests run an sshd of their own. Both unit files of the package, ssh.service and ssh.socket, stay off where this
# file exists: no machine must become reachable because somebody built a guide on it.
sshd_off=
case " $* " in
*' openssh-server '*) sshd_off='install -D -m 644 /dev/null /etc/ssh/sshd_not_to_be_run' ;;
esac

if [ "$(id -u)" -ne 0 ]; then
    echo "Left out: $what. To have it:${sshd_off:+ sudo $sshd_off &&}" \
        "sudo apt-get install --no-install-recommends $*"
    exit 1
fi

if [ "$sshd_off" ]; then
    echo 'Creating /etc/ssh/sshd_not_to_be_run, so that the ssh service of the package stays off'
    $sshd_off
fi
echo "Installing $*"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" \
        </dev/null >>"$log" 2>&1
}
# The package lists are fetched only where there are none, or where they are too old to install from.
apt_install "$@" || { apt-get update >>"$log" 2>&1 && apt_install "$@"; } || { cat "$log"; exit 1; }
