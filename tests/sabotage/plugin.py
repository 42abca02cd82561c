"""For pytest (`-p tests.sabotage.plugin`): does the harm that the environment names, before anything is imported."""

from __future__ import annotations

import os

from tests.sabotage.patches import SABOTAGES

VARIABLE = "ACTRZMQ_TEST_SABOTAGE"

if VARIABLE in os.environ:
    SABOTAGES[os.environ[VARIABLE]].take_out()
