"""What lists of runs are sorted by, the same for every face.

Lists read columns of the runs' rows and never a log; each sorting has an index of its own
(`Run.Meta`), so that a page costs the same however many runs there are.
"""

# What a log, and the evaluations of its checkpoints, come to (docs/glossary.md).
SUMMARY_COLUMNS = (
    "return_min",
    "return_max",
    "return_mean",
    "return_last",
    "return_best",
    "return_auc",
    "length_min",
    "length_max",
    "length_mean",
    "length_last",
    "length_auc",
    "evaluation_min",
    "evaluation_max",
    "evaluation_mean",
    "evaluation_last",
    "evaluation_best",
    "evaluation_auc",
    "loss_min",
    "loss_max",
    "loss_mean",
    "loss_last",
    "loss_auc",
)
# Whatever runs are sorted by: its public name and its column.
SORTS: dict[str, str] = {
    **{
        name: name
        for name in (
            "created_at",
            "started_at",
            "finished_at",
            "name",
            "status",
            "algorithm",
            "environment",
            "seed",
            "total_timesteps",
            "step",
        )
    },
    "progress": "done_fraction",
    "steps_per_second": "steps_per_second",
    **{name: name for name in SUMMARY_COLUMNS},
}
NEWEST_FIRST = "-created_at"
# Runs of the same value are sorted by their id.
SORT_INDEXES = {column: f"run_by_{column}" for column in SORTS.values()}
