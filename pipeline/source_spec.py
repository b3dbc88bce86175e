"""Where a job's inputs come from."""

from pydantic import Field

from workers.spec import PathText, Spec


class SourceSpec(Spec):
    """A folder, a pattern, a list of files, a manifest, WebDataset shards, a table that holds audio, or a store."""

    path: PathText | tuple[PathText, ...] = Field(min_length=1)
    """One of these, on this machine or at a URI (s3://, gs://, az://, hf://, and http:// for single files):

    - a folder of media files, scanned recursively; a media file; a list of them; or a pattern (`sounds/**/*.wav`)
    - a manifest (.csv, .tsv, .jsonl, .parquet): a row for each item, whose `path` is seen from the manifest's folder
    - WebDataset shards (.tar): one, a list, a folder, or a pattern such as `shard-{000000..000012}.tar`
    - tables that hold audio, as Hugging Face datasets do (.parquet with a column of structs `{bytes, path}`): likewise
    - a store that latentmill made and that holds audio; for `kind: reconstruct`, also one of mels or latents."""

    path_column: str = "path"
    """Manifest column that names the media file."""

    id_column: str | None = None
    """Column (of a manifest or table, or field of the shards' .json members) that names the items, and tells apart rows
    of one file; otherwise the path does, or the place in shard or table."""

    columns: tuple[str, ...] | None = None
    """Columns (or fields) to carry into the store; all of them when unset."""

    duration_column: str | None = None
    """Column (or field) that says how many seconds of audio an item has. It is trusted, and no headers are read: for
    sources of millions of files. A file that is shorter fails when its turn comes, and one that was replaced since the
    last run is not noticed."""

    audio_column: str | None = None
    """Column of a Parquet table that holds the audio; found by itself if there is just one."""

    member_extension: str | None = None
    """Which member of a sample in a WebDataset shard is the recording, where it has several: `flac`, or `left.wav`, all
    that follows the first dot of the member's name."""
