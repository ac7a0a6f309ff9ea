"""The plain result types refuse what could not be written as records."""

import pickle

import pytest

from ltsi.errors import ConfigError, DataError, RunError, UserError
from ltsi.tables import Table


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 of table 'T' has 1 entries for 2 columns"):
        Table("T", ["a", "b"], [[1, 2], [3]])


def test_column_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="table 'T' names a column twice"):
        Table("T", ["a", "a"], [[1, 2]])


def test_data_column_that_is_no_column_is_refused() -> None:
    with pytest.raises(ValueError, match=r"table 'T' has no columns \['b'\]"):
        Table("T", ["a"], [[1]], data_columns=["b"])


@pytest.mark.parametrize(("error", "exit_code"), [(UserError, 1), (DataError, 1), (RunError, 1), (ConfigError, 2)])
def test_user_errors_survive_pickling(error: type[UserError], exit_code: int) -> None:
    """Jobs of a parallel sweep hand them back from other processes."""
    copy = pickle.loads(pickle.dumps(error("a sentence")))
    assert type(copy) is error
    assert str(copy) == "a sentence"
    assert copy.exit_code == exit_code
