"""How lists of runs are sorted and narrowed, the same for every face.

Lists read columns of the runs' rows and never a log; each sorting has an index of its own
(`models.Run.Meta`), so that a page costs the same however many runs there are.
"""

# What a log, and the evaluations of its checkpoints, come to (docs/glossary.md).
SUMMARY_COLUMNS = (
    "return_min", "return_max", "return_mean", "return_last", "return_best", "return_auc",
    "length_min", "length_max", "length_mean", "length_last", "length_auc",
    "evaluation_min", "evaluation_max", "evaluation_mean", "evaluation_last", "evaluation_best",
    "evaluation_auc",
    "loss_min", "loss_max", "loss_mean", "loss_last", "loss_auc",
)  # fmt: skip
