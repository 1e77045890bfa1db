# SPDX-License-Identifier: MIT
"""The runner of the pages' transcripts: every console block, run on the hosts of the page's topology.

A page is one session. Its front matter names the ``topology``, and with ``sshd: node-b`` the hosts on which
an sshd runs from the beginning; with ``needs: wireguard`` it is skipped where this machine cannot give the hosts
that. A command is what stands behind a prompt::

    root@node-a# nft list chain inet why input | grep drop
    [..]tcp dport 8002 counter packets [..] drop
    user@outsider$ nc -zvw 2 203.0.113.11 8002
    nc: connect to 203.0.113.11 port 8002 (tcp) timed out: Operation now in progress

``root@HOST#`` is root on that host; ``user@HOST$`` has no right to change anything there. Each has one bash,
in the folder of the examples, whose variables, working directory and background jobs last to the end of the
page. The commands run in the order of the page. They have no standard input and no terminal.

*Longer commands.* A command goes on behind a backslash at the end of a line, and through a here-document
whose delimiter is ``EOF``. The further lines have no prompt of their own: so the block's copy button takes
them along, and what was copied runs as it is.

*Output.* What stands below a command, up to the next prompt, is all that it prints, standard error included.
In it ``[..]`` stands for anything within a line, and a line ``...`` for any lines or none. An output of
nothing else would say nothing, and is a mistake of the page. Blank lines at the end, white space at the end
of a line, and whether white space is a tab, do not count: nobody sees them.

*Exit status.* A command that shows no output must succeed (and print nothing), or the reader would not learn
that it fails. One that shows output may fail as it likes: its output tells. Who wants to show a silent
failure asks as anybody would, with ``echo $?`` in the next command of the same shell.

*Within a sentence.* The role ``{run}`ss -Hltn <root@node-a>``` runs a command at its place on the page, in the
shell of that prompt. It has to succeed; its output is not shown, and not compared.

*Packet filters.* A page with code in tabs for nftables or iptables runs once for each packet filter that it
so offers: a block in a tab ``nftables`` runs for nftables, in a tab ``iptables`` for both back ends of
iptables, and any other block every time, with the same output.

*Xen.* A block with the option ``:xen:`` is run by ``make test-xen`` alone, on real Xen nodes of the page's topology:
once for each version of Xen, all such blocks of a page one after the other on fresh nodes, without its other blocks.
``make update`` leaves them as they are.

*The end.* The page undoes what it does: every host's rules are as they were at the beginning.

The modules: ``page`` finds the commands, ``hosts`` starts what they run on, ``shell`` runs one, ``output`` compares,
``session`` does a page, ``update`` writes what came out into it; ``evidence`` is what is kept of the runs,
``accounts`` counts what is on the pages, ``plugin`` has pytest do both at its end, and ``cases`` makes tests of pages.
"""
