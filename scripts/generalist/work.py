"""Trainings and measurements side by side: functions of a module, because workers import what they are given."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def side_by_side(work: Callable[..., Any], units: Iterable[tuple[Any, ...]], jobs: int) -> list[Any]:
    """The results of `work(*unit)` for every unit, in order, in processes of one thread each."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # read by the workers when they import numpy
    with ProcessPoolExecutor(jobs, get_context("spawn"), _single) as pool:
        return [future.result() for future in [pool.submit(work, *unit) for unit in units]]


def _single() -> None:
    import torch

    torch.set_num_threads(1)


def train_one(variant: str, seed: int) -> str:
    """Trains a variant with a seed; returns the model's file."""
    from scripts.generalist.models import train

    return str(train(variant, seed))
