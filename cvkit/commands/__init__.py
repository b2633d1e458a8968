"""Groups of commands that `cvkit.cli` puts together."""
