"""Claims about progress: what is done grows to the whole, and nobody is told who did not ask."""

from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import sandbox
from sandbox import Operation
from sandbox.verifier.progress import shown

x = np.linspace(-1, 1, 6)
tanh = Operation(
    lambda x: (np.tanh(x), x), lambda dout, x: dout * (1 - np.tanh(x) ** 2), jnp.tanh, examples=[(x,)] * 3,
    name="tanh",
)  # fmt: skip
drawn = Operation(
    tanh.forward, tanh.backward, tanh.mirror, name="drawn", examples=st.integers(1, 9).map(lambda n: (x[:n],))
)
wrong = Operation(tanh.forward, lambda dout, x: dout * x, tanh.mirror, name="wrong", examples=drawn.examples)
network = {"depth": 2, "width": 3, "examples": 4}


@pytest.mark.parametrize(
    ("what", "options", "named"),
    [
        (None, network, "L_model_backward"),
        (None, {"cases": 5}, "random cases"),
        ({"linear_backward": lambda dZ, cache: None}, network, "linear_backward"),
        (tanh, {}, "tanh"),
        (drawn, {"cases": 5}, "drawn"),
        (wrong, {"cases": 5}, "wrong"),
        ([tanh, drawn, sandbox.linear_backward], {}, "tanh"),
    ],
)
def test_what_is_done_grows_and_is_at_most_the_whole(what: Any, options: Any, named: str) -> None:
    told: list[tuple[float, int, str]] = []
    with shown(lambda done, total, what: told.append((done, total, what))):
        sandbox.check(what, **options)
    done = [of_one for of_one, _, _ in told]
    assert done[0] == 0
    assert all(before <= after for before, after in pairwise(done))
    assert {total for _, total, _ in told} == {3 if isinstance(what, list) else 1}
    # In many steps, and near the end at the end; where a case fails, it is not known how many there will be.
    assert len(set(done)) >= 5
    assert 0.5 * told[-1][1] < done[-1] <= told[-1][1]
    assert any(named in words for _, _, words in told)


def test_one_check_after_the_other_begins_anew_and_nothing_is_told_after_the_last() -> None:
    told: list[float] = []
    for _ in range(2):
        with shown(lambda done, total, what: told.append(done)):
            sandbox.check_operation(tanh)
    half = len(told) // 2
    assert told[:half] == told[half:]
    sandbox.check_operation(tanh)
    assert len(told) == 2 * half
