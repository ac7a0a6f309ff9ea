"""`ltsi audit`: what is known about a store, and about a split of it."""

from __future__ import annotations

from omegaconf import DictConfig

from ltsi.errors import ConfigError, DataError
from ltsi.evaluation.leakage import audit_split
from ltsi.findings import Finding, findings_table, unresolved
from ltsi.sequences.split import Split
from ltsi.store import Store
from ltsi.tables import Result
from ltsi.workflows.build import build
from ltsi.workflows.prepare import find_store


def run(cfg: DictConfig) -> Result:
    """Shows the audit that prepare stored, and audits a split if one is chosen.

    Args:
        cfg: see `conf/audit.yaml`.

    Returns:
        The findings. If some are errors that nobody overrode, the command fails after it has shown them.

    Raises:
        DataError: there is no such store, or it cannot be split so.
        ConfigError: the split is no split.
    """
    store = find_store(str(cfg.data))
    findings = [Finding(**record) for record in store.manifest.get("audit", [])]
    subject = f"store '{store.name}'"
    tables = [findings_table(f"Audit of {subject}", findings)]
    chosen = cfg.get("split")
    if chosen is not None:
        name, of_split = _split_findings(chosen, store)
        subject = f"split={name} of {subject}"
        tables.append(findings_table(f"Audit of {subject}", of_split))
        findings += of_split
    return Result(tables=tables, failure=_failure(subject, findings))


def _split_findings(chosen: DictConfig | str, store: Store) -> tuple[str, list[Finding]]:
    if not isinstance(chosen, DictConfig):
        raise ConfigError(f"split={chosen} is a part of a split, for ltsi eval; audit cuts: split=leave_one_out.")
    split: Split = build(chosen)(store)
    # Splits at one date say when it was.
    return str(chosen.name), audit_split(split, by_time="cut_test" in split.report)


def _failure(subject: str, findings: list[Finding]) -> DataError | None:
    errors = [f"{one.finding} ({one.value})" for one in unresolved(findings)]
    if not errors:
        return None
    return DataError(f"The audit of {subject} found errors: {', '.join(errors)}; the tables say what to do about them.")
