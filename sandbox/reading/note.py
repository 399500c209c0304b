"""Notes: the Python in the fences of a Markdown file."""

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

from sandbox.reading.block import Block

_LOOKS_LIKE_IT = re.compile(r"^(?:def \w+\(|class \w+|import \w+|from \w+ import )", re.MULTILINE)
_PYTHON = {"python", "python3", "py", "ipython", "ipython3"}


def blocks_of_note(text: str, path: Path) -> Iterator[Block]:
    """One for each fence that says it is Python, or says nothing and looks like it, as CommonMark has fences:
    in lists and quotations, too."""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence" and token.map and _is_python(token.info, token.content):
            yield Block("\n" * (token.map[0] + 1) + token.content, str(path))


def _is_python(info: str, content: str) -> bool:
    return _language(info) in _PYTHON or (not info.strip() and bool(_LOOKS_LIKE_IT.search(content)))


def _language(info: str) -> str:
    """The first word of what stands behind the backticks: python, {python}, {.python .numberLines}."""
    words = re.findall(r"\w+", info)
    return words[0].lower() if words else ""
