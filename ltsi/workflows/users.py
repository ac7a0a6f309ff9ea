"""One user of a store, as the command line names them."""

from __future__ import annotations

import difflib

import polars as pl

from ltsi.errors import DataError
from ltsi.store import Store

NEAR = 3
ALIKE = 0.4
"""From this share of common letters on, two users count as spelt alike: ids are short."""

NEAR_AMONG = 50_000
"""Users that a misspelt one is compared with; more would take longer than the answer."""


def find_user(store: Store, user: str) -> int:
    """Returns the index of a user.

    Raises:
        DataError: there is no such user; names those that are spelt alike.
    """
    users = store.users["user"].cast(pl.String)
    found = (users == user).arg_max()
    if found is not None and users[found] == user:
        return int(found)
    pool = users if len(users) <= NEAR_AMONG else users.filter(users.str.starts_with(user[:2])).head(NEAR_AMONG)
    near = difflib.get_close_matches(user, pool.to_list(), n=NEAR, cutoff=ALIKE)
    hint = f" Did you mean {'one of: ' if len(near) > 1 else ''}{', '.join(near)}?" if near else ""
    raise DataError(f"Store '{store.name}' has no user '{user}' among its {store.n_users:,}.{hint}")
