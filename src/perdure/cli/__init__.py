"""The command line. Effects: process, disk, network."""

from perdure.cli._main import main as main
