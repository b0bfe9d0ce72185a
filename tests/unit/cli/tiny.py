"""The smallest experiment as text, and the command line in this process."""

from pathlib import Path

from typer.testing import CliRunner, Result

from edgebed.cli.app import app

TINY = """\
apiVersion: edgebed.dev/v1alpha1
kind: Experiment
metadata: {name: tiny}
spec:
  network:
    nodes: 3
    cores: {choice: [4, 8]}
    arrivalProbability: 0.8
    executionFailureRate: 0.05
    linkRateMBps: 20
    linkFailureRate: 0.01
  workload: {slotSeconds: 0.5, slots: 5, sizeKB: 4000, cyclesPerBit: 1600, deadlineSeconds: 4}
  methods:
    - {name: random, policy: random}
    - {name: local, policy: local}
  evaluation: {episodes: 4}
"""


def edgebed(*arguments: str | Path) -> Result:
    """The command line, in this process and in a wide terminal."""
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [str(argument) for argument in arguments])


def assert_refused(result: Result, code: int, *said: str) -> None:
    """It ended with this code, said all of these on standard error, and was no mistake of ours."""
    assert result.exit_code == code, result.output
    for words in said:
        assert words in result.stderr
    assert "Traceback" not in result.output
    assert "a mistake in edgebed" not in result.output
