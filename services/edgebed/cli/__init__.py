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

import os
import signal


def main() -> None:
    """The console entry point."""
    if os.getpid() == 1:
        # The kernel spares the first process of a container every signal that it does not handle. Services handle SIGTERM
        # once they serve; before that, and in all other commands, it ends the process as it would end any other.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    try:
        from edgebed.cli.app import app

        app()
    except KeyboardInterrupt:  # while Python still imports; a command that runs is guarded
        raise SystemExit(130) from None
