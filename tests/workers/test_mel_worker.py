import pytest
import torch

from workers.audio.mel import mel_spectrogram
from workers.mel_worker import MelWorker
from workers.mel_worker_spec import MelWorkerSpec


@pytest.mark.parametrize("preset", ["audiovae", "audioldm2"])
@pytest.mark.parametrize("channels", [1, 2])
def test_rows_equal_the_function(preset: str, channels: int) -> None:
    spec = MelWorkerSpec(mel={"preset": preset}, device="cpu", microbatch=4)
    waveform = torch.randn(5, channels, 8_192, generator=torch.Generator().manual_seed(0)) * 0.1
    num_samples = torch.full((5,), 8_192)
    mel = MelWorker(spec)({"waveform": waveform, "num_samples": num_samples, "seed": torch.arange(5)})["mel"]
    (column,) = spec.outputs(8_192, channels)
    assert mel.shape == (5, *column.shape)
    expected = mel_spectrogram(waveform, spec.mel, num_samples)
    assert torch.equal(mel, expected[:, 0] if channels == 1 else expected)


def test_column_of_the_spec() -> None:
    (column,) = MelWorkerSpec(mel={"preset": "audioldm2"}).outputs(163_840, 1)
    assert (column.name, column.shape, column.dtype) == ("mel", (64, 1024), "float16")
    assert column.description == "natural log of magnitude mel, [band] [frame]"
