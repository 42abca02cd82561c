"""What lets supervisord run brokers and nodes well: a private run folder, and no process that outlives it."""

from actrzmq.supervision.parent import PARENT_VARIABLE, watch_parent

__all__ = ["PARENT_VARIABLE", "watch_parent"]
