"""Where runs that are too long for `make test` write what came of them: one line of JSON each, appended."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "reliability" / "results.jsonl"


def record(kind: str, commit: str, seed: int, counts: Mapping[str, object], rates: Mapping[str, float]) -> None:
    """Append what a run of `kind`, of the package as it was at `commit`, came to: how often what happened, how fast."""
    line = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "runtime": runtime_of(commit),
        "seed": seed,
        "kind": kind,
        "counts": counts,
        "rates": {name: round(rate, 3) for name, rate in rates.items()},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def runtime_of(commit: str) -> str:
    """What git calls the folder of the package in `commit`, wherever its code is. A + if it had changed since."""
    clean = commit.removesuffix("-dirty")
    said = subprocess.run(
        ["git", "rev-parse", "--short", f"{clean}:actrzmq"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return said.stdout.strip() + ("+" if commit != clean else "")


def commit_of_package() -> str:
    """The commit that runs, to be asked at the start; `-dirty` where the package has other contents than that."""
    said = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "actrzmq"], cwd=ROOT, check=False)
    return said.stdout.strip() + ("-dirty" if changed.returncode else "")
