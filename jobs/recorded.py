"""The job that a store was made by, read back from the store."""

from jobs.base import Job
from jobs.environment import ENVIRONMENT_FIELDS
from jobs.identity import recorded_spec
from jobs.load import SpecDocument
from jobs.spec_error import SpecError
from pipeline.store import location
from pipeline.store.manifest import Manifest, load_manifest


def is_store(store: str) -> bool:
    """Whether there is anything at `store` by which a store is known."""
    names = (location.MANIFEST, location.DATA, location.INDEX)
    return any(location.exists(location.join(store, name)) for name in names)


def recorded_job(store: str) -> Job:
    """The job in a store's `job.yaml`, with that store as its output.

    Raises:
        SpecError: there is none that can be read; the message says why.
    """
    values = recorded_spec(store)
    if values is None:
        raise SpecError(f"{store}: its {location.JOB} is missing, or cannot be read; restore it from a copy")
    job = SpecDocument(location.join(store, location.JOB), values, {}).check()
    return job.model_copy(update={"output": store})  # a store may have moved since


def recorded_manifest(store: str) -> Manifest:
    """The manifest of a store.

    Raises:
        SpecError: there is no store, or its manifest is damaged.
    """
    if not location.exists(location.join(store, location.MANIFEST)):
        what = (
            f"its {location.MANIFEST} is missing" if is_store(store) else f"not a store (it has no {location.MANIFEST})"
        )
        raise SpecError(f"{store}: {what}")
    try:
        return load_manifest(store)
    except ValueError as error:
        raise SpecError(str(error)) from error


def recorded_facts(manifest: Manifest) -> dict[str, str]:
    """What decided content beside the spec, such as the digest of the weights, as it was when the store was begun."""
    return {name: value for name, value in manifest.environment.items() if name not in ENVIRONMENT_FIELDS}
