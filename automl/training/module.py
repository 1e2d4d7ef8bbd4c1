"""The one LightningModule: every network of the program is trained by it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from automl import metrics
from automl.data.augment import augment, can_mix, mixup
from automl.data.dataset import Part
from automl.training import live, transforms
from automl.training.deadline import DOWN, FITTED, LATE, LEAST, PACE_STEPS, READ, grace
from automl.training.ema import Ema
from automl.training.lightning import pl
from automl.training.losses import Loss
from automl.training.optim import Schedule, make_optimizer
from automl.training.options import Options
from automl.training.predictor import VALID_BATCH, Predictor, in_float32
from automl.training.rows import Rows, Stretches, derived_seed, order_of
from automl.training.state import TrainingState, copied, read_moments, write_moments
from automl.types import Task

# By judgement: less patience ends a training on a plateau, more of it trains what has ended. Larger batches keep their
# time less well, smaller ones are slow.
SHORTEST_PATIENCE = 5  # epochs without a better one; a third of all where that is longer
BEGIN_BATCH = 128  # rows that a network which begins is shown at once: it looks at the clock between them


class Diverged(Exception):
    """The training loss or a prediction is no finite number."""


class OutOfTime(Exception):
    """The time limit was reached in the middle of an epoch."""


@runtime_checkable
class Begins(Protocol):
    """A network that looks at rows before its first training step: a part of it is fitted at once.

    ``begin_rows``: at how many, at most. ``patience``: as in ``Options``, where training adds little to that; 0 is as
    for any network.
    """

    begin_rows: int
    patience: int

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """``batches``: prepared inputs, each (rows, ...), of at most ``begin_rows`` rows in all; ``y``: the targets of
        these rows, (rows,), standardised for regression. Where reading takes long the batches end sooner: then the
        first of ``y`` are meant. ``until``: of ``time.monotonic()``, when the fit should be done; it makes do with
        less rather than come late. Sets weights in place; no gradients are recorded. Raises OutOfTime where not even
        the least fits.
        """
        ...


class Training(pl.LightningModule):
    """Trains a predictor's network and remembers its best epoch.

    Manual optimization: a Lightning batch is a stretch of optimizer steps (see ``Stretches``). Validation is in
    ``on_train_epoch_end``: one pass, one score. The best epoch has the highest score; among equals (small validation
    sets) the lowest log-loss or squared error.
    """

    def __init__(
        self,
        predictor: Predictor,
        task: Task,
        options: Options,
        train: Part,
        valid: Part | None,
        *,
        epochs: int,
        horizon: int,
        seed: int,
        deadline: float | None,
        device: torch.device,
        history: list[np.ndarray] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.predictor, self.task, self.options = predictor, task, options
        self.rows, self.places = Rows(train, device), train.rows
        self.valid = Rows(valid, device) if valid is not None else None
        self.valid_y = valid.y if valid is not None else None
        self.loss = Loss(task, options.loss, options.label_smoothing, self.rows.y)
        self.seed, self.deadline = seed, deadline
        self.loader = Stretches(len(train), options.batch_size, seed, lambda: self.epoch)
        network = predictor.network
        usual = network.patience if isinstance(network, Begins) else 0
        self.patience = options.patience or usual or max(SHORTEST_PATIENCE, epochs // 3)
        self.operations = transforms.made(options.augment)
        self.mixes = options.mixup > 0 and can_mix(task.inputs)
        self.generator = torch.Generator(device)
        self.rng = np.random.default_rng(0)
        self.where = device
        self.optimizer = make_optimizer(network, options.optimizer, options.learning_rate, options.weight_decay)
        self.schedule = Schedule(self.optimizer, options.schedule, self.loader.steps * horizon, horizon)
        self.ema = Ema(network, self.loader.steps * horizon) if options.ema else None
        self.weights = [p for p in network.parameters() if p.requires_grad]
        self.last_step = self.loader.steps * epochs
        self.began = time.monotonic()
        self.first: tuple[int, float] | None = None  # step and time at which this call began to train
        self.hurry: tuple[int, float] | None = None  # step and time from which the clock sets the schedule
        self.epoch = self.step = self.seen = 0  # seen: step of the last validation
        self.curve: list[float] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch, self.best_loss = 0, float("inf")
        self.cut = False  # stopped by the time limit in mid-epoch
        self.predictions: np.ndarray | None = None  # of the best epoch
        self.history = history  # takes in those of every epoch

    @torch.no_grad()
    @in_float32()
    def begin(self) -> None:
        """Before the first step of a training that starts anew. Raises OutOfTime when the time is up.

        The time for judging what was begun is kept.
        """
        network = self.predictor.network
        if not isinstance(network, Begins):
            return
        index = order_of(self.places, derived_seed(self.seed, "begin"))[: network.begin_rows]
        y = self.rows.take(index)[1]
        if self.task.kind == "regression":
            y = (y - self.predictor.center) / self.predictor.scale

        now = time.monotonic()
        left = math.inf if self.deadline is None else self.deadline - now

        def batches() -> Iterator[tuple[Tensor, ...]]:
            for at, some in enumerate(index.split(BEGIN_BATCH)):
                self.check_time()
                if at and time.monotonic() > now + READ * left:
                    return
                yield self.predictor.prepare(*self.rows.take(some)[0])

        until = now + FITTED * left
        if self.deadline is not None and self.valid is not None:
            until = max(now + LEAST * left, min(until, self.deadline - self.judging()))
        network.begin(batches(), y, until=until)
        if self.deadline is not None and self.valid is not None:
            self.deadline -= self.judging()  # the last validation: for some of these it is most of the work
        self.seen = -1  # there is something to judge already
        if self.ema is not None:
            self.ema.restart()

    def resume(self, state: TrainingState) -> None:
        """Go on from a state. Raises RuntimeError or ValueError when it belongs to another network or recipe."""
        self.predictor.network.load_state_dict(dict(state.weights))
        write_moments(self.optimizer, state.moments)
        if self.ema is not None:
            for name, average in self.ema.average.items():
                average.copy_(state.average[name])
        self.epoch, self.step, self.curve = state.epoch, state.step, list(state.curve)
        self.seen = state.step  # the curve ends with what it knew here
        self.best, self.best_epoch, self.best_loss = dict(state.best), state.best_epoch, state.best_loss

    def state(self) -> TrainingState:
        """Where the training stands now."""
        return TrainingState(
            epoch=self.epoch,
            step=self.step,
            weights=copied(self.predictor.network.state_dict()),
            best=self.best,
            moments=read_moments(self.optimizer),
            average=copied(self.ema.average) if self.ema is not None else {},
            curve=tuple(self.curve),
            best_epoch=self.best_epoch,
            best_loss=self.best_loss,
        )

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer

    def transfer_batch_to_device(self, batch: list[Tensor], device: torch.device, dataloader_idx: int) -> list[Tensor]:
        return batch  # row numbers; the rows are on the device already

    def on_train_epoch_start(self) -> None:
        # Everything random in an epoch follows from seed and epoch, so a resumed training draws the same numbers.
        # (Not torch.manual_seed: without a GPU in use it queues a call and a stack trace each time, for ever.)
        seed = derived_seed(self.seed, self.epoch, "dropout")
        torch.default_generator.manual_seed(seed)
        if self.where.type == "cuda":
            torch.cuda.default_generators[self.where.index].manual_seed(seed)
        self.generator.manual_seed(derived_seed(self.seed, self.epoch, "augment"))
        self.rng = np.random.default_rng(derived_seed(self.seed, self.epoch, "mixup"))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        total = torch.zeros((), device=self.where)
        for index in batch:
            self.check_time()
            inputs, y = self.rows.take(index)
            self.schedule.set(self.place())
            loss = self.batch_loss(inputs, y)
            self.optimizer.zero_grad()
            loss.backward()
            if self.options.clip > 0:
                torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip)
            self.optimizer.step()
            if self.ema is not None:
                self.ema.update(self.step)
            self.step += 1
            total += loss.detach()
        if not torch.isfinite(total):  # once a stretch: on a GPU every look at a number waits for it
            raise Diverged(f"the training loss is {float(total)} in epoch {self.epoch + 1}")

    def place(self) -> float:
        """Where the schedule stands: the step, or sooner where the time will be up before the last step.

        A training that will be cut anyway has its rates brought down in the time it has (budgeted training, Li et al.
        2020). One that keeps its time never looks at the clock, so that it can be repeated exactly.
        """
        if self.deadline is None:
            return self.step
        now = time.monotonic()
        if self.first is None:
            self.first = self.step, now
        if self.hurry is None:
            done = self.step - self.first[0]
            if done < PACE_STEPS or done % PACE_STEPS:
                return self.step
            needed = (now - self.first[1]) / done * (self.last_step - self.step)
            # What is not validated has no better epoch to fall back on.
            if needed <= (LATE if self.valid is not None else 1.0) * (self.deadline - now):
                return self.step
            self.hurry = self.step, now
        step, since = self.hurry
        share = (now - since) / max(self.deadline - since, 1e-9)
        return max(self.step, step + min(share, 1.0) * (self.last_step - step))

    def batch_loss(self, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
        """Loss of one batch of encoded inputs (rows, ...) and raw targets (rows,)."""
        if self.task.kind == "regression":
            y = (y - self.predictor.center) / self.predictor.scale
        strength = self.options.augment
        if self.operations:
            inputs, strength = transforms.changed(inputs, self.task.inputs, self.operations, self.generator), "none"
        prepared = augment(self.predictor.prepare(*inputs), self.task.inputs, strength, self.generator)
        if not self.mixes:
            return self.loss(self.predictor.network(*prepared), y)
        mixed, partner, share = mixup(prepared, self.task.inputs, self.options.mixup, self.rng, self.generator)
        out = self.predictor.network(*mixed)
        return share * self.loss(out, y) + (1 - share) * self.loss(out, y[partner])

    def on_train_epoch_end(self) -> None:
        stop = False
        if self.valid is not None:
            with self.averaged():
                self.validate(self.epoch + 1)
            stop = self.epoch + 1 - self.best_epoch >= self.patience
        self.epoch += 1
        self.trainer.should_stop = stop

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the network holds the moving average of its weights, if one is kept."""
        return nullcontext() if self.ema is None else self.ema.swapped()

    def validate(self, epoch: int) -> None:
        """Score the network as it is and remember it when it is the best so far."""
        predictions = self.predict_valid()
        if not np.isfinite(predictions).all():
            raise Diverged(f"a prediction is no finite number after epoch {epoch}")
        assert self.valid_y is not None
        kind, y = self.task.kind, self.valid_y
        score = metrics.score(self.task.metric, kind, y, predictions)
        loss = metrics.rmse(y, predictions) if kind == "regression" else metrics.log_loss(y, predictions)
        best = max(self.curve, default=float("-inf"))
        self.curve.append(score)
        live.tell(self.curve)
        self.seen = self.step
        if self.history is not None:
            self.history.append(predictions)
        if (score, -loss) > (best, -self.best_loss):
            self.best_epoch, self.best_loss, self.predictions = epoch, loss, predictions
            self.best = copied(self.predictor.network.state_dict())

    def end_early(self) -> None:
        """The time limit came in mid-epoch: what was learned since the last validation counts as one more epoch.

        What a network learned before its first step counts too. Without validation the weights count as they are, once
        the rates were brought down. Raises OutOfTime when there is nothing to judge, or when judging takes longer than
        half the training did.
        """
        self.cut = True
        if self.valid is None:
            if self.seen == 0 and (self.step == 0 or self.place() < DOWN * self.last_step):
                raise OutOfTime("the time limit came before the rates were brought down")
            self.epoch += 1
            return
        if self.step == self.seen:
            if not self.curve:
                raise OutOfTime("the time limit came before the end of the first epoch")
            return
        self.predictor.to(self.where)  # Lightning has moved it to the CPU
        self.deadline = time.monotonic() + grace(time.monotonic() - self.began)
        try:
            with self.averaged():
                self.validate(self.epoch + 1)
            self.epoch += 1
        except OutOfTime:
            if not self.curve:
                raise

    def finish(self) -> TrainingState | None:
        """After the last epoch: leave the network with its best weights, on the CPU; give up what holds memory.

        Returns where the training stands, or None when it was cut in mid-epoch: that is no place to go on from.
        """
        state = None if self.cut else self.state()
        self.deadline = None
        self.predictor.to(self.where)  # Lightning has moved it to the CPU
        if self.valid is None:
            average = {} if self.ema is None else self.ema.average
            self.best, self.best_epoch = copied({**self.predictor.network.state_dict(), **average}), self.epoch
        self.predictor.network.load_state_dict(self.best)
        if self.valid is not None and self.predictions is None:  # no epoch since the start was better than those before
            self.predictions = self.predict_valid()
        self.predictor.to("cpu").eval()
        self.release()
        return state

    def release(self) -> None:
        """Give up the rows: module and Trainer refer to each other, so they would wait for the collector."""
        del self.rows, self.valid

    def judging(self) -> float:
        """About how many seconds a validation takes, by that of its first rows. Raises OutOfTime when it takes longer
        than all that is given; before that it looks twice, as a device makes ready what it is asked for the first time.
        """
        assert self.valid is not None and self.deadline is not None
        valid, index = self.valid, torch.arange(len(self.valid))[:BEGIN_BATCH]

        def took() -> float:
            began = time.monotonic()
            self.predictor(*valid.take(index)[0]).cpu()  # a GPU has only begun before it gives an answer
            return time.monotonic() - began

        self.predictor.eval()
        one, given, parts = took(), self.deadline - self.began, len(valid) / len(index)
        if one * parts > given and time.monotonic() + one < self.deadline:
            one = took()
        self.predictor.train()
        if one * parts > given:
            raise OutOfTime(f"judging takes about {one * parts:.1f} s, {given:.1f} s are given")
        return one * parts

    def check_time(self) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfTime("the time limit came before the end of the first epoch")

    @torch.no_grad()
    @in_float32()
    def predict_valid(self) -> np.ndarray:
        """Predictions for the validation rows, by the network as it is; in float32, as the exported graph will be."""
        assert self.valid is not None
        self.predictor.eval()
        out = []
        for index in torch.arange(len(self.valid)).split(VALID_BATCH):
            self.check_time()
            inputs, _ = self.valid.take(index)
            out.append(self.predictor(*inputs))
        self.predictor.train()
        return torch.cat(out).cpu().numpy()
