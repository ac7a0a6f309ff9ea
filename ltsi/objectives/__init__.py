"""What a model is trained and judged for, one objective per file.

An `Objective` is what the configuration chooses; put on a split it is a `Task`, which knows the batches, how a batch
becomes a loss and an answer, and what answers become: metrics, and the run's table of users. So the LightningModule,
the data module and the commands know none of it.

`training` and `workflows` import this room; it imports `sequences`, `features`, `models`, `losses`, `metrics` and
`evaluation`, and knows neither Lightning nor Hydra nor files.
"""
