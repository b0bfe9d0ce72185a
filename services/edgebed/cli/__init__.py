"""The command line: what people type, and what they are told.

What belongs here: arguments, progress, tables, exit codes. What does not: anything that a program would call. Commands
import what they need when they run, so that help and mistakes answer at once.

    app        the commands
    plan       an experiment before it runs
    settings   which servers to use
    doctor     whether they, and this machine, are fit for it
    guard      errors to messages and exit codes
    progress   bars with rate and remaining time
    tables     results as a table
"""


def main() -> None:
    """The console entry point."""
    try:
        from edgebed.cli.app import app

        app()
    except KeyboardInterrupt:  # while Python still imports; a command that runs is guarded
        raise SystemExit(130) from None
