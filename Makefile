# One command for each thing that one does here; `make` alone lists them.
#
# Everything is kept in the folder: a virtual environment in .venv, made from requirements.lock and made again only when the
# lock changes, and what the C compiler leaves in build/c. The flags of the C files come from ffi/build.py, so that the C
# tests are compiled like the extensions.
#
# A C test is one file in ffi/ with its own main(): test_plant*.c is linked with ffi/plant/*.c, test_loop*.c with both halves,
# every other test_*.c with ffi/core/*.c.

PYTHON ?= python3
CC ?= cc
VENV := .venv
BIN := $(VENV)/bin

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help preflight venv demo test check prove bench wheel lock format notebooks clean c-test c-asan c-tsan c-plain

help:
	@echo "make demo     set everything up, run the main job"
	@echo "make test     set everything up, run the C tests and the Python tests"
	@echo "make check    lint, types, import arrows, C tests under sanitizers"
	@echo "make prove    the long proofs          make bench   measure, write benchmarks/results.json"
	@echo "make wheel    build dist/*.whl         make venv    only set everything up"
	@echo "make format   format the Python files  make lock    choose versions anew"
	@echo "make notebooks  execute those of examples/ anew, outputs and all"
	@echo "make clean    remove all that was made, the virtual environment too"

demo: venv
	@$(BIN)/qrt demo

test: venv c-test
	@echo "== pytest"
	@$(BIN)/python -m pytest

check: venv
	@echo "== ruff"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== import arrows"
	@$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory -j2 c-asan c-tsan
	@echo "== check: all passed"

# pytest says with status 5 that it found no test: then there is no long proof yet, which is no failure.
prove: venv
	@$(BIN)/python -m pytest -m prove || { status=$$?; [ $$status -eq 5 ] && echo "no long proof yet"; }

bench: venv
	@$(BIN)/python -m benchmarks

wheel: venv
	@rm -rf build/lib* build/bdist* build/temp*
	@$(BIN)/python -m pip wheel -qq --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

format: venv
	@$(BIN)/ruff check --fix --exit-zero
	@$(BIN)/ruff format

notebooks: venv
	@$(BIN)/python -m tests.notebook examples/*.ipynb

# Versions for every Python that the project supports, one set for all, each with the hashes of all its files. uv only chooses;
# pip installs. It is no part of the environment that it describes.
lock: preflight
	@$(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install -qq uv
	@build/lock/bin/uv pip compile --quiet --upgrade --universal --fork-strategy fewest --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --no-annotate \
		--group pyproject.toml:dev --group pyproject.toml:build pyproject.toml --output-file build/requirements.lock
	@{ echo "# Exact versions and hashes for pyproject.toml with its groups dev and build. Written by \`make lock\`, not by hand."; \
		cat build/requirements.lock; } > requirements.lock
	@grep -c == requirements.lock | sed 's/$$/ packages locked/'

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -f qrt/*.so firmware_sim/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- What a machine must have. Each missing thing is one line that names its fix; Debian's and Ubuntu's package names.

define PYTHON_CHECK
import os, sys, sysconfig
if sys.version_info < (3, 11):
    sys.exit("error: Python 3.11 or newer is needed, $(PYTHON) is %d.%d; fix: make PYTHON=python3.11 (after apt-get install python3.11)" % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError:
    sys.exit("error: $(PYTHON) cannot make a virtual environment; fix: apt-get install python%d.%d-venv" % sys.version_info[:2])
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit("error: the headers of $(PYTHON) are missing (Python.h); fix: apt-get install python%d.%d-dev" % sys.version_info[:2])
endef
export PYTHON_CHECK

preflight:
	@[ "$$(uname -s)" = Linux ] || { echo "error: Linux is needed, this is $$(uname -s)"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is missing; fix: apt-get install python3 python3-venv python3-dev"; exit 1; }
	@$(PYTHON) -c "$$PYTHON_CHECK"
	@command -v $(CC) >/dev/null || { echo "error: a C compiler is missing ($(CC)); fix: apt-get install gcc libc6-dev"; exit 1; }
	@echo '#include <stdint.h>' | $(CC) -E - >/dev/null 2>&1 || \
		{ echo "error: $(CC) finds no C library headers; fix: apt-get install libc6-dev"; exit 1; }
	@echo 'int main(void) { return 0; }' | $(CC) -x c - -o /dev/null >/dev/null 2>&1 || \
		{ echo "error: $(CC) cannot link a program; fix: apt-get install gcc libc6-dev"; exit 1; }

# ---- The virtual environment: two stamps, one for the libraries, one for our own package with its extensions.

LIBRARIES := $(VENV)/libraries.stamp
INSTALLED := $(VENV)/installed.stamp
FFI := $(wildcard ffi/build.py ffi/*.h ffi/core/*.[ch] ffi/plant/*.[ch])

venv: $(INSTALLED)

$(LIBRARIES): requirements.lock | preflight
	@echo "== libraries: $(VENV) from requirements.lock (about a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --require-hashes -r requirements.lock || \
		{ echo "error: pip could not install requirements.lock (its last lines are above); fix: check the network or pip's configuration, then make again"; exit 1; }
	@touch $@

$(INSTALLED): $(LIBRARIES) pyproject.toml setup.py $(FFI) | preflight
	@echo "== qrt: compile both extensions, install in place"
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# ---- The C tests. A variant is a set of flags with a folder of its own.

C_FLAGS = $(shell $(PYTHON) ffi/build.py FLAGS WARNINGS) -Iffi -g
FLAGS_plain :=
FLAGS_asan := -Werror -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan := -Werror -O1 -fno-omit-frame-pointer -fsanitize=thread

# Under much address randomisation the thread sanitizer of some compilers does not start; where the system lets us, it runs
# without. Where a container forbids that, it is tried as it is.
RUN_plain :=
RUN_asan := ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
RUN_tsan := TSAN_OPTIONS=halt_on_error=1 $(shell setarch -R true >/dev/null 2>&1 && echo setarch -R)

SOURCES_core := $(wildcard ffi/core/*.c)
SOURCES_plant := $(wildcard ffi/plant/*.c)
TESTS_plant := $(wildcard ffi/test_plant*.c)
TESTS_loop := $(wildcard ffi/test_loop*.c)
TESTS_core := $(filter-out $(TESTS_plant) $(TESTS_loop),$(wildcard ffi/test_*.c))
HEADERS := $(wildcard ffi/*.h ffi/core/*.h ffi/plant/*.h)

# Under the thread sanitizer run the tests of the core, which has the threads, and whatever asks for it by its name.
TESTS_plain := $(TESTS_core) $(TESTS_plant) $(TESTS_loop)
TESTS_asan := $(TESTS_plain)
TESTS_tsan := $(sort $(filter ffi/test_core%,$(TESTS_core)) $(wildcard ffi/test_*tsan*.c))

define VARIANT
build/c/$(1)/%.o: ffi/%.c $(HEADERS) ffi/build.py Makefile
	@mkdir -p $$(@D)
	@echo "cc $(1) $$<"
	@$(CC) $$(C_FLAGS) $$(FLAGS_$(1)) -c $$< -o $$@

$(foreach test,$(TESTS_core),$(call LINK,$(1),$(test),$(SOURCES_core)))
$(foreach test,$(TESTS_plant),$(call LINK,$(1),$(test),$(SOURCES_plant)))
$(foreach test,$(TESTS_loop),$(call LINK,$(1),$(test),$(SOURCES_core) $(SOURCES_plant)))

c-$(1): $(patsubst ffi/%.c,build/c/$(1)/%,$(TESTS_$(1)))
	@echo "== C tests, $(1): $$(if $$^,$$(words $$^) programs,none yet)"
	@for test in $$^; do echo "run $(1) $$$$test"; $$(RUN_$(1)) $$$$test || { echo "error: $$$$test failed"; exit 1; }; done
endef

define LINK
build/c/$(1)/$(2:ffi/%.c=%): $(patsubst ffi/%.c,build/c/$(1)/%.o,$(2) $(3))
	@$(CC) $$(FLAGS_$(1)) $$^ -o $$@ -pthread -lm

endef

$(eval $(call VARIANT,plain))
$(eval $(call VARIANT,asan))
$(eval $(call VARIANT,tsan))

c-test: preflight c-plain
