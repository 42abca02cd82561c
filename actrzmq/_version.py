"""The version of this package, where a running node can read it without looking at metadata files."""

__version__ = "0.1.0"
