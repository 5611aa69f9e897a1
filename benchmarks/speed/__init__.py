"""How fast: training, whole sequences, streams and generation, compared with the peers in one run.

    timing by turns (benchmarks.speed.timing) of
        cases.py          the work, ours first
        contestants.py    the others: a peer's package, the textbook form, recurrent nets
        limits.py         and the machine itself
        sweeps.py         against length, batch, depth and width
    shown by page.py      a table, a JSON file, a figure

This is the only place where speed is claimed.
"""
