"""The command line: `app` is the Typer application, and each verb has a module of its name.

Read `app` first (how a command ends, and with which status), then any verb. `values` reads numbers,
`printing` makes tables, `progress` shows a bar, and `convergence` is ``bench --convergence``. This
room may import every other one, but torch and pandas only inside a verb: ``sgmkit --help`` and
``sgmkit list`` must take a fraction of a second. Only `check` imports the conformance suite.
"""
