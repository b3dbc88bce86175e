import numpy as np
import pytest

from workers.noise import unit_noise


def test_seed_alone_decides() -> None:
    np.random.seed(0)  # noqa: NPY002 - shows that global state does not matter
    first = unit_noise(2**63 + 5, (8, 256, 16))
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(unit_noise(2**63 + 5, (8, 256, 16)), first)
    assert first.dtype == np.float32
    assert not np.array_equal(unit_noise(2**63 + 6, (8, 256, 16)), first)


def test_uint64_carried_as_int64_is_the_same_seed() -> None:
    seed = 2**64 - 3
    assert np.array_equal(unit_noise(-3, (5,)), unit_noise(seed, (5,)))
    assert np.array_equal(unit_noise(np.uint64(seed), (5,)), unit_noise(seed, (5,)))


def test_values_stay_what_they_are() -> None:
    # Stored samples are made of these: other values would be another format.
    assert unit_noise(0, (3,)).tolist() == pytest.approx(
        [0.059911035001277924, 0.015559634193778038, -1.1644384860992432]
    )


def test_is_standard_normal() -> None:
    values = unit_noise(1, (1_000_000,))
    assert abs(values.mean()) < 4e-3
    assert abs(values.std() - 1.0) < 4e-3
