"""The prior that a person writes down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hydra.utils import instantiate

from automl.errors import UserError
from automl.types import Axis, Profile, Runs, Trial
from experiments.compose import composed
from metalearner.practice import Practice
from metalearner.transfer.transfer import Transfer
from tests.known import install

AXES = {
    "net": (Axis("optimizer", ("sgd", "adamw")), Axis("rate", (0.1, 0.001)), Axis("ema", (False, True))),
    "deep": (Axis("depth", (1, 2)), Axis("kernel", (3, 5), "depth", (2,)), Axis("optimizer", ("sgd", "adamw"))),
}
PROFILE = Profile((), ())


def test_favoured_options_are_so_many_times_as_likely() -> None:
    prior = Practice({"deep": 3}, {"optimizer": {"adamw": 4}, "ema": {"true": 3}}).predict(PROFILE, AXES)
    assert prior.families == {"net": 0.25, "deep": 0.75}
    assert prior.weights["net"] == {"optimizer": (0.2, 0.8), "rate": (0.5, 0.5), "ema": (0.25, 0.75)}


def test_each_family_starts_with_its_likeliest_candidate() -> None:
    prior = Practice({"deep": 3}, {"rate": {"0.001": 2}}, {"deep": {"depth": {"2": 2}}}).predict(PROFILE, AXES)
    assert [(c.family, dict(c.choices)) for c in prior.portfolio] == [
        ("deep", {"depth": 2, "kernel": 3, "optimizer": "sgd"}),
        ("net", {"optimizer": "sgd", "rate": 0.001, "ema": False}),
    ]


def test_a_familys_own_favours_go_before_those_of_all() -> None:
    prior = Practice({}, {"optimizer": {"adamw": 9}}, {"deep": {"optimizer": {"sgd": 9}}}).predict(PROFILE, AXES)
    assert [c.choices["optimizer"] for c in prior.portfolio] == ["adamw", "sgd"]


@pytest.mark.parametrize("factor", [0, -1, "much", True, float("inf")])
def test_a_factor_that_is_no_positive_number_is_named(factor: object) -> None:
    with pytest.raises(UserError, match=r"metalearner.axes.ema.true=.* must be a number above 0"):
        Practice({}, {"ema": {"true": factor}})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("learner", ["practice", "habit"])
def test_every_name_of_the_shipped_file_exists(learner, tmp_path, monkeypatch) -> None:
    from nas.family import search_axes
    from nas.recipe import training_axes
    from nas.testing.families import TASKS
    from tests.nas.family_tasks import FAMILIES

    install(tmp_path, monkeypatch)  # known networks have axes where they are at hand
    pieces = replace(TASKS["text"], inputs=(replace(TASKS["text"].inputs[0], shape=(16,), pieces=2),))
    long = replace(TASKS["series"], inputs=(replace(TASKS["series"].inputs[0], shape=(1, 200)),))
    cfg = composed([f"metalearner={learner}"])
    families = {**FAMILIES, **{name: instantiate(node) for name, node in cfg.family.items()}}  # not searched, too
    known: dict[str, dict[str, set[str]]] = {}
    for task in (*TASKS.values(), pieces, long):
        for family, axes in search_axes(families, task, training_axes(task)).items():
            for axis in axes:
                options = known.setdefault(family, {}).setdefault(axis.name, set())
                options.update(str(o).lower() for o in axis.options)
    known["earlier"] = known["pretrained"]  # none is at hand; its axes are those of any known network
    said = cfg.metalearner
    assert set(said.get("families", ())) <= set(families)
    anywhere: dict[str, set[str]] = {}
    for of in known.values():
        for name, options in of.items():
            anywhere.setdefault(name, set()).update(options)
    for name, favours in said.axes.items():
        assert set(favours) <= anywhere[name], name
    for family, of in said.own.items():
        for name, favours in of.items():
            assert set(favours) <= known[family][name], (family, name)


def test_habit_takes_the_nearest_option_where_its_own_is_not_there() -> None:
    """A short series has no place for eight levels, but for six: not for the two that stand first."""
    from nas.family import search_axes
    from nas.recipe import training_axes
    from nas.testing.families import TASKS

    cfg = composed(["metalearner=habit"])
    habit, families = instantiate(cfg.metalearner), {name: instantiate(node) for name, node in cfg.family.items()}
    missed = set()
    for task in TASKS.values():
        axes = search_axes(families, task, training_axes(task))
        weights = habit.predict(PROFILE, axes).weights
        for family, axis in ((f, axis) for f, of in axes.items() for axis in of):
            favours = habit.own.get(family, {}).get(axis.name, habit.axes.get(axis.name, {}))
            best = max(favours, key=favours.__getitem__, default="")
            if favours and best not in {str(o).lower() for o in axis.options} and isinstance(axis.options[0], int):
                missed.add((family, axis.name))
                taken = axis.options[int(np.argmax(weights[family][axis.name]))]
                assert taken == min(axis.options, key=lambda o: abs(o - float(best))), (task.name, family, axis.name)
    assert {("tcn", "levels"), ("convnet", "stages")} <= missed


def test_habit_names_every_choice_that_it_makes() -> None:
    """What nobody looked up would stand at its first option: the smallest pictures, the coarsest patches."""
    from nas.family import search_axes
    from nas.recipe import training_axes
    from nas.testing.families import TASKS

    cfg = composed(["metalearner=habit"])
    habit, families = instantiate(cfg.metalearner), {name: instantiate(node) for name, node in cfg.family.items()}
    forgotten = set()
    for task in TASKS.values():
        for candidate in habit.predict(PROFILE, search_axes(families, task, training_axes(task))).portfolio:
            known = {*habit.axes, *habit.own.get(candidate.family, candidate.choices)}
            forgotten |= {(candidate.family, name) for name in candidate.choices if name not in known}
    assert not forgotten


@pytest.mark.parametrize(
    ("family", "rate", "decay"),  # as published; a decay in the gradient, which the momentum makes ten times as strong
    [("convnet", 0.1, 0.0001), ("mobilenet", 0.045, 0.00004), ("bag_of_embeddings", 32 * 0.1 / 10, 0.0)],
)
def test_habit_translates_published_sgd(family: str, rate: float, decay: float) -> None:
    from automl.training.optim import SCALE
    from nas.recipe import training_axes
    from nas.testing.families import TASKS

    own = composed(["metalearner=habit"]).metalearner.own[family]
    options = {axis.name: axis.options for axis in training_axes(TASKS["codes"])}

    def nearest(name: str, value: float) -> str:
        return str(min(options[name], key=lambda o: abs(np.log((float(o) + 1e-9) / (value + 1e-9)))))

    assert set(own.optimizer) == {"sgd"}
    assert set(own.learning_rate) == {nearest("learning_rate", rate / SCALE["sgd"])}
    assert set(own.weight_decay) == {nearest("weight_decay", 10 * decay * SCALE["sgd"])}


def test_transfer_starts_from_it_while_there_are_no_past_runs() -> None:
    start = Practice(axes={"rate": {"0.001": 9}})
    learner = Transfer(start=start).fit(Runs.none())
    assert learner.predict(PROFILE, AXES) == start.predict(PROFILE, AXES)
    learner.update([Trial("new", start.predict(PROFILE, AXES).portfolio[0], 1, 0, "ok", 0.5)])
    assert len(learner.predict(PROFILE, AXES).portfolio) == 13, "all of this small space but the one that was tried"
