"""A law for tests that misbehaves when it is told to: in the batch whose epoch in force is `at`, in the way that `kind` names."""

import ctypes
import os
import signal
import sys
import threading
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from qrt.control import Law


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it does and when; every other step adds `gain`."""

    kind: str = ""
    at: int = -1
    gain: float = 0.0


class State(NamedTuple):
    """How many steps were taken."""

    step_count: jax.Array


def leave(epoch):
    sys.exit("enough")


def compile_more(epoch):
    return np.float64(jax.jit(lambda x: x * 2.0)(np.zeros(int(epoch) + 2)).sum())


def slow(epoch):
    threading.Event().wait(0.3)
    return np.float64(0.0)


KINDS = {
    "raise": lambda _: 1 / 0,
    "nan": lambda _: np.float64("nan"),
    "inf": lambda _: np.float64("inf"),
    "shape": lambda _: np.zeros(3),
    "dtype": lambda _: "text",
    "range": lambda _: np.float64(1e6),
    "print": lambda _: np.float64(print("hello") is None) * 0.0,
    "write": lambda _: np.float64(os.write(1, b"x" * 100_000)) * 0.0,
    "leave": leave,
    "hang": lambda _: threading.Event().wait(),
    "slow": slow,
    "exit": lambda _: os._exit(7),
    "segfault": lambda _: ctypes.string_at(0),
    "killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "compile": compile_more,
}


def act(kind, at, epoch):
    return KINDS[kind](epoch) if int(epoch) == at else np.float64(0.0)


def init(parameters, value):
    return State(jnp.int64(0))


def step(parameters, state, seen):
    extra = jnp.float64(0.0)
    if parameters.kind:
        call = partial(act, parameters.kind, parameters.at)
        extra = jax.pure_callback(call, jax.ShapeDtypeStruct((), jnp.float64), seen.epoch[-1])
    return State(state.step_count + 1), seen.previous + parameters.gain + extra


LAW = Law(Parameters, init, step)
