"""Rules of the house that no linter knows, over every file that git tracks or would track.

A rule that was broken twice comes here. Each test collects all breaches before it fails and names file and line. The
words in question are put together from halves where this file would otherwise accuse itself.
"""

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


class Module(NamedTuple):
    """What the rules ask of a Python file, with the lines on which it stands."""

    path: Path
    has_head: bool
    functions: list[tuple[int, str, int]]  # line, name, how many lines
    defined: list[tuple[int, str]]  # functions, classes, arguments and variables
    imported: list[tuple[int, str]]  # modules that it may import: `from a import b` as both a and a.b
    sleeps: list[int]


@functools.cache
def modules() -> tuple[Module, ...]:
    """Return every Python file, read once: the trees themselves would be kept for all tests that follow."""
    return tuple(module_of(path, ast.parse(text, filename=str(path))) for path, text in code_files(".py"))


def module_of(path: Path, tree: ast.Module) -> Module:
    found = Module(path, bool(ast.get_docstring(tree)), [], [], [], [])
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                assert node.end_lineno is not None
                found.functions.append((node.lineno, node.name, node.end_lineno - node.lineno + 1))
                found.defined.append((node.lineno, node.name))
            case ast.ClassDef(name=name):
                found.defined.append((node.lineno, name))
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                found.defined.append((node.lineno, name))
            case ast.Import():
                found.imported.extend((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom(module=str(module)):
                found.imported.append((node.lineno, module))
                found.imported.extend((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            case ast.Attribute(attr="sleep", value=ast.Name()):
                found.sleeps.append(node.lineno)
    return found


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
        f"{module.path}:{line}: {name} has {count} lines"
        for module in modules()
        for line, name, count in module.functions
        if count > FUNCTION_LINES_MAX
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
    found = [str(module.path) for module in modules() if not module.has_head]
    found += [str(path) for path, text in code_files(".c", ".h") if not text.lstrip().startswith(("/*", "//"))]
    assert found == []


def test_files_are_named_after_a_noun() -> None:
    assert [str(path) for path, _ in code_files() if FILE_FORBIDDEN.search(path.stem)] == []


def test_names_are_the_words_of_the_glossary() -> None:
    found = [
        f"{module.path}:{line}: {name}"
        for module in modules()
        for line, name in module.defined
        if NAME_FORBIDDEN.match(name) or CLASS_FORBIDDEN.search(name)
    ]
    assert found == []


def test_each_extension_has_one_importer() -> None:
    # import-linter reads Python files only, so it cannot see who imports an extension.
    importers: dict[str, set[str]] = {"qrt._core": set(), "qrt.firmware_sim._plant": set()}
    for module in modules():
        if module.path.parts[0] in {"qrt", "firmware_sim", "controllers"}:
            for _, name in module.imported:
                if name in importers:
                    importers[name].add(str(module.path))
    assert importers["qrt._core"] <= {"qrt/kernel/binding.py"}
    assert len(importers["qrt.firmware_sim._plant"]) <= 1
    assert all(path.startswith("firmware_sim/") for path in importers["qrt.firmware_sim._plant"])


def test_tests_do_not_sleep() -> None:
    tests = [module for module in modules() if module.path.parts[0] == "tests"]
    found = [f"{module.path}:{line}" for module in tests for line in module.sleeps]
    found += [f"{module.path}:{line}" for module in tests for line, name in module.imported if name == "time.sleep"]
    assert found == []


def test_one_import_root() -> None:
    roots = ("controllers", "firmware_sim")
    found = [
        f"{module.path}:{line}: {name}"
        for module in modules()
        for line, name in module.imported
        if name.split(".")[0] in roots
    ]
    assert found == []
    for name in roots:
        link = PROJECT / "qrt" / name
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{name}"
