"""The subcommands of `minivisor`, one module each, loaded by name from the table in `minivisor/cli.py`.

A module here reads options and calls the layer that does the work; no work is done here.
"""
