"""Reading the files that audiocraft exports: a dict of tensors under `best_state` and YAML text under `xp.cfg`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from workers.models.saved_tensors import read_pickled

T = TypeVar("T")

LM_FILE = "state_dict.bin"
CODEC_FILE = "compression_state_dict.bin"


class AudiocraftConfig:
    """Settings of a training run, by dotted key. References (`${sample_rate}`) are resolved where they are read.

    Args:
        text: YAML in OmegaConf's dialect.
        source: Name of the file, for messages.

    Raises:
        ValueError: The text is not that.
    """

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        try:
            config = OmegaConf.create(text)
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            raise ValueError(f"{source}: its xp.cfg is not YAML that OmegaConf reads: {error}") from error
        if not isinstance(config, DictConfig):
            raise ValueError(f"{source}: its xp.cfg is a {type(config).__name__}, expected settings by name")
        self._config = config

    def get(self, key: str, default: Any = None) -> Any:
        """A value in plain Python types, or `default` where there is none.

        Raises:
            ValueError: It is `???`, or refers to what there is not.
        """
        try:
            node: Any = self._config
            for part in key.split("."):
                if not isinstance(node, DictConfig):
                    return default
                if OmegaConf.is_missing(node, part):
                    raise ValueError(f"{self.source}: {key} is ???, which stands for a value that was never given")
                if part not in node:
                    return default
                node = node[part]
            return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        except OmegaConfBaseException as error:
            raise ValueError(f"{self.source}: cannot resolve {key}: {str(error).splitlines()[0]}") from error

    def need(self, key: str, kind: type[T]) -> T:
        """A value of a type that must be there; a float may be written as an integer.

        Raises:
            ValueError: It is missing, or of another type.
        """
        value = self.get(key)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ValueError(f"{self.source}: {key} is {value!r}, expected a value of type {kind.__name__}")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """A list of integers.

        Raises:
            ValueError: It is missing, or something else.
        """
        values = self.need(key, list)
        if not values or any(type(value) is not int for value in values):
            raise ValueError(f"{self.source}: {key} is {values}, expected integers")
        return tuple(values)

    def require(self, supported: Mapping[str, tuple[Any, Any]]) -> None:
        """Refuse settings that ask for what is not built here.

        Args:
            supported: For each key, what audiocraft takes where there is none, and the one value that is supported.

        Raises:
            ValueError: One has another value.
        """
        for key, (default, only) in supported.items():
            value = self.get(key, default)
            if value != only:
                raise ValueError(f"{self.source}: {key} is {value!r}, and only {only!r} is supported")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudiocraftFile:
    """One exported model."""

    path: Path
    """Where it lies."""

    config: AudiocraftConfig
    """Its settings."""

    state: Mapping[str, Tensor]
    """Its tensors by audiocraft's names, in the types of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A file without a model in it, which names one that others published."""

    pretrained: str
    """Such as `facebook/encodec_32khz`."""


def read_audiocraft_file(path: Path, *, lazily: bool = False) -> AudiocraftFile | Pointer:
    """Read what audiocraft exported. Nothing that is in the file gets run.

    Args:
        path: Of the file.
        lazily: Leave the tensors on the disk until they are used, for those who want the settings alone. The file must
            stay as it is meanwhile.

    Raises:
        ValueError: There is no such file, it is cut short or damaged, it would run code, or holds something else.
    """
    if not path.is_file():
        raise ValueError(f"no {path.name} in {path.parent}: expected {LM_FILE} and {CODEC_FILE}, as audiocraft exports")
    package = read_pickled(path, lazily=lazily)
    if not isinstance(package, dict):
        raise ValueError(f"{path} holds a {type(package).__name__}, expected what audiocraft exports (a dict)")
    if isinstance(name := package.get("pretrained"), str):
        return Pointer(pretrained=name)
    state, text = package.get("best_state"), package.get("xp.cfg")
    if not isinstance(text, str) or not isinstance(state, dict):
        raise ValueError(
            f"{path} has the entries {', '.join(map(str, package)) or '(none)'}, expected best_state and xp.cfg: give "
            "a file that audiocraft exported (audiocraft.utils.export)"
        )
    if wrong := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{path}: best_state has no tensor under {wrong[0]}, expected tensors by name")
    return AudiocraftFile(path=path, config=AudiocraftConfig(text, str(path)), state=state)
