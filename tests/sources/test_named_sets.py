"""Every published set is read from small files in its published format."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from ltsi.engines.polars import Polars
from ltsi.events import RawData, validate_events
from ltsi.workflows.build import build
from ltsi.workflows.datasets import run as datasets

DAY = 86_400
Load = Callable[..., RawData]


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


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files as published; a name that ends in .gz is gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def rows(raw: RawData, *columns: str) -> list[tuple[Any, ...]]:
    events = validate_events(raw.events, "the set").sort("row").collect()
    return list(events.select(*columns).rows())


def described(table: Any, role: str) -> dict[str, tuple[Any, ...]]:
    """Return the rows of an item or user table by id, lists as Python's."""
    return {
        row[role]: tuple(value for key, value in row.items() if key != role) for row in table.to_polars().to_dicts()
    }


@dataclass(frozen=True)
class Case:
    """Files of a set, and what they hold.

    Attributes:
        files: content by published name.
        events: user, item, time, behaviour and value (if the set has one) of each event, in order.
        items: what is known about each item, in the order of the columns.
        users: the same of users.
        clock: whether there are times.
    """

    files: Mapping[str, str | bytes]
    events: list[tuple[Any, ...]]
    items: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    users: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    clock: bool = True


def jsonl(*records: Mapping[str, Any]) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


GENRES_100K = 19  # flags of u.item, the first for unknown
ML_CSV = Case(
    {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,31,4.0,835355493\n",
        "movies.csv": 'movieId,title,genres\n31,"Minds, or not (1995)",Drama|Thriller\n9,X,(no genres listed)\n',
    },
    [("1", "31", 1260759144, "interaction", 2.5), ("2", "31", 835355493, "interaction", 4.0)],
    {"31": ("Minds, or not (1995)", ["Drama", "Thriller"]), "9": ("X", None)},
)
SEQUENCES = "1 10 11\n2 11 12\n"
POSITIONS = [("1", "10", 0), ("1", "11", 1), ("2", "11", 0), ("2", "12", 1)]
ATTRIBUTES = '{"10": [1, 2], "11": [2], "12": []}'
ORDER_ONLY = [(user, item, position, "interaction") for user, item, position in POSITIONS]
KNOWN_ATTRIBUTES = {"10": (["1", "2"],), "11": (["2"],), "12": ([],)}
TIMED = [("1", "10", 5 * DAY * 1000, "interaction"), ("1", "11", 6 * DAY * 1000, "interaction")]


def s3(stem: str) -> Case:
    files = {f"{stem}.txt": SEQUENCES, f"{stem}_item2attributes.json": ATTRIBUTES}
    return Case(files, ORDER_ONLY, KNOWN_ATTRIBUTES, clock=False)


def org_rank(stem: str) -> Case:
    times = f"1 {5 * DAY * 1000} {6 * DAY * 1000}\n"
    return Case({f"{stem}_item_org_rank.txt": "1 10 11\n", f"{stem}_time_org_rank.txt": times}, TIMED)


CASES = {
    "movielens_100k": Case(
        {
            "u.data": "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
            "u.item": (
                "242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M/title-exact?Kolya%20(1996)|"
                + "|".join("1" if i == 5 else "0" for i in range(GENRES_100K))
                + "\n302|Mis\xe9rables, Les (1995)|01-Jan-1995||http://x|"
                + "|".join("1" if i in {8, 18} else "0" for i in range(GENRES_100K))
                + "\n"
            ).encode("latin-1"),
            "u.user": "196|49|M|writer|55105\n186|39|F|executive|00000\n",
        },
        [("196", "242", 881250949, "interaction", 3.0), ("186", "302", 891717742, "interaction", 3.0)],
        {
            "242": ("Kolya (1996)", "24-Jan-1997", ["Comedy"]),
            "302": ("Misérables, Les (1995)", "01-Jan-1995", ["Drama", "Western"]),
        },
        {"196": ("M", "writer", "55105", 49.0), "186": ("F", "executive", "00000", 39.0)},
    ),
    "movielens_1m": Case(
        {
            "ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n",
            "movies.dat": b"1193::Star Wars: Episode IV (1977)::Action|Sci-Fi\n661::Mis\xe9rables (1995)::Drama\n",
            "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        },
        [("1", "1193", 978300760, "interaction", 5.0), ("2", "661", 978302109, "interaction", 3.0)],
        {"1193": ("Star Wars: Episode IV (1977)", ["Action", "Sci-Fi"]), "661": ("Misérables (1995)", ["Drama"])},
        {"1": ("F", "1", "10", "48067"), "2": ("M", "56", "16", "70072")},
    ),
    "movielens_20m": ML_CSV,
    "movielens_32m": ML_CSV,
    "movielens_latest_small": ML_CSV,
    "amazon_2014": Case(
        {
            "reviews_Beauty_5.json.gz": jsonl(
                {
                    "reviewerID": "A1YJ",
                    "asin": "7806397051",
                    "reviewerName": 'Andrea "A"',
                    "helpful": [3, 4],
                    "reviewText": "Very, very nice",
                    "overall": 1.0,
                    "summary": "No",
                    "unixReviewTime": 1391040000,
                    "reviewTime": "01 30, 2014",
                },
                {"reviewerID": "A2", "asin": "7806397051", "overall": 5.0, "unixReviewTime": 1391126400},
            ),
            # Not JSON but literals of Python, as published.
            "meta_Beauty.json.gz": (
                "{'asin': '7806397051', 'title': \"It's\", 'price': 6.99, 'imUrl': 'http://x', 'brand': '', "
                "'categories': [['Beauty', 'Makeup'], ['Beauty', 'Face']], 'salesRank': {'Beauty': 9}}\n"
                "{'asin': 'B00', 'categories': [['Beauty']]}\n"
            ),
        },
        [("A1YJ", "7806397051", 1391040000, "interaction", 1.0), ("A2", "7806397051", 1391126400, "interaction", 5.0)],
        {"7806397051": ("It's", None, 6.99, ["Beauty", "Makeup", "Face"]), "B00": (None, None, None, ["Beauty"])},
    ),
    "amazon_2023": Case(
        {
            "All_Beauty.csv.gz": "user_id,parent_asin,rating,timestamp\nAGKH,B01,4.0,1452527936000\n",
            "meta_All_Beauty.jsonl.gz": jsonl(
                {
                    "main_category": "All Beauty",
                    "title": "Brush",
                    "average_rating": 4.8,
                    "rating_number": 10,
                    "features": [],
                    "description": [],
                    "price": None,
                    "images": [],
                    "videos": [],
                    "store": "Howard",
                    "categories": ["Beauty", "Tools"],
                    "details": {"Size": "1"},
                    "parent_asin": "B01",
                },
                {"title": "Soap", "price": "from 3.50", "categories": [], "parent_asin": "B02", "store": None},
                {"title": "Oil", "price": "12.5", "categories": [], "parent_asin": "B03", "main_category": None},
            ),
        },
        [("AGKH", "B01", 1452527936, "interaction", 4.0)],
        {
            "B01": ("Brush", "All Beauty", "Howard", None, ["Beauty", "Tools"]),
            "B02": ("Soap", None, None, None, None),
            "B03": ("Oil", None, None, 12.5, None),
        },
    ),
    "amazon_beauty": s3("Beauty"),
    "amazon_sports": s3("Sports_and_Outdoors"),
    "yelp_s3rec": s3("Yelp"),
    "lastfm_s3rec": s3("LastFM"),
    "amazon_beauty_org_rank": org_rank("Beauty"),
    "amazon_sports_org_rank": org_rank("Sports"),
    "yelp": Case(
        {
            "yelp_academic_dataset_review.json": jsonl(
                {
                    "review_id": "r1",
                    "user_id": "u1",
                    "business_id": "b1",
                    "stars": 3.0,
                    "useful": 0,
                    "funny": 0,
                    "cool": 0,
                    "text": 'Good, "fine"\nplace',
                    "date": "2018-07-07 22:09:11",
                }
            ),
            "yelp_academic_dataset_business.json": jsonl(
                {
                    "business_id": "b1",
                    "name": "Cafe",
                    "address": "",
                    "city": "Tampa",
                    "state": "FL",
                    "postal_code": "33602",
                    "latitude": 1.5,
                    "longitude": -2.5,
                    "stars": 5.0,
                    "review_count": 7,
                    "is_open": 1,
                    "attributes": {"WiFi": "u'free'"},
                    "categories": "Food, Coffee & Tea",
                    "hours": None,
                },
                {"business_id": "b2", "name": "Gone", "city": "Reno", "state": "NV", "categories": None},
            ),
            "yelp_academic_dataset_user.json": jsonl({"user_id": "u1", "yelping_since": "2009-01-25 16:47:26"}),
        },
        [("u1", "b1", 17719 * DAY + 22 * 3600 + 9 * 60 + 11, "interaction", 3.0)],
        {"b1": ("Cafe", "Tampa", "FL", ["Food", "Coffee & Tea"]), "b2": ("Gone", "Reno", "NV", None)},
        {"u1": ("2009-01-25 16:47:26",)},
    ),
    "steam": Case(
        {
            "steam_reviews.json.gz": (
                "{u'username': u'Chaos Syren', u'hours': 0.1, u'products': 41, u'product_id': u'725280', "
                "u'page_order': 0, u'date': u'2017-12-17', u'text': u'This, \\u2019well\\'', u'early_access': False, "
                "u'page': 1}\n"
                "{u'username': u'\\u2654 Ted', u'product_id': u'328100', u'page_order': 1, u'date': u'2017-12-18', "
                "u'text': u'', u'early_access': True, u'page': 1, u'user_id': u'765'}\n"
            ),
            "steam_games.json.gz": (
                "{u'publisher': u'Kotoshiro', u'genres': [u'Action', u'Indie'], u'app_name': u'Lost', u'tags': "
                "[u'RPG'], u'price': 4.99, u'early_access': False, u'id': u'725280', u'developer': u'Kotoshiro'}\n"
                "{u'app_name': u'Free', u'price': u'Free To Play', u'id': u'328100'}\n"
                "{u'app_name': u'No id', u'id': None}\n"
            ),
        },
        [
            ("Chaos Syren", "725280", 17517 * DAY, "interaction", 0.1),
            ("♔ Ted", "328100", 17518 * DAY, "interaction", None),
        ],
        {
            "725280": ("Lost", "Kotoshiro", "Kotoshiro", 4.99, ["Action", "Indie"], ["RPG"]),
            "328100": ("Free", None, None, None, None, None),
        },
    ),
    "retailrocket": Case(
        {
            "events.csv": (
                "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
                "1433222276276,599528,transaction,356475,4000\n"
            ),
            "item_properties_part1.csv": (
                "timestamp,itemid,property,value\n1435460400000,355908,categoryid,1338\n"
                '1441508400000,355908,888,"1116713 960601 n277.200"\n'
            ),
            "item_properties_part2.csv": (
                "timestamp,itemid,property,value\n1436065200000,355908,categoryid,1277\n"
                "1436065200000,356475,categoryid,9\n"
            ),
            "category_tree.csv": "categoryid,parentid\n1277,213\n9,\n",
        },
        [("257597", "355908", 1433221332, "view"), ("599528", "356475", 1433222276, "transaction")],
        {"355908": ("1277", "213"), "356475": ("9", None)},
    ),
    "yoochoose": Case(
        {
            "yoochoose-clicks.dat": "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,S\n",
            "yoochoose-buys.dat": "1,2014-04-07T10:59:00.000Z,214536500,12462,2\n",
        },
        [
            ("1", "214536502", 1396867869, "click", None),
            ("1", "214536500", 1396868049, "click", None),
            ("1", "214536500", 1396868340, "buy", 2.0),
        ],
    ),
    "diginetica": Case(
        {
            "train-item-views.csv": (
                "sessionId;userId;itemId;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n1;NA;31331;1031018;2016-05-09\n"
            ),
            "train-purchases.csv": (
                "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n1;NA;1500000;2016-05-09;16421;31331\n"
            ),
            "product-categories.csv": "itemId;categoryId\n81766;12\n31331;7\n",
        },
        [
            ("1", "81766", 16930 * DAY + 526, "view"),
            ("1", "31331", 16930 * DAY + 1031, "view"),
            ("1", "31331", 16930 * DAY + 1500, "purchase"),
        ],
        {"81766": ("12",), "31331": ("7",)},
    ),
    "taobao_userbehavior": Case(
        {
            "UserBehavior.csv": (
                "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,fav,1511561733\n2,2268318,2520377,buy,1512316799\n"
                "2,2268318,2520377,pv,1512316800\n3,1,2,pv,44\n3,1,2,cart,-2134949234\n"
            )
        },
        [("1", "2268318", 1511544070, "pv"), ("1", "2333346", 1511561733, "fav"), ("2", "2268318", 1512316799, "buy")],
        # A number in the file, and a label all the same.
        {"2268318": ("2520377",), "2333346": ("2520771",)},
    ),
    "tmall": Case(
        {
            "user_log_format1.csv": (
                "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n328862,323294,833,2882,2661.0,829,0\n"
                "328862,844400,1271,2882,,1111,2\n1,323294,833,2882,2661.0,0511,3\n1,323294,833,2882,2661.0,512,1\n"
            ),
            "user_info_format1.csv": "user_id,age_range,gender\n328862,6.0,1.0\n1,,0.0\n",
        },
        [
            ("328862", "323294", 16311 * DAY, "click"),
            ("328862", "844400", 16385 * DAY, "purchase"),
            ("1", "323294", 16201 * DAY, "favourite"),
            ("1", "323294", 16202 * DAY, "cart"),
        ],
        {"323294": ("833", "2882", "2661"), "844400": ("1271", "2882", None)},
        {"328862": ("6.0", "1.0"), "1": (None, "0.0")},
    ),
    "gowalla": Case(
        {
            "loc-gowalla_totalCheckins.txt.gz": (
                "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n"
                "0\t2010-10-18T22:17:43Z\t30.2691029532\t-97.7493953705\t420315\n"
            )
        },
        [("0", "22847", 1287532527, "interaction"), ("0", "420315", 1287440263, "interaction")],
        {"22847": (30.2359091167, -97.7951395833), "420315": (30.2691029532, -97.7493953705)},
    ),
    "lastfm": Case(
        {
            "user_taggedartists.dat": (
                "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t52\t13\t1\t4\t2009\n2\t52\t15\t31\t12\t2010\n"
                "3\t52\t1\t1\t1\t1956\n"
            ),
            "artists.dat": "id\tname\turl\tpictureURL\n52\tMorcheeba\thttp://www.last.fm/music/Morcheeba\thttp://x\n",
        },
        [("2", "52", 14335 * DAY, "interaction"), ("2", "52", 14974 * DAY, "interaction")],
        {"52": ("Morcheeba",)},
    ),
    "cdnow": Case(
        {"CDNOW_master.txt": " 00001 19970101  1   11.77\n 00002 19970112  5   77.00\n"},
        [("00001", "cd", 9862 * DAY, "interaction", 11.77), ("00002", "cd", 9873 * DAY, "interaction", 77.0)],
    ),
    "online_retail": Case(
        {
            "online_retail.csv": (
                "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
                '536365,85123A,"HOLDER, WHITE",6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n'
                "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527.0,United Kingdom\n"
                "536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom\n"
            )
        },
        [("17850", "85123A", 14944 * DAY + 8 * 3600 + 26 * 60, "interaction", 6.0)],
        {"85123A": ("HOLDER, WHITE", 2.55)},
    ),
}


def test_every_published_set_has_a_case() -> None:
    (sizes, _) = datasets().tables
    assert sorted(CASES) == [row[0] for row in sizes.rows]


@pytest.mark.parametrize("name", CASES)
def test_the_published_format_is_read(name: str, load: Load, tmp_path: Path) -> None:
    case = CASES[name]
    raw = load(f"source={name}", f"source.path={write(tmp_path / 'files', case.files)}")
    columns = ["user", "item", "time", "behavior", "value"][: len(case.events[0])]
    assert rows(raw, *columns) == case.events
    assert ("value" in raw.events.collect_schema()) == (len(columns) == 5)
    assert raw.clock == case.clock
    assert (described(raw.items, "item") if raw.items is not None else {}) == case.items
    assert (described(raw.users, "user") if raw.users is not None else {}) == case.users
    assert sorted(path.name for path in raw.inputs) == sorted(case.files)
    # What is said names published files, not temporary ones.
    assert str(tmp_path / "engine") not in " ".join(raw.notes)
