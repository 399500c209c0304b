"""Claims about users' operations: every convention fits, the blame is right, cases shrink."""

from __future__ import annotations

import contextlib
import functools
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import erf

import sandbox
from sandbox import Operation, check_operation

x = np.random.default_rng(0).standard_normal((3, 4))


def forward(x: Any, beta: Any) -> Any:
    return np.logaddexp(0, beta * x) / beta, (x, beta)


def backward(dout: Any, cache: Any) -> Any:
    x, beta = cache
    return dout / (1 + np.exp(-beta * x))


def mirror(x: Any, beta: Any) -> Any:
    return jax.nn.softplus(beta * x) / beta


def softplus(**changes: Any) -> Operation:
    parts = {"forward": forward, "backward": backward, "mirror": mirror, "examples": [(x, 2.0)]}
    return Operation(**{**parts, **changes, "name": "softplus"})


def test_a_right_operation_passes_with_every_contract() -> None:
    report = check_operation(softplus())
    assert report, str(report)
    assert {row.output for row in report.rows if row.scope == "local"} == {"out", "dx"}
    assert "no memory of earlier calls, no randomness" in {row.output for row in report.rows}


# --- who is wrong: a fault planted in each of the three ----------------------------------------------


def test_a_wrong_backward_is_said_to_be_the_backward() -> None:
    report = check_operation(softplus(backward=lambda dout, cache: 2 * backward(dout, cache)))
    assert [(r.output, r.at_fault) for r in report.failures()] == [("dx", "backward")]
    assert "the backward is wrong" in report.summary()


def test_a_wrong_mirror_is_said_to_be_the_mirror() -> None:
    report = check_operation(softplus(mirror=lambda x, beta: jax.nn.softplus(beta * x)))
    assert {(r.output, r.at_fault) for r in report.failures()} == {("out", "mirror"), ("dx", "mirror")}


def test_a_mirror_with_the_right_values_and_a_wrong_derivative_is_said_to_be_the_mirror() -> None:
    @jax.custom_jvp
    def wrong(x: Any) -> Any:
        return jax.nn.softplus(2.0 * x) / 2.0

    wrong.defjvp(lambda primals, tangents: (wrong(*primals), 3.0 * tangents[0]))
    report = check_operation(softplus(mirror=lambda x, beta: wrong(x)))
    assert [(r.output, r.at_fault) for r in report.failures()] == [("dx", "mirror")]


def test_a_wrong_forward_is_said_to_be_the_forward() -> None:
    def wrong(x: Any, beta: Any) -> Any:
        return np.logaddexp(0, beta * x), (x, beta)

    report = check_operation(softplus(forward=wrong))
    assert [(r.output, r.at_fault) for r in report.failures()] == [("out", "forward")]


def test_a_third_gradient_that_agrees_with_the_backward_in_one_direction_only_is_not_taken_for_it() -> None:
    """GELU with a slip in the forward, from which the backward's cache comes: nobody agrees with anybody."""

    def wrong(x: Any) -> Any:
        phi = 0.5 * (1 - erf(x / np.sqrt(2)))
        return x * phi, (x, phi)

    def gelu_backward(dout: Any, cache: Any) -> Any:
        x, phi = cache
        return dout * (phi + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))

    gelu = Operation(wrong, gelu_backward, lambda x: jax.nn.gelu(x, approximate=False), name="gelu")
    report = check_operation(gelu, np.array([-2.0, 1.0, 0.5]))
    assert {row.at_fault for row in report.failures()} & {"mirror", "backward"} == set()


def test_the_oracle_is_not_misled_near_a_pole() -> None:
    inverse = square(forward=lambda x: 1 / x, backward=lambda dout, x: 0 * x, mirror=lambda x: 1 / x)
    x = np.random.default_rng(0).standard_normal((3, 5))
    assert {row.at_fault for row in check_operation(inverse, x).failures() if row.output == "dx"} == {
        "backward"
    }


def test_another_choice_at_a_kink_or_a_tie_is_said_to_be_one() -> None:
    absolute = square(forward=np.abs, backward=lambda dout, x: dout * np.sign(x), mirror=lambda x: jnp.abs(x))
    [row] = check_operation(absolute, np.array([[0.0, 1.0], [0.0, -2.0]]), contracts=False).failures()
    assert "at a kink" in row.pattern
    assert row.at_fault == ""
    assert check_operation(absolute, np.array([[0.5, 1.0], [0.1, -2.0]]))


# --- conventions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_", ["array", "tuple", "dict", "dict with d", "None for the others"])
def test_gradients_may_be_returned_as(as_: str) -> None:
    def returned(dout: Any, x: Any, beta: Any) -> Any:
        dx = backward(dout, (x, beta))
        return {"array": dx, "tuple": (dx,), "dict": {"x": dx}, "dict with d": {"dx": dx}}.get(
            as_, (dx, None)
        )

    operation = softplus(
        forward=lambda x, beta: forward(x, beta)[0], backward=returned, convention="inputs"
    )  # fmt: skip
    assert check_operation(operation)


def test_a_scalar_parameter_can_be_differentiated() -> None:
    operation = Operation(
        lambda x, a: x * a,
        lambda dout, x, a: (dout * a, np.sum(dout * x)),
        lambda x, a: x * a,
        [(x, 3.0)],
        name="scale",
        convention="inputs",
        differentiable=("x", "a"),
    )
    report = check_operation(operation)
    assert report, str(report)
    assert {row.output for row in report.rows if row.scope == "local"} == {"out", "dx", "da"}


def test_several_outputs_integer_inputs_and_strings() -> None:
    def forward(table: Any, rows: Any, mode: Any) -> Any:
        chosen = table[rows]
        return chosen, np.tanh(chosen), (table, rows)

    def backward(dchosen: Any, dsquashed: Any, cache: Any) -> Any:
        table, rows = cache
        dtable = np.zeros_like(table)
        np.add.at(dtable, rows, dchosen + dsquashed * (1 - np.tanh(table[rows]) ** 2))
        return dtable

    operation = Operation(
        forward, backward, lambda table, rows, mode: (table[rows], jnp.tanh(table[rows])),
        [(x, np.array([0, 2, 2]), "rows")], outputs=("chosen", "squashed"), name="lookup",
    )  # fmt: skip
    report = check_operation(operation)
    assert report, str(report)


def test_a_gradient_that_is_a_mean_by_convention() -> None:
    operation = Operation(
        lambda x, W: x @ W,
        lambda dout, x, W: (dout @ W.T, x.T @ dout / len(x)),
        lambda x, W: x @ W,
        [(x, x[:2].T.copy())],
        name="linear",
        convention="inputs",
        factors={"W": lambda x, W: 1 / len(x)},
    )
    assert check_operation(operation)


def test_a_cache_that_cannot_be_copied_is_handed_on_as_it_is() -> None:
    """A graph of another library, or an open file."""

    class Graph:
        def __deepcopy__(self, memo: Any) -> Any:
            raise RuntimeError("cannot be copied")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("cannot be compared")

    def with_graph(x: Any, beta: Any) -> Any:
        return forward(x, beta)[0], (Graph(), [x, beta])

    operation = softplus(forward=with_graph, backward=lambda dout, cache: backward(dout, cache[1]))
    report = check_operation(operation)
    assert report, str(report)

    def overwrites(dout: Any, cache: Any) -> Any:
        dx = backward(dout, cache[1])
        cache[1][0][...] = 0
        return dx

    overwritten = check_operation(softplus(forward=with_graph, backward=overwrites))
    assert "inputs unchanged" in {row.output for row in overwritten.failures()}


def test_a_cache_may_be_an_object_or_a_function() -> None:
    class Cache:
        def __init__(self, x: Any, beta: Any) -> None:
            self.x, self.beta = x, beta

    with_object = softplus(
        forward=lambda x, beta: (forward(x, beta)[0], Cache(x, beta)),
        backward=lambda dout, cache: backward(dout, (cache.x, cache.beta)),
    )
    with_closure = softplus(
        forward=lambda x, beta: (forward(x, beta)[0], lambda dout: backward(dout, (x, beta))),
        backward=lambda dout, cache: cache(dout),
    )
    for operation in (with_object, with_closure):
        report = check_operation(operation)
        assert report, str(report)


def test_the_cotangent_is_not_the_users_own_x() -> None:
    """Both drawn by default_rng(0), dout = x is what a normalisation's gradient is blind for."""
    x = np.random.default_rng(0).standard_normal((4, 30))
    unit = square(
        forward=lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True),
        backward=lambda dout, x: 0 * x,
        mirror=lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True),
    )
    assert not check_operation(unit, x)


def test_a_mask_may_turn_a_nan_into_0() -> None:
    """np.where gives 0 where jnp.clip's derivative, a product, gives NaN: both are right."""

    def backward(dout: Any, x: Any) -> Any:
        return np.where(np.abs(x) < 1, dout, 0)

    clip = Operation(
        lambda x: np.clip(x, -1, 1), backward, lambda x: jnp.clip(x, -1, 1), [(2 * x,)],
        name="clip", convention="inputs",
    )  # fmt: skip
    report = check_operation(clip)
    assert report, str(report)

    def hides(dout: Any, x: Any) -> Any:
        return np.nan_to_num(backward(dout, x))

    hidden = check_operation(replace(clip, backward=hides))
    assert "NaN and infinity come through" in {row.output for row in hidden.failures()}


def test_the_names_of_a_mirror_with_args_are_those_of_the_forward() -> None:
    def power(base: Any, exponent: Any) -> Any:
        return base**exponent

    def power_backward(dout: Any, base: Any, exponent: Any) -> Any:
        return dout * exponent * base ** (exponent - 1), dout * np.log(base) * base**exponent

    operation = Operation(
        power, power_backward, lambda *args: args[0] ** args[1], [(np.abs(x), x)], convention="inputs"
    )
    report = check_operation(operation)
    assert report, str(report)
    assert {row.output for row in report.rows if row.scope == "local"} == {"out", "dbase", "dexponent"}
    with pytest.raises(ValueError, match=r"both take \*args, expected arguments with names"):
        replace(operation, forward=lambda *args: args[0])


def square(**changes: Any) -> Operation:
    parts: dict[str, Any] = {
        "forward": lambda x: x * x, "backward": lambda dout, x: 2 * x * dout, "mirror": lambda x: x * x,
        "examples": [(x,)], "convention": "inputs", "name": "square",
    }  # fmt: skip
    return Operation(**{**parts, **changes})


@pytest.mark.parametrize(
    "given",
    [np.array(3.0), np.float32(3.0), jnp.ones((2, 3)), x.astype(np.float16), np.full(2, 1e-310)],
    ids=["0-d", "NumPy number", "JAX array", "float16", "subnormal"],
)
def test_any_array_of_floats_is_an_input(given: Any) -> None:
    report = check_operation(square(), given)
    assert report, str(report)


def test_a_number_of_python_has_no_dtype_that_could_be_wrong() -> None:
    total = square(
        forward=lambda x: float(np.sum(x)),
        backward=lambda dout, x: dout * np.ones_like(x),
        mirror=lambda x: jnp.sum(x),
    )
    for dtype in (np.float64, np.float32):
        report = check_operation(total, x.astype(dtype))
        assert report, str(report)


def test_an_output_that_is_a_view_of_the_input_is_a_note() -> None:
    transpose = square(forward=lambda x: x.T, backward=lambda dout, x: dout.T, mirror=lambda x: x.T)
    report = check_operation(transpose)
    assert report, str(report)
    assert {row.output for row in report.notes()} == {"outputs are new arrays"}


def test_examples_of_a_generator_can_be_checked_twice() -> None:
    operation = square(examples=((x,) for _ in range(2)))
    assert len(check_operation(operation).rows) == len(check_operation(operation).rows)


def test_a_partial_function_can_be_an_operation() -> None:
    double = functools.partial(np.multiply, 2.0)
    operation = Operation(double, lambda dout, x: 2 * dout, lambda x: 2 * x, [(x,)], convention="inputs")
    assert check_operation(operation)
    assert operation.name == "partial"


# --- findings and errors --------------------------------------------------------------------------------


def test_an_exception_in_the_backward_is_a_finding_with_its_place() -> None:
    def wrong(dout: Any, cache: Any) -> Any:
        raise KeyError("no such thing")

    [row] = check_operation(softplus(backward=wrong), contracts=False).failures()
    assert "KeyError" in row.finding
    assert "test_operation.py, line" in row.finding


def test_a_failing_random_case_is_shrunk_and_shown() -> None:
    strategy = st.tuples(
        hnp.arrays(np.float64, hnp.array_shapes(max_dims=2, max_side=5), elements=st.floats(-3, 3, width=32)),
        st.just(2.0),
    )
    report = check_operation(softplus(backward=lambda dout, cache: dout, examples=strategy))
    assert not report
    # What is shown is a case that is large enough for a pattern; pasted, it shows the number that is wrong.
    (row,) = (row for row in report.outputs if row.verdict == "FAIL")
    assert row.shape > (1,)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(report.example, {"operation": softplus(backward=lambda dout, cache: dout), "forward": forward})
    assert f"{row.worst[0].computed:.9g}"[:7] in printed.getvalue()
    assert f"is {row.worst[0].computed:.9g}, expected {row.worst[0].reference:.9g}" in report.example
    assert check_operation(softplus(examples=strategy)).cases > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"convention": "caches"}, "convention is 'caches'"),
        ({"backward": None}, "backward is a NoneType"),
        ({"differentiable": ("y",)}, "y is not an input; the mirror's inputs are x, beta"),
        ({"outputs": "out"}, "expected a tuple of names"),
    ],
)
def test_a_wrong_registration_is_one_clear_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        softplus(**changes)


def test_inputs_that_do_not_fit_are_one_clear_error() -> None:
    with pytest.raises(ValueError, match=r"no input is a NumPy array of floats \(x is a int64 array"):
        check_operation(softplus(), np.arange(3), 2.0)
    with pytest.raises(ValueError, match="softplus: the mirror raised AttributeError"):
        check_operation(softplus(mirror=lambda x, beta: x.no_such), x, 2.0)
    with pytest.raises(ValueError, match="no inputs and no examples"):
        check_operation(softplus(examples=()))
    with pytest.raises(TypeError, match=r"an example is a ndarray, expected a tuple.*write \(x,\)"):
        check_operation(square(examples=[x]))
    with pytest.raises(ValueError, match="square: x holds NaN"):
        check_operation(square(), np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="the mirror's out has dtype int64, expected floats"):
        check_operation(square(mirror=lambda x: jnp.tanh(x).astype(int)))
    with pytest.raises(ValueError, match="the mirror returned 2 outputs, expected 1: out; name them"):
        check_operation(square(mirror=lambda x: (x * x, x)))
    with pytest.raises(TypeError, match="y is a int and is to be differentiated, expected floats"):
        check_operation(
            Operation(
                lambda x, y: (x * y, None), lambda d, c: d, lambda x, y: x * y, differentiable=("x", "y")
            ),
            x,
            2,
        )
    with pytest.raises(TypeError, match=r"square: x has dtype complex128, expected float64"):
        check_operation(square(), x.astype(complex))
    with pytest.raises(ValueError, match=r"the mirror raised Tracer.{0,300}use jax.numpy where"):
        check_operation(square(mirror=np.exp), x)
    with pytest.raises(ValueError, match="square: JAX cannot differentiate the mirror"):
        check_operation(square(mirror=lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 9, jnp.exp, x)), x)
    with pytest.raises(TypeError, match=r"softplus: 1 inputs, expected x, beta: missing a required"):
        check_operation(softplus(), x)
    with pytest.raises(TypeError, match=r"differentiable is 'x', expected a tuple of names"):
        softplus(differentiable="x")
    with pytest.raises(TypeError, match="expected a dict of functions of the inputs"):
        softplus(factors={"x": 0.5})
    with pytest.raises(TypeError, match="operation is a function, expected a sandbox"):
        check_operation(forward, x)  # type: ignore[arg-type]


def test_cases_that_cannot_be_drawn_are_one_clear_error() -> None:
    with pytest.raises(ValueError, match="cases is 0, expected a whole number of at least 1"):
        check_operation(softplus(examples=st.tuples(st.just(x), st.just(2.0))), cases=0)
    with pytest.raises(ValueError, match="softplus: no case could be drawn from examples"):
        check_operation(softplus(examples=st.nothing()))


def test_an_error_outside_the_users_code_is_not_placed_in_ours() -> None:
    [row] = check_operation(square(backward=lambda dout: dout), contracts=False).failures()
    assert "takes 1 positional argument but 2 were given." in row.finding
    [row] = check_operation(square(backward=lambda dout, x: None), contracts=False).failures()
    assert row.finding == "it is None, expected an array of shape (3, 4)."


# --- in a test suite of one's own ------------------------------------------------------------------------

pytest_plugins = ["pytester"]

SUITE = """
import numpy as np, jax.numpy as jnp
from sandbox import Operation

square = Operation(lambda x: x**2, lambda dout, x: {factor} * dout * x, lambda x: x**2,
                   [(np.arange(3.0),)], name="square", convention="inputs")

def test_square(gradcheck):
    gradcheck(square)
"""


@pytest.mark.parametrize(
    ("factor", "outcome"), [pytest.param(2, {"passed": 1}, marks=pytest.mark.slow), (3, {"failed": 1})]
)
def test_the_gradcheck_fixture_fails_with_the_report(
    pytester: pytest.Pytester, factor: int, outcome: dict[str, int]
) -> None:
    pytester.makepyfile(SUITE.format(factor=factor))
    result = pytester.runpytest_subprocess("--junitxml=junit.xml")
    result.assert_outcomes(**outcome)
    if factor == 3:
        result.stdout.fnmatch_lines(["*Gradients WRONG: square backward (dx)*", "*1.5 times the reference*"])
        assert "Gradients WRONG: square backward (dx)" in (pytester.path / "junit.xml").read_text()


@pytest.mark.slow
def test_the_gradcheck_fixture_takes_a_module_of_operations_and_tells_bad_input_in_a_line(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        layers="""
import numpy as np
from sandbox import Operation

square = Operation(lambda x: x**2, lambda dout, x: 3 * dout * x, lambda x: x**2, [(np.arange(3.0),)],
                   convention="inputs")
""",
        test_layers="""
import layers
import numpy as np

def test_all(gradcheck):
    gradcheck(layers)

def test_bad_input(gradcheck):
    gradcheck(layers.square, np.ones(2), np.ones(2))
""",
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*Gradients WRONG: square backward (dx)*", "gradcheck: <lambda>: 2 inputs, expected at most 1: x."]
    )
    assert pytester.runpytest_subprocess("--gradcheck-cases", "0").ret == pytest.ExitCode.USAGE_ERROR


def test_pytest_help_names_the_option(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess("--help").stdout.fnmatch_lines(["*--gradcheck-cases*"])


@pytest.mark.usefixtures("little_shrinking")
def test_a_file_of_functions_is_checked_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\ndef relu_backward(dA, cache):\n    return dA * (cache >= 0)\n"
    )
    report = sandbox.check_functions(tmp_path / "mine.py", cases=5)
    first = report.failures()[0]
    assert (first.function, first.output) == ("relu_backward", "dZ")
    assert "derivative at Z = 0" in first.pattern


EXPONENTIAL = Operation(lambda x: (np.exp(x), np.exp(x)), lambda dout, y: dout * y, lambda x: jnp.exp(x))


def test_a_check_that_compared_nothing_is_not_passed() -> None:
    for given, why in (
        (np.full(1, 100, np.float32), "all entries overflow"),
        (np.zeros((0, 3)), "no entries"),
    ):
        report = check_operation(EXPONENTIAL, given)
        assert not report
        assert not report.failures()
        assert "Not compared" in report.summary()
        assert why in report.summary()


def test_where_the_mirror_is_not_finite_a_number_is_not_right() -> None:
    root = Operation(
        lambda x: (np.sqrt(np.maximum(x, 0)), x),
        lambda dout, x: np.where(x > 0, dout / (2 * np.sqrt(np.where(x > 0, x, 1))), 777.0),
        lambda x: jnp.where(x > 0, jnp.sqrt(x), 0),
        examples=[(np.array([4.0, -1.0]),)],
    )
    [row] = check_operation(root, contracts=False).failures()
    assert "1 of 2 entries cannot be judged: entry (1,) is 777, and the mirror's nan" in row.finding
    assert "mend the mirror" in row.pattern


def test_another_dtype_than_the_one_asked_about_is_a_note_with_its_remedy() -> None:
    def scaled(x: Any) -> Any:
        return np.sqrt(2) * x

    operation = square(forward=scaled, backward=lambda dout, x: scaled(dout), mirror=lambda x: 2**0.5 * x)
    report = check_operation(operation)
    assert report, str(report)
    assert {row.output for row in report.notes()} == {"the other dtype"}
    assert "write dtype=x.dtype, float(...)" in report.notes()[0].finding
    assert not check_operation(operation, x.astype(np.float32))  # which is asked about


def test_right_code_of_another_kind_passes() -> None:
    def one_hot_loss(logits: Any, y: Any) -> Any:
        if not np.allclose(y.sum(axis=-1), 1):
            raise ValueError("rows of y must sum to 1")
        return np.sum(logits * y, axis=-1), (np, logits, y)

    operation = Operation(
        one_hot_loss,
        lambda dout, cache: (dout[:, None] * cache[2], dout[:, None] * cache[1]),
        lambda logits, y: jnp.sum(logits * y, axis=-1),
        examples=[(np.arange(6.0).reshape(2, 3), np.eye(3)[:2])],
    )
    report = check_operation(operation)
    assert report, str(report)


@pytest.mark.parametrize("x", [[70.0, 71.0], [-70.0, -71.5]])
def test_large_and_small_numbers_are_linear_as_far_as_they_are_held(x: list[float]) -> None:
    report = check_operation(EXPONENTIAL, np.array(x, np.float32))
    assert report, str(report)


def test_a_backward_of_the_forwards_name_is_blamed_alone() -> None:
    def named(function: Any) -> Any:
        def wrapper(*arguments: Any) -> Any:
            return function(*arguments)

        return wrapper

    wrong = square(forward=named(lambda x: x * x), backward=named(lambda dout, x: 4 * x * dout))
    [row] = check_operation(wrong, contracts=False).failures()
    assert (row.function, row.at_fault) == ("square backward", "backward")


@pytest.mark.parametrize("gradients", [1, 2, 3])
def test_gradients_stand_in_the_order_of_the_inputs_given_or_not(gradients: int) -> None:
    def backward(dout: Any, x: Any, i: Any, eps: float = 1e-5) -> Any:
        dx = np.zeros_like(x)
        np.add.at(dx, i, dout)
        return (dx, None, None)[:gradients]

    operation = Operation(
        lambda x, i, eps=1e-5: x[i] + eps, backward, lambda x, i, eps=1e-5: x[i] + eps, convention="inputs"
    )
    report = check_operation(operation, np.arange(4.0), np.array([1, 1, 3]), contracts=False)
    assert report, str(report)


def test_the_gradient_by_a_number_of_python_is_compared_if_the_backward_returns_it() -> None:
    def scale(dk: Any, **changes: Any) -> Operation:
        parts: dict[str, Any] = {"mirror": lambda x, k: k * x, "examples": [(np.arange(3.0), 2.0)]}
        return Operation(
            lambda x, k: (k * x, (x, k)),
            lambda dout, cache: (cache[1] * dout, dk(dout, cache[0])),
            **{**parts, **changes, "name": "scale"},
        )

    def right(dout: Any, x: Any) -> Any:
        return np.sum(dout * x)

    for x, k in ((np.arange(3.0), 2.0), (np.arange(3, dtype=np.float32), 0.1), (np.arange(3.0), 2)):
        report = check_operation(scale(right), x, k)
        assert report, str(report)
        assert not report.notes()
        assert {row.output for row in report.outputs} == {"out", "dx", "dk"}
        [row] = check_operation(scale(lambda dout, x: 2 * right(dout, x)), x, k).failures()
        assert (row.output, row.at_fault) == ("dk", "backward")
    assert not check_operation(scale(lambda dout, x: 12345.0), contracts=False)
    assert check_operation(scale(lambda dout, x: None), contracts=False)
    [row] = check_operation(scale(right, mirror=lambda x, k: float(k) * x), contracts=False).failures()
    assert row.output == "dk"
    assert "JAX cannot differentiate the mirror by k" in row.finding
    [note] = check_operation(scale(right, differentiable=("x",)), contracts=False).notes()
    assert "does not name k" in note.finding


def test_a_number_that_differentiable_names_is_not_said_to_be_unchecked() -> None:
    from examples import layer_norm

    for name, wrong in (("right", ()), ("wrong", ("dx",))):
        report = check_operation(getattr(layer_norm, name), x, 1.5, contracts=False)
        assert {row.output for row in report.outputs} == {"out", "dx", "dg"}
        assert tuple(row.output for row in report.failures()) == wrong
        assert not report.notes()


def test_the_failing_one_of_several_examples_is_shown() -> None:
    wrong = square(backward=lambda dout, x: 2 * np.abs(x) * dout, examples=[(np.ones(2),), (-np.ones(1),)])
    report = check_operation(wrong)
    assert "x = np.array([-1.])" in report.example
    assert "Example 2 of 2 fails, which is shown." in report.summary()


def test_a_cotangent_that_is_left_out_is_explained() -> None:
    operation = Operation(
        lambda x: (x * x, 3 * x, x),
        lambda da, db, x: 2 * x * da,
        lambda x: (x * x, 3 * x),
        outputs=("a", "b"),
        examples=[(np.array([0.3, -1.2, 2.0]),)],
    )
    [row] = check_operation(operation, contracts=False).failures()
    assert "with db = 0: is db left out?" in row.pattern


def test_randomness_is_told_first() -> None:
    rng = np.random.default_rng(0)

    def dropout(x: Any) -> Any:
        mask = rng.random(x.shape) < 0.5
        return x * mask, mask

    operation = Operation(dropout, lambda dout, mask: dout * mask, lambda x: x, examples=[(np.ones(40),)])
    assert check_operation(operation).failures()[0].output == "no memory of earlier calls, no randomness"


def test_a_context_that_holds_itself_is_no_trouble() -> None:
    class Context:
        def __init__(self, x: Any) -> None:
            self.x, self.me, self.numpy = x, self, np

    report = check_operation(
        Operation(lambda x: (x * x, Context(x)), lambda d, c: 2 * c.x * d, lambda x: x * x), np.arange(3.0)
    )
    assert report, str(report)
