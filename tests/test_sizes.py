"""What one person can read: no file over 400 lines, no function over 40 without a reason beside it, EL2 under 3,000 in all.

The reason is a comment right above the function, and says "long because".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for folder in ("minivisor", "guest-kernels", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".c", ".h", ".S", ".mjs", ".js"}
)
REASON = re.compile(r"(#|//|\*).*long because", re.IGNORECASE)
FILE, FUNCTION, HYPERVISOR = 400, 40, 3000


def functions(path: Path, text: str) -> Iterator[tuple[str, int, int]]:
    """(name, first line, last line) of each, from 0, without decorators. In C a body is between braces in the first column."""
    lines = text.splitlines()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, node.lineno - 1, (node.end_lineno or node.lineno) - 1
    elif path.suffix in {".c", ".h"}:
        start = -1
        for number, line in enumerate(lines):
            if line == "{":
                start = number - 1
            elif line == "}" and start >= 0:
                yield lines[start], start, number
                start = -1


def too_long(path: Path, text: str) -> list[str]:
    """What is over its limit in one file."""
    lines = text.splitlines()
    found = [f"{path.name}: {len(lines)} lines"] if len(lines) > FILE else []
    for name, first, last in functions(path, text):
        if last - first + 1 > FUNCTION and not any(REASON.search(line) for line in lines[max(first - 3, 0) : first]):
            found.append(f"{path.name}: {name}, {last - first + 1} lines")
    return found


def test_every_file_and_every_function_can_be_taken_in() -> None:
    assert len(SOURCES) > 200
    assert [words for path in SOURCES for words in too_long(path, path.read_text())] == []


def test_el2_is_under_three_thousand_lines() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in (ROOT / "minivisor" / "hypervisor").glob("*.py"))
    assert lines < HYPERVISOR


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.py", "def f():\n" + "    pass\n" * 39, []),
        ("a.py", "def f():\n" + "    pass\n" * 40, ["a.py: f, 41 lines"]),
        ("a.py", "# Long because it is a table.\ndef f():\n" + "    pass\n" * 40, []),
        ("a.c", "int f(void)\n{\n" + "    ;\n" * 40 + "}\n", ["a.c: int f(void), 43 lines"]),
        ("a.c", "x\n" * 401, ["a.c: 401 lines"]),
    ],
    ids=["short", "long", "a reason", "C", "a file"],
)
def test_what_is_too_long_is_noticed(name: str, text: str, words: list[str]) -> None:
    assert too_long(Path(name), text) == words
