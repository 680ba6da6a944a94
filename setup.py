"""What pyproject.toml cannot say of the build: which C extensions there are, and which Pythons one wheel serves.

cffi reads ffi/build.py and adds one extension for each function named here. They are compiled for the stable ABI of
Python 3.11, which every later Python keeps; pyproject.toml has a place for that too, but setuptools warns about it at
every build.
"""

from setuptools import setup

setup(
    cffi_modules=["ffi/build.py:core", "ffi/build.py:plant"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
