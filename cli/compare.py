"""`ltsi compare`."""

from pathlib import Path
from typing import Annotated

import typer

from ._errors import reported
from ._folders import named_folder
from ._hydra import DebugOption
from ._tables import Format, FormatOption, show


def compare(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", parser=named_folder, help="Run folders, or folders that hold runs."),
    ],
    metric: Annotated[
        list[str],
        typer.Option(
            "--metric",
            "-m",
            help="Metric to show; repeat for several. Default: hr@10, ndcg@10, mrr (clicks: auc, gauc, log_loss, "
            "accuracy, f1; forecasts: mae, mse, r2, mase, coverage).",
        ),
    ] = [],  # noqa: B006 - Typer reads the default, nothing changes it
    split: Annotated[str, typer.Option(help="Part to compare: valid or test.")] = "test",
    baseline: Annotated[str, typer.Option(help="The model that gains are measured against.")] = "exp_decay",
    output: FormatOption = Format.terminal,
    debug: DebugOption = False,
) -> None:
    """Compare runs: models by metrics, with intervals over users and the gain over a baseline.

    * `ltsi compare runs`
    * `ltsi compare runs other/runs -m ndcg@10 -m mrr --format latex`
    """
    with reported(debug):
        # Here, so that help and completion stay fast.
        from ltsi.workflows.compare import run

        show(run(directories, metrics=metric or None, split=split, baseline=baseline), output)
