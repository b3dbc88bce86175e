import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributions import Normal, kl_divergence

from workers.audio.mel import mel_spectrogram
from workers.audio.mel_spec import MelSpec
from workers.models.audio_vae import AudioVAE
from workers.models.audio_vae_spec import AudioVaeConfig, AudioVaeSpec

SMALL = AudioVaeConfig(base_channels=8, num_res_blocks=1)


def mels(batch: int = 2, frames: int = 32, channels: int = 64) -> torch.Tensor:
    return torch.randn(batch, channels, frames, generator=torch.Generator().manual_seed(1)) * 3 - 5


def test_default_shapes() -> None:
    model = AudioVAE()
    assert (model.mel_channels, model.latent_channels, model.time_downsample_factor) == (64, 8, 4)
    with torch.inference_mode():
        mean, logvar = model.encode_with_distribution(mels(2, 256))
        assert mean.shape == logvar.shape == (2, 8, 64)
        assert model.decode(mean).shape == (2, 64, 256)
        assert mean.isfinite().all()
        assert 0.2 < mean.std() < 5.0


@pytest.mark.parametrize(("multipliers", "factor"), [((1,), 1), ((1, 2), 2), ((1, 1, 2, 2), 8)])
def test_time_factor_follows_the_levels(multipliers: tuple[int, ...], factor: int) -> None:
    model = AudioVAE(
        AudioVaeConfig(mel_channels=20, base_channels=8, channel_multipliers=multipliers, num_res_blocks=1)
    )
    assert model.time_downsample_factor == factor
    assert model.encode(mels(1, 32, 20)).shape == (1, 8, 32 // factor)


def test_seed_decides_the_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = AudioVAE(SMALL).get_parameters()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(AudioVAE(SMALL).get_parameters(), first)
    assert not torch.equal(AudioVAE(SMALL.model_copy(update={"seed": 1})).get_parameters(), first)


def test_weights_of_seed_0_stay_what_they_are() -> None:
    # Stores keep the seed, not the weights: a change here changes what they mean (see _RANDOM_INIT_VERSION).
    vector = AudioVAE(SMALL).get_parameters().double()
    assert len(vector) == 27960
    assert vector.abs().sum().item() == pytest.approx(3228.283138848841, rel=1e-9)


def test_encode_draws_from_the_posterior_with_the_generator() -> None:
    model, mel = AudioVAE(SMALL), mels()
    mean, logvar = model.encode_with_distribution(mel)
    assert torch.equal(model.encode(mel), mean)
    state = torch.get_rng_state()
    drawn = model.encode(mel, sample=True, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(drawn, mean + (0.5 * logvar).exp() * noise)
    assert torch.equal(torch.get_rng_state(), state)


def test_parameters_round_trip_as_one_vector() -> None:
    source, target = AudioVAE(SMALL), AudioVAE(SMALL.model_copy(update={"seed": 9}))
    vector = source.get_parameters()
    assert vector.shape == (source.parameter_count,)
    target.set_parameters(vector)
    assert torch.equal(target.get_parameters(), vector)
    vector.zero_()
    assert target.get_parameters().any()


@pytest.mark.parametrize("difference", [-1, 1])
def test_set_parameters_gives_both_lengths(difference: int) -> None:
    model = AudioVAE(SMALL)
    wrong = torch.zeros(model.parameter_count + difference)
    with pytest.raises(ValueError, match=f"{model.parameter_count} parameters.* length {len(wrong)}"):
        model.set_parameters(wrong)


@pytest.mark.parametrize("copier", [AudioVAE.clone, copy.deepcopy], ids=["clone", "deepcopy"])
def test_copies_are_equal_and_independent(copier) -> None:  # type: ignore[no-untyped-def]
    model = AudioVAE(SMALL)
    twin = copier(model)
    assert torch.equal(twin.encode(mels()), model.encode(mels()))
    twin.set_parameters(torch.zeros(twin.parameter_count))
    assert model.get_parameters().any()
    assert twin.config == model.config


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_save_and_load(tmp_path: Path, dtype: torch.dtype) -> None:
    config = SMALL.model_copy(update={"latent_scale_factor": 0.7, "seed": 3})
    model = AudioVAE(config).to(dtype)
    model.save(tmp_path / "vae")
    loaded = AudioVAE.load(tmp_path / "vae")
    assert loaded.config == config
    assert loaded.latent_scale_factor == 0.7
    assert torch.equal(loaded.get_parameters(), model.get_parameters())
    assert loaded.encode(mels()).dtype == torch.float32


def test_load_says_what_does_not_fit(tmp_path: Path) -> None:
    AudioVAE(SMALL).save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("encoder.layers.0.bias")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"(?s)do not fit its config.json.*encoder\.layers\.0\.bias"):
        AudioVAE.load(tmp_path)


@pytest.mark.parametrize("name", ["random", "embedded"])
def test_load_takes_folders_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"no such model folder: {name}"):
        AudioVAE.load(name)
    AudioVAE(SMALL).save(name)
    assert AudioVAE.load(name).config == SMALL


def test_load_reads_a_folder_that_was_written_again(tmp_path: Path) -> None:
    for config in (SMALL, SMALL.model_copy(update={"latent_channels": 4})):
        AudioVAE(config).save(tmp_path)
        assert AudioVAE.load(tmp_path).config == config


def test_losses_are_right_and_gradients_reach_every_parameter() -> None:
    model, mel = AudioVAE(SMALL), mels()
    reconstruction, mean, logvar = model(mel, torch.Generator().manual_seed(0))
    kl = model.kl_loss(mean, logvar)
    expected = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(kl, expected)
    assert model.kl_loss(torch.zeros(3), torch.zeros(3)) == 0.0
    loss = model.reconstruction_loss(reconstruction, mel)
    torch.testing.assert_close(loss, (reconstruction - mel).square().mean())
    (loss + 0.1 * kl).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_training_lowers_the_loss() -> None:
    model, mel = AudioVAE(SMALL), mels(4, 1).repeat(1, 1, 16)  # steady sounds
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(12):
        reconstruction, mean, logvar = model(mel, torch.Generator().manual_seed(step))
        loss = model.reconstruction_loss(reconstruction, mel) + 1e-3 * model.kl_loss(mean, logvar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_audio_to_mel_spectrogram_is_the_preset() -> None:
    waveform = torch.randn(2, 16_384, generator=torch.Generator().manual_seed(0)) * 0.1
    model = AudioVAE(SMALL)
    mel = model.audio_to_mel_spectrogram(waveform)
    assert mel.shape == (2, 64, 32)
    assert torch.equal(mel, mel_spectrogram(waveform[:, None], MelSpec(preset="audiovae"))[:, 0])
    assert model.audio_to_mel_spectrogram(waveform[0], sample_rate=8000, hop_length=256, fft_size=1024).shape == (
        64,
        64,
    )


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 80, 32), "mels of 64 bands, got 80"),
        ((1, 64, 30), "multiple of 4 frames, got 30"),
        ((64, 32), r"\[64, 32\]"),
    ],
)
def test_encode_refuses_other_shapes(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AudioVAE(SMALL).encode(torch.zeros(shape))


def test_decode_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"latent \[B, 8, S\], got shape \[1, 4, 8\]"):
        AudioVAE(SMALL).decode(torch.zeros(1, 4, 8))


def test_spec_of_a_folder_takes_its_architecture_from_there(tmp_path: Path) -> None:
    AudioVAE(AudioVaeConfig(base_channels=8, channel_multipliers=(1, 2), num_res_blocks=1)).save(tmp_path)
    spec = AudioVaeSpec(weights=str(tmp_path))
    assert spec.time_downsample_factor == 2
    assert spec.latent_shape(64, 32) == (8, 16)
    assert AudioVAE.from_spec(spec).encode(mels()).shape == (2, 8, 16)


def test_mel_spectrogram_to_audio_has_the_mel() -> None:
    time = torch.arange(16_384) / 16_000
    chord = sum(torch.sin(2 * torch.pi * pitch * time) for pitch in (220.0, 331.0, 1250.0))
    waveform = 0.1 * torch.stack([chord, torch.zeros_like(time)])  # type: ignore[list-item]
    model = AudioVAE(SMALL)
    mel = model.audio_to_mel_spectrogram(waveform)
    audio = model.mel_spectrogram_to_audio(mel.requires_grad_())
    assert audio.shape == waveform.shape
    assert audio.dtype == torch.float32
    assert not audio.requires_grad
    assert audio[1].eq(0.0).all()
    assert torch.equal(model.mel_spectrogram_to_audio(mel[0]), audio[0])
    before, after = mel.detach()[0], model.audio_to_mel_spectrogram(audio)[0]
    loud = before > before.max() - 5
    assert (after - before)[loud].abs().mean() < 0.2
    further = model.mel_spectrogram_to_audio(mel, num_iterations=0)
    assert (model.audio_to_mel_spectrogram(further)[0] - before)[loud].abs().mean() > (after - before)[
        loud
    ].abs().mean()
    shorter = model.mel_spectrogram_to_audio(mel[None], sample_rate=8_000, hop_length=256, fft_size=1024)
    assert shorter.shape == (1, 2, 8_192)


def test_mel_spectrogram_to_audio_refuses_other_bands() -> None:
    with pytest.raises(ValueError, match=r"mel \[\.\.\., 64, F\], got shape \[2, 80, 32\]"):
        AudioVAE(SMALL).mel_spectrogram_to_audio(torch.zeros(2, 80, 32))
