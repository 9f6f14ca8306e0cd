"""`python -m perdure`. Effects: process."""

from perdure.cli import main

main()
