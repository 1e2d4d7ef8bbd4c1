"""The meta-learner beside a search: it hears of every trial, and thinks anew when enough is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automl.types import Axes, Candidate, MetaLearner, Prior, Profile, Trial

SHARE = 1 / 8  # of the trials that it knew when it last thought


@dataclass
class Follow:
    """Called with each trial; answers with a new prior, or with None where it would be much like the last.

    A prediction takes some tenths of a second of a machine that is busy with trainings. After 60 trials one more
    changes little, so the number of predictions grows with the logarithm of the trials. It depends on their count
    alone: a search that is replayed gets the same priors at the same trials.

    ``epochs``: of a training of full length. A shorter one has less time; that it did not fit says nothing of the full
    one, and the learner, which takes a failure for the worst there is, does not hear of it.
    """

    learner: MetaLearner
    profile: Profile
    axes: Axes
    epochs: int
    told: int = 0
    last: int = 0

    def __call__(self, trial: Trial, running: Sequence[Candidate] = ()) -> Prior | None:
        """``running``: candidates that were begun and have told nothing yet; to the learner they are as good as run."""
        short = trial.status == "timeout" and trial.fidelity < self.epochs
        self.learner.update([] if short else [trial], running)
        self.told += 1
        if self.told - self.last < SHARE * self.last:
            return None
        self.last = self.told
        return self.learner.predict(self.profile, self.axes)
