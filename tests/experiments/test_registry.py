"""``+experiment=registry``: what it prints, and what it refuses before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from automl.data.sources.frame import FrameSource
from automl.deploy.registry import Registry
from automl.errors import UserError
from experiments.configuration import CONF
from experiments.registry import done, options_of, show
from tests.experiments.predict.bundles import bundle_of, people

ROOT = Path(__file__).resolve().parents[2]


def options(*typed: str, **values: Any) -> dict[str, str]:
    cfg = OmegaConf.load(CONF / "experiment/registry.yaml")
    return options_of(OmegaConf.merge(cfg, values), typed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("made")
    sources = [FrameSource(people(60, seed), target="size").load() for seed in range(2)]
    return [str(bundle_of(folder / str(at), source, "multiclass")) for at, source in enumerate(sources)]


def test_what_a_person_does(bundles, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    place = str(tmp_path / "registry")
    registry = Registry(place)

    def told(**values: Any) -> str:
        return done(registry, options(registry=place, **values))

    show(registry)
    assert capsys.readouterr().out == f"{place} holds no models; do=add name=... bundle=... takes one\n"
    first = told(do="add", name="price", bundle=bundles[0])
    assert first.startswith("price@") and "do=promote version=" in first
    one = first[6:22]
    assert told(do="promote", name="price", version=one[:7]) == f"price@champion is {one}"
    second = told(do="add", name="price", bundle=bundles[1], alias="challenger")
    assert second.endswith(", as challenger")
    two = second[6:22]
    assert told(do="promote", name="price", version="challenger") == f"price@champion is {two}"
    assert told(do="rollback", name="price") == f"price@champion is {one}"
    assert told(do="drop", name="price", alias="challenger").startswith("price@challenger is taken away; do=rollback")
    last = told(do="drop", name="price", alias="champion")
    assert "it was the last one, so nothing answers for price" in last
    assert told(do="rollback", name="price") == f"price@champion is {one}"
    show(registry, "price")
    lines = capsys.readouterr().out.splitlines()
    assert [w for w in ("price", one[:12], "champion", "multiclass", "accuracy") if w not in lines[3]] == []
    assert two[:12] in lines[4] and "champion" not in lines[4]
    (registry.folder / "names/rent.json").write_text("{")
    (registry.resolve(f"price@{two}").folder / "model.onnx").unlink()
    show(registry)
    shown = capsys.readouterr().out
    assert "rent.json cannot be read" in shown.replace("\n", " ") and "broken" in shown
    with pytest.raises(UserError, match="cannot be read"):
        show(registry, "rent")
    assert told(do="drop", name="price", version=two[:6]) == f"price@{two} is forgotten"
    (registry.folder / "names/rent.json").unlink()
    # Its copy stayed, as rent.json might have held it too.
    assert told(do="clean") == f"{two} removed: copies that no name holds"
    assert told(do="clean") == "no copy is without a name"
    left = registry.folder / "bundles" / ("0" * 16)
    left.mkdir()
    show(registry)
    assert f"{left} is of no name" in capsys.readouterr().out
    assert told(do="clean") == f"{'0' * 16} removed: copies that no name holds" and not left.exists()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"do": "delete"}, "do=delete is unknown; use one of: list, add, promote, rollback, drop, clean"),
        ({"do": "add", "name": "x"}, "bundle is missing, and do=add needs it. Set bundle=..."),
        ({"do": "add", "name": "x", "bundle": "nowhere"}, "nowhere does not exist"),
        ({"do": "add", "name": "x", "bundle": ".", "version": "abcdef"}, "version=abcdef does nothing with do=add"),
        ({"do": "promote", "version": "abcdef"}, "name is missing, and do=promote needs it"),
        ({"do": "drop", "name": "x"}, "set one"),
        ({"do": "drop", "name": "x", "version": "abcdef", "alias": "a"}, "set one"),
        ({"bundle": "x"}, "bundle=x does nothing with do=list"),
        ({"registry": None}, "registry is missing"),
        ({"name": ["a"]}, "name=['a'] must be text"),
    ],
)
def test_options_that_cannot_be(values, line):
    with pytest.raises(UserError) as error:
        options(**values)
    assert line in str(error.value)


def test_a_digest_that_looks_like_a_number_is_taken_as_it_was_typed():
    known = options("version=123e45", "+name=007", do="promote", version=123e45, name=7)
    assert (known["version"], known["name"]) == ("123e45", "007")


def test_as_a_process_a_wrong_option_is_told_before_the_heavy_imports(tmp_path):
    code = (
        "import sys, run\nfrom experiments.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        "    assert end.code == 2 and not {'pandas', 'onnxruntime', 'torch'} & sys.modules.keys()\n"
    )
    words = ["+experiment=registry", "do=promote", "name=price", f"hydra.run.dir={tmp_path}/out"]
    run = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, ""), run.stderr
    assert run.stderr == "Error: version is missing, and do=promote needs it. Set version=...\n"
