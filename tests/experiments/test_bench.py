"""What all benchmarks have in common: a recipe, checked options, a measured process of its own."""

from __future__ import annotations

import os
import pkgutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from automl.errors import UserError
from experiments import bench
from experiments.bench import alone, kept_rows, options_from
from experiments.settings import check, refuse_unread
from tests.experiments.recipes import recipe

NAMES = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if not m.name.startswith("_"))
THERE = {"root": ".", "data": ".", "runs": ["."]}
GONE = {"root": "gone", "data": "gone", "runs": [".", "gone"]}


@dataclass(frozen=True)
class Asked:
    root: Path | None
    runs: list[Path]
    code: dict[str, str] | None
    sets: list[str]
    seed: int
    each: int | None
    share: float
    change: Literal["no", "yes"]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_asks_for_what_its_benchmark_reads_and_for_nothing_else(name):
    plain = OmegaConf.to_container(recipe(name))
    assert isinstance(plain, dict) and set(plain) - {"defaults"} == {"bench", "run", "reads", *plain["reads"]}
    assert plain["reads"][0] == "bench" and plain["run"] == {"_target_": f"experiments.bench.{name}.run"}
    asked = get_object(f"experiments.bench.{name}.Asked")
    assert list(plain["bench"]) == [field.name for field in fields(asked)]

    needed = [option for option, value in plain["bench"].items() if value == "???"]
    if needed:
        with pytest.raises(UserError, match=rf"^bench.{needed[0]} is missing. Set bench.{needed[0]}=...$"):
            check(recipe(name))
        with pytest.raises(UserError, match=rf"^gone does not exist.* Set bench.{needed[0]}="):
            check(recipe(name, **{option: GONE[option] for option in needed}))
    cfg = recipe(name, **{option: THERE[option] for option in needed})
    check(cfg)
    assert isinstance(options_from(cfg, asked), asked)
    refuse_unread(cfg, [f"+experiment=bench/{name}", "bench.x=1"])
    with pytest.raises(UserError, match="seed=1 does nothing here: the recipe reads bench"):
        refuse_unread(cfg, ["seed=1"])


def bench_cfg(**changes: Any):
    fine = {"root": None, "runs": ["a"], "code": None, "sets": [], "seed": 0}
    return OmegaConf.create({"bench": {**fine, "each": None, "share": 0.1, "change": "no", **changes}})


def test_options_become_what_their_fields_say():
    asked = options_from(bench_cfg(root="r", code={"a": "b"}, each=3, share=1), Asked)
    assert asked == Asked(Path("r"), [Path("a")], {"a": "b"}, [], 0, 3, 1, "no")
    assert options_from(bench_cfg(), Asked).root is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"root": 3}, """bench.root=3 must be text or null. Write 'bench.root="3"'"""),
        ({"runs": "a b"}, """bench.runs=a b must be a list of text. Write 'bench.runs=["a b"]'"""),
        ({"runs": []}, "bench.runs=[] is empty. Set bench.runs=[...]"),
        ({"sets": [1, 2]}, """bench.sets=[1, 2] must be a list of text. Write 'bench.sets=["1","2"]'"""),
        ({"code": ["a"]}, "bench.code=['a'] must be a mapping of text or null"),
        ({"seed": -1}, "bench.seed=-1 must be 0 or more"),
        ({"seed": True}, "bench.seed=true must be a whole number"),
        ({"each": 0}, "bench.each=0 must be above 0"),
        ({"each": 1.5}, "bench.each=1.5 must be a whole number or null"),
        ({"share": float("nan")}, "bench.share=nan must be above 0"),
        ({"change": "maybe"}, "bench.change=maybe must be one of no, yes"),
        ({"kernels": 3}, "+bench.kernels: options are neither added nor taken away here. Leave it out"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(changes, line):
    with pytest.raises(UserError) as caught:
        options_from(bench_cfg(**changes), Asked)
    assert str(caught.value).startswith(line)


def test_what_was_taken_away_is_told():
    cfg = bench_cfg()
    del cfg.bench["seed"]
    with pytest.raises(UserError, match=r"^~bench.seed: .* Leave it out"):
        options_from(cfg, Asked)
    with pytest.raises(UserError, match="bench=3 must be options"):
        check(OmegaConf.create({"bench": 3, "reads": ["bench"]}))


def test_where_rows_are_kept_is_looked_at_before_anything_runs(tmp_path):
    assert kept_rows(tmp_path / "new" / "rows.jsonl") == []
    (tmp_path / "rows").write_text('{"a": 1}\n{"a": 2}\n')
    assert kept_rows(tmp_path / "rows") == [{"a": 1}, {"a": 2}]
    (tmp_path / "rows").write_text('{"a": 1}\n{"a": 2')
    assert kept_rows(tmp_path / "rows") == [{"a": 1}] and (tmp_path / "rows").read_text() == '{"a": 1}\n', "cut"
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "text").write_text("no rows\n")
    for out in (tmp_path / "text", tmp_path / "notes", tmp_path):
        with pytest.raises(UserError, match=r"holds no rows of a benchmark. Set bench.out=FILE"):
            kept_rows(out)
    assert (tmp_path / "notes").read_text() == "mine", "what is no rows is left as it is"
    with pytest.raises(UserError, match=r"bench.out=.* cannot be written"):
        kept_rows(tmp_path / "text" / "rows.jsonl")


def test_a_measured_process_is_another_one_and_its_end_is_told():
    assert alone(os.getpid) != os.getpid()
    with pytest.raises(SystemExit, match="the measured process was killed"):
        alone(os._exit, 1)
