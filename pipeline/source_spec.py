"""Where a job's inputs come from."""

from pydantic import Field

from workers.spec import PathText, Spec


class SourceSpec(Spec):
    """A folder, a glob, a list of files, or a manifest table."""

    path: PathText | tuple[PathText, ...] = Field(min_length=1)
    """Folder (scanned recursively), glob, media file, list of media files, or manifest (.csv, .tsv, .jsonl, .parquet)
    whose `path` column is resolved against the manifest's folder."""

    path_column: str = "path"
    """Manifest column that names the media file."""

    id_column: str | None = None
    """Manifest column that tells items apart where one file stands in several rows; otherwise the path does."""

    columns: tuple[str, ...] | None = None
    """Manifest columns to carry into the store; all of them when unset."""
