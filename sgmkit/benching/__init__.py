"""From a plan to rows on disk.

Read `subject` (a model on a data set, by name and in memory), `plan` (what is compared: solvers
with their budgets), `cells` (the jobs of a plan, each described and hashed), `runner` (what is
missing is computed), `rows` and `store` (one number with its circumstances; the files) and
`results` (rows as a pandas DataFrame). `labels` names components in rows, `failures` describes
what raised. This room imports the registry, runs of `training`, and all numerics.
"""
