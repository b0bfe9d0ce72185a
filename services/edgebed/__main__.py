"""`python -m edgebed` is `edgebed`."""

from edgebed.cli import main

main()
