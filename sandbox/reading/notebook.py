"""Notebooks: the Python in the code cells.

A notebook is JSON, and its cells are all that is wanted of it. nbformat would bring a dozen packages, and
refuse the notebooks with stray fields that people have.
"""

import json
import linecache
from collections.abc import Iterator
from pathlib import Path

from sandbox.reading.block import Block
from sandbox.typing import Value


def blocks_of_notebook(text: str, path: Path) -> Iterator[Block]:
    """One for each code cell; cells are counted from 1, code cells only.

    Raises:
        ValueError: it is not a notebook, or one of another language.
    """
    cells = [cell for cell in _cells(text, path) if cell.get("cell_type") == "code"]
    for number, cell in enumerate(cells, start=1):
        source = cell.get("source", cell.get("input", ""))  # "input" until 2014
        title, python = f"code cell {number}", source if isinstance(source, str) else "".join(source)
        filename = f"{path}, {title}"
        # So that tracebacks and inspect find the lines, which are in no file.
        linecache.cache[filename] = len(python), None, python.splitlines(keepends=True), filename
        yield Block(python, filename, title)


def _cells(text: str, path: Path) -> list[Value]:
    try:
        notebook = json.loads(text)
        if "worksheets" in notebook:  # until 2014
            cells = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        else:
            cells = list(notebook["cells"])
        language = _language(notebook.get("metadata", {}))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not a notebook: {type(error).__name__}: {error}.") from None
    if language != "python":
        raise ValueError(f"{path} is a notebook of {language}, expected one of Python.")
    return cells


def _language(metadata: Value) -> str:
    kernel, info = metadata.get("kernelspec", {}), metadata.get("language_info", {})
    return str(info.get("name") or kernel.get("language") or "python").lower()
