"""What a model asks of the front end and of the decoding, where the spec leaves it open."""

from typing import TYPE_CHECKING

from workers.models.codec_spec import CodecSpec
from workers.models.encoder_spec import EncoderSpec
from workers.models.vae_spec import WaveformVaeSpec

if TYPE_CHECKING:
    from jobs.recordings import RecordingsJob


def fit_front_end(job: "RecordingsJob", model: EncoderSpec | None) -> dict[str, object]:
    """Fields of a job that follow from its model: one that takes waveforms has no mel, and may say how many channels.

    Args:
        job: As the user gave it.
        model: Its VAE or codec.

    Raises:
        ValueError: The job says otherwise; the message says what to leave out.
    """
    if not isinstance(model, WaveformVaeSpec | CodecSpec):
        if job.mel is None:
            raise ValueError("mel is null, but the model takes mels: leave mel out, or choose a model of waveforms")
        return {}
    if job.mel is not None and "mel" in job.model_fields_set:
        raise ValueError(f"mel is set, but model.kind {model.kind} takes waveforms: leave mel out")
    if isinstance(model, CodecSpec):  # each channel is a signal of its own
        return {"mel": None}
    return {"mel": None, "audio": job.audio.model_copy(update={"channels": _channels(job, model)})}


def _channels(job: "RecordingsJob", model: WaveformVaeSpec) -> str:
    wanted = {1: "mono", 2: "stereo"}.get(model.audio_channels)
    if wanted is None:
        raise ValueError(f"model.weights {model.weights} takes {model.audio_channels} channels; 1 and 2 can be made")
    if "channels" in job.audio.model_fields_set and job.audio.channels != wanted:
        raise ValueError(
            f"audio.channels is {job.audio.channels}, but model.weights {model.weights} takes {wanted}: leave it out"
        )
    return wanted
