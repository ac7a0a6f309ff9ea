"""`ltsi prepare`: raw files to a prepared store."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ltsi import __version__
from ltsi.errors import ConfigError, DataError, did_you_mean
from ltsi.events import RawData, validate_events
from ltsi.findings import Finding, findings_table, refuse
from ltsi.preparation.audit import audit
from ltsi.preparation.clean import clean
from ltsi.preparation.encode import TieOrder, encode
from ltsi.preparation.estimate import LONG, estimate
from ltsi.sources.files import is_address
from ltsi.sources.named import Named
from ltsi.store import Store, open_store, store_path
from ltsi.store_writer import write_store, writing
from ltsi.tables import Result, Table
from ltsi.workflows.build import build

log = logging.getLogger(__name__)

AUDITS = ("refuse", "warn")
STORE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def run(cfg: DictConfig) -> Result:
    """Prepares a store.

    Args:
        cfg: `conf/prepare.yaml`, composed.

    Returns:
        The audit and what was dropped; of a dry run, what would be read.
    """
    if cfg.dry_run:
        return _dry_run(cfg)
    store, said = _prepare(cfg)
    counts = store.manifest["counts"]
    summary = f"{counts['users']:,} users, {counts['items']:,} items, {counts['events']:,} events"
    messages = [*store.manifest["notes"], *said, f"Store '{store.name}': {summary}, in {store.path}"]
    return Result(tables=_tables(store), messages=messages)


def source_names() -> list[str]:
    """Returns the sources that `source=NAME` knows, by name."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _conf("source").iterdir() if entry.name.endswith(".yaml")
    )


def find_store(name: str) -> Store:
    """Opens a store; a source that needs nothing but its name is prepared on the way.

    Raises:
        DataError: there is neither such a store nor such a source.
    """
    if not (store_path(name) / "manifest.json").exists() and name in source_names():
        log.info("Store '%s' does not exist yet; preparing it from source=%s.", name, name)
        return prepare_source(name)
    return open_store(name)


def prepare_source(name: str) -> Store:
    """Prepares a source that needs no settings of its own, as `ltsi prepare source=NAME` does.

    Args:
        name: a source's name.

    Returns:
        The store of that name.

    Raises:
        ConfigError: there is no such source, or it needs settings.
    """
    if name not in source_names():
        hint = did_you_mean(name, source_names())
        raise ConfigError(f"There is no source '{name}'.{hint} Sources: {', '.join(source_names())}.")
    own = OmegaConf.create((_conf() / "prepare.yaml").read_text(encoding="utf-8"))
    assert isinstance(own, DictConfig)
    del own["defaults"]
    groups = {"source": _config("source", name), "engine": _config("engine", "polars"), "clean": {}}
    cfg = OmegaConf.merge(own, groups, {"name": name})
    assert isinstance(cfg, DictConfig)
    return _prepare(cfg)[0]


def _prepare(cfg: DictConfig) -> tuple[Store, list[str]]:
    """Prepares a store unless it is there already; returns it and what to say about that."""
    _check(cfg)
    source, path = build(cfg.source), store_path(str(cfg.name))
    if isinstance(source, Named) and source.path is None:
        source.fetch()  # before the spinner: it draws a bar of its own
    with writing(path) as folder, _progress() as say:
        say("Looking for changes")
        engine = build(cfg.engine, folder=folder)
        inputs = [{"path": str(file), "sha256": _sha256(file)} for file in source.input_files()]
        change = _change(path, cfg, inputs)
        if change is None:
            return open_store(str(path)), ["Nothing to do: it was prepared from the same files with the same settings."]
        expected = estimate(source.input_files(), cfg.engine.name)
        if expected.events >= LONG:
            log.info("%s", expected)
        say("Reading")
        raw: RawData = source.load(engine)
        events = validate_events(raw.events, ", ".join(map(str, raw.inputs)) or f"source={cfg.source.name}")
        say("Cleaning")
        events, cleaned = clean(events, build(cfg.clean), engine.stage, clock=raw.clock)
        say("Encoding")
        encoded = encode(events, engine, raw.items, raw.users, TieOrder(cfg.ties, cfg.seed))
        say("Auditing")
        found = [*raw.findings, *audit(encoded.events, encoded.row, encoded.fraction, clock=raw.clock, ties=cfg.ties)]
        findings = refuse(found, override=cfg.audit == "warn")
        say("Writing")
        store = write_store(
            path,
            encoded.events,
            items=encoded.items,
            users=encoded.users,
            truth=None if raw.truth is None else raw.truth.to_polars(),
            manifest={
                "source": cfg.source.name,
                "config": _identity(cfg),
                "inputs": inputs,
                "time": {"clock": raw.clock} | ({} if encoded.fraction is None else {"fractions": True}),
                "ties": cfg.ties,
                "roles": {name: asdict(behavior) for name, behavior in raw.behaviors.items()},
                "notes": list(raw.notes),
                "steps": [asdict(step) for step in [*raw.steps, *cleaned]],
                "audit": [finding.as_dict() for finding in findings],
            },
        )
    return store, [change] if change else []


def _check(cfg: DictConfig) -> None:
    """Refuses settings that cannot be meant, before anything is read."""
    if not STORE_NAME.fullmatch(str(cfg.name)):
        raise ConfigError(f"name={cfg.name} is not a valid store name; use letters, digits, '_', '-', '.' and '+'.")
    unset = sorted(OmegaConf.missing_keys(cfg.source))
    if unset:
        raise ConfigError(f"source={cfg.source.name} needs {' and '.join(unset)}; set {unset[0]}=VALUE.")
    TieOrder(cfg.ties, cfg.seed)
    if cfg.audit not in AUDITS:
        raise ConfigError(f"audit={cfg.audit} must be one of: {', '.join(AUDITS)}.")


def _dry_run(cfg: DictConfig) -> Result:
    """Says what would be read and what that would take; writes nothing."""
    _check(cfg)
    source = build(cfg.source)
    files = source.input_files()
    said = [f"Nothing was written; the store would be {store_path(str(cfg.name))}"]
    if isinstance(source, Named) and source.path is None and not files:
        return Result(messages=[f"{source.about['title']} would be fetched from {source.about['home']}.", *said])
    if not files:
        return Result(messages=[f"source={cfg.source.name} reads no files to estimate from.", *said])
    expected = estimate(files, cfg.engine.name)
    rows = [[str(file), file.stat().st_size / 1e6] for file in files]
    table = Table(f"Files of source={cfg.source.name}", ("file", "MB"), rows)
    return Result(tables=[table], messages=[str(expected), *said])


def _identity(cfg: DictConfig) -> dict[str, Any]:
    """Returns the settings that a store depends on: not the engine, which only computes it."""
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    kept = {key: value for key, value in settings.items() if key not in {"engine", "dry_run"}}
    identity: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return identity


def _change(path: Path, cfg: DictConfig, inputs: list[dict[str, str]]) -> str | None:
    """Says why a store has to be prepared, "" if there is none yet, None if it is as it would become."""
    if not (path / "manifest.json").is_file():
        return ""
    try:
        manifest = open_store(str(path)).manifest
    except DataError as error:
        return f"Prepared again: {error}"
    before = {entry["path"]: entry["sha256"] for entry in manifest["inputs"]}
    after = {entry["path"]: entry["sha256"] for entry in inputs}
    if manifest["tool_version"] != __version__:
        return f"Prepared again: it was made by version {manifest['tool_version']} of ltsi."
    # As text, since the order of cleaning steps counts.
    if json.dumps(manifest["config"]) != json.dumps(_identity(cfg)):
        return "Prepared again: its settings have changed."
    if is_address(cfg.source.get("path") or ""):
        return f"Prepared again: what {cfg.source.path} holds may have changed."
    changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    return f"Prepared again: {changed[0]} has changed." if changed else None


def _tables(store: Store) -> list[Table]:
    findings = [Finding(**record) for record in store.manifest["audit"]]
    tables = [findings_table(f"Audit of store '{store.name}'", findings)]
    steps = store.manifest["steps"]
    if steps:
        names = ("step", "dropped", "changed", "left")
        tables.append(Table("Cleaning", names, [[step[column] for column in names] for step in steps]))
    return tables


def _config(group: str, name: str) -> DictConfig:
    """Composes an entry of a group by hand: inside a running Hydra job, Hydra's global state belongs to that job."""
    own = OmegaConf.create((_conf(group) / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(own, DictConfig)
    bases = [_config(group, base) for base in own.pop("defaults", []) if base != "_self_"]
    merged = OmegaConf.merge(*bases, own)
    assert isinstance(merged, DictConfig)
    return merged


def _conf(group: str = "") -> Any:
    return files("ltsi.conf") / group


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _progress() -> Iterator[Any]:
    """Yields a function that says what is being done, on stderr if somebody watches."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None)
        yield lambda text: progress.update(task, description=text)
