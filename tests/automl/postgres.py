"""A PostgreSQL server of the tests' own: started on a socket in a temporary folder, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A URL with ``{name}`` for the database, of which none but ``postgres`` exists yet.

    Skips, with the reason, when no server can be started here.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    folder = Path(on_path).parent if on_path else next(iter(programs), None)
    if folder is None or not (folder / "pg_ctl").exists():
        pytest.skip("no PostgreSQL programs (initdb, pg_ctl). On Debian: apt-get install postgresql")
    user, home = None, Path(tempfile.mkdtemp(prefix="pg"))
    try:
        if os.geteuid() == 0:  # the server refuses to run as root
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("running as root and there is no user 'postgres' to start a server as")
            os.chown(home, user.pw_uid, user.pw_gid)

        def call(*command: str) -> None:
            who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
            # Output into a file: the server would keep a pipe open, and the call would wait for ever.
            with (home / "call.log").open("w") as log:
                done = subprocess.run(command, stdout=log, stderr=log, cwd=home, timeout=60, **who)  # type: ignore[call-overload]
            if done.returncode:
                pytest.skip(f"PostgreSQL does not start: {(home / 'call.log').read_text().strip().splitlines()[-1:]}")

        data, settings = home / "data", f"-k {home} -c listen_addresses= -c fsync=off -c max_connections=20"
        call(
            f"{folder}/initdb",
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        )
        call(f"{folder}/pg_ctl", "-D", str(data), "-w", "-l", str(home / "server.log"), "-o", settings, "start")
        try:
            yield f"postgresql://postgres@/{{name}}?host={home}"
        finally:
            call(f"{folder}/pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
