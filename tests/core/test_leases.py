"""Leases: who is believed in, and until when."""

from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.leases import Leases
from actrzmq.identity import Serial

ONE, OTHER = Serial(1), Serial(2)


def test_a_lease_ends_one_term_after_its_last_renewal() -> None:
    leases = Leases(10)
    leases.renew(ONE, 0)
    leases.renew(ONE, 5)
    assert leases.expire(14) == []
    assert leases.expire(15) == [ONE]
    assert leases.expire(99) == []


def test_a_dropped_lease_does_not_expire() -> None:
    leases = Leases(10)
    leases.renew(ONE, 0)
    leases.drop(ONE)
    assert leases.expire(99) == []
    assert len(leases) == 0


def test_everyone_gets_the_time_back_that_nobody_could_use() -> None:
    leases = Leases(10)
    leases.renew(ONE, 0)
    leases.renew(OTHER, 4)
    leases.extend(100)
    assert leases.expire(109) == []
    assert leases.expire(110) == [ONE]
    assert leases.expire(114) == [OTHER]


def test_renewing_often_takes_no_more_memory() -> None:
    leases = Leases(10)
    for now in range(1000):
        leases.renew(ONE, now)
    assert len(leases._queue) == 1


_STEPS = st.tuples(st.sampled_from(["renew", "drop", "wait"]), st.integers(0, 4), st.integers(0, 7))


@given(st.lists(_STEPS, max_size=60))
def test_leases_agree_with_a_table_of_times(steps: list[tuple[str, int, int]]) -> None:
    leases, table, now = Leases(10), dict[Serial, int](), 0
    for verb, number, wait in steps:
        serial = Serial(number)
        if verb == "renew":
            leases.renew(serial, now)
            table[serial] = now + 10
        elif verb == "drop":
            leases.drop(serial)
            table.pop(serial, None)
        else:
            now += wait
            over = {one for one, until in table.items() if until <= now}
            assert set(leases.expire(now)) == over
            for one in over:
                del table[one]
        deadline = leases.next_deadline()
        assert not table or (deadline is not None and deadline <= min(table.values()))
