"""TensorBoard and MLflow: what they hold, read back with their own readers."""

from __future__ import annotations

import logging

import pytest

from automl.errors import UserError
from experiments.compose import composed
from experiments.options import made
from experiments.trackers.mlflow import Mlflow
from experiments.trackers.optional import harmless
from experiments.trackers.tensorboard import TensorBoard
from tests.experiments.test_trackers import RESULT, TRIALS, use


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_package_that_is_missing_is_told_with_the_command(name, monkeypatch):
    monkeypatch.setattr("automl.errors.find_spec", lambda _: None)
    with pytest.raises(
        UserError, match=f"tracker={name} needs a package that is not installed. Run: pip install {name}"
    ):
        made(composed(["data=sklearn", "family=[mlp]", f"tracker={name}"]), "tracker")


def test_the_first_fault_is_one_warning_and_the_last_of_the_tracker(caplog):
    class Breaks:
        calls = 0

        @harmless
        def trial(self) -> None:
            Breaks.calls += 1
            raise OSError("disk\nfull")

    one = Breaks()
    one.trial()
    one.trial()
    assert Breaks.calls == 1
    assert [(r.levelno, r.message) for r in caplog.records] == [
        (logging.WARNING, "Breaks: disk full. The run goes on without it.")
    ]


def test_tensorboard_holds_scores_curves_and_choices(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = TensorBoard(folder=str(tmp_path))
    use(tracker, tmp_path)
    assert tracker.seen() == f"tensorboard --logdir {tmp_path}/tensorboard"
    search = EventAccumulator(str(tmp_path / "tensorboard/search")).Reload()
    assert [e.value for e in search.Scalars("best score")] == pytest.approx([0.5, 0.5])
    assert [e.value for e in search.Scalars("test/accuracy")] == pytest.approx([0.75])
    own = EventAccumulator(str(tmp_path / "tensorboard/0 mlp")).Reload()
    assert [e.value for e in own.Scalars("curve")] == pytest.approx(TRIALS[0].curve)
    assert any("hparams" in name for name in own.PluginTagToContent("hparams"))
    assert not list((tmp_path / "tensorboard").glob("1 *")), "a trial without a score has nothing to show"


def test_jobs_that_begin_at_once_share_one_experiment_of_mlflow(tmp_path, monkeypatch, caplog):
    """Each looks before one of them has made it."""
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    from mlflow import MlflowClient

    first, second = (Mlflow(uri=f"file://{tmp_path}/mlruns") for _ in range(2))
    first.start({}, "digits", "accuracy")
    find, late = MlflowClient.get_experiment_by_name, iter([None])
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda self, name: next(late, find(self, name)))
    second.start({}, "digits", "accuracy")
    assert caplog.records == [] and first._experiment == second._experiment


def test_mlflow_holds_a_run_of_the_search_with_trials_below_it(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/model.onnx").write_bytes(b"graph")
    monkeypatch.setitem(RESULT, "bundle", str(tmp_path / "bundle"))
    tracker = Mlflow(folder=str(tmp_path))
    use(tracker, tmp_path)
    assert tracker.seen().endswith(f"mlflow ui --backend-store-uri file://{tmp_path}/mlruns")
    client = MlflowClient(tracking_uri=f"file://{tmp_path}/mlruns")
    of = client.get_experiment_by_name("digits")
    assert of is not None
    runs = {run.info.run_name: run for run in client.search_runs([of.experiment_id])}
    search = runs.pop("digits-s1")
    assert (search.data.params["hash"], search.data.metrics["test_accuracy"]) == ("0123abcd", 0.75)
    assert {f.path for f in client.list_artifacts(search.info.run_id)} == {"report.html", "bundle"}
    assert runs.keys() == {"0 mlp", "1 convnet", "2 mlp"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {search.info.run_id}
    assert runs["1 convnet"].info.status == "FAILED" and runs["1 convnet"].data.params["stem"] == "3x3"
    curve = client.get_metric_history(runs["0 mlp"].info.run_id, "curve")
    assert [m.value for m in curve] == list(TRIALS[0].curve)
