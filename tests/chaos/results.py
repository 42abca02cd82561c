"""What a run found: printed, and appended as one line of JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.verdict import Verdict

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "docs" / "reliability" / "results.jsonl"
RUNTIME = "actrzmq"
SHOWN = 30
LOAD = "load of the machine"


class Result(msgspec.Struct, kw_only=True):
    """One run of one scenario."""

    scenario: str
    seed: int
    date: str = ""
    commit: str = ""
    runtime: str = ""
    """What git calls the folder of the runtime: the same wherever its code is. A + if it has been changed since."""
    faults: int = 0
    """Faults done while enough was under way."""
    idle_faults: int = 0
    """Those that don't count, since too little was."""
    cells: dict[str, int] = msgspec.field(default_factory=dict)
    """Where the fault was done to somebody in some state: to whom and in which, and how often it was borne."""
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    distributions: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    measures: dict[str, float] = msgspec.field(default_factory=dict)
    broken: list[str] = msgspec.field(default_factory=list)
    folder: str = ""
    """Where its ledgers and logs are, while they are."""

    def take(self, verdict: Verdict) -> None:
        """The counts of a ledger."""
        self.counts = dict(Counter(self.counts) + Counter(verdict.counts)) | {
            name: self.counts.get(name, 0) + count for name, count in verdict.counts.items()
        }
        self.outcomes = dict(Counter(self.outcomes) + Counter(verdict.outcomes))
        for stream in verdict.streams.values():
            for line in (*stream.sent, *stream.closed):
                name = f"stream {line.what} {line.value}"
                self.outcomes[name] = self.outcomes.get(name, 0) + 1
        self.broken += verdict.broken

    def claim(self, holds: object, otherwise: str) -> None:
        """Something that must hold, beside what the ledger shows."""
        if not holds:
            self.broken.append(otherwise)

    def measure(self, name: str, values: Sequence[float]) -> None:
        """A distribution."""
        self.distributions[name] = distribution(values)


def distribution(values: Iterable[float]) -> dict[str, float]:
    """How many, and what they are; in the unit that they have."""
    ordered = sorted(values)
    if not ordered:
        return {"n": 0}

    def at(part: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 3)

    return {"n": len(ordered), "min": at(0), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1)}


def _changed() -> str:
    return "+" if _git("status", "--porcelain", "--", RUNTIME) else ""


def keep(result: Result, path: Path | None = RESULTS) -> None:
    """Print all of it, and append it unless `path` is None."""
    result.date = datetime.now(UTC).isoformat(timespec="seconds")
    result.commit = _git("rev-parse", "--short", "HEAD")
    result.runtime = _git("rev-parse", "--short", f"HEAD:{RUNTIME}") + _changed()
    result.measures[LOAD] = round(os.getloadavg()[0], 1)
    print(f"{result.scenario}: seed={result.seed} faults={result.faults} idle_faults={result.idle_faults}")
    parts: list[tuple[str, dict[str, Any]]] = [
        ("cells", result.cells),
        ("counts", result.counts),
        ("outcomes", result.outcomes),
        ("measures", result.measures),
        *result.distributions.items(),
    ]
    for name, values in parts:
        if values:
            print(f"  {name}: " + " ".join(f"{key}={value}" for key, value in values.items()))
    for line in result.broken[:SHOWN]:
        print(f"  BROKEN {line}")
    if len(result.broken) > SHOWN:
        print(f"  … and {len(result.broken) - SHOWN} more")
    print(f"  {'BROKEN' if result.broken else 'whole'}", flush=True)
    if result.broken:
        print(f"  kept: {result.folder}", flush=True)
    elif result.folder:
        shutil.rmtree(result.folder, ignore_errors=True)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = msgspec.structs.replace(result, folder="", broken=[line[:300] for line in result.broken[:SHOWN]])
        with path.open("a") as file:
            file.write(json.dumps(msgspec.to_builtins(kept)) + "\n")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()
