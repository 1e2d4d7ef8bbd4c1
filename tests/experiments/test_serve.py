"""The options of a server, as the command line gives them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from automl.errors import UserError
from automl.serve.settings import Settings
from experiments.compose import composed
from experiments.jobs.settings import Jobs
from experiments.serve import COMMANDS, jobs_of, on_ray, run, settings_of


def settings(*words: str, token: str | None = None) -> Settings:
    return settings_of(composed(["+experiment=serve", "family=[mlp]", *words]), token)


def test_the_recipe_has_every_option_with_its_default(tmp_path: Path) -> None:
    given = settings(f"bundle={tmp_path}")
    assert given == Settings(bundle=str(tmp_path), state="outputs/serve")
    assert settings(f"registry={tmp_path}", "limits.rows=7", "hosts=[a.example]").limits.rows == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["registry=null"], "set bundle=FOLDER or registry=FOLDER"),
        (["bundle=nothing-here"], "bundle"),
        (["bundle=.", "workers=0"], "workers=0 must be at least 1"),
        (["bundle=.", "workers=two"], "workers=two must be a whole number"),
        (["bundle=.", "canary=2"], "canary=2 must be a share"),
        (["bundle=.", "host=0.0.0.0"], "LEVEL4_TOKEN"),
        (["bundle=.", "limits.rows=0"], "limits.rows=0 must be above 0"),
        (["bundle=.", "limits.bytes=many"], "limits.bytes=many"),
        (["bundle=.", "hosts=a"], "hosts=a must be a list of text. Write 'hosts="),
        (["bundle=.", "port=99999"], "port=99999"),
    ],
)
def test_a_wrong_option_is_one_line(words: list[str], told: str) -> None:
    with pytest.raises(UserError) as caught:
        settings(*words)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_bundle_is_no_registry(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(UserError, match="Set bundle="):
        settings(f"registry={tmp_path}")


def test_another_server_is_one_line() -> None:
    with pytest.raises(UserError, match="server=flask must be one of: uvicorn, ray"):
        run(composed(["+experiment=serve", "family=[mlp]", "bundle=.", "server=flask"]))


def test_without_ray_serve_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'level4\[ray-serve\]'"):
        on_ray(Settings(bundle="."))


def test_jobs_are_taken_where_they_are_asked_for(tmp_path: Path) -> None:
    assert jobs_of(composed(["+experiment=serve", "family=[mlp]", "bundle=."])) is None
    cfg = composed(
        ["+experiment=serve", "family=[mlp]", "jobs=true", f"state={tmp_path}/state", "store.url=sqlite:///past.db"]
    )
    assert jobs_of(cfg) == Jobs(**COMMANDS, store="sqlite:///past.db")
    found = settings_of(cfg, None)
    assert found.registry == str(tmp_path / "state" / "registry") and found.bundle is None  # it serves nothing yet


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["jobs=yes"], "jobs=yes must be true or false"),
        (["jobs=true", "state=null"], "Set state=FOLDER"),
        (["jobs=true", "job.at_once=0"], "job.at_once=0 must be at least 1"),
        (["jobs=true", "job.seconds=long"], "job.seconds=long must be a number"),
        (["jobs=true", "job.datasets=nothing-here"], "job.datasets"),
        (["jobs=true", "server=ray"], "does not go with server=ray"),
    ],
)
def test_a_wrong_option_of_jobs_is_one_line(words: list[str], told: str) -> None:
    with pytest.raises(UserError) as caught:
        run(composed(["+experiment=serve", "family=[mlp]", "bundle=.", *words]))
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_broken_table_of_jobs_is_told_before_the_server_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *of: pytest.fail("it became a server"))
    jobs = tmp_path / "state" / "jobs"
    jobs.mkdir(parents=True)
    (jobs / "jobs.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match=r"jobs\.db holds no jobs that can be read .+ Move it away") as caught:
        run(composed(["+experiment=serve", "jobs=true", f"state={tmp_path / 'state'}"]))
    assert "\n" not in str(caught.value)


def test_what_a_server_writes_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *of: None)
    run(composed(["+experiment=serve", "jobs=true", f"state={tmp_path / 'state'}"]))
    assert [(tmp_path / "state" / name).stat().st_mode & 0o077 for name in (".", "jobs", "registry")] == [0, 0, 0]
