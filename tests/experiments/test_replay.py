"""Replay on a small table made here."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from automl.errors import UserError
from automl.types import Candidate, Prior, Profile
from experiments.compose import composed
from experiments.options import made_families
from experiments.replay.entry import window_of, write
from experiments.replay.knowledge import is_knowledge, knowledge_table
from experiments.replay.measure import AREA, POINTS, paired, summary
from experiments.replay.replay import COLD, RANDOM, SHUFFLED, WRONG, Course, replay
from experiments.replay.search import adaptive, evolution, incumbent, listed
from experiments.replay.table import Table, read_table
from metalearner.anytime import area
from metalearner.mean_rank import MeanRank
from metalearner.past.shipped import FILE
from metalearner.portfolio import Portfolio
from metalearner.prior import fits
from metalearner.transfer.transfer import Transfer


def rows(tasks: int = 6, seeds: int = 1, axes: bool = True) -> pd.DataFrame:
    """30 candidates; b = 2 is best everywhere, a matters by task."""
    rng = np.random.default_rng(0)
    out = []
    for t in range(tasks):
        for a in range(5):
            for b in range(6):
                for s in range(seeds):
                    score = t - abs(b - 2) - 0.3 * abs(a - t % 3) + 0.05 * rng.normal()
                    row = {"task": f"t{t}", "group": f"g{t // 2}", "family": "f", "candidate": f"{a}-{b}"}
                    row |= {"score": score, "seconds": 1.0 + a}
                    row |= {"axis/a": str(a), "axis/b": str(b)} if axes else {}
                    out.append(row | ({"seed": s} if seeds > 1 else {}))
    return pd.DataFrame(out)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows().to_parquet(tmp_path / "made.parquet")
    return tmp_path / "made.parquet"


class TestTable:
    def test_shapes_and_regret(self, path: Path) -> None:
        of = read_table(path)
        assert of.seen.shape == (1, 6, 30)
        assert (of.regret.min(axis=1) == 0).all() and (of.regret.max(axis=1) == 1).all()
        assert list(of.spaces[0]) == ["f"] and [a.name for a in of.spaces[0]["f"]] == ["a", "b"]
        assert of.there.all() and of.timed

    def test_the_group_left_out_is_in_no_run(self, path: Path) -> None:
        of = read_table(path)
        assert set(of.without("g1").groups) == {"g0", "g2"}
        assert set(of.without("g1").tasks) == {"t0", "t1", "t4", "t5"}

    def test_some_of_the_candidates_keep_their_scores(self, path: Path) -> None:
        of = read_table(path)
        some, other = of.some(0.5, 0), of.some(0.5, 1)
        assert len(some.candidates) == 15 and some.candidates != other.candidates
        place = [of.candidates.index(c) for c in some.candidates]
        assert np.array_equal(some.scored, of.scored[:, place]) and np.array_equal(some.seen, of.seen[:, :, place])
        assert (some.regret.min(axis=1) == 0).all()

    def test_negated_runs_are_negated(self, path: Path) -> None:
        of = read_table(path)
        assert np.array_equal(of.without("g0", negated=True).score, -of.without("g0").score)

    def test_seeds_are_split_between_search_and_judge(self, tmp_path: Path) -> None:
        data = rows(seeds=5)
        data.to_parquet(tmp_path / "x.parquet")
        of = read_table(tmp_path / "x.parquet")
        one = data[(data.task == "t0") & (data.candidate == "0-0")].sort_values("seed").score.to_numpy()
        assert np.allclose(of.seen[:, 0, 0], one[:3])
        assert of.scored[0, 0] == pytest.approx(one[3:].mean())

    def test_the_last_epoch_is_the_full_length(self, tmp_path: Path) -> None:
        late = rows().assign(epoch=9)
        early = rows().assign(epoch=1, score=99.0)
        pd.concat([late, early]).to_parquet(tmp_path / "x.parquet")
        assert read_table(tmp_path / "x.parquet").scored.max() < 9

    def test_without_axes_the_candidate_is_the_choice(self, tmp_path: Path) -> None:
        rows(axes=False).to_parquet(tmp_path / "x.parquet")
        of = read_table(tmp_path / "x.parquet")
        assert len({c.id for c in of.candidates}) == 30

    def test_words_of_the_tasks_become_indicators(self, path: Path) -> None:
        about = pd.DataFrame(
            {"task": [f"t{i}" for i in range(6)], "feature/n": range(6), "feature/kind": list("aabbcc")}
        )
        about.to_parquet(path.with_name("made.tasks.parquet"))
        profile = read_table(path).profiles[2]
        assert profile is not None
        assert profile.as_dict() == {"n": 2.0, "kind=a": 0.0, "kind=b": 1.0, "kind=c": 0.0}

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda d: d.drop(columns="score"), "column 'score' not in"),
            (lambda d: d.assign(group="one"), "has one group"),
            (lambda d: d.assign(score=np.nan), "has no score that is a number"),
            (lambda d: d[:0], "has no rows"),
        ],
    )
    def test_mistakes_are_told_in_one_line(self, tmp_path: Path, change, says: str) -> None:
        change(rows()).to_parquet(tmp_path / "x.parquet")
        with pytest.raises(UserError, match=says) as told:
            read_table(tmp_path / "x.parquet")
        assert "\n" not in str(told.value)

    def test_no_file_is_told_in_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="is no file"):
            read_table(tmp_path / "x.parquet")


class TestSearch:
    def test_incumbent_is_chosen_by_what_was_seen(self) -> None:
        seen, regret = np.array([[1.0, 3.0, 2.0, np.nan]]), np.array([0.4, 0.3, 0.0, 1.0])
        assert incumbent(np.array([[3, 0, 1, 2]]), seen, regret).tolist() == [[1.0, 0.4, 0.3, 0.3]]

    def test_evolution_runs_nothing_twice_and_improves_on_random(self, path: Path) -> None:
        of = read_table(path)
        codes = np.array([[int(c.choices["a"]), int(c.choices["b"])] for c in of.candidates])
        orders = [evolution(codes, of.seen[0, 0], 25, np.random.default_rng(s), 8, 4) for s in range(20)]
        assert all(len(set(o.tolist())) == 25 for o in orders)
        late = np.mean([of.regret[0, o[8:16]].mean() for o in orders])
        assert late < np.mean([of.regret[0, o[:8]].mean() for o in orders])

    def test_a_short_list_is_filled_up_by_draws_from_the_prior(self, path: Path) -> None:
        of = read_table(path)
        uniform = Prior.uniform(of.spaces[0])
        sure = {"f": {"a": uniform.weights["f"]["a"], "b": (0.999, *(0.0002,) * 5)}}
        prior = Prior(uniform.families, of.spaces[0], sure, of.candidates[5:7])
        order = listed(prior, of.candidates, 30, np.random.default_rng(0))
        assert order[:2].tolist() == [5, 6] and sorted(order.tolist()) == list(range(30))
        likely = [i for i, c in enumerate(of.candidates) if c.choices["b"] == "0"]
        assert set(order[2:6].tolist()) == {*likely} - {6}

    def test_the_most_alike_stands_in_for_what_is_not_there(self, path: Path) -> None:
        of = read_table(path)
        wanted = Candidate("f", {"a": "3", "b": "new"}), Candidate("f", {"a": "4", "b": "new"})
        prior = replace(Prior.uniform(of.spaces[0]), portfolio=wanted)
        first = listed(prior, of.candidates, 2, np.random.default_rng(0))
        assert [of.candidates[i].choices["a"] for i in first] == ["3", "4"]
        drawn = [listed(prior, of.candidates, 1, np.random.default_rng(s), {c.id for c in wanted})[0] for s in range(9)]
        assert len(set(drawn)) > 4, "what ran elsewhere is left out"

    def test_an_opening_goes_first_and_is_told(self, path: Path) -> None:
        of = read_table(path)
        learner = Transfer(processes=1).fit(of.without("g0"))
        session, _ = learner.session(Profile((), ()), of.candidates, of.spaces[0])
        order = adaptive(session, of.seen[0, 0], of.seconds[0], 6, [29, 0])
        assert order[:2].tolist() == [29, 0] and session.observed == order.tolist() and len(set(order.tolist())) == 6


class TestTime:
    def test_the_area_on_a_case_done_by_hand(self) -> None:
        times, regret, window = np.array([1.0, 10.0]), np.array([0.5, 0.0]), (0.1, 100.0)
        assert area(times, regret, window) == pytest.approx((1 + 0.5 + 0) / 3)
        assert area(times, regret, (1.0, 100.0)) == pytest.approx(0.25), "what ended at the beginning is there"
        assert area(times, regret, (20.0, 30.0)) == 0 and area(times, regret, (0.1, 1.0)) == 1

    def test_the_same_order_is_better_where_the_cheap_come_first(self, path: Path, tmp_path: Path) -> None:
        """All have the same regret after each evaluation; seconds alone tell them apart."""
        data = rows().assign(score=0.0)
        data["score"] = np.where(data.candidate.isin(["0-0", "4-0"]), 1.0, 0.0)  # 1 and 5 seconds
        data.to_parquet(tmp_path / "x.parquet")
        of = read_table(tmp_path / "x.parquet")
        cheap, dear = (replace(Prior.uniform(of.spaces[0]), portfolio=(of.candidates[i],)) for i in (0, 24))
        made = {"cheap": lambda: Told(cheap), "dear": lambda: Told(dear)}
        _, found = replay(of, made, seeds=1, evaluations=5, window=(0.1, 10))
        assert np.array_equal(found["cheap"].regret, found["dear"].regret)
        assert (found["cheap"].area < found["dear"].area).all()
        assert of.costs[0, 0] == pytest.approx(1 / 3), "in usual trainings"

    def test_without_seconds_there_is_no_area(self, tmp_path: Path) -> None:
        rows().drop(columns="seconds").to_parquet(tmp_path / "x.parquet")
        of = read_table(tmp_path / "x.parquet")
        _, found = replay(of, {"mean_rank": MeanRank}, seeds=1, evaluations=3)
        assert np.isnan(found["mean_rank"].area).all() and AREA not in summary(found, (1,))["mean_rank"]["regret"]

    @pytest.mark.parametrize("asked", [[1], [2, 1], [0, 1], "x", [1, float("inf")], [True, 2]])
    def test_a_wrong_window_is_one_line(self, asked) -> None:
        with pytest.raises(UserError, match="window="):
            window_of(asked)


class Told:
    """A meta-learner that says what it was told."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior

    def fit(self, runs):
        return self

    def predict(self, profile, axes):
        return self.prior


@pytest.fixture(scope="module")
def shipped() -> Table:
    assert is_knowledge(FILE)
    return knowledge_table(FILE, made_families(composed([])))


class TestKnowledge:
    def test_a_task_learns_from_its_modality_in_words_of_its_kind_and_tries_what_ran_on_it(self, shipped) -> None:
        for t in (shipped.cohorts.index("tabular"), shipped.cohorts.index("series"), shipped.kinds.index("regression")):
            runs = shipped.without(str(shipped.groups[t]), t)
            assert shipped.groups[t] not in runs.groups
            assert {shipped.cohorts[shipped.tasks.index(n)] for n in runs.tasks} == {shipped.cohorts[t]}
            own = [c for c, there in zip(shipped.candidates, shipped.there[t], strict=True) if there]
            assert len(own) >= 60 and all(fits(c, shipped.spaces[t]) for c in own)
            assert sum(fits(c, shipped.spaces[t]) for c in runs.candidates) >= 60

    def test_failures_are_runs_and_take_the_time_that_they_took(self, shipped) -> None:
        failed = shipped.there & np.isnan(shipped.scored)
        assert (
            failed.sum() > 300
            and (shipped.regret[failed] == 1).all()
            and np.isfinite(shipped.seconds[shipped.there]).all()
        )

    def test_it_is_replayed(self, shipped) -> None:
        group = str(shipped.groups[shipped.cohorts.index("text")])
        method = {"portfolio": functools.partial(Portfolio, per_second=True)}
        _, found = replay(shipped, method, seeds=1, evaluations=10, only=[group])
        assert found["portfolio"].area.mean() < found[RANDOM].area.mean()


def test_replay_compares_every_method_and_both_controls(path: Path, tmp_path: Path) -> None:
    of = read_table(path)
    methods = {"mean_rank": MeanRank, "portfolio": Portfolio, "transfer": functools.partial(Transfer, processes=1)}
    scored, found = replay(of, methods, seeds=3, evaluations=12)
    assert list(found) == [RANDOM, COLD, "mean_rank", "portfolio", "transfer", SHUFFLED, WRONG]
    regrets = {name: course.regret for name, course in found.items()}
    assert all(r.shape == (6, 12) and (np.diff(r, axis=1) <= 1e-12).all() for r in regrets.values())
    assert all(c.area.shape == (6,) and ((c.area >= 0) & (c.area <= 1)).all() for c in found.values())
    assert regrets["transfer"][:, -1].mean() < regrets[RANDOM][:, -1].mean()
    assert regrets[WRONG][:, 0].mean() > regrets["transfer"][:, 0].mean()
    write(tmp_path / "out", of, scored, found, 3, Console(file=(tmp_path / "log").open("w")))
    found = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert set(found) == {"table", "tasks", "seeds", "window", "methods"} and found["tasks"] == 6
    for method in found["methods"].values():
        assert set(method) == {"regret", "interval", "evaluations_to_cold_100"}
        assert list(method["regret"]) == [*(str(p) for p in POINTS), AREA]
    assert "<script" in (tmp_path / "out" / "replay.html").read_text()


def courses(**regrets: np.ndarray) -> dict[str, Course]:
    return {name: Course(regret, regret[:, 0] / 2) for name, regret in regrets.items()}


def test_intervals_hold_the_mean_and_pairs_are_paired() -> None:
    base = np.random.default_rng(0).random((40, 5))
    found = courses(**{COLD: base, "transfer": base - 0.1})
    cold = summary(found, (1, 5))[COLD]
    assert cold["interval"]["1"][0] < cold["regret"]["1"] < cold["interval"]["1"][1]
    apart = paired(found, "transfer", (1,))[COLD]
    assert apart["1"] == pytest.approx([-10, -10, -10]) and apart[AREA] == pytest.approx([-5, -5, -5])


def test_tasks_of_one_group_are_drawn_together() -> None:
    """Ten copies of a task say no more than the task."""
    base = np.random.default_rng(0).random((8, 1))
    found = courses(**{COLD: np.repeat(base, 10, axis=0), "transfer": np.repeat(base**2, 10, axis=0)})
    group = np.repeat(np.arange(8), 10)
    copies, one = summary(found, (1,), group=group)[COLD], summary(courses(**{COLD: base}), (1,))[COLD]
    assert copies["interval"]["1"] == pytest.approx(one["interval"]["1"])
    wide, narrow = (np.ptp(paired(found, "transfer", (1,), group=g)[COLD]["1"][1:]) for g in (group, None))
    assert wide > 2 * narrow


def test_no_name_of_a_method_is_markup(path: Path, tmp_path: Path) -> None:
    of = read_table(path)
    scored, regrets = replay(of, {"x[/y]": MeanRank}, seeds=1, evaluations=3)
    log = tmp_path / "log"
    with log.open("w") as file:
        write(tmp_path / "out", of, scored, regrets, 1, Console(file=file, width=200))
    assert "x[/y]" in log.read_text()


def test_a_search_that_was_cut_is_told_no_further_than_it_went(path: Path, tmp_path: Path) -> None:
    """The regret after 3 evaluations is not that after 100."""
    of = read_table(path)
    scored, regrets = replay(of, {"mean_rank": MeanRank}, seeds=1, evaluations=3)
    with (tmp_path / "log").open("w") as log:
        write(tmp_path / "out", of, scored, regrets, 1, Console(file=log, width=200), evaluations=3)
    found = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert list(found["methods"]["mean_rank"]["regret"]) == ["1", AREA]
    assert "@1 " in (tmp_path / "log").read_text() and "@5" not in (tmp_path / "log").read_text()
