"""Waiting for what another process does, and not for ever."""

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds


def wait_until(happened: Callable[[], object]) -> None:
    for _ in range(int(PATIENCE / 0.01)):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")
