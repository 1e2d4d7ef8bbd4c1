"""The process that the workers of ``processes`` are forked from: it imports all that a training needs, once.

It is a new interpreter that never sees the program's main module, so none is run again, whatever it is: a script
without a guard, a notebook, standard input. Until a fork nothing may start a thread or touch a GPU here: neither
outlives it (a lock that a thread held stays locked for ever). So the job is read by the workers alone.

It ends, and its workers with it, when the program does that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import mmap
import os
import pkgutil
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from pickle import loads
from typing import Any

from nas.engines.pool import NICE, Lost
from nas.job import Job, one_line

LOOK = 1.0  # seconds between two looks at who has ended
PR_SET_PDEATHSIG = 1  # of Linux: the signal that a process gets when its parent ends

Spans = Sequence[tuple[int, int]]
"""Where the pieces of a job lie in its file: how it is pickled, then its arrays."""


def main(line: int, program: int, threads: int) -> None:
    """``line``: to the engine. ``program``: the process that it is in. ``threads``: torch threads of a worker."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # of a terminal, a batch system: the program hears them and ends us
        signal.signal(signum, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else who ended is not told, where a caller ignored it
    control, children = Connection(line), dict[int, int]()
    try:
        os.nice(NICE)
        preload()
        control.send("")
        while True:
            while not control.poll(LOOK):
                reap(children)
                if os.getppid() != program:
                    return
            word, number, environment = control.recv()
            reap(children)
            if word == "end":
                if number in children:
                    os.kill(children[number], signal.SIGKILL)
                continue
            handle = recv_handle(control)
            with contextlib.suppress(OSError):  # no memory: the engine sees that nobody has the other end
                children[number] = fork(handle, control, threads, environment)
            os.close(handle)
    except EOFError:  # the engine has no more use for it
        pass
    except Exception as error:
        with contextlib.suppress(OSError):
            control.send(one_line(error))
    finally:
        for pid in children.values():
            os.kill(pid, signal.SIGKILL)
        for pid in children.values():
            os.waitpid(pid, 0)
        os._exit(0)  # freeing what torch brought, object by object, takes two seconds


def preload() -> None:
    """Import all that a training needs, before there is one."""
    import nas.families

    for name in ("torch._dynamo", "nas.evaluate", "threadpoolctl"):  # optimizers import the first
        importlib.import_module(name)
    for module in pkgutil.iter_modules(nas.families.__path__, "nas.families."):
        importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # a collection would write to every page that workers share


def reap(children: dict[int, int]) -> None:
    """Forget those that have ended. Till then their process ids are nobody else's."""
    for number, pid in tuple(children.items()):
        if os.waitpid(pid, os.WNOHANG)[0]:
            del children[number]


def fork(handle: int, control: Connection, threads: int, environment: Mapping[str, str]) -> int:
    """Begin a worker that is spoken to by ``handle``; its process id."""
    nursery = os.getpid()
    if pid := os.fork():
        return pid
    try:
        control.close()
        end_with(nursery)
        os.environ.update(environment)
        work(Connection(handle), threads)
    finally:
        os._exit(0)


def end_with(parent: int) -> None:
    """End when the parent does, also in the middle of a training, where the system knows how. And be the first to go
    where memory is short: the program can do without a worker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != parent:
        os._exit(0)


def work(line: Connection, threads: int) -> None:
    """A worker: train what is asked for, one order after the other, until nobody asks any more."""
    import torch

    from nas.evaluate import evaluate

    if threads > 1:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)  # the nursery's libraries have one
    torch.set_num_threads(threads)
    job: Job | None = None
    with contextlib.suppress(EOFError):
        while True:
            word, what = line.recv()
            if word == "train":
                assert job is not None
                line.send(evaluate(job, what))
                continue
            try:
                if word == "make":
                    line.send((what(job),))
                    continue
                job = None if what is None else read_job(recv_handle(line), what)
                line.send(os.getpid())
            except Exception as error:  # a family that cannot be imported here
                line.send(Lost(one_line(error)))


def read_job(handle: int, spans: Spans) -> Job:
    """Its arrays are read-only, and their memory is that of the file: all workers share it."""
    with os.fdopen(handle, "rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    plain, *arrays = (whole[first:last] for first, last in spans)
    job: Any = loads(plain, buffers=arrays)
    return job
