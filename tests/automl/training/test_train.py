"""One training: what it reaches, how it ends, and that it can be repeated and gone on with."""

from __future__ import annotations

import math
import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn

from automl import metrics
from automl.data.dataset import Part, joined
from automl.training.optim import Schedule
from automl.training.predictor import Predictor, network_size, predict
from automl.training.refit import refit, shorter
from automl.training.rows import EPOCH_ROWS, Stretches
from automl.training.state import TrainingState
from automl.training.train import Fit, precision_on, train
from automl.types import Option

from .toys import DIABETES, DIGITS, Members, diabetes, digits, mlp

FAST: dict[str, Option] = {"learning_rate": 0.003, "batch_size": 64}
EVERYTHING: dict[str, Option] = FAST | {"ema": True, "mixup": 0.2, "augment": "light", "label_smoothing": 0.1}


def run(network: nn.Module | None = None, choices=FAST, epochs: int = 4, seed: int = 0, **more) -> Fit:
    parts = digits()
    return train(network or mlp(), DIGITS, *parts, choices, epochs=epochs, seed=seed, device="cpu", **more)


def test_it_learns_and_the_fit_holds_together():
    network = mlp()
    fit = run(network, epochs=12)
    _, valid = digits()
    assert fit.status == "ok", fit.error
    assert fit.score is not None and fit.score > 0.9
    assert fit.score == max(fit.curve)
    assert fit.curve[fit.best_epoch - 1] == fit.score
    assert fit.epochs == len(fit.curve) == 12
    assert fit.parameters == network_size(network)
    assert fit.predictions is not None and fit.state is not None
    assert metrics.score("accuracy", "multiclass", valid.y, fit.predictions) == fit.score
    # The network was left with the weights of the best epoch.
    np.testing.assert_allclose(predict(Predictor(network, DIGITS), valid.inputs), fit.predictions, atol=1e-6)
    fresh = mlp(seed=5)
    fresh.load_state_dict(fit.state)
    np.testing.assert_allclose(predict(Predictor(fresh, DIGITS), valid.inputs), fit.predictions, atol=1e-6)


@pytest.mark.parametrize("loss", ["mse", "huber", "quantile"])
def test_regression_is_in_the_target_s_own_unit(loss):
    parts = diabetes()
    network = mlp(10, 1)
    fit = train(network, DIABETES, *parts, FAST | {"loss": loss}, epochs=15, seed=0, device="cpu")
    assert fit.status == "ok", fit.error
    assert fit.score is not None and fit.score > 0.3
    assert fit.predictions is not None and fit.predictions.shape == parts[1].y.shape
    assert 100 < fit.predictions.mean() < 200
    again = predict(Predictor(network, DIABETES, fit.mean, fit.std), parts[1].inputs)
    np.testing.assert_allclose(again, fit.predictions, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "optimizer", "schedule"),
    [
        ("cross_entropy", "adamw", "onecycle"),
        ("focal", "sgd", "constant"),
        ("class_weighted", "lion", "cosine"),
    ],
)
def test_every_loss_optimizer_and_schedule_learns(loss, optimizer, schedule):
    fit = run(choices=FAST | {"loss": loss, "optimizer": optimizer, "schedule": schedule, "learning_rate": 0.01})
    assert fit.status == "ok", fit.error
    assert fit.score is not None and fit.score > 0.75


@pytest.mark.parametrize("augment", ["light", "medium", "strong"])
def test_every_augmentation_learns(augment):
    fit = run(choices=FAST | {"augment": augment, "learning_rate": 0.01}, epochs=5)
    assert fit.status == "ok", fit.error
    assert fit.score is not None and fit.score > 0.3


class Begun(nn.Module):
    """Its weights start at 0.5; ``seen`` takes in what it was shown."""

    begin_rows = 500
    patience = 2

    def __init__(self, seen: list) -> None:
        super().__init__()
        self.body, self.seen = mlp(), seen

    def begin(self, batches, y, until):
        rows = torch.cat([x for (x,) in batches])
        self.seen.append((rows, y))
        for p in self.body.parameters():
            p.fill_(0.5)

    def forward(self, x):
        return self.body(x) + torch.arange(10.0)  # all its weights are equal: the last class wins


@pytest.mark.parametrize("ema", [False, True])
def test_a_network_may_look_at_rows_before_it_is_trained(ema):
    """It does once, with inputs and targets of the same rows; a training that goes on does not begin again."""
    seen: list = []
    still = FAST | {"ema": ema, "learning_rate": 1e-9, "weight_decay": 0.0}
    network = Begun(seen)
    fit = run(network, still, epochs=1)
    assert fit.status == "ok" and fit.state is not None, fit.error
    (rows, y), (part, _) = seen[0], digits()
    (prepared,) = Predictor(mlp(), DIGITS).prepare(torch.from_numpy(part.inputs[0]))
    by_row = {row.tobytes(): int(label) for row, label in zip(prepared.numpy(), part.y, strict=True)}
    assert [by_row[row.tobytes()] for row in rows.numpy()] == y.tolist()
    assert len(rows) == Begun.begin_rows < len(part)
    for name, _ in network.named_parameters():  # the average starts there too
        torch.testing.assert_close(fit.state[name], torch.full_like(fit.state[name], 0.5))
    assert run(Begun(seen), still, epochs=2, horizon=2, start=fit.resume).status == "ok"
    assert len(seen) == 1


def test_a_network_that_begins_may_know_how_soon_training_adds_nothing():
    none = FAST | {"learning_rate": 0.0, "weight_decay": 0.0}
    fit = run(Begun([]), none, epochs=12)
    assert len(fit.curve) == 1 + Begun.patience
    assert len(run(Begun([]), none | {"patience": 4}, epochs=12).curve) == 5, "an option goes before"


def test_an_ensemble_inside_the_network():
    for task, parts, network in (
        (DIGITS, digits(), Members(64, 10)),
        (DIABETES, diabetes(), Members(10, 1)),
    ):
        fit = train(network, task, *parts, FAST | {"learning_rate": 0.03}, epochs=6, seed=0, device="cpu")
        assert fit.status == "ok", fit.error
        assert fit.predictions is not None and len(fit.predictions) == len(parts[1])
        assert fit.score is not None and fit.score > 0.3


@pytest.mark.parametrize("choices", [FAST, EVERYTHING])
def test_same_seed_same_result(choices):
    first, second, other = run(choices=choices), run(choices=choices), run(choices=choices, seed=1)
    assert first.curve == second.curve
    assert first.predictions is not None and other.predictions is not None
    np.testing.assert_array_equal(first.predictions, second.predictions)
    assert np.abs(first.predictions - other.predictions).max() > 0


def test_the_caller_s_random_numbers_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    network = mlp(seed=0)
    torch.manual_seed(3)
    run(network, epochs=1)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lion"])
def test_stopping_and_going_on_is_as_not_stopping(optimizer):
    choices = EVERYTHING | {"optimizer": optimizer}
    whole = run(choices=choices, epochs=6)
    first = run(choices=choices, epochs=2, horizon=6)
    assert first.resume is not None
    # Through bytes and into a network with other weights: the state alone must be enough.
    state = TrainingState.from_bytes(first.resume.to_bytes())
    rest = run(mlp(seed=9), choices=choices, epochs=6, start=state)
    assert first.curve == whole.curve[:2]
    assert rest.curve == whole.curve
    assert rest.predictions is not None and whole.predictions is not None
    np.testing.assert_array_equal(rest.predictions, whole.predictions)
    assert rest.best_epoch == whole.best_epoch


def test_going_on_without_anything_better_keeps_the_best():
    good = run(epochs=8)
    assert good.resume is not None
    # A ruinous rate: nothing after the start is as good.
    worse = run(mlp(seed=9), choices=FAST | {"learning_rate": 100.0, "clip": 0.0}, epochs=10, start=good.resume)
    assert worse.status == "ok", worse.error
    assert (worse.score, worse.best_epoch) == (good.score, good.best_epoch)
    assert worse.predictions is not None and good.predictions is not None
    np.testing.assert_allclose(worse.predictions, good.predictions, atol=1e-6)


def test_a_start_that_is_long_enough_is_not_trained_further():
    good = run(epochs=2)
    again = run(mlp(seed=9), epochs=2, start=good.resume)
    assert (again.status, again.curve, again.score) == ("ok", good.curve, good.score)
    np.testing.assert_allclose(again.predictions, good.predictions, atol=1e-6)  # type: ignore[arg-type]


def test_going_on_without_time_for_a_step_adds_nothing_to_the_curve():
    good = run(epochs=2)
    again = run(mlp(seed=9), epochs=9, start=good.resume, seconds=0.0)
    assert (again.status, again.curve, again.epochs, again.score) == ("ok", good.curve, 2, good.score)


def test_a_start_of_another_network_fails():
    good = run(epochs=1)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    fit = run(other, epochs=2, start=good.resume)
    assert fit.status == "failed"
    assert "RuntimeError" in fit.error


@pytest.mark.parametrize("data", [b"", b"12345678", b"\x05\0\0\0\0\0\0\0{}xxx", b"\xff" * 40])
def test_a_broken_state_is_refused(data):
    with pytest.raises(ValueError, match="not a training state"):
        TrainingState.from_bytes(data)


def test_the_best_epoch_is_kept_not_the_last():
    rates = FAST | {"learning_rate": 0.3, "schedule": "onecycle", "clip": 0.0}
    network = mlp()
    fit = run(network, choices=rates, epochs=8)
    _, valid = digits()
    assert fit.status == "ok"
    assert metrics.score("accuracy", "multiclass", valid.y, predict(Predictor(network, DIGITS), valid.inputs)) == max(
        fit.curve
    )


class NotANumber(nn.Module):
    """Answers NaN from its ``after``-th training step on."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.inner, self.left = mlp(), after

    def forward(self, x):
        self.left -= self.training
        return self.inner(x) * (math.nan if self.left < 0 else 1.0)


def test_nan_is_divergence():
    at_once = run(NotANumber(0))
    later = run(NotANumber(45))  # twenty steps in an epoch
    assert (at_once.status, at_once.curve, at_once.score) == ("diverged", (), None)
    assert (later.status, len(later.curve), later.score, later.epochs) == ("diverged", 2, None, 2)
    assert "epoch 3" in later.error and "\n" not in later.error


def test_infinite_rate_diverges():
    fit = run(choices=FAST | {"learning_rate": 1e30, "optimizer": "sgd", "clip": 0.0}, epochs=3)
    assert fit.status == "diverged"


class Slow(nn.Module):
    """A step takes so many seconds of the clock."""

    def __init__(self, seconds: float, clock: list[float]) -> None:
        super().__init__()
        self.inner, self.seconds, self.clock = mlp(), seconds, clock

    def forward(self, x):
        self.clock[0] += self.seconds if self.training else 0
        return self.inner(x)


def test_out_of_time_before_the_first_step():
    fit = run(epochs=1000, seconds=0.0)
    assert (fit.status, fit.score, fit.resume) == ("timeout", None, None)
    assert fit.error


def test_out_of_time_in_the_first_epoch_is_judged_as_it_is(clock):
    network = Slow(0.05, clock)
    fit = run(network, epochs=1000, seconds=0.4)
    assert (fit.status, fit.epochs, fit.resume) == ("ok", 1, None)
    assert fit.score == fit.curve[0] > 0 and clock[0] < 0.5
    _, valid = digits()
    np.testing.assert_allclose(predict(Predictor(network, DIGITS), valid.inputs), fit.predictions, atol=1e-6)  # type: ignore[arg-type]


class SlowToBegin(Begun):
    def __init__(self, clock: list[float]) -> None:
        super().__init__([])
        self.clock = clock

    def begin(self, batches, y, until):
        super().begin(batches, y, until)
        self.clock[0] += 1.0


def test_what_a_network_learned_before_its_first_step_is_judged(clock):
    network = SlowToBegin(clock)
    fit = run(network, epochs=1000, seconds=0.9)
    assert (fit.status, fit.epochs, fit.resume) == ("ok", 1, None), fit.error
    assert fit.predictions is not None and fit.score is not None
    assert all((p == 0.5).all() for p in network.parameters()), "no step was made"


def test_a_training_that_will_be_cut_brings_its_rates_down(clock, monkeypatch: pytest.MonkeyPatch):
    places: list[float] = []
    kept = Schedule.set
    monkeypatch.setattr(Schedule, "set", lambda self, step: (places.append(step / self.steps), kept(self, step)))
    run(Slow(0.01, clock), epochs=1000, seconds=1.5)
    assert len(places) < 500  # far from all steps
    assert places == sorted(places)
    assert places[-1] > 0.9  # of the schedule
    places.clear()
    run(Slow(0.0, clock), epochs=2, seconds=1000)
    assert places == [i / len(places) for i in range(len(places))]  # by the step alone


def test_out_of_time_after_an_epoch_is_what_was_reached(clock):
    network = Slow(0.01, clock)
    fit = run(network, epochs=1000, seconds=1.0)
    assert fit.status == "ok"
    assert 1 <= fit.epochs < 1000
    assert fit.score == max(fit.curve)
    assert fit.resume is None
    _, valid = digits()
    np.testing.assert_allclose(predict(Predictor(network, DIGITS), valid.inputs), fit.predictions, atol=1e-6)  # type: ignore[arg-type]


class Raising(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.inner, self.error = mlp(), error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("shapes\ndo not fit"), "failed"),
        (KeyError("x"), "failed"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory."), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "oom"),
    ],
)
def test_whatever_goes_wrong_is_a_status(error, status):
    fit = run(Raising(error))
    assert fit.status == status
    assert fit.error.startswith(type(error).__name__)
    assert "\n" not in fit.error and "test_train.py" in fit.error


@pytest.mark.parametrize(
    "wrong", [{"optimizer": "adam"}, {"schedule": "linear"}, {"loss": "mse"}, {"augment": "heavy"}]
)
def test_an_unknown_option_fails_and_names_the_known(wrong):
    fit = run(choices=FAST | wrong)
    assert fit.status == "failed"
    assert "are: " in fit.error


def test_ctrl_c_is_not_swallowed():
    import torch._dynamo  # noqa: F401  (the first optimizer does, and an import may swallow it)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            run(epochs=1000, seconds=30)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_stops_early_when_nothing_improves():
    fit = run(choices=FAST | {"learning_rate": 1e-12, "patience": 2}, epochs=50)
    assert fit.status == "ok"
    # Running statistics of the batch norm still improve the first epochs a little.
    assert fit.epochs == fit.best_epoch + 2 < 50


def test_read_only_rows_of_shared_memory():
    parts = [Part(tuple(a.copy() for a in p.inputs), p.y.copy(), p.rows) for p in digits()]
    for p in parts:
        for array in (*p.inputs, p.y):
            array.setflags(write=False)
    fit = train(mlp(), DIGITS, parts[0], parts[1], EVERYTHING, epochs=1, seed=0, device="cpu")
    assert fit.status == "ok", fit.error


def test_the_terminal_stays_quiet(capfd, recwarn):
    run(epochs=1)
    assert capfd.readouterr() == ("", "")
    assert not [w for w in recwarn if "lightning" in w.filename]


@pytest.mark.parametrize(("rows", "batch"), [(1001, 500), (2000, 64), (600, 64), (5, 64), (129, 128)])
def test_batches_are_near_equal_and_cover_every_row(rows, batch):
    loader = Stretches(rows, batch, seed=0, epoch=lambda: 0)
    stretches = list(loader)
    batches = [b for stretch in stretches for b in stretch]
    assert len(stretches) == len(loader)
    passes = max(1, round(EPOCH_ROWS / rows))
    assert len(batches) == loader.steps == passes * math.ceil(rows / batch)
    assert max(map(len, batches)) - min(map(len, batches)) <= 1
    assert max(map(len, batches)) <= batch
    for shown in torch.cat(batches).split(rows):  # every pass, in an order of its own
        assert shown.sort().values.tolist() == list(range(rows))


@pytest.mark.parametrize(
    ("rows", "batch", "sizes"), [(3, 2, [3]), (7, 2, [3, 2, 2]), (7, 3, [3, 2, 2]), (3, 1, [1, 1, 1])]
)
def test_no_batch_is_of_one_row_unless_that_was_asked(rows, batch, sizes):
    batches = [b for stretch in Stretches(rows, batch, seed=0, epoch=lambda: 0) for b in stretch]
    assert [len(b) for b in batches[: len(sizes)]] == sizes


def test_refit_goes_on_with_both_parts_shorter_and_slower_than_the_first_training():
    parts = digits()
    network = mlp()
    train(network, DIGITS, *parts, FAST, epochs=8, seed=0, device="cpu")
    first = {name: weight.clone() for name, weight in network.state_dict().items()}
    both = joined(*parts)
    again = refit(network, DIGITS, both, FAST, epochs=8, seed=0, device="cpu")
    assert (again.status, again.score, again.predictions) == ("ok", None, None)
    assert again.epochs == again.best_epoch == shorter(8) == 2 and shorter(1) == 1
    assert len(both) == 800 and both.rows.tolist() == list(range(800))
    assert metrics.accuracy(both.y, predict(Predictor(network, DIGITS), both.inputs)) > 0.7
    assert again.state is not None
    np.testing.assert_array_equal(again.state["1.weight"], network.state_dict()["1.weight"])
    moved = (network.state_dict()["1.weight"] - first["1.weight"]).norm()
    assert 0 < moved < 0.5 * first["1.weight"].norm(), "it goes on from where it stood"


def test_refit_keeps_the_averaged_weights():
    parts = digits()
    plain, averaged = (
        train(mlp(), DIGITS, *parts[:1], None, FAST | {"ema": ema}, epochs=3, seed=0, device="cpu")
        for ema in (False, True)
    )
    assert plain.state is not None and averaged.state is not None and averaged.resume is not None
    np.testing.assert_array_equal(averaged.resume.weights["1.weight"], plain.state["1.weight"])
    np.testing.assert_array_equal(averaged.state["1.weight"], averaged.resume.average["1.weight"])
    assert not torch.equal(averaged.state["1.weight"], plain.state["1.weight"])


def test_refit_without_enough_time_says_so(clock):
    cut = refit(Slow(0.05, clock), DIGITS, joined(*digits()), FAST, epochs=400, seed=0, seconds=0.2, device="cpu")
    assert cut.status == "timeout"


def test_a_refit_that_is_cut_after_its_rates_came_down_is_kept(clock):
    network = Slow(0.005, clock)
    cut = refit(network, DIGITS, joined(*digits()), FAST, epochs=4000, seed=0, seconds=1.5, device="cpu")
    assert (cut.status, cut.resume) == ("ok", None) and 0 < cut.epochs < 1000, cut.error
    both = joined(*digits())
    assert metrics.accuracy(both.y, predict(Predictor(network, DIGITS), both.inputs)) > 0.7


@pytest.mark.parametrize("valid", [True, False])
def test_what_was_begun_is_not_lost_without_validation_rows_either(clock, valid: bool):
    network = SlowToBegin(clock)
    rows, judged = digits()
    fit = train(network, DIGITS, rows, judged if valid else None, FAST, epochs=1000, seed=0, seconds=0.9, device="cpu")
    assert fit.status == "ok" and fit.state is not None, fit.error
    assert all((p == 0.5).all() for p in network.parameters()), "no step was made"


class Reading(Begun):
    """Takes its time with each batch that it reads."""

    def __init__(self, seen: list, clock: list[float]) -> None:
        super().__init__(seen)
        self.clock = clock

    def begin(self, batches, y, until):
        self.until = until
        super().begin(map(self.read, batches), y, until)

    def read(self, batch):
        self.clock[0] += 0.3
        return batch


def test_reading_ends_in_time_for_the_fit(clock):
    seen: list = []
    network = Reading(seen, clock)
    fit = run(network, epochs=1, seconds=1.0)
    (rows, y), (part, _) = seen[0], digits()
    assert fit.status == "ok" and len(rows) < len(y) == Begun.begin_rows < len(part), fit.error
    assert 0 < network.until < 0.9
    run(Reading(seen, clock), epochs=1)
    assert len(seen[1][0]) == Begun.begin_rows, "without a limit it reads all"
    assert torch.equal(rows, seen[1][0][: len(rows)])


class Cold(Begun):
    """Its first answer takes twelve seconds, as that of a device that makes ready for it."""

    def __init__(self, now: list[float]) -> None:
        super().__init__([])
        self.now = now

    def forward(self, x):
        self.now[0] = self.now[0] or 12.0
        return super().forward(x)


def test_what_only_the_first_answer_costs_is_not_held_against_a_network(clock):
    fit = train(Cold(clock), DIGITS, *digits(600, 400), FAST, epochs=1, seed=0, seconds=30.0, device="cpu")
    assert fit.status == "ok", fit.error


class Noting(nn.Module):
    """Takes note of whether convolutions on a GPU might round what they read, while training and after."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.rounds = mlp(), set()

    def forward(self, x):
        self.rounds.add((self.training, torch.backends.cudnn.conv.fp32_precision))
        return self.inner(x)


def test_what_judges_is_what_an_exported_graph_answers():
    network, before = Noting(), torch.backends.cudnn.conv.fp32_precision
    fit = run(network, epochs=1)
    assert fit.status == "ok" and network.rounds == {(True, before), (False, "ieee")}, fit.error
    predict(Predictor(network, DIGITS), digits()[1].inputs)
    assert network.rounds == {(True, before), (False, "ieee")} and torch.backends.cudnn.conv.fp32_precision == before


def test_bfloat16_is_for_devices_that_compute_in_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert precision_on(torch.device("cuda", 0)) == precision_on(torch.device("cpu")) == "32-true"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert precision_on(torch.device("cuda", 0)) == "bf16-mixed"


@pytest.mark.gpu
def test_on_a_gpu():
    network = mlp()
    fit = train(network, DIGITS, *digits(), EVERYTHING, epochs=10, seed=0, device="cuda")
    assert fit.status == "ok", fit.error
    assert fit.score is not None and fit.score > 0.8
    assert all(p.device.type == "cpu" for p in network.parameters())
    more = train(mlp(), DIGITS, *digits(), EVERYTHING, epochs=12, seed=0, device="cuda", start=fit.resume)
    assert more.status == "ok" and more.curve[:10] == fit.curve
