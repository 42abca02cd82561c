"""Figures of actrzmq beside those of its peers: `python -m benchmarks`. README.md in this folder says how."""
