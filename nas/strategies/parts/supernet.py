"""One network that holds every candidate of a family, trained by one of NNI's one-shot algorithms.

NNI 3.0 supplies the supernet (its strategies replace each ``LayerChoice`` by a mixed or a sampled layer) and the search
steps (a LightningModule around ours). Two things are ours: the trainer, since NNI's evaluators keep a finished one, and
the random numbers of path sampling, which NNI draws without a seed.
"""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl  # of whatever copy NNI's own classes are
import torch
from nni.mutable import Sample
from nni.nas.evaluator.pytorch import LightningModule
from nni.nas.nn.pytorch import LayerChoice
from nni.nas.oneshot.pytorch.sampling import RandomSamplingLightningModule
from nni.nas.oneshot.pytorch.strategy import OneShotStrategy, RandomOneShot
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

from automl import metrics
from automl.data.dataset import Part
from automl.training.losses import Loss
from automl.training.predictor import Predictor, Prepare, predict
from automl.training.rows import as_tensor
from automl.training.train import find_device, quiet
from automl.types import Family, Option, Task
from nas.job import Job

CALIBRATION = 8  # batches from which a path's norms take their statistics: by judgement; each costs a pass of each path


def shared_axes(family: Family, task: Task) -> tuple[str, ...]:
    """The axes that candidates can share weights over: those that the family writes as LayerChoice."""
    return tuple(dict.fromkeys(str(m.label) for m in family.space(task).modules() if isinstance(m, LayerChoice)))


class Supernet:
    """A family's supernet.

    ``algorithm``: a fresh one-shot strategy of NNI. ``epochs``, ``batch_size``, ``learning_rate``: of its training.
    """

    def __init__(
        self,
        job: Job,
        family: str,
        algorithm: OneShotStrategy,
        *,
        epochs: int,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        seed: int = 0,
    ) -> None:
        self.job, self.task, self.epochs, self.batch_size, self.seed = job, job.task, epochs, batch_size, seed
        self.device = find_device(job.device)
        values = job.train.y.astype(np.float64)
        regression = job.task.kind == "regression"
        self.mean, self.std = (float(values.mean()), float(values.std()) or 1.0) if regression else (0.0, 1.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network: Any = algorithm.mutate_model(job.families[family].space(job.task))
            recipe = Recipe(self.network, job.task, job.train, self.mean, self.std, learning_rate)
            recipe.set_model(self.network)
            self.search = algorithm.configure_oneshot_module(recipe)
        self.algorithm = algorithm

    def train(self, expired: Callable[[], bool] = lambda: False) -> int:
        """Train it; ``expired`` is asked after each epoch whether to stop. Returns the epochs done."""
        generator = torch.Generator().manual_seed(self.seed)
        loaders = self.algorithm.train_dataloader(
            lambda: self._loader(self.job.train, generator), lambda: self._loader(self.job.valid, generator)
        )
        cuda = self.device.type == "cuda"
        with quiet(), torch.random.fork_rng([self.device.index or 0] if cuda else []):
            torch.manual_seed(self.seed)
            trainer = pl.Trainer(
                max_epochs=self.epochs,
                accelerator="cuda" if cuda else "cpu",
                devices=[self.device.index or 0] if cuda else 1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[StopWhen(expired)],
            )
            trainer.fit(self.search, loaders)
        return trainer.current_epoch

    def _loader(self, part: Part, generator: torch.Generator) -> DataLoader[Any]:
        tensors = [*(as_tensor(x) for x in part.inputs), as_tensor(part.y)]
        size = min(self.batch_size, len(part))
        return DataLoader(TensorDataset(*tensors), size, shuffle=True, drop_last=True, generator=generator)

    # --- what it learned

    @property
    def samples_paths(self) -> bool:
        """Whether single candidates can be scored (else the supernet mixes them and knows probabilities)."""
        return isinstance(self.search, RandomSamplingLightningModule)

    def probabilities(self) -> dict[str, dict[Option, float]]:
        """Axis -> option -> probability, of a differentiable algorithm.

        From the architecture weights themselves: NNI's ``export_probs`` of GumbelDARTS is one noisy draw.
        """
        found: dict[str, dict[Option, float]] = {}
        for label, weights in self.algorithm._arch_parameters.items():  # pyright: ignore[reportAttributeAccessIssue]
            options = self.network.simplify()[label].values
            found[label] = dict(zip(options, weights.detach().softmax(-1).tolist(), strict=True))
        return found

    def best(self) -> dict[str, Option]:
        """The most probable options, of a differentiable algorithm."""
        return {label: max(of, key=lambda option: of[option]) for label, of in self.probabilities().items()}

    def score(self, choices: Mapping[str, Option]) -> float:
        """Validation score of one candidate with the shared weights (higher is better).

        The norms' statistics are taken anew for each path (Guo et al. 2020, "Single Path One-Shot", section 3.4).
        """
        for module in self.search.supernet_modules():
            module.resample(memo=dict(choices))
        recalibrate(self.network, Prepare(self.task.inputs), self.job.train, self.batch_size)
        predictor = Predictor(self.network, self.task, self.mean, self.std)
        predictions = predict(predictor, self.job.valid.inputs)
        if not np.isfinite(predictions).all():
            return -np.inf
        return metrics.score(self.task.metric, self.task.kind, self.job.valid.y, predictions)


@torch.no_grad()
def recalibrate(network: nn.Module, prepare: Prepare, part: Part, batch_size: int) -> None:
    """Set the running statistics of every batch norm to those of a few batches."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    network.cpu().train()
    for at in range(0, min(len(part), CALIBRATION * batch_size), batch_size):
        inputs = tuple(as_tensor(x[at : at + batch_size]) for x in part.inputs)
        if len(inputs[0]) > 1:
            network(*prepare(*inputs))


class Recipe(LightningModule):
    """How the shared weights are trained: AdamW, half a cosine, the task's first loss."""

    def __init__(
        self, network: nn.Module, task: Task, train: Part, mean: float, std: float, learning_rate: float
    ) -> None:
        super().__init__()
        self.prepare = Prepare(task.inputs)
        self.loss = Loss(task, "", 0.0, as_tensor(train.y))
        self.regression, self.mean, self.std = task.kind == "regression", mean, std
        self.learning_rate = learning_rate

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        *inputs, y = batch
        if self.regression:
            y = (y - self.mean) / self.std
        return self.loss(self.model(*self.prepare(*inputs)), y)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.model.parameters(), self.learning_rate, weight_decay=1e-2)
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        schedule = CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class StopWhen(pl.Callback):
    def __init__(self, expired: Callable[[], bool]) -> None:
        self.expired = expired

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.expired():
            trainer.should_stop = True


class SeededRandomOneShot(RandomOneShot):
    """NNI's RandomOneShot with paths drawn from a seeded generator; NNI draws them from an unseeded one."""

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def configure_oneshot_module(self, training_module: Any) -> Any:
        return SeededPaths(training_module, self.filter, self.seed)


class SeededPaths(RandomSamplingLightningModule):
    def __init__(self, training_module: Any, filter: Any, seed: int) -> None:
        super().__init__(training_module, filter)
        self.rng = np.random.default_rng(seed)

    def resample(self) -> Sample:
        def draw() -> Sample:
            sample: Sample = {}
            for module in self.supernet_modules():
                if isinstance(module, LayerChoice) and str(module.label) not in sample:
                    sample[str(module.label)] = module.names[int(self.rng.integers(len(module.names)))]
                module.resample(memo=sample)
            return sample

        return self._repeat_until_valid(draw)
