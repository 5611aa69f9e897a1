"""The search itself: what is drawn next, when it ends, and which settings are taken."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from tcn.extras import need
from tcn.forecasting.ensemble import mean_of
from tcn.forecasting.judging import Judge, Trial
from tcn.forecasting.search_space import Dimension

STARTUP = 6  # trials drawn at random, before a model of the errors draws
ATTEMPTS = 50  # to draw settings that no trial had, before the space counts as searched
CLEARLY = 2  # standard errors that what is taken must be better by


@dataclass(frozen=True)
class Budget:
    """When no further trial begins: at whichever end comes first.

    Attributes:
        trials: in all.
        seconds: for all of it, with what comes after the trials.
        later: trainings after the trials, which take about as long as one each.
    """

    trials: float
    seconds: float
    later: int

    def allows(self, trials: Sequence[Trial], spent: float) -> bool:
        """Whether another trial may begin; the first always may."""
        if not trials:
            return True
        usual = float(np.mean([each.seconds for each in trials]))
        in_time = spent + (1 + self.later) * usual <= self.seconds
        return len(trials) < self.trials and in_time


class Search:
    """Draws settings and judges them.

    Attributes:
        trials: all so far, the template's own settings the first.
    """

    def __init__(
        self, judge: Judge, dimensions: Sequence[Dimension], *, seed: int, kept: int
    ) -> None:
        """Prepares a study.

        Args:
            judge: of settings.
            dimensions: what is drawn.
            seed: of what is drawn.
            kept: trials, of the best, whose forecasts are kept; the template's are, too.
        """
        self.judge, self.dimensions, self.kept = judge, dimensions, kept
        self.trials: list[Trial] = []
        self._study = _study(seed)
        self._distributions = {each.name: each.distribution() for each in dimensions}
        self._begun = time.monotonic()

    def run(self, budget: Budget, *, progress: bool) -> None:
        """Makes trials until the budget, the space or the user's patience is at its end."""
        total = int(budget.trials) if np.isfinite(budget.trials) else None
        with tqdm(total=total, disable=not progress, unit="trial") as bar:
            while budget.allows(self.trials, time.monotonic() - self._begun):
                trial = self._next()
                bar.update()
                if trial is None or trial.state == "interrupted":
                    break

    def confirm(self, count: int) -> list[Trial]:
        """Judges the best again, and the template, by other windows and another seed.

        Args:
            count: how many beside the template.

        Returns:
            The template, unless it failed, and those: all judged by as many parts.

        Raises:
            ValueError: if no trial finished.
        """
        ranked = self._ranked()[:count]
        chosen = [each for each in self.trials[:1] if each.errors] + ranked
        if not chosen:
            reasons = [each.reason for each in self.trials if each.reason]
            raise ValueError(
                f"trials: none of {len(self.trials)} finished; the first said: "
                f"{reasons[0] if reasons else 'interrupted'}"
            )
        if not ranked or self.trials[-1].state == "interrupted":
            return chosen
        for each in chosen:
            if not self._judged(each, again=True):
                break
        both = [each for each in chosen if len(each.errors) > 1]
        return both or chosen

    def _ranked(self) -> list[Trial]:
        """Finished ones, the best first, without the template."""
        finished = [each for each in self.trials[1:] if each.state == "finished"]
        return sorted(finished, key=lambda each: (each.score, each.number))

    def full(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What is searched, with the template's where a trial has none."""
        own = self.judge.template.get_params(deep=False)
        return {each.name: settings.get(each.name, own[each.name]) for each in self.dimensions}

    def _next(self) -> Trial | None:
        """Makes a trial; none where nothing new is drawn any more."""
        trial, asked = Trial(len(self.trials), {}), None
        if self.trials and (asked := self._asked(trial)) is None:
            return None
        self.trials.append(trial)
        self._judged(trial)
        self._tell(asked, trial)
        for each in self._ranked()[self.kept :]:
            each.forecasts.clear()
        return trial

    def _asked(self, trial: Trial) -> Any:
        """Draws settings that no trial had, as Optuna's trial."""
        had = [self.full(each.settings) for each in self.trials]
        for _ in range(ATTEMPTS):
            asked = self._study.ask(self._distributions)
            drawn = asked.params
            trial.settings = {each.name: each.value(drawn[each.name]) for each in self.dimensions}
            if trial.settings not in had:
                return asked
            self._study.tell(asked, state=_states().FAIL)
        return None

    def _tell(self, asked: Any, trial: Trial) -> None:
        if asked is not None:
            if trial.errors:
                self._study.tell(asked, trial.score)
            else:
                self._study.tell(asked, state=_states().FAIL)
            return
        full = self.full({})
        drawn = {each.name: each.drawn(full[each.name]) for each in self.dimensions}
        if trial.errors and None not in drawn.values():  # the template lies in the space
            from optuna.trial import create_trial

            known = create_trial(params=drawn, distributions=self._distributions, value=trial.score)
            self._study.add_trial(known)

    def _judged(self, trial: Trial, *, again: bool = False) -> bool:
        """Judges a trial, or says why not; whether to go on."""
        begun = time.monotonic()
        try:
            with warnings.catch_warnings(), _interruptible():
                if trial.number or again:  # of the frame, the first trial has told
                    warnings.simplefilter("ignore")
                self.judge.judge(trial, again=again)
        except KeyboardInterrupt:
            trial.state = "interrupted"
        except (ValueError, RuntimeError, ArithmeticError) as error:
            trial.reason = str(error).partition("\n")[0]
            trial.state = "finished" if again else "failed"
        trial.seconds += time.monotonic() - begun
        return trial.state != "interrupted"


def chosen(judge: Judge, candidates: Sequence[Trial], ensemble: int) -> list[Trial]:
    """The settings to take: the best, unless they are no better than the template beyond chance.

    That is told by the errors of every series less those by the template. In every part that was
    judged their mean must be below 0 by twice its standard error: series share what happens at a
    time, so that one part, or a mean over both, would call too much a finding.

    Args:
        judge: of the trials.
        candidates: that were judged by the same parts, the template's first if it is among them.
        ensemble: 1 for the best alone; otherwise of how many the mean is taken, of the template,
            by which it stays near what usually does, and the best of the others.
    """
    template = candidates[0]
    ranked = sorted(candidates, key=_overall)
    members, errors = ranked[:1], ranked[0].errors
    if ensemble > 1 and len(ranked) > 1:
        others = [each for each in ranked if each is not template]
        members = [template, *others][:ensemble]
        errors = _errors_of_mean(judge, members)
    if template.number or members == [template]:
        return members
    better = [_is_below(*both) for both in zip(errors, template.errors, strict=True)]
    return members if all(better) else [template]


def _is_below(errors: pd.Series, others: pd.Series) -> bool:
    """Whether errors are below others of the same series, by more than chance."""
    differences = errors.sub(others).dropna()
    spread = float(differences.std()) if len(differences) > 1 else 0.0
    return float(differences.mean()) < -CLEARLY * spread / len(differences) ** 0.5


def _overall(trial: Trial) -> tuple[float, int]:
    return _mean(trial.errors), trial.number


def _mean(errors: Sequence[pd.Series]) -> float:
    return sum(float(each.mean()) for each in errors) / len(errors)


def _errors_of_mean(judge: Judge, trials: Sequence[Trial]) -> list[pd.Series]:
    columns = judge.template.columns
    given = {columns.id, columns.time, "cutoff", *columns.target}
    parts = zip(*(each.forecasts for each in trials), strict=True)
    return [judge.errors(mean_of(list(frames), given)) for frames in parts]


def _states() -> Any:
    need("tcn.forecasting.AutoForecaster", "search", "optuna")
    from optuna.trial import TrialState

    return TrialState


def _study(seed: int) -> Any:
    need("tcn.forecasting.AutoForecaster", "search", "optuna")
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=seed)
        return optuna.create_study(sampler=sampler)
    finally:
        optuna.logging.set_verbosity(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """A key of the user ends the block alone: Lightning would end the process, and ignore more."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
