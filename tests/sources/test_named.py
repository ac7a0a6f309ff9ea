"""Finding the files of a published set: a folder, an archive, the log alone, the raw folder, a download."""

import gzip
import hashlib
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hydra import compose, initialize_config_module

from ltsi.engines.polars import Polars
from ltsi.errors import ConfigError, DataError
from ltsi.events import RawData
from ltsi.workflows.build import build

DAY = 86_400
Load = Callable[..., RawData]

RATINGS = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,31,4.0,835355493\n",
    "movies.csv": "movieId,title,genres\n31,Minds (1995),Drama|Thriller\n",
}
RATED = [("1", "31", 1260759144, 2.5), ("2", "31", 835355493, 4.0)]
MOVIES = [("31", "Minds (1995)", ["Drama", "Thriller"])]
ML_ZIP = {f"ml-20m/{name}": content for name, content in RATINGS.items()} | {"ml-20m/tags.csv": "unwanted"}
ML_SMALL_ZIP = {name.replace("20m", "latest-small"): content for name, content in ML_ZIP.items()}
SHOP = {
    "events.csv": (
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
        "1433222276276,599528,transaction,356475,4000\n"
    )
}


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Return a function that composes a source as `ltsi prepare` does, and reads it."""
    work = tmp_path / "engine"
    work.mkdir()
    with initialize_config_module("ltsi.conf", version_base="1.3"):

        def read(*overrides: str) -> RawData:
            raw: RawData = build(compose("prepare", list(overrides)).source).load(Polars(work))
            return raw

        yield read


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files; a name that ends in .gz is gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return folder


def rows(raw: RawData, *columns: str) -> list[tuple[Any, ...]]:
    return list(raw.events.sort("row").collect().select(*columns).rows())


def rated(raw: RawData) -> list[tuple[Any, ...]]:
    return rows(raw, "user", "item", "time", "value")


def archive(folder: Path, name: str, members: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as zipped:
        for member, content in members.items():
            zipped.writestr(member, content)
    return folder / name


def test_an_archive_a_log_and_a_folder_in_a_folder_are_local_copies(load: Load, tmp_path: Path) -> None:
    zipped = archive(tmp_path, "ml-20m.zip", ML_ZIP)
    nested = write(tmp_path / "unzipped" / "ml-20m", RATINGS).parent
    beside = write(tmp_path / "alone", {"ratings.csv.gz": RATINGS["ratings.csv"]}) / "ratings.csv.gz"
    for path in (zipped, nested, nested / "ml-20m" / "ratings.csv"):
        raw = load("source=movielens_20m", f"source.path={path}")
        assert rated(raw) == RATED
        assert raw.items is not None
    raw = load("source=movielens_20m", f"source.path={beside}")
    assert raw.items is None
    assert raw.inputs == [beside]
    assert "Not there, so left out: movies.csv." in raw.notes
    assert raw.notes[0].startswith("MovieLens 20M: GroupLens: research use")


@pytest.mark.parametrize("end", [".gz", ".zst"])
def test_files_may_be_compressed(load: Load, tmp_path: Path, end: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in RATINGS.items():
        with pa.output_stream(str(folder / f"{name}{end}"), compression="detect") as stream:
            stream.write(str(content).encode())
    raw = load("source=movielens_20m", f"source.path={folder}")
    assert rated(raw) == RATED
    assert raw.items is not None
    assert list(raw.items.rows()) == MOVIES


def test_the_files_of_a_set_are_fetched_once(
    load: Load, tmp_path: Path, data_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="ltsi")
    mirror = archive(tmp_path / "mirror", "ml-latest-small.zip", ML_SMALL_ZIP).parent
    source = ["source=movielens_latest_small", f"source.mirror={mirror.as_uri()}"]
    assert rated(load(*source)) == RATED
    digest = hashlib.sha256((mirror / "ml-latest-small.zip").read_bytes()).hexdigest()
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith(
        "Fetching MovieLens latest, small from https://grouplens.org/datasets/movielens/latest/. "
    )
    assert "no commercial use" in said[0]
    assert digest in said[1]
    raw_folder = data_root / "raw" / "movielens_latest_small"
    kept = ["ml-latest-small.zip", "ml-latest-small.zip.json", "movies.csv", "ratings.csv"]
    assert sorted(path.name for path in raw_folder.iterdir()) == kept
    # No address is asked for what is there.
    load("source=movielens_latest_small", "source.mirror=https://example.invalid")


def test_what_the_raw_folder_holds_is_read(load: Load, data_root: Path) -> None:
    write(data_root / "raw" / "retailrocket", SHOP)
    assert rows(load("source=retailrocket"), "user", "behavior") == [("257597", "view"), ("599528", "transaction")]


def test_a_digest_is_checked(load: Load, tmp_path: Path) -> None:
    mirror = archive(tmp_path / "mirror", "ml-20m.zip", ML_ZIP).parent
    with pytest.raises(DataError, match=r"ml-20m\.zip could not be fetched .*its sha256 is .* not 96f243c3"):
        load_without_network(load, "source=movielens_20m", f"source.mirror={mirror.as_uri()}")


def load_without_network(load: Load, *overrides: str) -> RawData:
    """Load with a publisher's address that leads nowhere."""
    return load(*overrides, "source.download.0.url=file:///nowhere/ml-20m.zip")


def test_a_set_of_another_category_has_its_own_files_and_name(load: Load, tmp_path: Path) -> None:
    files = {
        "Books.csv.gz": "user_id,parent_asin,rating,timestamp\nAGKH,B01,4.0,1452527936000\n",
        "meta_Books.jsonl.gz": '{"parent_asin": "B01", "title": "A"}\n{"parent_asin": "B02", "title": "B"}\n',
        "All_Beauty.csv.gz": "another category",
    }
    cfg = compose("prepare", ["source=amazon_2023", "source.category=Books"])
    assert cfg.name == "amazon_2023_Books"
    assert cfg.source.download[0].url.endswith("/5core/rating_only/Books.csv.gz")
    raw = load("source=amazon_2023", "source.category=Books", f"source.path={write(tmp_path / 'files', files)}")
    assert raw.items is not None
    assert raw.items["title"].to_list() == ["A", "B"]


def test_times_beside_a_sequence_file_are_used(load: Load, tmp_path: Path) -> None:
    times = f"1 {5000 * DAY} {5001 * DAY}\n2 {5000 * DAY} {5002 * DAY}\n"
    folder = write(tmp_path / "files", {"Beauty.txt": "1 10 11\n2 11 12\n", "Beauty_time.txt": times})
    raw = load("source=amazon_beauty", f"source.path={folder}")
    assert raw.clock
    assert [time for (time,) in rows(raw, "time")] == [5000 * DAY, 5001 * DAY, 5000 * DAY, 5002 * DAY]


def test_settings_of_the_generic_source_can_be_set(load: Load, tmp_path: Path) -> None:
    folder = write(tmp_path / "files", SHOP)
    wanted = "source.filters=[{column: event, equals: transaction}]"
    raw = load("source=retailrocket", f"source.path={folder}", wanted)
    assert rows(raw, "user") == [("599528",)]


@pytest.mark.parametrize(
    ("overrides", "error", "sentence"),
    [
        (
            ["source=yelp"],
            ConfigError,
            r"source=yelp needs source\.path: .*; accept the terms",
        ),
        (["source=tmall", "source.path=here"], DataError, r"here does not exist; set source\.path=FILE"),
        (["source=tmall", "source.path=."], DataError, r"does not hold user_log_format1\.csv, the log of Tmall"),
        (["source=tmall", "source.path=[a,b]"], ConfigError, "must be one folder, archive or file of Tmall"),
        (["source=steam", "source.filters=[{column: x, equal: 1}]"], ConfigError, "Did you mean 'equals'"),
        (["source=steam", "source.colour=red"], ConfigError, "colour"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    overrides: list[str],
    error: type[Exception],
    sentence: str,
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=sentence):
        load(*(f"+{each}" if "colour" in each else each for each in overrides))


def test_an_archive_without_the_log_is_refused(load: Load, tmp_path: Path) -> None:
    empty = archive(tmp_path, "other.zip", {"readme.txt": "nothing"})
    with pytest.raises(DataError, match=r"other\.zip does not hold ratings\.csv, the log of MovieLens 20M"):
        load("source=movielens_20m", f"source.path={empty}")
    mirror = archive(tmp_path / "mirror", "ml-latest-small.zip", {"ml-latest-small/ratings.csv": ""}).parent
    with pytest.raises(DataError, match=r"does not hold all of: .*movies\.csv; see https://grouplens"):
        load("source=movielens_latest_small", f"source.mirror={mirror.as_uri()}")


@pytest.mark.parametrize(
    ("name", "file", "content", "sentence"),
    [
        ("cdnow", "CDNOW_master.txt", "00001 19970101 1\n", r"CDNOW_master\.txt, line 1 has 3 fields"),
        ("cdnow", "CDNOW_master.txt", "1 19971301 1 2.5\n", r"CDNOW_master\.txt.*'19971301'"),
        (
            "steam",
            "steam_reviews.json.gz",
            "{u'username': u'x'\n",
            r"steam_reviews\.json\.gz, line 1: .*neither",
        ),
        ("diginetica", "train-item-views.csv", "a;b\n1;2\n", r"train-item-views\.csv"),
        ("movielens_20m", "movies.csv", "movieId,title,genres\n1,a,b,c\n", r"movies\.csv, row 2 has 4 fields, not 3"),
        ("movielens_20m", "movies.csv", "id,title,genres\n1,a,b\n", r"movies\.csv has no column 'movieId'"),
        (
            "amazon_beauty",
            "Beauty_item2attributes.json",
            "[1, 2]",
            r"item2attributes\.json is not a JSON object of lists",
        ),
    ],
)
def test_a_damaged_file_is_named(name: str, file: str, content: str, sentence: str, load: Load, tmp_path: Path) -> None:
    log = {"movielens_20m": RATINGS, "amazon_beauty": {"Beauty.txt": "1 10 11\n"}}.get(name, {})
    folder = write(tmp_path / "files", {**log, file: content})
    with pytest.raises(DataError, match=sentence) as caught:
        load(f"source={name}", f"source.path={folder}")
    assert str(tmp_path / "engine") not in str(caught.value)
