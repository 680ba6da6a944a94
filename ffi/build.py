"""Both C extensions: `qrt._core` from ffi/core/*.c and `qrt.firmware_sim._plant` from ffi/plant/*.c.

Each public header is also its own cffi declaration: `declarations` removes what cffi does not read, so that a
function is declared in one place. A header therefore holds plain declarations and literal constants; anything else
(an include, a static inline function, a static assertion) stands on a preprocessor line or between these two
comments:

    /* cffi: skip */
    /* cffi: end */

The compiler's flags are here and nowhere else: the Makefile asks for them (`python ffi/build.py FLAGS|WARNINGS`), so
that the C tests are built like the extensions. setup.py calls `core` and `plant`, with the project's folder as
current folder.

Not nice yet: setuptools compiles an extension's files one after the other, and all of them when one has changed.
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cffi import FFI

# The same bits on every instruction set: no contraction to fused multiply-add, no reordering of floating-point sums.
# The flag -fno-math-errno lets sqrt be one instruction, which is exact by IEEE 754. A file that uses a wider
# instruction set says so itself (#pragma GCC target), since the choice is made while running. Symbols are hidden
# because two extensions are loaded into one process. Python adds -DNDEBUG to extensions; the assertions are at work
# in the C tests.
FLAGS = [
    "-std=c11",
    "-O3",
    "-D_GNU_SOURCE",
    "-ffp-contract=off",
    "-fno-fast-math",
    "-fno-math-errno",  # behind the flag above, which would turn errno on again
    "-fvisibility=hidden",
    "-pthread",
]

# For our own files. The extensions are built without -Wconversion, which the glue written by cffi does not satisfy, and
# without -Werror, since a newer compiler's new warning must not stop a user's installation. `make check` compiles
# each of our files with all of them and with -Werror.
WARNINGS = ["-Wall", "-Wextra", "-Wconversion"]

# The stable ABI of this Python version: one wheel serves it and every later one.
ABI3 = ("Py_LIMITED_API", "0x030B0000")

_SKIPPED = re.compile(r"/\* cffi: skip \*/.*?/\* cffi: end \*/", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_CONTINUED = re.compile(r"\\\n")
_CONSTANT = re.compile(r"\s*#\s*define\s+(\w+)\s+\(?(-?(?:0[xX][0-9a-fA-F]+|\d+))[uUlL]*\)?\s*$")


def declarations(header: str) -> str:
    """Return the text of a C header as cffi's cdef reads it.

    Skipped parts, comments and preprocessor lines go, except those that define an integer literal: cffi knows the
    value (an array's length may name it) and compares it with the compiler's when the extension is imported.
    """
    text = _CONTINUED.sub(" ", _COMMENT.sub(" ", _SKIPPED.sub("", header)))
    lines = []
    for line in text.splitlines():
        constant = _CONSTANT.match(line)
        if constant:
            lines.append(f"#define {constant[1]} {constant[2]}")
        elif not line.lstrip().startswith("#"):
            lines.append(line)
    return "\n".join(lines)


def extension(name: str, folder: str, headers: list[str]) -> "FFI":
    """Return the cffi builder of the extension `name`: all C files of ffi/`folder`, its face declared by `headers`."""
    from cffi import FFI

    root = Path("ffi")
    builder = FFI()
    builder.cdef("\n".join(declarations((root / header).read_text(encoding="utf-8")) for header in headers))
    builder.set_source(
        name,
        "".join(f'#include "{header}"\n' for header in headers),
        sources=sorted(map(str, (root / folder).glob("*.c"))),
        depends=sorted(map(str, [*root.glob("*.h"), *(root / folder).glob("*.h"), root / "build.py"])),
        include_dirs=[str(root)],
        define_macros=[ABI3],
        py_limited_api=True,
        extra_compile_args=[*FLAGS, "-Wall"],
        extra_link_args=["-pthread"],
        libraries=["m"],
    )
    return builder


def core() -> "FFI":
    """Return the builder of the real-time kernel, `qrt._core`."""
    return extension("qrt._core", "core", ["qrt_port.h", "qrt_core.h"])


def plant() -> "FFI":
    """Return the builder of the simulated hardware, `qrt.firmware_sim._plant`."""
    return extension("qrt.firmware_sim._plant", "plant", ["qrt_port.h", "qrt_plant.h"])


if __name__ == "__main__":
    for group in sys.argv[1:]:
        print(*{"FLAGS": FLAGS, "WARNINGS": WARNINGS}[group])
