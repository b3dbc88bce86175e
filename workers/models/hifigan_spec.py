"""Settings of HiFi-GANs in the format of their authors' code."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from workers.audio.mel_spec import MelSpec
from workers.models.checkpoint import Checkpoint, existing_folder, find_files, read_json
from workers.models.vocoder_mel import check_same_mel
from workers.spec import PathText, Spec

_Size = Annotated[int, Field(ge=1, le=65_536)]
_Sizes = Annotated[tuple[_Size, ...], Field(min_length=1, max_length=16)]

_PICKLED = (".pt", ".pth", ".ckpt", ".bin")
GENERATOR_FILES = ("g_*", *(f"generator*{suffix}" for suffix in _PICKLED), "model.safetensors", "*.safetensors")
"""What a generator's checkpoint may be called. Training leaves `g_02500000`, and a discriminator as `do_02500000`."""

NUM_DILATIONS = {"1": 3, "2": 2}
"""How many of the dilations listed for a kernel size each kind of residual block uses."""


class HifiganConfig(Spec):
    """What `config.json` says of a generator and its mels; the rest of it is about training."""

    resblock: Annotated[Literal["1", "2"], BeforeValidator(str)]
    """Kind of residual block: pairs of convolutions, or single ones."""

    upsample_rates: _Sizes
    """By how much each stage lengthens the signal; their product is the hop."""

    upsample_kernel_sizes: _Sizes
    """Of the transposed convolutions, samples after the stage."""

    upsample_initial_channel: Annotated[int, Field(ge=1, le=65_536)]
    """Channels before the first stage; each stage halves them."""

    resblock_kernel_sizes: _Sizes
    """A residual block in each stage for each of them."""

    resblock_dilation_sizes: Annotated[tuple[_Sizes, ...], Field(min_length=1)]
    """Dilations in the block of each kernel size."""

    num_mels: _Size
    """Mel bands."""

    sampling_rate: Annotated[int, Field(ge=1)]
    """Rate of the sound, Hz."""

    hop_size: int | None = None
    """Samples per mel frame."""

    n_fft: int | None = None
    """Length of the Fourier transform, samples."""

    win_size: int | None = None
    """Length of the window, samples."""

    fmin: float | None = None
    """Lower edge of the lowest band, Hz."""

    fmax: float | None = None
    """Upper edge of the highest band, Hz; where it is given as null, half the rate."""

    @model_validator(mode="after")
    def _check_fields_agree(self) -> Self:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError(
                f"upsample_rates has {len(self.upsample_rates)} stages and upsample_kernel_sizes "
                f"{len(self.upsample_kernel_sizes)}"
            )
        for size, rate in zip(self.upsample_kernel_sizes, self.upsample_rates, strict=True):
            if size < rate:
                raise ValueError(f"upsample_kernel_sizes has {size} for a rate of {rate}, which would leave gaps")
        if self.upsample_initial_channel < 2 ** len(self.upsample_rates):
            raise ValueError(
                f"upsample_initial_channel {self.upsample_initial_channel} cannot be halved "
                f"{len(self.upsample_rates)} times"
            )
        if even := [size for size in self.resblock_kernel_sizes if size % 2 == 0]:
            raise ValueError(f"resblock_kernel_sizes has {even[0]}, expected odd sizes")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError(
                f"resblock_kernel_sizes has {len(self.resblock_kernel_sizes)} blocks and resblock_dilation_sizes "
                f"{len(self.resblock_dilation_sizes)}"
            )
        needed = NUM_DILATIONS[self.resblock]
        if few := [sizes for sizes in self.resblock_dilation_sizes if len(sizes) < needed]:
            raise ValueError(
                f"resblock_dilation_sizes has {list(few[0])}, expected {needed} dilations for resblock {self.resblock}"
            )
        if self.hop_size not in (None, self.hop_length):
            raise ValueError(
                f"hop_size is {self.hop_size}, but the product of upsample_rates {list(self.upsample_rates)} is "
                f"{self.hop_length}"
            )
        return self

    @property
    def hop_length(self) -> int:
        """Samples per mel frame."""
        return prod(self.upsample_rates)

    @property
    def dilations(self) -> tuple[tuple[int, ...], ...]:
        """Those that the block of each kernel size uses."""
        return tuple(sizes[: NUM_DILATIONS[self.resblock]] for sizes in self.resblock_dilation_sizes)

    def mel_fields(self) -> dict[str, float | None]:
        """What it states of its mels, by the names of `MelSpec`; None where it does not."""
        return {
            "sample_rate": self.sampling_rate,
            "n_mels": self.num_mels,
            "hop_length": self.hop_length,
            "n_fft": self.n_fft,
            "win_length": self.win_size,
            "f_min_hz": self.fmin,
            "f_max_hz": self.sampling_rate / 2 if "fmax" in self.model_fields_set and self.fmax is None else self.fmax,
        }


# The largest of the paper's three, for 22.05 kHz (https://github.com/jik876/hifi-gan, config_v1.json).
HIFIGAN_V1 = HifiganConfig(
    resblock="1",
    upsample_rates=(8, 8, 2, 2),
    upsample_kernel_sizes=(16, 16, 4, 4),
    upsample_initial_channel=512,
    resblock_kernel_sizes=(3, 7, 11),
    resblock_dilation_sizes=((1, 3, 5),) * 3,
    num_mels=80,
    sampling_rate=22_050,
    hop_size=256,
    n_fft=1024,
    win_size=1024,
    fmin=0.0,
    fmax=8_000.0,
)


class HifiganSpec(Spec):
    """A generator that the code of HiFi-GAN's authors trained (https://github.com/jik876/hifi-gan), or one like it.

    Its mels are magnitudes through Slaney's filters, ln of at least 1e-5, reflected at the edges: what `MelSpec` makes
    by default, but for the 1e-9 that the authors add under the root. Clips were raised to a peak of 0.95 in training.
    So for the 22.05 kHz models:

        mel: {sample_rate: 22050, n_fft: 1024, win_length: 1024, hop_length: 256, n_mels: 80, peak: 0.95}
    """

    kind: Literal["hifigan"] = "hifigan"
    """Selects this format."""

    weights: PathText
    """A folder (here or at a URI) with `config.json` and the generator's checkpoint: `g_*`, `generator*.pt` (or `.pth`,
    `.ckpt`, `.bin`) or safetensors. Pickled ones are read without running what is in them. Or `random`, the shape of
    the authors' V1 from `seed`."""

    file: Annotated[str, Field(pattern=r"^[^/\\]+$")] | None = None
    """Name of the checkpoint in the folder; needed where there are several, or in a folder on the web."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of the weights where they are random."""

    def resolved(self) -> tuple[Self, tuple[str, ...]]:
        """This model as every process of a run will find it: its folder as an absolute path or URI.

        Raises:
            ValueError: There is no such folder.
        """
        if self.weights == "random":
            return self, ()
        return self.model_copy(update={"weights": existing_folder(self.weights)}), ()

    def checkpoint(self) -> Checkpoint | None:
        """The files to load; None where the weights are random.

        Raises:
            ValueError: There is no checkpoint, or more than one and `file` does not say which; or as `config`.
        """
        if self.weights == "random":
            return None
        names = (self.file,) if self.file else GENERATOR_FILES
        folder = find_files(existing_folder(self.weights), ["config.json", *names])
        settings = _settings(folder, self.weights)
        parse_config(settings, self.weights)
        if self.file:
            found = [folder / self.file]
        else:
            found = sorted({path for name in GENERATOR_FILES for path in folder.glob(name)})
        if not (files := [path for path in found if path.is_file()]):
            expected = self.file or "g_*, generator*.pt (.pth, .ckpt, .bin) or safetensors beside config.json"
            raise ValueError(f"no generator in {self.weights}: expected {expected}; or name its checkpoint in file")
        if len(files) > 1:
            listed = ", ".join(path.name for path in files[:8]) + (", …" if len(files) > 8 else "")
            raise ValueError(
                f"{self.weights} holds {len(files)} generators ({listed}), expected one: name the one to load in file"
            )
        return Checkpoint(folder=folder, config=settings, files=tuple(files))

    def config(self) -> HifiganConfig:
        """The architecture, and what the mels are.

        Raises:
            ValueError: There is no `config.json`, or it is not a HiFi-GAN's.
        """
        if self.weights == "random":
            return HIFIGAN_V1
        folder = find_files(existing_folder(self.weights), ["config.json"])
        return parse_config(_settings(folder, self.weights), self.weights)

    def check_mel(self, mel: MelSpec) -> None:
        """Refuse a front end whose mels this vocoder does not take.

        Raises:
            ValueError: Rate, bands or hop differ; or the transform, window or edges, where the config states them.
        """
        check_same_mel(mel, self.config().mel_fields(), vocoder=self.weights)


def parse_config(settings: Mapping[str, Any], weights: str) -> HifiganConfig:
    """The generator that the `config.json` of a folder describes.

    Raises:
        ValueError: It describes another model, or one that cannot be built.
    """
    if kind := settings.get("architectures") or settings.get("model_type"):
        named = ", ".join(map(str, kind)) if isinstance(kind, list) else kind
        raise ValueError(f"{weights} holds a {named} of transformers: set kind: speecht5_hifigan, which reads those")
    try:
        return HifiganConfig(**{name: settings[name] for name in HifiganConfig.model_fields if name in settings})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"config.json in {weights} is not a HiFi-GAN's: {place + ': ' if place else ''}"
            f"{first['msg'].removeprefix('Value error, ')}; give the one that the generator was trained with"
        ) from error


def _settings(folder: Path, weights: str) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise ValueError(f"no config.json in {weights}: put the one that the generator was trained with beside it")
    return read_json(folder / "config.json")
