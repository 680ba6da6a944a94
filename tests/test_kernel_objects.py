"""What the objects of both C halves ask of the C library: no heap and no text."""

import importlib.util
import subprocess

FORBIDDEN = {
    *("malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign", "memalign", "strdup"),
    *("printf", "fprintf", "dprintf", "vprintf", "vfprintf", "puts", "fputs", "putchar", "fwrite", "write", "perror"),
    *("__printf_chk", "__fprintf_chk", "stdout", "stderr", "exit", "abort", "__assert_fail"),
}


def test_objects_import_neither_heap_nor_text(project, tmp_path):
    spec = importlib.util.spec_from_file_location("ffi_build", project / "ffi/build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    sources = [str(path) for half in ("core", "plant") for path in sorted((project / "ffi" / half).glob("*.c"))]
    flags = [*build.FLAGS, "-O1", f"-I{project / 'ffi'}"]
    subprocess.run(["gcc", *flags, "-c", *sources], cwd=tmp_path, check=True)
    objects = sorted(map(str, tmp_path.glob("*.o")))
    assert len(objects) == len(sources) >= 10
    listed = subprocess.run(["nm", "-u", *objects], capture_output=True, text=True, check=True).stdout
    imported = {line.split()[-1].split("@")[0] for line in listed.splitlines() if line.startswith(" ")}
    assert "pthread_create" in imported  # the list is read rightly
    assert imported & FORBIDDEN == set()
