"""`ltsi compare`."""

from pathlib import Path
from typing import Annotated

import typer

from ._errors import reported
from ._hydra import DebugOption
from ._tables import Format, FormatOption, show


def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR", help="Run folders, or folders that hold runs.")],
    metric: Annotated[
        list[str],
        typer.Option(
            "--metric",
            "-m",
            help="A metric to show; give the option again for more. Unless given: hr@10, ndcg@10 and mrr, of clicks "
            "auc, gauc, log_loss, accuracy and f1.",
        ),
    ] = [],  # noqa: B006 - Typer reads the default, nothing changes it
    split: Annotated[str, typer.Option(help="The part of the data that the metrics are of.")] = "test",
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
