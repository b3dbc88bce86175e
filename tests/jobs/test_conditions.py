"""Which units `--only` means."""

import pyarrow as pa
import pyarrow.dataset
import pytest

from jobs.conditions import condition
from jobs.spec_error import SpecError

TABLE = pa.table(
    {
        "name": ["a", "b", "c=d", ""],
        "label": pa.array(["x", "y", "x", None]).dictionary_encode(),
        "seed": pa.array([2**64 - 1, 1, 2, 3], pa.uint64()),
        "gain": pa.array([0.1, 0.5, None, 0.1], pa.float32()),
        "fine": [True, False, None, True],
        "day": pa.array([0, 1, 2, None], pa.date32()),
        "tags": [["a"], [], [], []],
    }
)


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ([], ["a", "b", "c=d", ""]),
        (["name=c=d"], ["c=d"]),
        (["name="], [""]),
        (["label=x"], ["a", "c=d"]),
        (["label=x", "label=y", "fine=true"], ["a"]),
        (["seed=18446744073709551615", "seed=1"], ["a", "b"]),
        (["gain=0.1"], ["a", ""]),
        (["day=1970-01-02"], ["b"]),
        (["label=z"], []),
    ],
)
def test_values_are_of_their_columns_type(only: list[str], names: list[str]) -> None:
    found = pyarrow.dataset.dataset(TABLE).to_table(filter=condition(TABLE.schema, only))
    assert found["name"].to_pylist() == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name", "--only name: expected COLUMN=VALUE, such as verdict=accepted"),
        ("nam=a", "a column must be one of name, label, seed, gain, fine, day, got 'nam'; did you mean name?"),
        ("tags=a", "a column must be one of .*got 'tags'"),
        ("seed=-1", "seed is of type uint64, which '-1' is not"),
        ("fine=perhaps", "fine is of type bool, which 'perhaps' is not"),
    ],
)
def test_conditions_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        condition(TABLE.schema, [text])
