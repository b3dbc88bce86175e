"""Seeds and orders that depend on names alone, never on which worker ran or when."""

from hashlib import blake2b


def unit_seed(job_seed: int, name: str, stream: str) -> int:
    """The uint64 seed of one unit (or item) for one purpose.

    BLAKE2b over the job's seed, the name and the stream, so streams of one unit are independent of each other and a
    unit's randomness is the same on every machine, in every batch and after every resume.
    """
    state = blake2b(f"{job_seed}\0{stream}\0".encode(), digest_size=8)
    state.update(name.encode("utf-8", "surrogateescape"))
    return int.from_bytes(state.digest(), "little")
