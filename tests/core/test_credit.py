"""How windows grow, and what they may take together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actrzmq.core.credit import FIRST_BYTES, Budget, Window

MIB = 1024 * 1024


def test_a_window_starts_small() -> None:
    window = Window(Budget(64 * MIB), 1024, 8 * MIB)
    assert (window.limit_frames, window.limit_bytes) == (1024, FIRST_BYTES)


def test_a_window_smaller_than_the_first_is_granted_whole() -> None:
    assert Window(Budget(64 * MIB), 4, 1000).limit_bytes == 1000


def test_a_window_doubles_when_half_of_its_bytes_are_completed_up_to_the_largest() -> None:
    window = Window(Budget(64 * MIB), 1024, MIB)
    sizes = []
    done = 0
    for _ in range(6):
        done += (window.limit_bytes - done + 1) // 2
        assert window.is_half_used(1, done)
        window.slide(1, done)
        sizes.append((window.limit_bytes - done) // 1024)
    assert sizes == [128, 256, 512, 1024, 1024, 1024]


def test_a_window_does_not_grow_where_frames_are_what_runs_short() -> None:
    window = Window(Budget(64 * MIB), 16, 8 * MIB)
    for done in range(8, 80, 8):
        assert window.is_half_used(done, done * 100)
        window.slide(done, done * 100)
    assert window.limit_bytes - 7200 <= FIRST_BYTES


def test_less_than_half_of_a_window_is_not_half() -> None:
    window = Window(Budget(64 * MIB), 1024, 8 * MIB)
    assert not window.is_half_used(511, FIRST_BYTES // 2 - 1)
    assert window.is_half_used(512, 0)
    assert window.is_half_used(0, FIRST_BYTES // 2)


def test_the_next_half_counts_from_the_last_slide() -> None:
    window = Window(Budget(64 * MIB), 16, 1000)
    window.slide(8, 500)
    assert not window.is_half_used(15, 999)
    assert window.is_half_used(16, 999)
    assert window.is_half_used(15, 1000)


def test_a_timed_slide_moves_the_window_without_growing_it() -> None:
    window = Window(Budget(64 * MIB), 1024, 8 * MIB)
    window.slide(3, 300)
    assert (window.limit_frames, window.limit_bytes) == (1027, FIRST_BYTES + 300)


def test_a_thousand_idle_streams_fit_into_the_default_memory() -> None:
    budget = Budget(64 * MIB)
    windows = [Window(budget, 1024, 8 * MIB) for _ in range(1000)]
    assert {window.limit_bytes for window in windows} == {FIRST_BYTES}


def test_nobody_takes_more_than_half_of_what_is_left() -> None:
    budget = Budget(100_000)
    assert Window(budget, 1024, 8 * MIB).limit_bytes == 50_000
    assert Window(budget, 1024, 8 * MIB).limit_bytes == 25_000


def test_where_nothing_is_left_a_stream_gets_one_byte() -> None:
    budget = Budget(1)
    first, second = Window(budget, 8, 1000), Window(budget, 8, 1000)
    assert (first.limit_bytes, second.limit_bytes) == (1, 1)
    first.slide(1, 4 * MIB)
    assert first.limit_bytes == 4 * MIB + 1


def test_closing_gives_everything_back_once() -> None:
    budget = Budget(MIB)
    window, other = Window(budget, 8, 1000), Window(budget, 8, 1000)
    window.slide(3, 700)
    window.close()
    window.close()
    assert budget.used == 1000
    other.close()
    assert budget.used == 0


def test_bytes_beyond_the_limit_count_until_they_are_completed() -> None:
    budget = Budget(MIB)
    window = Window(budget, 8, 1000)
    window.overshot(300_000)
    assert budget.used == 300_000
    window.slide(1, 300_000)
    assert budget.used == 1000


def test_a_stream_that_moves_gives_way_to_those_that_came_later() -> None:
    budget = Budget(MIB)
    first = Window(budget, 1024, MIB)
    done = 0
    for _ in range(5):
        done = first.limit_bytes
        first.slide(1, done)
    later = Window(budget, 1024, MIB)
    before = first.limit_bytes - done
    for _ in range(20):
        done = first.limit_bytes
        first.slide(1, done)
        later.slide(1, later.limit_bytes)
    assert first.limit_bytes - done < before
    assert budget.used <= MIB


@pytest.mark.parametrize(("frames", "size"), [(0, 1), (1, 0)])
def test_a_window_without_room_is_refused(frames: int, size: int) -> None:
    budget = Budget(100)
    with pytest.raises(ValueError, match="window"):
        Window(budget, frames, size)
    assert budget.used == 0


def test_a_budget_without_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="memory"):
        Budget(0)


class Streams(RuleBasedStateMachine):
    """Streams come, send what they may, are completed in pieces, and go."""

    @initialize(memory=st.sampled_from([1, 10, 1000, 100_000, MIB]))
    def start(self, memory: int) -> None:
        self.budget = Budget(memory)
        self.open: list[tuple[Window, list[int]]] = []  # with frames and bytes completed, and bytes received

    @rule(frames=st.integers(1, 100), size=st.integers(1, MIB))
    def open_one(self, frames: int, size: int) -> None:
        self.open.append((Window(self.budget, frames, size), [0, 0, 0]))

    @rule(data=st.data(), size=st.integers(0, 2000), share=st.integers(0, 4))
    def move(self, data: st.DataObject, size: int, share: int) -> None:
        if not self.open:
            return
        window, counts = data.draw(st.sampled_from(self.open))
        limits = window.limit_frames, window.limit_bytes
        if counts[2] < window.limit_bytes:
            counts[2] += size
        if counts[2] > window.limit_bytes:
            window.overshot(counts[2])
        counts[1] += (counts[2] - counts[1]) * share // 4
        counts[0] += 1
        window.slide(counts[0], counts[1])
        assert window.limit_frames >= limits[0]
        assert window.limit_bytes >= limits[1]
        if counts[1] == counts[2]:
            assert window.limit_bytes > counts[1], "a stream whose frames are all done may always send one"

    @rule(data=st.data())
    def close_one(self, data: st.DataObject) -> None:
        if self.open:
            window, _ = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            window.close()

    @invariant()
    def no_more_is_promised_than_there_is(self) -> None:
        if hasattr(self, "budget"):
            promised = sum(max(0, window.limit_bytes - counts[1]) for window, counts in self.open)
            assert promised <= self.budget.memory + len(self.open)
            held = sum(max(window.limit_bytes, counts[2]) - counts[1] for window, counts in self.open)
            assert self.budget.used == held

    def teardown(self) -> None:
        for window, _ in getattr(self, "open", []):
            window.close()
        assert not hasattr(self, "budget") or self.budget.used == 0


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(wanted=st.integers(-10, 200), used=st.integers(0, 200))
def test_what_is_taken_is_never_more_than_half_of_what_is_left(wanted: int, used: int) -> None:
    budget = Budget(100)
    budget.charge(used)
    taken = budget.take(wanted)
    assert 0 <= taken <= max(0, 100 - used) // 2
    assert taken <= max(0, wanted)
    assert budget.used == used + taken
