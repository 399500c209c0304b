"""Claims about the fixture `gradcheck` in a project of one's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["sandbox", "experiments"])
def test_a_folder_of_our_name_breaks_neither_pytest_nor_imports(
    pytester: pytest.Pytester, folder: str
) -> None:
    package = pytester.mkpydir(folder)
    (package / "mine.py").write_text("VALUE = 3\n")
    pytester.makepyfile(f"from {folder}.mine import VALUE\n\ndef test_own():\n    assert VALUE == 3\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_gradcheck_says_which_folder_hides_the_package(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("sandbox")
    pytester.makepyfile("def test_gradients(gradcheck):\n    gradcheck(None)\n")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["gradcheck: */sandbox hides the package sandbox of autodiff-sandbox; rename*"]
    )


@pytest.mark.slow
def test_a_file_is_run_once_and_a_generator_gone_through_once(pytester: pytest.Pytester) -> None:
    function = "import numpy as np\n\ndef relu_backward(dA, Z):\n    return np.where(Z > 0, dA, 0)\n"
    pytester.makepyfile(
        mine=f"{function}\nwith open('runs', 'a') as file:\n    written = file.write('.')\n\n"
        "def relu(Z):\n    return np.maximum(Z, 0 * written), Z\n",
        test_mine=f"""{function}
def test_a_file(gradcheck):
    gradcheck("mine.py")

def test_a_generator(gradcheck):
    gradcheck(function for function in [relu_backward])
""",
    )
    result = pytester.runpytest_subprocess("-s")
    result.assert_outcomes(passed=2)
    assert (pytester.path / "runs").read_text() == "."


@pytest.mark.slow
def test_a_file_of_our_name_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(sandbox="x = 3\n", test_it="def test_it(gradcheck):\n    gradcheck(None)\n")
    pytester.runpytest_subprocess().stdout.fnmatch_lines(["gradcheck: */sandbox.py hides the package*"])


@pytest.mark.slow
def test_the_option_of_the_suite_is_for_what_is_drawn(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import numpy as np
from hypothesis import strategies as st
from sandbox import Operation

def operation(examples):
    return Operation(lambda x: (x * x, x), lambda dout, x: 2 * x * dout, lambda x: x * x, examples)

def relu_backward(dA, Z):
    return np.where(Z > 0, dA, 0)

def test_drawn(gradcheck):
    assert gradcheck(operation(st.tuples(st.floats(1, 2).map(np.asarray)))).cases == 3

def test_given(gradcheck):
    gradcheck(operation([(np.ones(2),)]))

def test_functions(gradcheck):
    assert gradcheck({"relu_backward": relu_backward}).cases == 3

def test_of_one_network(gradcheck):
    assert gradcheck({"relu_backward": relu_backward}, dtype="float32", depth=2, activation="tanh").cases == 1
"""
    )
    pytester.runpytest_subprocess("--gradcheck-cases", "3").assert_outcomes(passed=4)


def test_loading_the_plugin_imports_nothing_of_ours() -> None:
    code = "import autodiff_sandbox_pytest, sys; sys.exit('sandbox' in sys.modules or 'jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
