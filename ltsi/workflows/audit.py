"""`ltsi audit`: what is known about a store, and about a split of it."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from ltsi.errors import ConfigError, DataError
from ltsi.evaluation.feature_leakage import audit_features
from ltsi.evaluation.leakage import audit_split
from ltsi.features.declarations import read_declarations
from ltsi.features.report import report
from ltsi.features.space import FeatureSpace
from ltsi.findings import Finding, findings_table, unresolved
from ltsi.sequences.split import Split
from ltsi.store import Store
from ltsi.tables import Result, Table
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
        split = _cut(chosen, store)
        # Splits at one date say when it was.
        of_split = audit_split(split, by_time="cut_test" in split.report)
        of_features, table = _features(cfg.features, split)
        of_split += of_features
        subject = f"split={chosen.name} of {subject}"
        tables.append(findings_table(f"Audit of {subject}", of_split))
        findings += of_split
        tables += table
    elif _features_asked_for(cfg.features):
        raise ConfigError("Features are fitted on the training part of a split; add split=leave_one_out.")
    return Result(tables=tables, failure=_failure(subject, findings))


def _cut(chosen: DictConfig | str, store: Store) -> Split:
    if not isinstance(chosen, DictConfig):
        raise ConfigError(
            f"split={chosen} names a part, which only eval takes; audit needs a way to split, such as "
            "split=leave_one_out."
        )
    split: Split = build(chosen)(store)
    return split


def _features(declared: DictConfig, split: Split) -> tuple[list[Finding], list[Table]]:
    """Fits the features on the training part, audits them, and says what validation and test know of them."""
    if not _features_asked_for(declared):
        return [], []
    config: Any = OmegaConf.to_container(declared, resolve=True)
    declarations = read_declarations(config, split.store)
    space = FeatureSpace.fit(split, declarations)
    return audit_features(space, split, declarations), [report(space, space.encode(split.store), split)]


def _features_asked_for(declared: DictConfig) -> bool:
    return any(declared.get(part) for part in declared)


def _failure(subject: str, findings: list[Finding]) -> DataError | None:
    errors = [f"{one.finding} ({one.value})" for one in unresolved(findings)]
    if not errors:
        return None
    return DataError(f"The audit of {subject} found errors: {', '.join(errors)}; the tables say what to do about them.")
