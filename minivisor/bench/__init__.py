"""What `minivisor bench` measures, each a ratio against a named peer in the same run.

    rows.py          the rows as data: name, unit, peer, bar
    guest.py exits.py svc.py tlb.py walks.py operations.py switch.py recording.py start.py      how to measure a kind of row
    hosted.py        the bench guest under the hypervisor, and its counters
    peers.py         bare Unicorn, as its own users would drive it; qemu.py and walk.c are others
    pairs.py         interleaving and statistics
    child.py         a measurement in a process of its own
    report.py        judging, the environment, JSON, the table
    numbers.py       docs/numbers.md

A machine that others use too gets slower and faster by the minute, so no time means anything alone. Ours and the peer's
are taken in turns, finely, each pair gives one ratio, and the median of those is what a bar is held against.
"""
