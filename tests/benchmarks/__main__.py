"""`python -m tests.benchmarks [NAME ...]`: run the benchmarks, print a table, write build/bench.json.

Every module `bench_*` of this package has functions `bench_*` that return a `Result` or a list of them. Each measures ours and
its baseline in turn in one process on one core, and states the ratio of medians. A name on the command line runs the
benchmarks whose function contains it.
"""

import importlib
import json
import os
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"  # before anything that reads them is imported

from tests.benchmarks.result import Result  # noqa: E402  # reads no environment, but the benchmarks below do

OUTPUT = Path("build/bench.json")


def main(names: list[str]) -> int:
    """Run, print, write; 1 when a bar was missed."""
    package = importlib.import_module("tests.benchmarks")
    results: list[Result] = []
    print(f"{'benchmark':<44} {'ours':>12} {'baseline':>12} {'ratio':>8} {'bar':>6}")
    for found in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        if not found.startswith("bench_"):
            continue
        module = importlib.import_module(f"tests.benchmarks.{found}")
        for name, function in sorted(vars(module).items()):
            if not name.startswith("bench_") or (names and not any(wanted in name for wanted in names)):
                continue
            outcome = function()
            for result in [outcome] if isinstance(outcome, Result) else outcome:
                results.append(result)
                print(result.line(), flush=True)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    missed = [result.name for result in results if not result.met]
    print(f"{len(results) - len(missed)} of {len(results)} bars met; {OUTPUT}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
