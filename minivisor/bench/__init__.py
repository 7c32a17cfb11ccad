"""What `minivisor bench` measures, each a ratio against a named peer in the same run.

    rows.py          the rows as data: name, unit, peer, bar
    guest.py exits.py switch.py start.py      one kind of row each: how to measure it
    peers.py         bare Unicorn, as its own users would drive it
    pairs.py         interleaving and statistics
    child.py         a measurement in a process of its own
    report.py        judging, the environment, JSON, the table

A machine that others use too gets slower and faster by the minute, so no time means anything alone. Ours and the peer's
are taken in turns, finely, each pair gives one ratio, and the median of those is what a bar is held against.
"""
