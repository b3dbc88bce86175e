"""Failures to tell of."""

from pipeline.quarantine import Failure


def failure(name: str, stage: str, reason: str) -> Failure:
    """That of the first unit of a file."""
    return Failure(
        sample_id=f"{name}#0",
        source=name,
        start_seconds=0.0,
        duration_seconds=1.0,
        stage=stage,
        reason=reason,
        error_type="MediaError",
    )
