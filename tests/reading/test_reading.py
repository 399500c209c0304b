"""Claims about the user's files: notebooks, notes, half-written code, and last lines that train."""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandbox.reading import running
from sandbox.reading.loading import Source, read


def source(tmp_path: Path, text: str, name: str = "mine.py", **stand_ins: Any) -> Source:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read(tmp_path / name, stand_ins)


def notebook(*cells: str, **metadata: Any) -> str:
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": "# A"}, *code], "metadata": metadata})


# --- notes ------------------------------------------------------------------------------------------------

NOTE = """---
tags: [x]
---
# One
```python
import numpy as np
%matplotlib inline
LABELS = {“a”: 1, ‘b’: 2, "the cell’s": “it's”}  # don’t touch “this”
```
- a list
  ```py
  def in_a_list():
      return "…"
  ```

```python
def scaled(x):
\tfor i in range(2):
\t\tx = x + i
        x = 2 * x
\treturn x
```

```sh
rm -rf everything
```

```{python}
def unclosed(x):
\treturn np.dot(x, (x + 1)
def after_it(x):
\treturn x
```

```python
def dots(x):
\ty = x + 1
\t…
\treturn y
def dots_unclosed(x):
\ty = (x + …
\treturn y
x = = 3
```
"""


@pytest.fixture
def note(tmp_path: Path) -> Source:
    return source(tmp_path, NOTE, "note.md")


def test_quotes_and_magics_of_a_note_are_mended_and_said(note: Source) -> None:
    names = vars(note.module)
    assert names["LABELS"] == {"a": 1, "b": 2, "the cell’s": "it's"}
    assert names["in_a_list"]() == "…"
    assert "line 8: typographic quotes are read as straight ones." in note.remarks
    assert "line 7: magics are left out." in note.remarks


def test_where_tabs_of_4_and_8_read_otherwise_both_readings_are_named(note: Source) -> None:
    assert vars(note.module)["scaled"](1) == 2 * (2 * (1 + 0) + 1)
    [said] = [remark for remark in note.remarks if "a tab counts" in remark]
    assert "line 20: 'x = 2 * x' belongs to 'for i in range(2):' (line 18) where a tab counts as 4" in said
    assert "to 'def scaled(x):' (line 17) where it counts as 8; it is read as 4" in said


def test_tabs_that_read_alike_are_said_to_count_4(tmp_path: Path) -> None:
    text = "```python\ndef f(x):\n    if x:\n\t\treturn 1\n    return 2\n```\n"
    found = source(tmp_path, text, "note.md")
    assert (vars(found.module)["f"](0), vars(found.module)["f"](1)) == (2, 1)
    assert "line 4: tabs beside spaces; a tab counts as 4." in found.remarks


def test_what_does_not_parse_is_named_with_its_line_and_the_rest_goes_on(note: Source) -> None:
    assert note.unwritten["unclosed"] == "line 30 does not parse: '(' was never closed."
    assert vars(note.module)["after_it"](3) == 3
    assert "line 43 does not parse: invalid syntax; it is left out." in note.remarks


def test_dots_within_a_body_are_what_is_missing(note: Source) -> None:
    assert note.unwritten["dots"] == 'the "…" in line 38 stands for what is missing.'
    assert note.unwritten["dots_unclosed"] == 'the "…" in line 41 stands for what is missing.'
    assert set(note.unwritten) == {"dots", "dots_unclosed", "unclosed"}


def test_tracebacks_name_the_line_of_the_note(note: Source) -> None:
    assert vars(note.module)["after_it"].__code__.co_firstlineno == 31


def test_the_last_definition_of_a_function_counts(tmp_path: Path) -> None:
    first, last = "```python\ndef f(x):\n    …\n```\n", "```python\ndef f(x):\n    return x\n```\n"
    assert not source(tmp_path, first + last, "note.md").unwritten
    assert "f" in source(tmp_path, last + first, "note.md").unwritten


def test_a_note_without_python_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"note\.md has no Python in it; begin its fences with ```python"):
        source(tmp_path, "```\nx = 3\n```\n", "note.md")


# --- notebooks ----------------------------------------------------------------------------------------------


def test_the_definitions_of_a_notebook_are_run_and_what_fails_is_named(tmp_path: Path) -> None:
    cells = [
        "%load_ext autoreload\n%autoreload 2\nimport numpy as np\nget_ipython().run_line_magic('time', '')",
        "from not_there import helper",
        "%%bash\nls",
        "def f(x):\n    return x",
        "!pip install x\nfiles = !ls\nf?\nC = 3",
        "def broken(x:\n    return x",
        "costs = train(epochs=1000)",
    ]
    found = source(tmp_path, notebook(*cells), "nn.ipynb")
    names = vars(found.module)
    assert names["f"](3) == names["C"] == 3
    assert found.unwritten["broken"] == "code cell 6, line 1 does not parse: '(' was never closed."
    said = "\n".join(found.remarks)
    assert "code cell 1, lines 1-2: magics are left out." in said
    assert (
        "code cell 2, line 1 is left out: it raised ModuleNotFoundError: No module named 'not_there'" in said
    )
    assert "code cell 3, line 1: the cell is one of %%bash and is left out." in said
    assert "code cell 5, lines 1-3: magics are left out." in said
    assert "not code cell 1, code cell 7" in said


def test_an_error_in_a_notebook_names_the_cell(tmp_path: Path) -> None:
    from sandbox.verifier.loading import raised_at

    found = source(tmp_path, notebook("x = 1", "def f():\n    return 1 / 0"), "nn.ipynb")
    with pytest.raises(ZeroDivisionError) as caught:
        vars(found.module)["f"]()
    assert raised_at(caught.value).endswith("(nn.ipynb, code cell 2, line 2, in f)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a notebook: JSONDecodeError"),
        ("[]", "is not a notebook"),
        ('{"cells": 3}', "is not a notebook: TypeError"),
        (notebook("x <- 3", kernelspec={"language": "R"}), "is a notebook of r, expected one of Python"),
    ],
)
def test_what_is_no_notebook_of_python_is_one_clear_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        source(tmp_path, text, "nn.ipynb")


def test_a_notebook_of_the_third_format_is_read(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "input": ["def f():\n", "    return 3\n"]}]
    found = source(tmp_path, json.dumps({"worksheets": [{"cells": cells}]}), "old.ipynb")
    assert vars(found.module)["f"]() == 3


# --- not written yet ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("pass", "its body is empty."),
        ('"""What it does."""', "its body is empty."),
        ("# TODO", "its body is empty."),
        ("...", '"..." in line 2 stands for what is missing.'),
        ("…", 'the "…" in line 2 stands for what is missing.'),
        ("y = x\n    z = ...\n    return y, z", '"..." in line 3 stands for what is missing.'),
        ("raise NotImplementedError('later')", "it raises NotImplementedError."),
        ("return y, z", "y, z are used, and nothing defines them."),
        ("return", "it returns nothing."),
        ("y = x + 1", "it returns nothing."),
        ("return None", "it returns nothing."),
        ("y = None\n    return x, y", "y is still None."),
    ],
)
def test_a_function_that_is_not_written_yet_is_known(body: str, why: str, tmp_path: Path) -> None:
    assert source(tmp_path, f"def f(x):\n    {body}\n").unwritten == {"f": why}


@pytest.mark.parametrize(
    "body",
    [
        "return x[..., None]",
        "if x is None:\n        raise NotImplementedError\n    return x",
        "y = None\n    for z in x:\n        y = z\n    return y",
        "global STATE\n    STATE = x\n    return STATE",
        "return [y for y in range(x) if (z := y)] + [z]",
        "def inner():\n        return None\n    return inner",
        "yield x",
        "return __file__, len(x), f(x - 1), given(x), CONSTANT",
    ],
)
def test_a_function_that_is_written_is_not_taken_for_one(body: str, tmp_path: Path) -> None:
    assert not source(tmp_path, f"CONSTANT = 3\ndef f(x):\n    {body}\n", given=abs).unwritten


def test_a_name_that_the_caller_has_is_supplied(tmp_path: Path) -> None:
    text = "def f(x):\n    return given(x)\n"
    assert vars(source(tmp_path, text, given=abs).module)["f"](-3) == 3
    assert "given" not in vars(source(tmp_path, "def g(x):\n    return x\n", given=abs).module)


# --- which lines are run ------------------------------------------------------------------------------------

LAST_LINES = """
import sys
import numpy as np

def f(x):
    return x * SCALE + TABLE[1] + np.size(POWERS)

def train():
    while True:
        pass

SCALE = 2
TABLE = {}
for i in range(3):
    TABLE[i] = i
POWERS = [2**i for i in range(3)]
train()
losses = train()
print(losses)
name = input("name? ")
sys.exit(3)
"""


def test_of_a_file_whose_last_lines_train_only_definitions_are_run(tmp_path: Path) -> None:
    found = source(tmp_path, LAST_LINES)
    assert vars(found.module)["f"](3) == 6 + 1 + 3
    assert found.remarks == ("Only definitions were run, and what they need: not lines 17-21.",)


def test_what_is_wanted_is_run_however_it_is_made(tmp_path: Path) -> None:
    text = "import functools\ndef make(n):\n    return lambda x: n * x\ndouble = make(2)\nother = make(3)\n"
    names = vars(source(tmp_path, text, double=None).module)
    assert names["double"](3) == 6
    assert "other" not in names


def test_in_a_file_of_operations_all_that_binds_a_name_is_run(tmp_path: Path) -> None:
    text = "def make_operation():\n    return 3\nx = make_operation()\nassert check(x)\n"
    assert vars(source(tmp_path, text).module)["x"] == 3


@pytest.mark.parametrize(
    "catches", ["pass", "\n    try:\n        i = 1\n    except BaseException:\n        pass"]
)
def test_what_takes_long_is_stopped_and_named(
    catches: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LIMIT", 0.2)
    began = time.monotonic()
    found = source(tmp_path, f"def f():\n    return X\nwhile True: {catches}\nX = [1 for _ in ' ']\n")
    assert not found.unwritten
    text = f"def f():\n    return X\nX = 0\nwhile True:\n    X = 1\n    {catches.strip()}\n"
    found = source(tmp_path, text)
    assert any("line 4 is left out: it takes longer than 0.2 s." in remark for remark in found.remarks)
    assert time.monotonic() - began < 5


def test_nothing_of_a_stop_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that came late, or one that CPython was still looking for whenever calls are traced."""
    for limit in (1e-5, 1e-4, 1e-3) * 5:
        monkeypatch.setattr(running, "LIMIT", limit)
        source(tmp_path, "def f():\n    return X\nX = 0\nwhile X < 1000:\n    X = X + 1\n")
    tracer = sys.gettrace()
    sys.settrace(lambda frame, event, argument: None)
    try:
        assert sum(map(lambda i: i, range(100))) == 4950  # noqa: C417
    finally:
        sys.settrace(tracer)


def test_a_neighbour_that_trains_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LIMIT", 0.2)
    (tmp_path / "trains_forever.py").write_text("while True:\n    pass\n")
    found = source(tmp_path, "import trains_forever\ndef f(x):\n    return x\n")
    assert found.remarks == ("line 1 is left out: it takes longer than 0.2 s.",)
    assert vars(found.module)["f"](3) == 3


def test_what_a_file_prints_is_held_back_and_its_warnings_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "import numpy as np, sys, warnings\ndef f():\n    return X, Y, Z\n"
        "X = print('out') or print('err', file=sys.stderr)\nY = np.log(np.zeros(1))\nZ = input('? ')\n"
    )
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        found = source(tmp_path, text)
    assert capsys.readouterr() == ("", "")
    assert not shown
    assert "While it was run it warned: divide by zero encountered in log." in found.remarks
    assert "line 6 is left out: it raised EOFError" in str(found.remarks)
    assert np.isinf(vars(found.module)["Y"])


def test_what_is_held_back_in_one_thread_is_shown_from_another(capsys: pytest.CaptureFixture[str]) -> None:
    stdout, stderr, stdin = sys.stdout, sys.stderr, sys.stdin
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def first() -> None:
        with running.held_back():
            first_is_in.set()
            second_is_in.wait()
            print("first")

    def second() -> None:
        first_is_in.wait()
        with running.held_back():
            second_is_in.set()
            one.join()
            print("second", file=sys.stderr)

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    for thread in (one, other):
        thread.start()
    second_is_in.wait()
    print("shown")
    other.join()
    assert (sys.stdout, sys.stderr, sys.stdin) == (stdout, stderr, stdin)
    assert capsys.readouterr() == ("shown\n", "")


def test_a_plot_window_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    shown: list[bool] = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    source(tmp_path, "import matplotlib.pyplot as plt\ndef f():\n    return X\nX = plt.show()\n")
    assert not shown
    plt.show()
    assert shown


def test_annotations_of_the_future_hold_for_the_whole_file(tmp_path: Path) -> None:
    text = "from __future__ import annotations\ndef f(x: not_there) -> nor_this:\n    return x\n"
    found = source(tmp_path, text)
    assert vars(found.module)["f"](3) == 3
    assert not found.unwritten


# --- neighbours ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packages", [True, False])
def test_a_file_imports_its_neighbours_and_its_project(packages: bool, tmp_path: Path) -> None:
    folder = tmp_path / "src" / "nets" / "deep"
    folder.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "of_project.py").write_text("A = 1\n")
    (folder.parent / "layers.py").write_text("B = 2\n")
    (folder / "beside.py").write_text("C = 3\n")
    for package in (folder, folder.parent) if packages else ():
        (package / "__init__.py").write_text("")
    text = (
        "from of_project import A\nfrom ..layers import B\nfrom .beside import C\nfrom beside import C as D\n"
        "from nets.layers import B as E\ndef f():\n    return A, B, C, D, E\n"
    )
    found = source(folder, text)
    assert not found.remarks
    assert vars(found.module)["f"]() == (1, 2, 3, 3, 2)


def test_a_package_that_imports_the_file_is_imported_first(tmp_path: Path) -> None:
    folder = tmp_path / "my_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .layers import C\nfrom .net import f\n")
    (folder / "layers.py").write_text("C = 3\n")
    found = source(folder, "from .layers import C\ndef f():\n    return C\n", "net.py")
    assert vars(found.module)["f"]() == 3


def test_a_neighbour_that_was_changed_is_read_again(tmp_path: Path) -> None:
    for value in (1, 22):
        (tmp_path / "constants_beside.py").write_text(f"C = {value}\n")
        found = source(tmp_path, "from constants_beside import C\ndef f():\n    return C\n")
        assert vars(found.module)["f"]() == value
