"""`make sabotage`: do each harm in turn, and list which test noticed, and in which words."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.results import commit_of_package, record
from tests.sabotage.patches import SABOTAGES
from tests.sabotage.trying import Verdict, is_green, try_out


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if each was noticed by its test, which is green without it."""
    options = argparse.ArgumentParser(prog="python -m tests.sabotage")
    options.add_argument("pattern", nargs="?", default="", help="only those whose name this is found in")
    options.add_argument("--no-record", action="store_true", help="append nothing to the results")
    chosen = options.parse_args(arguments)
    names = [name for name in SABOTAGES if re.search(chosen.pattern, name)]
    began, commit = time.monotonic(), commit_of_package()
    tests = sorted({SABOTAGES[name].test for name in names})
    sound = is_green(tests)
    print(f"{len(tests)} tests are {'green' if sound else 'RED'} with nothing taken out")
    with ThreadPoolExecutor(2) as pool:
        verdicts = dict(zip(names, pool.map(_told, names), strict=True))
    seconds = time.monotonic() - began
    caught = sum(verdict.is_caught for verdict in verdicts.values())
    print(f"{caught} of {len(names)} noticed, in {seconds:.0f} s")
    if not chosen.no_record and names:
        slowest = max(verdict.seconds for verdict in verdicts.values())
        counts = {"tried": len(names), "noticed": caught, "green_without": sound}
        record("sabotage", commit, 0, counts, {"seconds": seconds, "slowest_s": slowest})
    return caught < len(names) or not sound


def _told(name: str) -> Verdict:
    verdict = try_out(name)
    mark = "noticed" if verdict.is_caught else "MISSED "
    print(f"{mark} {name:26} {verdict.seconds:5.1f} s  {SABOTAGES[name].test}\n{'':16}{verdict.words}", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
