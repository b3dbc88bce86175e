"""Settings of the generate worker."""

from functools import lru_cache
from typing import Annotated, Self

from pydantic import Field, model_validator

from workers.audio_column import AudioColumn
from workers.column import Column
from workers.device_kind import RequestedDevice
from workers.gate_spec import VERDICTS, GateSpec
from workers.label_column import LabelColumn
from workers.models.audiogen.audiogen_spec import AudioGenSpec
from workers.models.audiogen.shape import AudioGenShape
from workers.models.clap_spec import ClapSpec
from workers.models.precision import Precision
from workers.number_column import NumberColumn
from workers.spec import Spec
from workers.tensor_column import TensorColumn


@lru_cache(maxsize=8)
def _shape_of(model: AudioGenSpec) -> AudioGenShape:
    """Read once, though it is asked for each length of clip."""
    return model.shape()


class GenerateWorkerSpec(Spec):
    """Prompts in, sounds out."""

    model: AudioGenSpec = AudioGenSpec()
    """What makes them."""

    gate: GateSpec = GateSpec()
    """Which of them are good enough."""

    clap: ClapSpec | None = None
    """What hears how near a sound is to its text."""

    precision: Precision = "float32"
    """What the language model computes in."""

    microbatch: Annotated[int, Field(ge=1, le=4096)] = 8
    """Clips computed at once, filled up to this many. Part of the job's identity: it may change the last bits."""

    device: RequestedDevice = "auto"
    """Where to compute; `auto` is the GPU where there is one."""

    def outputs(self, num_samples: int, channels: int) -> tuple[Column, ...]:
        """The columns of a clip [channels, num_samples].

        Raises:
            ValueError: The model makes no such clips, or its weights cannot be read.
        """
        shape = _shape_of(self.model)
        if channels != shape.channels:
            raise ValueError(f"the model has {shape.channels} channels, a unit has {channels}")
        frames = -(-num_samples // shape.codec.hop_length)
        return (
            AudioColumn(
                name="audio",
                description="the sound; where its peak is above 1, divided by it",
                num_channels=channels,
                num_samples=num_samples,
                sample_rate=shape.sample_rate,
            ),
            TensorColumn(
                name="codes",
                description="the codec's codes that the sound was decoded from, a row for each codebook",
                shape=(shape.lm.num_codebooks, frames),
                dtype="uint16",
                steps_per_second=shape.frame_rate_hz,
            ),
            NumberColumn(name="peak", description="largest absolute sample of what the codec gave"),
            NumberColumn(
                name="loudness_lufs",
                description="integrated loudness by ITU-R BS.1770-4; null where all is below its gate",
                unit="LUFS",
            ),
            NumberColumn(name="clipped_fraction", description="share of samples beyond full scale before division"),
            NumberColumn(name="silence_fraction", description="share of 20-ms stretches whose RMS is below -60 dBFS"),
            *self._choice(),
            LabelColumn(name="verdict", description="what the gate says of the sound", labels=VERDICTS),
            NumberColumn(
                name="seconds",
                description="the clip's share of the time that it took; not in the digest",
                unit="s",
                is_content=False,
            ),
        )

    def _choice(self) -> list[Column]:
        columns: list[Column] = []
        if self.clap is not None:
            described = "cosine between the sound and its text for the CLAP model; null where there is no text"
            columns.append(NumberColumn(name="clap", description=described))
        if self.gate.best_of is not None:
            described = f"which of {self.gate.best_of} sounds this is, the best by {self.gate.best_by}; from 0"
            columns.append(NumberColumn(name="candidate", description=described))
        return columns

    @model_validator(mode="after")
    def _check_clap(self) -> Self:
        if self.gate.needs_clap and self.clap is None:
            raise ValueError(
                "gate asks how near sounds are to their texts, but there is no clap model: set clap.weights"
            )
        return self
