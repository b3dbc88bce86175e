"""Where prompts come from."""

from pydantic import Field

from workers.spec import PathText, Spec


class PromptsSpec(Spec):
    """A table of prompts: a row for each.

    Columns `negative_prompt`, `duration_seconds`, `variations`, `temperature`, `top_k`, `top_p`, `guidance_scale` and
    `seed` override the job's settings row by row, where they are not empty; the other columns are carried.

    `prompt_audio` names a recording, as seen from the table's folder, that the clip goes on from: it is the clip's
    beginning, and `duration_seconds` is the length of the whole; the text may be left empty then. `mask` says which
    stretches of it are made anew, in seconds: `1.5-2.75, 4-5`.
    """

    path: PathText = Field(min_length=1)
    """A table (.csv, .tsv, .jsonl, .parquet), here or at a URI; or a text file (.txt) with a prompt on each line."""

    prompt_column: str = Field(default="prompt", min_length=1)
    """Column of the prompts."""

    id_column: str | None = None
    """Column that names the rows. Otherwise a prompt is named by its beginning and a digest of the row's prompt and
    overrides: rows can be added, removed and moved without anything being made anew."""

    columns: tuple[str, ...] | None = None
    """Columns to carry into the store; all of them when unset."""
