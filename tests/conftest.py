"""What tests of several rooms share."""

import pytest

from sandbox.verifier import search


@pytest.fixture
def little_shrinking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second in which to shrink a failing case, where a test does not ask for the smallest."""
    monkeypatch.setattr(search, "SHRINKING", 0.5)
