"""Contracts that the broker gives: nothing of them is taken on trust."""

from __future__ import annotations

from actrzmq.contracts.bundle import Contract, unpack
from actrzmq.errors import ActrConfigError, ActrDecodeError
from actrzmq.wire.messages import Spec

ANSWER_WITHIN = 8_000
"""Milliseconds that the broker has for an answer: it may itself wait for a contract that is just being published."""


def opened(spec: Spec) -> Contract:
    """The contract in `spec`, checked, which may take a while. Raises `ActrDecodeError` if it is none, or another."""
    try:
        contract = unpack(spec.body)
    except ActrConfigError as error:
        raise ActrDecodeError(f"the contract of {spec.facts.name!r} that the broker gave is none: {error}") from None
    if contract.fingerprint != spec.facts.fingerprint:
        raise ActrDecodeError(f"the broker gave another contract of {spec.facts.name!r} than the one it names")
    return contract
