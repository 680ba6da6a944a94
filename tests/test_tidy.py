"""Rules of the house that no linter knows, over every file that git tracks or would track.

A rule that was broken twice comes here. Each test collects all breaches before it fails and names file and line. The
words in question are put together from halves where this file would otherwise accuse itself.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
CODE = {".py", ".c", ".h"}
LINE_SIZE_MAX = 150
FUNCTION_LINES_MAX = 70

# One path of one machine, or one registry, in a file makes the file true in one place only.
MACHINE_PATH = re.compile(r"(?<![\w.~>})-])/(?:work|root|home)/")
REGISTRY_HOST = re.compile(
    "|".join(re.escape(name) for name in ("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org"))
)
UNFINISHED = re.compile(r"\b(?:" + "|".join(("FIX" + "ME", "TO" + "DO", "X" + "XX")) + r")\b")

# What the C half never does: it owns no memory and prints nothing.
C_FORBIDDEN = re.compile(
    r"\b((?:m|c|re)alloc|aligned_alloc|posix_memalign|strdup|free|[fsv]*n?printf|puts|fputs|putchar|perror|exit|abort)\s*\("
)

# Words of the glossary's column "not" that cannot mean anything else here, and counts named otherwise than `_count`.
NAME_FORBIDDEN = re.compile(
    r"^(?:(?:get_|set_)?(?:confusion|calibration)_matrix|readout_fidelity|digiti[sz]ed?|unfold\w*|overrun\w*|num_\w+|n_shots|nshots|n_trials|trials)$"
)
FILE_FORBIDDEN = re.compile(r"(?:^|_)(?:utils?|helpers?|misc|common|managers?)(?:_|$)")
CLASS_FORBIDDEN = re.compile(r"(?:Manager|Helper|Utils?)$")


def tracked() -> list[Path]:
    """Return the files that git tracks, and those that it would: new ones that are not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip("not a git work tree")
    paths = [PROJECT / name for name in answer.stdout.split("\0") if name]
    return sorted(path for path in paths if path.is_file())


def text_files() -> Iterator[tuple[Path, str]]:
    """Yield every tracked text file with its content; what is not UTF-8 is no text."""
    for path in tracked():
        try:
            yield path.relative_to(PROJECT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def code_files(*suffixes: str) -> Iterator[tuple[Path, str]]:
    """Yield the tracked code files with one of the suffixes."""
    for path, text in text_files():
        if path.suffix in (suffixes or CODE):
            yield path, text


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Yield every Python file as a syntax tree."""
    for path, text in code_files(".py"):
        yield path, ast.parse(text, filename=str(path))


def matches(pattern: re.Pattern[str], files: Iterator[tuple[Path, str]]) -> list[str]:
    """Return `file:line: what` for every match."""
    found = []
    for path, text in files:
        for index, line in enumerate(text.splitlines(), start=1):
            found += [f"{path}:{index}: {match.group(0).strip()}" for match in pattern.finditer(line)]
    return found


def without_comments(text: str) -> str:
    """Return C text with comments and literals blanked, each character at its place and each line kept."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def c_functions(text: str) -> Iterator[tuple[int, int]]:
    """Yield first and last line of every function: a brace at depth 0 after something with arguments, not after `=`."""
    directive = re.compile(r"(?m)^[ \t]*#(?:.*\\\n)*.*$")
    line, depth, start, head, inside = 1, 0, 0, "", False
    for character in directive.sub(lambda found: "\n" * found.group(0).count("\n"), without_comments(text)):
        line += character == "\n"
        if character == "{":
            if depth == 0:
                start, inside = line, ")" in head and "=" not in head
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                if inside:
                    yield start, line
                head = ""
        elif depth == 0:
            head = "" if character == ";" else head + character


def test_lines_fit_on_a_screen() -> None:
    wide = re.compile(rf"^.{{{LINE_SIZE_MAX + 1},}}$")
    assert [found[:120] for found in matches(wide, code_files())] == []


def test_python_functions_fit_on_a_screen() -> None:
    found = [
        f"{path}:{node.lineno}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert found == []


def test_c_functions_fit_on_a_screen() -> None:
    found = [
        f"{path}:{first}: a function of {last - first + 1} lines"
        for path, text in code_files(".c", ".h")
        for first, last in c_functions(text)
        if last - first + 1 > FUNCTION_LINES_MAX
    ]
    assert found == []


def test_scan_of_c_functions_sees_functions() -> None:
    text = "#define F(x) { \\\n x }\nstruct s { int a; };\nint f(int a)\n{\n  if (a) { return '{'; }\n"
    text += "  return 1; /* } */\n}\nint (*t[])(int) = {\n f };\nint g(void) {\n}\n"
    assert list(c_functions(text)) == [(5, 8), (11, 12)]


def test_nothing_is_left_unfinished() -> None:
    assert matches(UNFINISHED, text_files()) == []


def test_no_file_knows_one_machine() -> None:
    assert matches(MACHINE_PATH, ((p, t) for p, t in text_files() if p != Path("tests/test_tidy.py"))) == []


def test_no_file_names_a_registry() -> None:
    assert matches(REGISTRY_HOST, text_files()) == []


def test_c_owns_no_memory_and_prints_nothing() -> None:
    files = (
        (path, without_comments(text))
        for path, text in code_files(".c", ".h")
        if path.parts[0] == "ffi" and not path.name.startswith("test_")
    )
    assert matches(C_FORBIDDEN, files) == []


def test_every_module_has_a_head() -> None:
    found = [str(path) for path, tree in trees() if not ast.get_docstring(tree)]
    found += [str(path) for path, text in code_files(".c", ".h") if not text.lstrip().startswith(("/*", "//"))]
    assert found == []


def test_files_are_named_after_a_noun() -> None:
    assert [str(path) for path, _ in code_files() if FILE_FORBIDDEN.search(path.stem)] == []


def defined_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the names that a file defines itself: functions, classes, arguments and variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def test_names_are_the_words_of_the_glossary() -> None:
    found = [
        f"{path}:{line}: {name}"
        for path, tree in trees()
        for line, name in defined_names(tree)
        if NAME_FORBIDDEN.match(name) or CLASS_FORBIDDEN.search(name)
    ]
    assert found == []


def imported_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every module that a file may import, `from a import b` as both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_each_extension_has_one_importer() -> None:
    # import-linter reads Python files only, so it cannot see who imports an extension.
    importers: dict[str, set[str]] = {"qrt._core": set(), "qrt.firmware_sim._plant": set()}
    for path, tree in trees():
        if path.parts[0] in {"qrt", "firmware_sim", "controllers"}:
            for _, name in imported_names(tree):
                if name in importers:
                    importers[name].add(str(path))
    assert importers["qrt._core"] <= {"qrt/kernel/binding.py"}
    assert len(importers["qrt.firmware_sim._plant"]) <= 1
    assert all(path.startswith("firmware_sim/") for path in importers["qrt.firmware_sim._plant"])


def test_tests_do_not_sleep() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in trees()
        if path.parts[0] == "tests"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "sleep" and isinstance(node.value, ast.Name)
    ]
    found += [
        f"{path}:{line}"
        for path, tree in trees()
        if path.parts[0] == "tests"
        for line, name in imported_names(tree)
        if name == "time.sleep"
    ]
    assert found == []


def test_one_import_root() -> None:
    roots = ("controllers", "firmware_sim")
    found = [
        f"{path}:{line}: {name}"
        for path, tree in trees()
        for line, name in imported_names(tree)
        if name.split(".")[0] in roots
    ]
    assert found == []
    for name in roots:
        link = PROJECT / "qrt" / name
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{name}"
