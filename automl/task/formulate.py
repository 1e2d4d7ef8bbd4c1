"""Task formulation: from the data and what was asked to a Task, with one line of reason per decision."""

from __future__ import annotations

from collections.abc import Sequence

from automl.data.dataset import Dataset
from automl.errors import UserError
from automl.task.goal import DEPLOYED, METRICS, parse_goal
from automl.task.kind import check_kind, counts_of, infer_kind
from automl.task.labels import class_names, label
from automl.types import Input, Kind, Limits, Task

# Where one class has most of the rows and another a tenth of it or less, accuracy hardly sees the rare one. By
# judgement: task.metric overrules it, and an accuracy that is not asked for is easier to explain.
IMBALANCE = 10.0


def formulate(
    dataset: Dataset,
    inputs: Sequence[Input],
    *,
    kind: Kind | None = None,
    metric: str | None = None,
    limits: Limits | None = None,
    goal: str = "",
    name: str | None = None,
    group: str = "",
    classes: Sequence[str] | None = None,
    reason: str = "asked",
) -> Task:
    """The task for a data set whose inputs are known. What is None is inferred; ``Task.why`` says how.

    ``reason``: why the kind is what it is, when it was inferred before.
    Raises UserError for a target that cannot be learned and for a kind, metric or goal that does not fit it.
    """
    if kind is None:
        kind, reason = infer_kind(dataset)
    else:
        check_kind(dataset, kind)
    why = [f"kind: {kind}, as {reason}", *(_describe(i) for i in inputs)]
    if kind == "regression":
        classes = ()
    elif classes is None:
        classes = class_names(dataset.target)
    if metric is None:
        metric, reason = default_metric(dataset, kind)
        why.append(f"metric: {metric}, as {reason}")
    elif metric not in METRICS[kind]:
        raise UserError(f"metric {metric!r} does not fit {kind}; use one of: {', '.join(METRICS[kind])}")
    else:
        why.append(f"metric: {metric}, as asked")
    wanted = parse_goal(goal)
    if wanted and wanted.metric not in (*METRICS[kind], *DEPLOYED):
        raise UserError(f"goal {goal!r} does not fit {kind}; use one of: {', '.join(METRICS[kind])}")
    if wanted:
        why.append(f"goal: {wanted.metric} {wanted.sign} {wanted.value:g}, as asked")
    limits = limits or Limits()
    asked = {k: v for k, v in vars(limits).items() if v is not None}
    for key, value in asked.items():
        if not value > 0:  # NaN too
            raise UserError(f"limits.{key}={value} must be positive, or null for no limit")
        why.append(f"limit: {key} at most {value:g}, as asked")
    return Task(
        name=name or dataset.name,
        kind=kind,
        inputs=tuple(inputs),
        num_outputs=1 if kind == "regression" else len(classes),
        metric=metric,
        group=group or name or dataset.name,
        classes=tuple(classes),
        limits=limits,
        goal=goal.strip(),
        why=tuple(why),
    )


def default_metric(dataset: Dataset, kind: Kind) -> tuple[str, str]:
    """The metric for the kind and the imbalance, and the reason."""
    if kind == "regression":
        return "r2", "that is the usual one for regression and has no unit"
    counts = counts_of(dataset.target.dropna())
    ratio = counts.iloc[0] / counts.iloc[-1]
    share = counts.iloc[0] / counts.sum()
    if share > 0.9 or (ratio > IMBALANCE and share > 0.5):
        return (
            "balanced_accuracy",
            f"the classes are imbalanced: {share:.0%} of the rows are {label(counts.index[0])!r}, "
            f"{ratio:.0f} times as many as {label(counts.index[-1])!r}",
        )
    return "accuracy", f"the classes are balanced enough (the most frequent has {share:.0%} of the rows)"


def _describe(one: Input) -> str:
    shape = " x ".join(map(str, one.shape))
    notes = {"tabular": "columns after encoding", "image": "channels x height x width", "text": "tokens"}
    return f"input {one.name}: {one.modality}, {shape} {notes.get(one.modality, 'channels x length')}"
