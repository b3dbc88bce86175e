"""Principal components, against numpy's covariance."""

import numpy as np
import pytest

from pipeline.report.colouring import NUM_COLOURS, colour, default_colour
from pipeline.report.latent_map import principal_plane, spread_out, time_mean


def test_the_plane_is_that_of_the_largest_eigenvalues() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 6)) * [5, 3, 1, 0.5, 0.2, 0.1]
    places, explained = principal_plane(vectors)
    values = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    np.testing.assert_allclose(explained, values[:2] / values.sum(), atol=1e-4)
    assert places.min() >= 0
    assert places.max() <= 1
    np.testing.assert_allclose(np.ptp(places, axis=0).max(), 1.0)
    correlation = abs(np.corrcoef(places[:, 0], vectors[:, 0])[0, 1])
    assert correlation > 0.99


def test_units_in_another_order_have_the_same_places() -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 8))
    order = np.random.default_rng(2).permutation(50)
    places, _ = principal_plane(vectors)
    again, _ = principal_plane(vectors[order])
    np.testing.assert_allclose(places[order], again, atol=1e-9)


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((5, 4)), np.arange(6.0)[:, None]])
def test_few_or_equal_units_have_places(vectors: np.ndarray) -> None:
    places, explained = principal_plane(vectors)
    assert places.shape == (len(vectors), 2)
    assert np.isfinite(places).all()
    assert 0 <= sum(explained) <= 1


def test_the_mean_is_over_true_frames_and_audio_channels() -> None:
    latent = np.arange(2 * 3 * 4 * 5, dtype=np.float16).reshape(2, 3, 4, 5)  # [audio channel, channel, frame, band]
    np.testing.assert_allclose(
        time_mean(latent, -3, 0.5), latent[:, :, :2].astype(np.float64).mean(axis=(0, 2)).reshape(-1)
    )
    mel = np.arange(12, dtype=np.float32).reshape(3, 4)  # [band, frame]
    np.testing.assert_allclose(time_mean(mel, -2), mel.mean(axis=1))
    assert time_mean(np.array([1.0, np.nan, np.inf]), 0).tolist() == [1.0, 0.0, 0.0]


def test_chosen_places_are_far_apart() -> None:
    clusters = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), 25, axis=0)
    places = [tuple(place) for place in (clusters + 0.01 * np.random.default_rng(0).random((100, 2))).tolist()]
    chosen = spread_out(places, 4)
    assert {at // 25 for at in chosen} == {0, 1, 2, 3}
    assert spread_out(places, 200) == list(range(100))
    assert spread_out([(0.5, 0.5)] * 9, 4)


def test_categories_have_colours_the_rarest_share_one() -> None:
    values = [name for n in range(15) for name in [f"c{n}"] * (20 - n)] + [None]
    found = colour("category", values)
    assert found.legend[0] == ("c0", 20)
    assert len(found.legend) == NUM_COLOURS + 1
    assert found.legend[-1][0] == "6 others"
    assert {*found.codes} == {*range(NUM_COLOURS + 1)}
    assert sum(count for _, count in found.legend) == len(values)


def test_numbers_have_a_scale() -> None:
    found = colour("level", [0.0, 0.5, 1.0, None, float("nan")])
    assert found.legend == ()
    assert found.shades[0] != found.shades[2]
    assert found.shades[3:] == ("", "")


def test_the_column_that_tells_units_apart() -> None:
    columns = {"all": ["x"] * 30, "each": [str(n) for n in range(30)], "some": [str(n % 5) for n in range(30)]}
    assert default_colour({**columns, "level": [0.1] * 30}) == "some"
    assert default_colour({"all": ["x"] * 30}) is None
