"""Every option does something or is refused in one line."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import hydra.utils
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from automl.data.prepare import prepare
from automl.data.quality import REPAIRS
from automl.errors import UserError
from experiments.compose import composed
from experiments.configuration import CONF, by_default
from experiments.explain import explain, quoted
from experiments.options import fits, made, task_options
from experiments.settings import check, keep_config, plain_config, refuse_unread, same
from experiments.settings import settings as scalars
from experiments.solve import python as module
from experiments.solve.prior import level_of
from experiments.solve.python import solve
from experiments.solve.resumed import shaping
from experiments.solve.run import start

TABLE = pd.DataFrame({"a": np.arange(40.0), "g": np.arange(40) // 4, "t": np.arange(40), "y": np.arange(40) % 2})


FEW = ["family=[mlp]"]  # each takes its time to be read


@pytest.fixture
def source(monkeypatch):
    """What ``solve`` would load, and the configuration that it would keep."""

    def of(data, target=None, *overrides, **more):
        found = []
        monkeypatch.setattr(module, "start", lambda cfg, out, source, _: found.append((source, cfg)))
        solve(data, target, overrides=[*FEW, *overrides], **more)
        return found[0]

    return of


@pytest.mark.parametrize("kind", ["frame", "file", "array"])
def test_solve_takes_every_option_of_the_data(kind, source, tmp_path):
    data, target = TABLE, "y"
    if kind == "file":
        data = tmp_path / "it's ${x} (1), a.csv"
        TABLE.to_csv(data, index=False)
    elif kind == "array":
        data, target = TABLE.drop(columns="y"), TABLE["y"].to_numpy()
    loaded, cfg = source(data, target, "data.time=t", "data.group=g", "data.name=mine")
    dataset = loaded.load()
    assert dataset.time is not None and dataset.time.tolist() == list(range(40))
    assert dataset.group is not None and dataset.group.tolist() == TABLE["g"].tolist()
    assert list(dataset.table) == ["a"] and dataset.name == "mine"
    assert (cfg.data.time, cfg.data.group, cfg.data.name) == ("t", "g", "mine")
    assert kind == "array" or cfg.data.target == "y"


def test_solve_takes_another_source_for_a_path(source, tmp_path):
    TABLE.assign(words="some words").to_csv(tmp_path / "a.csv", index=False)
    loaded, _ = source(tmp_path / "a.csv", "y", "data=text", "data.text=words")
    assert type(loaded).__name__ == "TextSource" and loaded.load().modalities == {"words": "text"}


def test_a_column_may_be_named_by_a_number(source):
    frame = pd.DataFrame({0: np.arange(40.0), 1: np.arange(40) % 2})
    assert source(frame, 1)[0].load().target.tolist() == frame[1].tolist()


def test_several_targets_of_a_file_are_refused_too(source, tmp_path):
    with pytest.raises(UserError, match="one column is learned at a time"):
        source(tmp_path / "a.csv", ["a", "y"])


REFUSED = [
    (("y", "data.tme=t"), {}, "no option 'data.tme'. Did you mean 'time'?"),
    (("y", "data=audio_folder"), {}, "takes no data"),
    ((["a", "y"],), {}, "one column is learned at a time"),
    (("y", "+experiment=inspect"), {}, "solve() makes one model"),
    (("y", "task.goal=0.95"), {}, """task.goal=0.95 must be text. Write 'task.goal="0.95"'"""),
    (("y",), {"trials": 0}, "budget.trials=0 must be a whole number of at least 1"),
    (("y",), {"seconds": 0}, "budget.seconds=0 must be a number above 0"),
    (("y",), {"seconds": float("inf")}, "budget.seconds="),
    (("y",), {"seconds": None}, "a search without an end"),
    (("y", "level=3"), {}, "no option 'level'"),
    (("y", "data.horizon=7"), {}, "forecasts of several steps are not made"),
    (("y", "engine=sequential", "engine.trial_seconds=-1"), {}, "engine.trial_seconds=-1 must be a number above 0"),
    (("y", "engine=sequential", "engine.threads=0"), {}, "engine: threads=0 must be at least 1"),
    (("y", "engine=sequential", "strategy.eta=1"), {}, "strategy: eta=1 must be at least 2"),
    (("y", "engine=sequential", "strategy=darts", "strategy.share=7"), {}, "strategy: share=7 must be from 0.01 to 1"),
    (("y", "engine=sequential", "metalearner.cold=7"), {}, "metalearner: cold=7 must be from 0.001 to 0.999"),
    (("y", "engine=sequential", "metalearner.processes=0"), {}, "metalearner: processes=0 must be at least 1"),
    (("y", "engine=sequential", "engine.threads=two"), {}, "engine.threads=two must be a whole number or null"),
    (("y", "artifacts=3"), {}, "artifacts=3 must be the path of a folder"),
    (("y", "family=[]"), {}, "family is empty"),
    (("y", "engine=ray", "engine.memory_gb=-1"), {}, "engine: memory_gb=-1 must be at least 0.1"),
    (("y", "engine=ray", "engine.gpus_per_worker=-1"), {}, "engine: gpus_per_worker=-1 must be at least 0"),
    (("y", "engine=nni_service", "engine.port=99999"), {}, "engine: port=99999 must be from 1 to 65534"),
    (("y", "engine=sequential", "strategy.sure=-1"), {}, "strategy: sure=-1 must be at least 0"),
    (("y", "data=null"), {}, "chosen by the name of its file"),
    (("y", "task.limits=null"), {}, "task.limits=null"),
    (("y", "objective.refit=false", "objective.calibrate=folds"), {}, "objective.refit=false and folds"),
]


@pytest.mark.parametrize(("given", "more", "says"), REFUSED, ids=lambda v: str(v)[:40])
def test_what_cannot_be_done_is_one_line(given, more, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target, *overrides = given
    if "engine=ray" in overrides:
        pytest.importorskip("ray", reason="ray is not installed")
    if not any(
        o.startswith(("task", "engine", "strategy", "metalearner")) for o in overrides
    ):  # else it is told where the thing is made
        monkeypatch.setattr(module, "start", lambda cfg, out, source, _: scalars(cfg))
    with pytest.raises((UserError, ValueError)) as caught:
        few = [] if "family=[]" in overrides else FEW
        solve(TABLE, target, overrides=[f"store.url=sqlite:///{tmp_path}/s.db", *few, *overrides], **more)
    line = explain(caught.value)
    assert line is not None and says in line and "\n" not in line


BEFORE_THE_DATA = [
    ("task.limits.latency_ms=-1", "task.limits.latency_ms=-1 must be above 0, or null"),
    ("task.limits.parameters=0", "task.limits.parameters=0 must be above 0, or null"),
    ("task.metric=acuracy", "task.metric=acuracy is unknown; use one of: accuracy"),
    ("task.goal=acuracy", "goal 'acuracy' is not understood"),
    ("task.kind=binry", "task.kind=binry must be one of binary, multiclass, regression or null"),
    ("task.test_share=1.5", "test_share=1.5 must lie between 0 and 1"),
    ("task.valid_share=-1", "valid_share=-1 must lie between 0 and 1"),
    ("task.folds=-1", "folds=-1 must be null"),
    ("task.repairs.outliers=maybe", "task.repairs.outliers=maybe must be true or false or null"),
    ("data.size=big", "data.size=big must be a whole number or null"),
    ("task.check=false task.repairs.outliers=true", "repairs.outliers does nothing with check=false"),
]


@pytest.mark.parametrize(("option", "says"), BEFORE_THE_DATA, ids=lambda v: v[:30])
def test_a_wrong_option_is_told_before_the_data_are_read(option, says, tmp_path):
    """The file is empty, and no engine was started to find that out."""
    (tmp_path / "a.csv").write_text("")
    cfg = composed(
        [
            f"data.path={tmp_path}/a.csv",
            f"store.url=sqlite:///{tmp_path}/s.db",
            f"artifacts={tmp_path}",
            *FEW,
            *option.split(),
        ]
    )
    with pytest.raises(UserError) as caught:
        start(cfg, tmp_path / "out")
    assert says in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 200
    assert not (tmp_path / "s.db").exists()


def test_a_missing_ray_is_told_before_the_data_are_read_from_python_too(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(UserError, match=r"^engine=ray needs a package .* Run: pip install 'level4\[ray\]'$"):
        start(composed([f"data.path={tmp_path}/a.csv", "engine=ray", *FEW]), tmp_path / "out")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("+family.mlp.widht=8", "no option 'family.mlp.widht'. Choices here: max_width, name"),
        ("+strategy.draw=8", "no option 'strategy.draw'. Did you mean 'draws'?"),
        ("family.mlp.max_width=wide", "family.mlp.max_width=wide must be a whole number"),
        ("strategy.zero_cost=snip", "strategy.zero_cost=snip must be one of synflow, jacob_cov, params or null"),
        ("engine.workers=two", "engine.workers=two must be a whole number or null"),
    ],
)
def test_options_of_what_is_made_are_told_before_it_is_imported(option, says, monkeypatch):
    monkeypatch.setattr(hydra.utils, "get_object", None)
    with pytest.raises(UserError) as caught:
        check(composed(["data=sklearn", *FEW, option]))
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


def test_solve_leaves_hydra_alone(source):
    """Within a Hydra program, and in several threads."""
    errors = []

    def work():
        try:
            composed(["data=sklearn", "seed=3", *FEW])
        except Exception as error:
            errors.append(error)

    with initialize_config_dir(version_base="1.2", config_dir=str(CONF)):
        source(TABLE, "y")
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert compose("config", ["data=sklearn", *FEW]).seed == 0
    assert errors == []


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("\\\"'${}ab ,;()é=[]:\t#"), max_size=12))
def test_any_value_can_be_quoted(text):
    value = OverridesParser.create().parse_override(f"k={quoted(text)}").value()
    assert OmegaConf.create({"k": str(value)}).k == text


def test_every_option_of_the_task_is_one_of_prepare():
    cfg = composed(["data=sklearn", *FEW])
    assert set(task_options(cfg)) <= set(inspect.signature(prepare).parameters)
    assert list(cfg.task.repairs) == list(REPAIRS), "each can be switched without a plus sign"
    assert task_options(composed(["data=sklearn", *FEW, "task.repairs.outliers=true"]))["repairs"]["outliers"] is True


def test_every_scalar_of_the_program_changes_a_setting():
    """budget, objective and what stands at the top; artifacts and the groups are read by name."""
    cfg = composed(["data=sklearn", *FEW])
    options = "seed=1 resume=true portfolio=3 progress=false budget.trials=3 budget.epochs=3 budget.seconds=3"
    for option in f"{options} objective.ensemble=2 objective.refit=true objective.latency=true".split():
        changed = OmegaConf.merge(cfg, OmegaConf.from_dotlist([option]))
        assert isinstance(changed, DictConfig) and scalars(changed) != scalars(cfg), option
    scalar = {k for k, v in cfg.items() if not OmegaConf.is_config(v)}
    assert scalar == {"seed", "resume", "portfolio", "progress", "artifacts", "reads"}
    assert set(cfg.budget) == {"trials", "seconds", "epochs", "stop_at_goal"} and set(cfg.objective) == {
        "ensemble",
        "refit",
        "calibrate",
        "latency",
    }


def test_types_of_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fits(None, int | None) and not fits(True, int) and fits(1, float) and not fits("1", float)
    assert fits([1], Sequence[int]) and not fits([1, "a"], Sequence[int]) and not fits({"a": 1}, Mapping[str, bool])
    assert fits("x", Literal["x"]) and not fits("y", Literal["x"] | None) and fits(object(), Any)
    for place in ("strategy", "metalearner", "engine", "store", "tracker", "data"):  # what stands in conf is taken
        assert made(composed(["data=sklearn", "engine=sequential", "store.url=sqlite:///outputs/s.db", *FEW]), place)


RECIPES = {
    "collect": "collect.root=x",
    "compare": "bench.root=x",
    "export": "folder=x",
    "inspect": "data=sklearn",
    "knowledge": "knowledge.import=x",
    "ladder": "data=sklearn",
    "monitor": "bundle=x",
    "optimise": "bundle=x",
    "page": "bundle=x",
    "predict": "bundle=x",
    "registry": "do=list",
    "replay": "table=x",
    "runs": "runs.last=3",
    "serve": "bundle=x",
    "train": "train={data: iris, model: mlp}",
    "transfer_benchmark": "benchmark.root=x",
    "wandb_report": "wandb_report.runs=x",
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_does_not_read_is_refused(recipe):
    cfg = composed([f"+experiment={recipe}", RECIPES[recipe], *FEW])
    assert set(cfg.reads) <= set(cfg)
    refuse_unread(cfg, [f"+experiment={recipe}", RECIPES[recipe], "metalearner@benchmark.start=uniform"][:2])
    for group in set(cfg) - set(cfg.reads) - {"run", "reads"}:
        with pytest.raises(UserError, match="does nothing here: the recipe reads"):
            refuse_unread(cfg, [f"{group}.x=1"])
    others = {f.stem for f in CONF.glob("experiment/*.yaml") if "_target_: experiments" in f.read_text()}
    others -= {"level0"}  # the main job behind a step of its own: it reads everything
    assert others == set(RECIPES), "a recipe with a run of its own says what it reads"


def test_a_search_reads_everything_and_a_recipe_ties_what_it_decides():
    refuse_unread(composed(["data=sklearn", *FEW]), ["seed=1", "budget.trials=3"])
    tied = composed(["+experiment=transfer_benchmark", "benchmark.root=x", "benchmark.seconds=7", "seed=5", *FEW])
    asked = scalars(tied)
    assert (asked.budget.trials, asked.budget.seconds, asked.epochs) == (None, 7.0, None)
    assert list(tied.benchmark.seeds) == [5]
    collect = composed(["+experiment=collect", "collect.root=x", "engine=sequential", "engine.trial_seconds=5", *FEW])
    with pytest.raises(UserError, match=r"engine.trial_seconds=5 does nothing here: collect.trial_seconds decides it"):
        same(collect, "engine.trial_seconds", 60.0, "collect.trial_seconds")


def test_what_cannot_be_written_is_told_before_anything_is_trained(tmp_path):
    (tmp_path / "file").write_text("")
    quick = ["data=sklearn", "data.name=iris", "engine=sequential", "tracker=none", *FEW]
    store = f"store.url=sqlite:///{tmp_path}/s.db"
    for folder, option, says in [
        (tmp_path / "file" / "x", "seed=0", "folder="),
        (tmp_path / "out", f"artifacts={tmp_path}/file/x", "artifacts="),
        (tmp_path / "out", f"store.url=sqlite:///{tmp_path}/file/x/s.db", "store.url"),
    ]:
        with pytest.raises(UserError, match=says) as caught:
            solve(None, folder=folder, overrides=[*quick, store, option])
        assert "Not a directory" in str(caught.value) and "\n" not in str(caught.value)


def test_the_configuration_that_is_kept_holds_no_password(tmp_path):
    cfg = composed(
        [
            *("data=sklearn", *FEW, "store=postgresql", 'store.url="postgresql://:hunter2@db/x?sslpassword=hunter2"'),
            *("engine=nni_service", "engine.machines=[{host:a,user:me,password:hunter2,port:22}]"),
        ]
    )
    keep_config(cfg, tmp_path / "run")
    kept = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert kept.store.url == "postgresql://:***@db/x?sslpassword=***"
    assert kept.engine.machines == [{"host": "a", "user": "me", "password": "***", "port": 22}]
    assert "hunter2" not in str(plain_config(cfg)) and plain_config(cfg)["seed"] == 0


@pytest.mark.parametrize("option", ["group", "time", "target"])
def test_arrays_take_no_option_of_columns(option, source, tmp_path):
    x, y = np.random.default_rng(0).random((20, 3, 9)), np.arange(20) % 2
    np.savez(tmp_path / "a.npz", X=x, y=y)
    for data, target in ((x, y), (tmp_path / "a.npz", None)):
        with pytest.raises(UserError, match=rf"data.{option}=a .*(names a column|is for tables)"):
            source(data, target, f"data.{option}=a")[0].load()
        assert len(source(data, target)[0].load()) == 20


def test_the_level_is_that_of_the_meta_learner():
    levels = {
        name: level_of(made(composed(["data=sklearn", f"metalearner={name}", *FEW]), "metalearner"))
        for name in ("transfer", "mean_rank", "uniform", "practice")
    }
    assert levels == {"transfer": 4, "mean_rank": 4, "uniform": 3, "practice": 3}


def test_the_default_is_level_4_and_so_is_the_demonstration():
    plain, asked = composed(["data=sklearn"]), composed(["data=sklearn", "+experiment=level4"])
    assert plain == asked and "Transfer" in plain.metalearner._target_
    demo = composed(["+experiment=quickstart"])
    assert demo.metalearner == plain.metalearner and demo.family == plain.family and demo.strategy == plain.strategy
    cold = composed(["data=sklearn", "+experiment=level3"])
    assert {k for k in plain if plain[k] != cold[k]} == {"metalearner", "family"}
    assert set(plain.family) - set(cold.family) == {"earlier"} and set(cold.family) < set(plain.family)


def test_what_takes_part_is_found_in_conf():
    searched = set(composed(["data=sklearn"]).family)
    assert searched == set(by_default("family")) and {"layers", "convnet_shared"}.isdisjoint(searched)
    assert set(by_default("metalearner")) == set(composed(["+experiment=replay", "table=x"]).methods)
    assert {"uniform", "practice"}.isdisjoint(by_default("metalearner")) and "transfer" in by_default("metalearner")


def test_a_recipe_asks_only_for_what_it_reads():
    check(composed(["+experiment=knowledge", *FEW]))  # no data.path is missed
    check(composed(["+experiment=replay", "table=x", "budget.trials=null", "budget.seconds=null", *FEW]))
    with pytest.raises(UserError, match=r"^table is missing"):
        check(composed(["+experiment=replay", *FEW]))
    with pytest.raises(UserError, match=r"^data\.path is missing"):
        check(composed(["+experiment=inspect", *FEW]))
    with pytest.raises(UserError, match="seed=-1 must be a whole number"):
        check(composed(["+experiment=inspect", "data=sklearn", "seed=-1", *FEW]))


@pytest.mark.parametrize("name", ["budget", "engine", "tracker", "objective", "budget.seconds"])
def test_what_was_taken_away_is_named(name):
    with pytest.raises(UserError, match=f"^{name} is not there"):
        check(composed(["data=sklearn", *FEW, f"~{name}"]))


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("data.target=[y1,y2]", "data.target=['y1', 'y2']: one target is learned at a time; give one column"),
        ("+data.horizon=7", "no option 'data.horizon': forecasts of several steps are not made"),
        ("+data.nothing=7", "no option 'data.nothing'."),
    ],
)
def test_what_no_source_takes_is_one_line(word, line):
    with pytest.raises(UserError) as caught:
        made(composed(["data.path=x.csv", "family=[mlp]", word]), "data")
    assert str(caught.value).startswith(line)


def test_a_search_of_an_earlier_version_is_gone_on_with():
    """Which wrote down the share that is taken where nothing is asked."""
    now = plain_config(composed(["data=sklearn", *FEW]))
    assert now["task"]["test_share"] is None
    assert shaping(now) == shaping({**now, "task": {**now["task"], "test_share": 0.25}})
    assert shaping(now) != shaping({**now, "task": {**now["task"], "test_share": 0.1}})
