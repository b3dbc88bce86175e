"""Seeds are values that stores hold: they may not change."""

import pyarrow as pa

from pipeline.seeds import unit_seed, unit_seeds


def test_seeds_differ_by_job_name_and_stream() -> None:
    seeds = {unit_seed(job, name, stream) for job in (0, 1) for name in "ab" for stream in ("unit", "order")}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert unit_seed(0, "drums/kick.wav#0", "unit") == 13128729496671823692


def test_many_at_once_are_those_one_by_one() -> None:
    names = pa.array(["", "a#0", "é 💥/b.wav#12", "x" * 300] * 20_000)
    for name in (names, names.cast(pa.large_string()), names.slice(3)):
        seeds = unit_seeds(7, name, "unit")
        assert seeds.dtype == "uint64"
        assert seeds[:4].tolist() == [unit_seed(7, text, "unit") for text in name[:4].to_pylist()]
        assert seeds[-1] == unit_seed(7, "x" * 300, "unit")
    assert len(unit_seeds(7, names[:0], "unit")) == 0
