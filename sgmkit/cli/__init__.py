"""The command line: `app` is the Typer application, and each verb has a module of its name.

Torch and pandas are imported inside a verb only: ``sgmkit --help`` must stay instant.
"""
