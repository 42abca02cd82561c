"""Faults on real processes, and a checker that compares what was said with what was done.

`python -m tests.chaos --help` runs as many faults as one likes; the tests beside it are a small fixed slice.
"""
