"""
Benchmarks: how late, how many a second, and at what cost. `make bench` runs them.

They measure real workers on a real, durable server, and print tables; nothing here fails a test.
What can be is compared within one run, with the same work in plain SQL: machines differ, and
drift, ratios much less.
"""
