"""The command line: one file per command, ``wiring`` for everything concrete."""
