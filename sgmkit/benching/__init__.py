"""From a plan to rows on disk.

Read `subject` (a model on a data set), `plan` (solvers and budgets), `cells` (what is computed, and
how each is described), `runner` (what is missing is computed) and `results` (rows and their files).
This room imports the registry, training's runs and all numerics.
"""
