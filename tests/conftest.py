"""What tests of several rooms share."""

import os
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from sandbox.verifier import search


@pytest.fixture
def little_shrinking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second in which to shrink a failing case, where a test does not ask for the smallest."""
    monkeypatch.setattr(search, "SHRINKING", 0.5)


@pytest.fixture(scope="session", autouse=True)
def _a_core_each() -> Iterator[None]:
    """Test runs beside each other have a core each, for which threads of BLAS would only wait."""
    with threadpool_limits(1 if "PYTEST_XDIST_WORKER" in os.environ else None):
        yield
