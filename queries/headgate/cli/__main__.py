"""`python -m headgate.cli` is `headgate`."""

from headgate.cli import main

main()
