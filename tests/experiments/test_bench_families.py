"""The benchmark of the families: what it measures is kept, what misses its bar is said."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from experiments.bench import families
from experiments.bench._family_checks import Check, checks
from experiments.bench.families import CONF, run
from tests.experiments.recipes import recipe

QUICK = {"learning_rate": 0.01, "batch_size": 64}


@pytest.fixture
def root(tmp_path, monkeypatch):
    x, y = load_digits(return_X_y=True)
    np.savez(tmp_path / "tiny.npz", X_train=x[:300], y_train=y[:300], X_test=x[300:400], y_test=y[300:400])
    small = [
        Check("mlp", "tiny", {"depth": 1, **QUICK}, 10, 0.5),
        Check("tabm", "tiny", QUICK, 1, against="hgb", slack=-0.5),
        Check("mlp", "tiny", QUICK, 1, against="mlp on tiny", slack=1.0, label="short"),
    ]
    monkeypatch.setattr(families, "checks", lambda: iter(small))
    return tmp_path


def missed(**options):
    """Whether the benchmark ends with a bar that was missed: exit status 1."""
    try:
        run(recipe("families", **options))
    except SystemExit as end:
        assert end.code == 1
        return True
    return False


def test_scores_are_kept_and_bars_are_held(root, capsys, monkeypatch):
    out = root / "scores.json"
    assert missed(root=root, out=out)
    said = capsys.readouterr().out
    assert "3 checks, 2 reach their bar, 1 do not" in said
    kept = json.loads(out.read_text())
    assert len(kept) == 4 and all(k["score"] > 0 for k in kept.values())
    assert sum(name.startswith("hgb on tiny") for name in kept) == 1

    monkeypatch.setattr(families, "measure", lambda *args: pytest.fail("measured again"))
    assert not missed(root=root, out=out, only="mlp")
    assert missed(root=root, out=out)

    again = []
    monkeypatch.setattr(families, "measure", lambda *of: again.append(of) or families.Score(0.99))
    monkeypatch.setattr(families, "program", lambda: "another")
    assert missed(root=root, out=out) and len(again) == 4, "the scores of other code tell nothing of this one"


def test_a_failed_training_is_a_miss_not_a_crash(root, capsys, monkeypatch):
    monkeypatch.setattr(families, "measure", lambda *args: families.Score(None, error="failed: planted"))
    assert missed(root=root, out=root / "o.json")
    assert "planted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"root": "/nowhere"}, "/nowhere holds no tiny.npz"),
        ({"only": "nothing"}, "bench.only=nothing: no check matches"),
        ({"out": "tiny.npz"}, "holds no scores"),
    ],
)
def test_mistakes_are_one_line(root, more, said, monkeypatch):
    monkeypatch.chdir(root)
    with pytest.raises(families.UserError, match=said):
        run(recipe("families", **{"root": root, "out": "o.json", **more}))


def test_every_check_names_a_family_that_is_there_and_what_it_is_compared_with():
    known = [f"{c.name} on {c.data}" for c in checks()]
    assert len(set(known)) == len(known)
    for i, check in enumerate(checks()):
        assert (CONF / f"{check.family}.yaml").is_file()
        assert not check.against or check.against == "hgb" or check.against in known[:i]
