"""From a recipe to a run directory with checkpoints.

Read `recipe` (every choice decided; `recipe_tree` edits its tables), `run` and `checkpoint` (the
files), then `fit` (a training from start to end), `loop` (one step), `state` and `averages` (what
a step changes), `batches`, `objective`, `keeper` (what is due between steps), `meter`, `journal`
and `machine` (devices, processes, precision). This room imports the registry and all numerics.
"""
