"""The references are torchaudio and librosa; what a waveform is worth is its spectral convergence."""

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor

from workers.audio import griffin_lim as module
from workers.audio.griffin_lim import griffin_lim
from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.stft import Stft
from workers.audio.stft_spec import StftSpec

RATE = 16_000


def sounds(num_samples: int = 16_000) -> Tensor:
    """A gliding chord, noise bursts, and both: float32 [3, num_samples]."""
    time = torch.arange(num_samples) / RATE
    chord = sum(torch.sin(2 * np.pi * f * time * (1 + 0.1 * time)) for f in (220.0, 331.0, 1250.0))
    noise = torch.randn(num_samples, generator=torch.Generator().manual_seed(0))
    bursts = noise * torch.exp(-((time * 8) % 1.0) * 20)
    return 0.2 * torch.stack([chord, bursts, chord + bursts])  # type: ignore[list-item]


def magnitude_of(waveform: Tensor, stft: StftSpec) -> Tensor:
    """[B, F, T]."""
    transform = Stft(stft, stft.num_frames(waveform.shape[1]), waveform.shape[1], waveform.device)
    return transform.analyse(waveform).abs().transpose(1, 2).contiguous()


def convergence_db(waveform: Tensor, magnitude: Tensor, stft: StftSpec) -> Tensor:
    """Spectral convergence of each row."""
    error = (magnitude_of(waveform, stft) - magnitude).flatten(1).norm(dim=1)
    return 20 * torch.log10(error / magnitude.flatten(1).norm(dim=1))


def random_factors(shape: torch.Size | tuple[int, ...]) -> Tensor:
    angle = 2 * np.pi * torch.rand(shape, generator=torch.Generator().manual_seed(5))
    return torch.polar(torch.ones(shape), angle)


@pytest.mark.parametrize("momentum", [0.0, 0.99])
@pytest.mark.parametrize(("n_fft", "win", "hop"), [(1024, 1024, 160), (512, 400, 100), (255, 200, 60), (256, 256, 256)])
@pytest.mark.parametrize("ragged", [0, 33], ids=["whole hops", "ragged"])
def test_equals_torchaudio_from_the_same_start(
    monkeypatch: pytest.MonkeyPatch, momentum: float, n_fft: int, win: int, hop: int, ragged: int
) -> None:
    stft = StftSpec(n_fft=n_fft, win_length=win, hop_length=hop, window="hamming")
    num_samples = 40 * hop + ragged
    magnitude = magnitude_of(sounds(num_samples), stft)
    start = random_factors(magnitude.shape)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: start)
    expected = torchaudio.functional.griffinlim(
        magnitude, torch.hamming_window(win), n_fft, hop, win, 1.0, 8, momentum, num_samples, rand_init=True
    )
    spec = GriffinLimSpec(num_iterations=8, momentum=momentum)
    found = griffin_lim(magnitude, stft, spec, num_samples=num_samples, start_phase=start)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_equals_librosa_from_the_same_start() -> None:
    stft = StftSpec()
    magnitude = magnitude_of(sounds(), stft)
    expected = librosa.griffinlim(
        magnitude.numpy(), n_iter=8, hop_length=160, n_fft=1024, momentum=0.9, pad_mode="reflect", random_state=4
    )
    angle = 2 * np.pi * np.random.RandomState(4).random(magnitude.shape)
    start = torch.from_numpy(np.exp(1j * angle).astype(np.complex64))
    found = griffin_lim(magnitude, stft, GriffinLimSpec(num_iterations=8, momentum=0.9), start_phase=start)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_strays_no_further_from_float64_than_torchaudio_does() -> None:
    # Tones that all begin at phase zero leave most bins to rounding: there float32 implementations part.
    stft = StftSpec()
    magnitude = magnitude_of(sounds(), stft)
    ones = torch.ones_like(magnitude, dtype=torch.complex64)
    found = griffin_lim(magnitude, stft, GriffinLimSpec(num_iterations=8), start_phase=ones)
    single, exact = (
        torchaudio.functional.griffinlim(
            magnitude.to(dtype), torch.hann_window(1024, dtype=dtype), 1024, 160, 1024, 1.0, 8, 0.99, None, False
        )
        for dtype in (torch.float32, torch.float64)
    )
    assert ((found - exact).norm(dim=1) <= 2 * (single - exact).norm(dim=1) + 1e-4).all()


@pytest.mark.parametrize(("start", "num_iterations"), [("phase_gradient", (0, 8)), ("random", (0, 2, 8, 32))])
@pytest.mark.parametrize("framing", ["centred", "hop_centred", "uncentred"])
def test_convergence_falls_with_iterations(start: str, num_iterations: tuple[int, ...], framing: str) -> None:
    stft = StftSpec(framing=framing)
    magnitude = magnitude_of(sounds(), stft)
    before = torch.zeros(3)
    for number in num_iterations:
        spec = GriffinLimSpec(num_iterations=number, start=start)
        after = convergence_db(griffin_lim(magnitude, stft, spec, seeds=[1, 2, 3]), magnitude, stft)
        assert (after < before - 1).all(), f"{before} to {after} dB"
        before = after
    assert before.max() < (-20 if start == "phase_gradient" else -17)


def test_the_integrated_start_is_better_than_many_rounds_from_random() -> None:
    stft = StftSpec()
    magnitude = magnitude_of(sounds(), stft)
    integrated = griffin_lim(magnitude, stft, GriffinLimSpec(num_iterations=8))
    random = griffin_lim(magnitude, stft, GriffinLimSpec(num_iterations=32, start="random"), seeds=[1, 2, 3])
    better = convergence_db(random, magnitude, stft) - convergence_db(integrated, magnitude, stft)
    assert better.min() > 0


@pytest.mark.parametrize(
    "stft", [StftSpec(), StftSpec(n_fft=525, win_length=300, hop_length=77, framing="hop_centred")]
)
@pytest.mark.parametrize("start", ["phase_gradient", "random"])
@pytest.mark.usefixtures("threads")
def test_batched_equals_one_by_one_for_any_number_of_threads(stft: StftSpec, start: str) -> None:
    magnitude = magnitude_of(sounds(260 * stft.hop_length), stft).repeat(
        3, 1, 1
    )  # more rows and frames than are taken at once
    magnitude *= torch.linspace(0.1, 2.0, 9).view(-1, 1, 1)
    spec = GriffinLimSpec(num_iterations=2, start=start)
    seeds = [7 * row for row in range(9)]
    torch.set_num_threads(1)
    alone = torch.cat([griffin_lim(m[None], stft, spec, seeds=[s]) for m, s in zip(magnitude, seeds, strict=True)])
    for num_threads in (1, 3):
        torch.set_num_threads(num_threads)
        assert torch.equal(griffin_lim(magnitude, stft, spec, seeds=seeds), alone)


def test_seeds_belong_to_rows() -> None:
    stft = StftSpec(n_fft=256, win_length=256, hop_length=64)
    magnitude = magnitude_of(sounds(4_000)[:1], stft).repeat(3, 1, 1)
    spec = GriffinLimSpec(num_iterations=2, start="random")
    torch.manual_seed(0)
    first = griffin_lim(magnitude, stft, spec, seeds=[4, 5, 4])
    torch.manual_seed(1)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert torch.equal(griffin_lim(magnitude, stft, spec, seeds=[5, 2**64 - 1, -1])[[0]], first[[1]])


def test_random_phases_are_uniform() -> None:
    factors = module._random_start([3], 200, 513)
    torch.testing.assert_close(factors.abs(), torch.ones(1, 200, 513))
    counts = torch.histc(factors.angle(), bins=8, min=-np.pi, max=np.pi)
    assert (counts / counts.sum() - 1 / 8).abs().max() < 0.005


def test_a_start_waveform_gives_its_phases() -> None:
    stft = StftSpec(framing="hop_centred")
    waveform = sounds()
    magnitude = magnitude_of(waveform, stft)
    for num_iterations in (0, 4):
        spec = GriffinLimSpec(num_iterations=num_iterations)
        found = griffin_lim(magnitude, stft, spec, start_waveform=3 * waveform)  # its level does not count
        torch.testing.assert_close(found, waveform, atol=1e-4, rtol=0)


@pytest.mark.parametrize("start", ["phase_gradient", "random"])
@pytest.mark.parametrize("framing", ["centred", "hop_centred", "uncentred"])
def test_silence_and_what_is_not_finite_stay_in_their_rows(start: str, framing: str) -> None:
    stft = StftSpec(framing=framing)
    magnitude = magnitude_of(sounds(), stft)
    spec = GriffinLimSpec(num_iterations=3, start=start)
    expected = griffin_lim(magnitude, stft, spec, seeds=[1, 2, 3])
    magnitude[0] = 0.0
    magnitude[1, 100, 40] = torch.nan
    found = griffin_lim(magnitude, stft, spec, seeds=[1, 2, 3])
    assert found[0].eq(0.0).all()
    assert found[1].isnan().any()
    assert torch.equal(found[2], expected[2])


def test_magnitudes_scale_the_waveform() -> None:
    stft = StftSpec()
    magnitude = magnitude_of(sounds(), stft)
    found = griffin_lim(magnitude, stft)
    torch.testing.assert_close(griffin_lim(magnitude * 2.0**-20, stft) * 2.0**20, found, atol=1e-3, rtol=0)


SHORTEST = [
    (StftSpec(n_fft=n_fft, win_length=n_fft, hop_length=hop, framing=framing), num_frames)
    for framing in ("centred", "hop_centred", "uncentred")
    for n_fft, hop in ((1024, 160), (63, 63), (2, 1), (129, 100))
    for num_frames in (1, 2, 3)
]


@pytest.mark.parametrize(
    ("stft", "num_frames"),  # of those that a waveform can have at all
    [(stft, count) for stft, count in SHORTEST if stft.num_frames(max(1, stft.num_samples(count))) == count],
)
def test_very_short_inputs(stft: StftSpec, num_frames: int) -> None:
    num_samples = max(1, stft.num_samples(num_frames))
    magnitude = torch.rand(2, stft.num_bins, num_frames, generator=torch.Generator().manual_seed(1))
    for spec in (GriffinLimSpec(num_iterations=3), GriffinLimSpec(num_iterations=3, start="random")):
        waveform = griffin_lim(magnitude, stft, spec, num_samples=num_samples, seeds=[1, 2])
        assert waveform.shape == (2, num_samples)
        assert waveform.isfinite().all()


def test_an_empty_batch() -> None:
    for start in ("phase_gradient", "random"):
        assert griffin_lim(torch.zeros(0, 513, 5), StftSpec(), GriffinLimSpec(start=start), seeds=[]).shape == (0, 640)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magnitude": torch.zeros(2, 512, 9)}, r"\[B, 513, T\] for n_fft 1024, got torch.float32 \[2, 512, 9\]"),
        ({"magnitude": torch.zeros(2, 513, 9, dtype=torch.float64)}, "float32 .*got torch.float64"),
        ({"num_samples": 1440}, r"1440 samples have 10 frames .* not 9: num_samples must be in \[1280, 1439\]"),
        ({"start_phase": torch.ones(2, 513, 9)}, r"complex start_phase \[2, 513, 9\], got torch.float32"),
        ({"start_phase": torch.ones(2, 513, 8, dtype=torch.complex64)}, r"got torch.complex64 \[2, 513, 8\]"),
        ({"start_waveform": torch.ones(2, 1281)}, r"start_waveform \[2, 1280\], got \[2, 1281\]"),
        (
            {"start_waveform": torch.ones(2, 1280), "start_phase": torch.ones(2, 513, 9, dtype=torch.complex64)},
            "both given: give one",
        ),
        ({"spec": GriffinLimSpec(start="random")}, "give seeds, one per row"),
        ({"seeds": [1, 2, 3]}, "expected 2 seeds, one per row, got 3"),
    ],
)
def test_refuses(change: dict[str, object], message: str) -> None:
    arguments = {"magnitude": torch.zeros(2, 513, 9), "stft": StftSpec(), **change}
    with pytest.raises(ValueError, match=message):
        griffin_lim(**arguments)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_a_gpu_gives_the_same() -> None:
    stft = StftSpec()
    magnitude = magnitude_of(sounds(), stft)
    for spec in (GriffinLimSpec(num_iterations=2), GriffinLimSpec(num_iterations=2, start="random")):
        on_cpu = griffin_lim(magnitude, stft, spec, seeds=[1, 2, 3])
        on_gpu = griffin_lim(magnitude.cuda(), stft, spec, seeds=[1, 2, 3])
        level = 1e-3 if spec.start == "random" else 1.0  # equal levels may be integrated along other paths
        assert (on_gpu.cpu() - on_cpu).abs().max() < level
        better = convergence_db(on_gpu.cpu(), magnitude, stft) - convergence_db(on_cpu, magnitude, stft)
        assert better.abs().max() < 0.5
