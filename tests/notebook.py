"""Notebooks without Jupyter: the code cells of a .ipynb file executed in order in plain Python, and their outputs written into it.

    python -m tests.notebook examples/first_run.ipynb ...      (make notebooks)

A cell's outputs are what it printed, and what its last expression is: as text, and as HTML where it has that. So they are what Jupyter
would keep, but for pictures of other libraries, of which there are none. Cells run in a copy of the notebook's folder, beside the labs.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def executed(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the notebook with new outputs. What a cell raises is raised."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, count = [], 0
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        count += 1
        outputs = _outputs("".join(cell["source"]), f"<{name}, cell {index + 1}>", names, count)
        cells.append({**cell, "execution_count": count, "outputs": outputs})
    return {**notebook, "cells": cells}


def _outputs(text: str, where: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    linecache.cache[where] = (
        len(text),
        None,
        text.splitlines(keepends=True),
        where,
    )  # tracebacks and errors show the line
    tree = ast.parse(text, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, where, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = _lines(value._repr_html_())
        found.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data})
    return found


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


@contextlib.contextmanager
def beside(path: Path) -> Any:
    """Be where the notebook is, in a copy of its folder and of the labs, so that nothing of what it makes stays."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / path.resolve().parent.name
        here.mkdir()
        for source in path.resolve().parent.iterdir():
            if source.is_file():
                (here / source.name).write_bytes(source.read_bytes())
        (Path(folder) / "configs").symlink_to(path.resolve().parent.parent / "configs")
        os.chdir(here)
        try:
            yield here
        finally:
            os.chdir(before)


def main(paths: list[str]) -> None:
    """Execute notebooks and write them back."""
    for path in map(Path, paths):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        with beside(path):
            new = executed(notebook, path.name)
        path.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
