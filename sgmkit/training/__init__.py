"""From a recipe to a run directory with checkpoints.

Read `recipe` first: it decides every choice of a training (`recipe_tree` edits its tables). `run`
is the directory of a training, `checkpoint` the file format of its checkpoints, and `log` its
``log.jsonl``. `fit` goes through a training from beginning to end: `devices` starts the processes,
`loop` does the steps, and `after_step` writes the log, checkpoints and pictures between them. A
step takes its data and noise from `batches`, computes the loss by `objective`, changes `state` and
its `averages`, and adds its losses to `meter`. `sample_pictures` draws samples, and `allocator`
tunes the memory of the C library.

This room imports the registry and all numerics.
"""
