"""A published data set by its name: its files, where they come from, and how a generic source reads them.

The configuration in `conf/source/` says everything about a set; this module finds the files. They are, in this order:
what `source.path` names (a folder, an archive or the log itself), what lies in `$LTSI_DATA/raw/NAME`, or a download.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import narwhals as nw
import polars as pl

from ltsi.engines.engine import Engine
from ltsi.errors import ConfigError, DataError
from ltsi.events import RawData, Source
from ltsi.sources.archives import extract, is_archive
from ltsi.sources.download import Download
from ltsi.sources.files import existing_file, readable
from ltsi.store import data_root

log = logging.getLogger(__name__)

COMPRESSED = (".gz", ".zst")
Files = Mapping[str, Path]
Adapter = Callable[[Files, Path], None]
"""Writes the log of a set as a table that a generic source reads: its files, the file to write."""


class TableReader(Protocol):
    """Reads what a set knows about its items or users."""

    def read(self, files: Files, role: str) -> pl.DataFrame | None:
        """Returns a table with the ids in the column `role`, or None if its file is not there."""
        ...


@dataclass(frozen=True)
class Named:
    """A published data set.

    Attributes:
        reader: the generic source; called with `path` and the settings.
        folder: name of the folder of the set's files below `$LTSI_DATA/raw`.
        files: names of the files, the log first; the others are optional. Each may be gzipped.
        about: what is known about the set; `title`, `home` and `licence` are needed, `get` says how to come by files
            that no program can fetch.
        settings: of the generic source. One that is the name of a file of the set becomes its path, or None.
        path: a local copy: the folder, the archive or the log; None looks in the raw folder, and downloads.
        mirror: an address to try before the publisher's.
        category: which part of a set published in parts; names of files and addresses are made with it.
        download: arguments of each `Download`.
        adapt: writes the log as a table where no generic source reads it as it is.
        tables: what reads the `item` and the `user` table.
        codes: columns of the item table that the log gives as numbers and that are labels.
    """

    reader: Callable[..., Source]
    folder: str
    files: Sequence[str]
    about: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    mirror: str | None = None
    category: str | None = None
    download: Sequence[Mapping[str, Any]] = ()
    adapt: Adapter | None = None
    tables: Mapping[str, TableReader] = field(default_factory=dict)
    codes: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuses settings that cannot be meant before anything is fetched."""
        if not isinstance(self.path, str | None):
            raise ConfigError(f"source.path={self.path} must be one folder, archive or file of {self.about['title']}.")
        self.reader(path=self.files[0], **self.settings)

    def input_files(self) -> list[Path]:
        """Returns the set's files, or the archive that holds them; none where they are still to be fetched."""
        if self.path is None:
            return list(_look(data_root() / "raw" / self.folder, self.files).values())
        where = Path(self.path).expanduser()
        return [where] if where.is_file() and is_archive(where) else list(self._found(where).values())

    def load(self, engine: Engine) -> RawData:
        """Finds the files, or fetches them, and reads them."""
        files = self._locate(engine)
        raw = self._read(files, engine)
        absent = [name for name in self.files if name not in files]
        notes = [f"{self.about['title']}: {self.about['licence']}", *raw.notes]
        if absent:
            notes.append(f"Not there, so left out: {', '.join(absent)}.")
        return replace(
            raw,
            inputs=list(files.values()),
            notes=notes,
            items=self._table("item", raw.items, files),
            users=self._table("user", raw.users, files),
        )

    def _read(self, files: Files, engine: Engine) -> RawData:
        """Reads the log. What is said about an adapted one names the file it was made from."""
        settings = {key: self._resolved(value, files) for key, value in self.settings.items()}
        published = str(files[self.files[0]])
        if self.adapt is None:
            return self.reader(path=published, **settings).load(engine)
        adapted = engine.folder / self.folder
        with readable(files[self.files[0]]):
            self.adapt(files, adapted)
        try:
            raw = self.reader(path=str(adapted), **settings).load(engine)
        except DataError as error:
            raise DataError(str(error).replace(str(adapted), published)) from error
        return replace(raw, notes=[note.replace(str(adapted), f"{published} (made a table)") for note in raw.notes])

    def fetch(self) -> Path:
        """Returns the folder of the set's files below the data root, and fetches them unless the log is there.

        Raises:
            ConfigError: no program can fetch them.
            DataError: no address gave them.
        """
        folder = data_root() / "raw" / self.folder
        if self.files[0] in _look(folder, self.files):
            return folder
        if not self.download:
            raise ConfigError(
                f"source={self.folder} needs source.path: no program can fetch this set; {self._by_hand()} "
                f"Then set source.path=FOLDER, or put the files into {folder}."
            )
        log.info("Fetching %s from %s. %s", self.about["title"], self.about["home"], self.about["licence"])
        for download in (Download(**entry) for entry in self.download):
            file = download.fetch(folder, self.mirror)
            if download.members and len(extract(file, download.members, folder)) < len(download.members):
                raise DataError(
                    f"{file} does not hold all of: {', '.join(download.members)}; see {self.about['home']}."
                )
        return folder

    def _by_hand(self) -> str:
        return str(self.about.get("get") or f"get it from {self.about['home']}.")

    def _locate(self, engine: Engine) -> dict[str, Path]:
        """Returns the files that are there, by name, the log among them."""
        where = self.fetch() if self.path is None else Path(self.path).expanduser()
        if where.is_file() and is_archive(where):
            unpacked = engine.folder / "raw"
            extract(where, [*self.files, *(name + end for name in self.files for end in COMPRESSED)], unpacked)
            return self._require_log(where, _look(unpacked, self.files))
        return self._found(where)

    def _found(self, where: Path) -> dict[str, Path]:
        """Returns the files in a folder, or beside the log, by name."""
        if where.is_dir():
            return self._require_log(where, _look(where, self.files))
        log_file = existing_file(str(where), "source.path")
        return self._require_log(where, {**_look(where.parent, self.files), self.files[0]: log_file})

    def _require_log(self, where: Path, files: Files) -> dict[str, Path]:
        if self.files[0] not in files:
            raise DataError(
                f"{where} does not hold {self.files[0]}, the log of {self.about['title']}; set source.path to the "
                f"folder, the archive or the log as published ({self.about['home']})."
            )
        return {name: files[name] for name in self.files if name in files}

    def _resolved(self, value: Any, files: Files) -> Any:
        if isinstance(value, str) and value in self.files:
            return str(files[value]) if value in files else None
        return value

    def _table(self, role: str, own: nw.DataFrame[Any] | None, files: Files) -> nw.DataFrame[Any] | None:
        """Joins what the log and what the set's own table know about items or users."""
        known = None if own is None else own.to_polars()
        if known is not None and role == "item":
            numbers = [name for name in self.codes if name in known.columns and known[name].dtype.is_float()]
            known = known.with_columns(pl.col(numbers).cast(pl.Int64).cast(pl.String))
        reader = self.tables.get(role)
        table = None if reader is None else reader.read(files, role)
        if known is not None and table is not None:
            table = known.join(table, on=role, how="full", coalesce=True)
        found = known if table is None else table
        return None if found is None else nw.from_native(found, eager_only=True)


def named(**configuration: Any) -> Named:
    """Returns a set, given its configuration: what is no attribute of a set is a setting of its generic source."""
    own = {each.name for each in fields(Named)} - {"settings"}
    settings = {key: value for key, value in configuration.items() if key not in own}
    return Named(**{key: value for key, value in configuration.items() if key in own}, settings=settings)


def _look(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Finds files by name, as they are, compressed or unpacked, in a folder or one level below it."""
    found = {}
    for name in names:
        plain = next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)
        for candidate in dict.fromkeys([name, plain, *(plain + end for end in COMPRESSED)]):
            hits = [path for path in [folder / candidate, *sorted(folder.glob(f"*/{candidate}"))] if path.is_file()]
            if hits:
                found[name] = hits[0]
                break
    return found
