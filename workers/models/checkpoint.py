"""Where a model's files are: a folder, here or at a URI, a pipeline's folder, or the Hugging Face hub."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workers.files import absolute, is_uri
from workers.models.fetched_folder import fetch_folder

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model on disk."""

    folder: Path
    """The folder that holds `config.json` and the weights."""

    config: dict[str, Any]
    """The parsed `config.json`."""

    files: tuple[Path, ...]
    """The weight files, sorted by name; several where the weights are sharded."""

    companions: tuple[Path, ...] = ()
    """Other files that decide what the model does, sorted by name: those of a tokenizer, say."""

    @property
    def variant(self) -> str | None:
        """What the files are called beside the default, such as `fp16` of `model.fp16.safetensors`."""
        return ".".join(self.files[0].name.split("-of-")[-1].split(".")[1:-1]) or None


def find_folder(weights: str) -> str | None:
    """The folder that `weights` names: an absolute path with `~` filled in, or its URI; None where there is none here.

    Raises:
        ValueError: It is a URI with credentials in it, or one that nothing opens.
    """
    folder = absolute(weights)
    return folder if is_uri(folder) or os.path.isdir(folder) else None


def existing_folder(weights: str) -> str:
    """As `find_folder`, where nothing but a folder will do.

    Raises:
        ValueError: There is no such folder, or its URI is refused.
    """
    folder = find_folder(weights)
    if folder is None:
        raise ValueError(f"no such model folder: {weights}")
    return folder


def hub_commit(hub_id: str, *, subfolder: str | None = None, revision: str | None = None) -> str:
    """The commit on the hub that a revision stands for now: the one in the local cache where the hub cannot be reached.

    Args:
        hub_id: Such as `cvssp/audioldm2`.
        subfolder: As in `find_checkpoint`.
        revision: Commit, tag or branch; the newest commit where None.

    Returns:
        Its 40 hexadecimal digits.

    Raises:
        ValueError: That is no hub id, or neither the hub nor the cache can give it.
    """
    # The hub's client keeps what it fetched in .../snapshots/<commit>, whatever the revision was called.
    return _from_hub(hub_id, _patterns(["config.json"], subfolder), revision).name


def find_checkpoint(
    weights: str,
    *,
    stem: str,
    subfolder: str | None = None,
    revision: str | None = None,
    allow_pickle: bool = False,
    companions: Sequence[str] = (),
) -> Checkpoint:
    """Locate a model's config and weights, fetching them from the hub where `weights` is a hub id.

    Args:
        weights: A folder, its URI, or a hub id such as `cvssp/audioldm2`. A folder that exists wins.
        stem: How the weight files' names begin, such as `diffusion_pytorch_model`.
        subfolder: Where to look too, such as `vae` in a pipeline's folder.
        revision: Commit, tag or branch on the hub.
        allow_pickle: Take pickled weights where there are no safetensors. Unpickling can run arbitrary code.
        companions: Names of other files that belong to the model, where they are there.

    Raises:
        ValueError: There is no such folder, no config, or no acceptable weights; or the hub cannot give them.
    """
    pickled_stem = "pytorch_model" if stem == "model" else stem  # as transformers calls them
    names = [f"{stem}*.safetensors"]
    if allow_pickle:
        names += [f"{pickled_stem}*{suffix}" for suffix in _PICKLE_SUFFIXES]
    indexes = [f"{one}*.index*.json" for one in dict.fromkeys((stem, pickled_stem))]
    patterns = ["config.json", *companions, *names, *indexes]
    root = _root(weights, patterns, subfolder=subfolder, revision=revision)
    folder = _folder_with_config(root, subfolder)
    for name in names:
        if files := _unambiguous(sorted(folder.glob(name)), folder):
            return Checkpoint(
                folder=folder,
                config=read_json(folder / "config.json"),
                files=tuple(files),
                companions=tuple(path for name in sorted(companions) if (path := folder / name).is_file()),
            )
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLE_SUFFIXES)
    if pickled and allow_pickle:
        raise ValueError(f"{folder} holds {', '.join(pickled)}: expected {pickled_stem}.bin, or {stem}.safetensors")
    if pickled:
        raise ValueError(
            f"{folder} holds only pickled weights ({', '.join(pickled)}), which can run code when loaded: "
            "convert them to safetensors, or set allow_pickle: true if you trust their author"
        )
    raise ValueError(f"no weights in {folder}: expected {stem}.safetensors beside config.json")


def find_files(weights: str, names: Sequence[str], *, revision: str | None = None) -> Path:
    """A model's folder, whatever its format, with those of the named files that are there, fetched where they are not.

    Args:
        weights: A folder, its URI, or a hub id. A folder that exists wins.
        names: Relative to it, in which `*` stands for anything but `/`.
        revision: Commit, tag or branch on the hub.

    Raises:
        ValueError: There is no such folder, or the hub cannot give it.
    """
    if folder := find_folder(weights):
        return fetch_folder(folder, names, needs_config=False) if is_uri(folder) else Path(folder)
    return _from_hub(weights, list(names), revision)


def read_config(
    weights: str, *, subfolder: str | None = None, revision: str | None = None, name: str = "config.json"
) -> Mapping[str, Any]:
    """Parse a model's `config.json`, or another JSON file beside it, without fetching its weights.

    A process reads each file, and asks the hub, once: files do not change during a run, and this is called for every
    block of it.

    Returns:
        The settings, shared by all callers.

    Raises:
        ValueError: As `find_checkpoint`.
    """
    return _read_config(find_folder(weights) or weights, subfolder, revision, name)


@lru_cache(maxsize=64)
def _read_config(location: str, subfolder: str | None, revision: str | None, name: str) -> Mapping[str, Any]:
    root = _root(location, list(dict.fromkeys(["config.json", name])), subfolder=subfolder, revision=revision)
    path = _folder_with_config(root, subfolder) / name
    if not path.is_file():
        raise ValueError(f"no {name} in {path.parent}: give the folder that save_pretrained (or save) wrote")
    return read_json(path)


def _root(weights: str, patterns: Sequence[str], *, subfolder: str | None, revision: str | None) -> Path:
    wanted = _patterns(patterns, subfolder)
    if folder := find_folder(weights):
        return fetch_folder(folder, wanted) if is_uri(folder) else Path(folder)
    return _from_hub(weights, wanted, revision)


def _patterns(patterns: Sequence[str], subfolder: str | None) -> list[str]:
    return [*patterns, *(f"{subfolder}/{pattern}" for pattern in patterns if subfolder)]


def _from_hub(hub_id: str, patterns: list[str], revision: str | None) -> Path:
    """The folder of a commit in the hub's local cache, with the files that match."""
    if not _HUB_ID.fullmatch(hub_id):
        raise ValueError(f"no such model folder: {hub_id} (a hub id would look like owner/name)")
    # Imported here: the hub client costs more start-up time than a spec check may take.
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    download: Callable[..., str] = huggingface_hub.snapshot_download
    try:
        return Path(download(hub_id, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise ValueError(f"{hub_id} is gated on the hub: accept its terms there and log in (hf auth login)") from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"no folder and no hub model is called {hub_id}: check the spelling, or log in if it is private"
        ) from error
    except (LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ValueError(
            f"cannot fetch {hub_id} from the hub ({_first_line(error)}) and it is not in the local cache: check the "
            "network, or download it elsewhere and give its folder"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _folder_with_config(root: Path, subfolder: str | None) -> Path:
    # A pipeline's folder has model_index.json at its top and one folder per model.
    candidates = [root / subfolder, root] if subfolder else [root]
    for folder in candidates:
        if (folder / "config.json").is_file():
            return folder
    looked_in = " nor in ".join(str(folder) for folder in candidates)
    raise ValueError(f"no config.json in {looked_in}: give the folder that save_pretrained (or save) wrote")


def _unambiguous(files: list[Path], folder: Path) -> list[Path]:
    """The files of the default variant, or of the only variant (`stem.fp16.safetensors`)."""
    variants: dict[str, list[Path]] = {}
    for path in files:
        variants.setdefault(re.sub(r"-\d{5}-of-\d{5}", "", path.stem).partition(".")[2], []).append(path)
    if len(variants) > 1 and "" not in variants:
        raise ValueError(f"{folder} holds several variants ({', '.join(sorted(variants))}) and no default: keep one")
    return variants.get("") or next(iter(variants.values()), [])


def read_json(path: Path) -> dict[str, Any]:
    """Parse a file of settings.

    Raises:
        ValueError: It is not JSON, or no object.
    """
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a {type(config).__name__}, expected an object of settings")
    return config
