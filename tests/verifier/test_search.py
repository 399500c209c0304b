"""Claims about drawn cases: the search ends on time, and Hypothesis has no word in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import sandbox
from sandbox import Operation, check_operation
from sandbox.verifier import search

LIMIT = 0.5
vectors = hnp.arrays(np.float64, st.integers(10, 40), elements=st.floats(-3, 3, width=16))


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No case of an earlier run, which would be small already; and little time."""
    monkeypatch.setattr(search, "SHRINKING", LIMIT)
    profile = settings.get_current_profile_name()
    settings.register_profile("nothing kept", database=None)
    settings.load_profile("nothing kept")
    yield
    settings.load_profile(profile)


def root(examples: Any, forward: Any = lambda x: np.abs(x), **changes: Any) -> Operation:
    """Wrong where x is negative, in its forward, which the third oracle is not asked about."""
    return Operation(
        forward, lambda dout, x: dout, lambda x: x + 0 * jnp.sum(x), examples, convention="inputs",
        name="root", **changes,
    )  # fmt: skip


class Clock:
    """When a case was drawn, checked or found to fail."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def slowly(self, x: Any, seconds: float) -> Any:
        time.sleep(seconds)
        self.times.append(time.monotonic())
        return x

    @property
    def elapsed(self) -> float:
        return self.times[-1] - self.times[0]


def checked(operation: Operation) -> sandbox.Report:
    return check_operation(operation, contracts=False, cases=12)


def test_the_search_ends_on_time_though_hypothesis_has_more_to_try() -> None:
    clock = Clock()
    report = checked(root(st.tuples(vectors.map(lambda x: clock.slowly(x, 0.02)))))
    assert report.failures()
    assert clock.elapsed < 2 * LIMIT + 1.5
    assert report.remarks == ("A smaller case may fail too: the search for one ended after 0.5 s.",)


def test_the_search_ends_on_time_though_a_strategy_rejects_all_that_it_draws() -> None:
    clock = Clock()

    def first(x: Any) -> bool:
        return len(clock.times) < 12 or not clock.slowly(x, 0.01).size

    report = checked(root(st.tuples(vectors.map(lambda x: clock.slowly(x, 0.0)).filter(first))))
    assert report.failures()
    assert clock.elapsed < 2 * LIMIT + 1.5


def test_no_check_begins_that_would_end_too_late() -> None:
    failing: set[bytes] = set()

    def slow(x: Any) -> Any:
        if np.any(x < 0):
            failing.add(x.tobytes())
            time.sleep(2 * LIMIT)
        return np.abs(x)

    report = checked(root(st.tuples(vectors), slow))
    assert report.failures()
    assert len(failing) == 1
    assert report.remarks


def test_the_smallest_is_called_so_where_the_search_was_done() -> None:
    report = checked(root(st.tuples(st.floats(-2, 2).map(np.array))))
    assert report.failures()
    assert "A smaller one" not in report.example


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        (st.tuples(vectors).filter(lambda case: False), "none that it drew satisfied its filters"),
        (st.tuples(st.integers(5, 3)), "Cannot have max_value=3 < min_value=5"),
    ],
    ids=["nothing", "invalid"],
)
@pytest.mark.slow
def test_a_strategy_from_which_nothing_can_be_drawn_is_one_plain_error(
    examples: Any, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        checked(root(examples))
    assert not _pleas(caught.value, capfd)


def test_a_strategy_that_does_not_draw_the_same_again_is_one_plain_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    calls: list[int] = []

    @st.composite
    def counting(draw: st.DrawFn) -> Any:
        calls.append(1)
        return (draw(hnp.arrays(np.float64, (len(calls) % 4 + 1,), elements=st.floats(1, 3))),)

    with pytest.raises(ValueError, match="it draws something else when asked for the same again") as caught:
        checked(root(counting()))
    assert not _pleas(caught.value, capfd)


def test_an_error_in_a_strategy_or_about_a_case_is_one_plain_error(capfd: pytest.CaptureFixture[str]) -> None:
    @st.composite
    def broken(draw: st.DrawFn) -> Any:
        draw(vectors)
        raise KeyError("mine")

    with pytest.raises(ValueError, match="root: drawing from examples raised KeyError: 'mine'") as caught:
        checked(root(broken()))
    assert not _pleas(caught.value, capfd)
    with pytest.raises(ValueError, match="root: 2 inputs, expected at most 1: x") as of_case:
        checked(root(st.tuples(vectors, vectors)))
    assert not _pleas(of_case.value, capfd)


def test_a_backward_that_fails_by_chance_is_a_report(capfd: pytest.CaptureFixture[str]) -> None:
    calls: list[int] = []

    def sometimes(x: Any) -> Any:
        calls.append(1)
        return x + (len(calls) % 3 == 0)

    report = checked(root(st.tuples(vectors), sometimes))
    assert report.failures()
    assert not _pleas(ValueError(report.example + str(report)), capfd)


def _pleas(error: BaseException, capfd: pytest.CaptureFixture[str]) -> str:
    """What Hypothesis says to its own users, wherever it does."""
    said = "".join(capfd.readouterr())
    assert not said
    told = f"{error} {getattr(error, '__notes__', '')} {error.__cause__}".lower()
    pleas = (
        "hypothesis.",
        "@seed",
        "flaky",
        "unreliable",
        "falsifying",
        "reproduce",
        "health",
        "explanation",
    )
    return " ".join(word for word in pleas if word in told)
