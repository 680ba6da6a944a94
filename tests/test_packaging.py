"""What leaves the house: archives that build and load elsewhere, arrows that hold, and an import that stays quick.

The archives are made from a copy of the tracked files, as in a fresh clone: first the source archive, then the wheel
from nothing but the source archive. Neither needs the network, since `make` has installed what the build asks for.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

EXTENSIONS = {"qrt/_core.abi3.so", "qrt/firmware_sim/_plant.abi3.so"}


def run_python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """Return what this interpreter prints for these arguments; a failure shows all that it said."""
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
    answer = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def build(kind: str, source: Path, target: Path) -> Path:
    """Return the archive that setuptools builds from `source` into `target`; kind is `sdist` or `wheel`."""
    target.mkdir()
    code = f"import setuptools.build_meta as backend; backend.build_{kind}({str(target)!r})"
    run_python("-W", "ignore", "-c", code, cwd=source)
    (archive,) = target.iterdir()
    return archive


@pytest.fixture(scope="module")
def clone(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the tracked files alone, symlinks as symlinks."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip("not a git work tree")
    folder = tmp_path_factory.mktemp("clone")
    for name in filter(None, answer.stdout.split("\0")):
        if os.path.lexists(project / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source archive."""
    return build("sdist", clone, tmp_path_factory.mktemp("sdist") / "dist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from the unpacked source archive."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        # Early releases of Python 3.11 know no filter, later Pythons want one.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(folder)
    (source,) = folder.iterdir()
    return build("wheel", source, folder / "dist")


def modules(folder: Path, prefix: str) -> set[str]:
    """Return the Python files below `folder` as an archive names them."""
    return {f"{prefix}{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.py")}


def test_the_source_archive_holds_real_files_of_one_root(sdist: Path, clone: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert not [member.name for member in members if member.issym() or member.islnk()]
    assert modules(clone / "qrt", "qrt/") <= names
    assert modules(clone / "controllers", "qrt/controllers/") <= names
    assert modules(clone / "firmware_sim", "qrt/firmware_sim/") <= names
    assert {path.relative_to(clone).as_posix() for path in (clone / "ffi").rglob("*.[ch]")} <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc"))]
    assert not [name for name in names if name.startswith(("controllers/", "firmware_sim/"))]


def test_the_wheel_holds_one_import_root_and_both_extensions(wheel: Path, clone: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    assert {name.split("/")[0] for name in names} == {"qrt", "qrt-0.1.0.dist-info"}
    assert {name for name in names if name.endswith(".so")} == EXTENSIONS
    expected = modules(clone / "qrt", "qrt/")
    expected |= modules(clone / "controllers", "qrt/controllers/") | modules(
        clone / "firmware_sim", "qrt/firmware_sim/"
    )
    assert {name for name in names if name.endswith(".py")} == expected
    assert "-cp311-abi3-" in wheel.name
    assert "qrt/py.typed" in names  # else a user's mypy takes all of it for Any


def test_the_wheel_loads_without_the_project(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import qrt, qrt._core as c, qrt.firmware_sim._plant as p; print(qrt.__file__, c.__file__, p.__file__)"
    for file in run_python("-c", code, cwd=tmp_path, path=tmp_path).split():
        assert Path(file).is_relative_to(tmp_path)


def test_run_is_the_function_whoever_imports_the_module_of_that_name(project: Path) -> None:
    code = (
        "import qrt\n"
        "from qrt.run import Result, run\n"
        "assert qrt.run is run, qrt.run\n"
        "import qrt.run\n"
        "from qrt import run as again\n"
        "assert qrt.run is again is run\n"
        "print(callable(qrt.open))"
    )
    assert run_python("-c", code, cwd=project).strip() == "True"
    first = "import qrt; first = qrt.run; assert qrt.run is first; print(first.__name__)"
    assert run_python("-c", first, cwd=project).strip() == "run"


def test_the_arrows_hold(project: Path) -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    answer = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("arguments", [["-c", "import qrt"], ["-m", "qrt", "--help"]], ids=["import", "help"])
def test_the_quick_paths_do_not_load_jax(arguments: list[str], project: Path) -> None:
    command = [sys.executable, "-X", "importtime", *arguments]
    answer = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr.splitlines()[-1]
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in answer.stderr.splitlines() if "|" in line}
    assert "qrt" in loaded
    assert not loaded & {"jax", "jaxlib"}


HEADER = """
#include <stdint.h>
/* cffi: skip */
static inline int f(void) { return 1; }
/* cffi: end */
#define GUARD
#define SIZE 4 /* four */
#define MASK 0x0Fu
#define SUM (1 + 2)
int a[SIZE];
"""


def test_a_header_is_its_own_declaration(project: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'ffi'); import build\n"
        f"print([line.strip() for line in build.declarations({HEADER!r}).splitlines() if line.strip()])"
    )
    printed = run_python("-B", "-c", code, cwd=project).strip()
    assert printed == "['#define SIZE 4', '#define MASK 0x0F', 'int a[SIZE];']"
