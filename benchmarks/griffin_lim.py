"""Griffin-Lim and mel inversion beside librosa's and torchaudio's: how near, and how long.

One thread, clips of 5 s at 16 kHz, n_fft 1024, hop 160. Each sound goes through every contestant in turn. Times are
those of the thread's processor (`--wall` for the clock on the wall); figures are medians over the sounds with their
quartiles, ratios medians of the sounds' ratios. Nearness is spectral convergence, 20·log10(‖|STFT(y)| - S‖ / ‖S‖),
lower is better, and for mels the mean absolute difference of natural logarithms of band values.

    python -m benchmarks.griffin_lim                       # made-up sounds
    python -m benchmarks.griffin_lim --data FOLDER         # recorded ones; shorter ones are repeated to 5 s
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import torch
import torchaudio
from torch import Tensor

from benchmarks.report import Row, machine, print_table
from jobs.demo_sounds import DEMO_SOUNDS, synthesise
from workers.audio.griffin_lim import griffin_lim
from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.inverse_mel import magnitude_from_mel
from workers.audio.mel_spec import MelSpec
from workers.audio.stft_spec import StftSpec

SAMPLE_RATE = 16_000
NUM_SAMPLES = 5 * SAMPLE_RATE
N_FFT, HOP, N_MELS = 1024, 160, 64
FLOOR = 1e-5
ITERATIONS = (0, 2, 4, 8, 16, 32)
BATCH = 8
STFT = StftSpec(n_fft=N_FFT, win_length=N_FFT, hop_length=HOP)
WINDOW = torch.hann_window(N_FFT)
DEFAULT = GriffinLimSpec()

Clips = list[tuple[str, str, Tensor]]
"""Name, class and waveform [N] of each sound."""


def made_up(variations: int) -> Clips:
    """The demo's sounds."""
    return [
        (f"{name}_{variation}", DEMO_SOUNDS[name].category, five_seconds(*synthesise(name, variation=variation)))
        for variation in range(variations)
        for name in DEMO_SOUNDS
    ]


def recorded(folder: Path) -> Clips:
    """Every FLAC, WAV and Ogg file of a folder; what stands before the first underscore is its class."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".flac", ".wav", ".ogg"))
    if not paths:
        raise SystemExit(f"{folder} holds no FLAC, WAV or Ogg file")
    return [
        (path.stem, path.stem.split("_")[0], five_seconds(*soundfile.read(path, dtype="float32"))) for path in paths
    ]


def five_seconds(samples: np.ndarray, rate: int) -> Tensor:
    """Mono, at 16 kHz, cut or repeated to 5 s."""
    mono = samples if samples.ndim == 1 else samples.mean(1)
    return torch.from_numpy(np.resize(soxr.resample(mono, rate, SAMPLE_RATE), NUM_SAMPLES).astype(np.float32))


def magnitude_of(waveform: Tensor) -> Tensor:
    """[B, F, T] by torch's own transform."""
    spectrum = torch.stft(waveform, N_FFT, HOP, N_FFT, WINDOW, center=True, pad_mode="reflect", return_complex=True)
    return spectrum.abs()


def convergence_db(waveform: Tensor, magnitude: Tensor) -> float:
    """Spectral convergence of one waveform [1, N]."""
    error = (magnitude_of(waveform) - magnitude).double()
    return float(20 * torch.log10(error.norm() / magnitude.double().norm().clamp(min=1e-30)))


class Measured:
    """Seconds and nearness by contestant, one of each for every sound."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.nearness: dict[str, list[float]] = defaultdict(list)

    def run(self, name: str, call: Callable[[], Tensor], batch: int = 1) -> Tensor:
        """Time a call that makes `batch` clips."""
        start = self.clock()
        result = call()
        self.seconds[name].append((self.clock() - start) / batch)
        return result

    def ratio(self, name: str, peers: tuple[str, ...]) -> list[float]:
        """By how much the call is faster than the faster peer, for each sound."""
        fastest = [min(times) for times in zip(*(self.seconds[peer] for peer in peers), strict=True)]
        return [peer / own for peer, own in zip(fastest, self.seconds[name], strict=True)]


def transforms_only(magnitude: Tensor, num_iterations: int) -> Tensor:
    """The floor: nothing but the Fourier transforms of so many rounds, and of the last synthesis."""
    spectrum = magnitude[0].T.contiguous().to(torch.complex64)
    frames = torch.fft.irfft(spectrum, n=N_FFT)
    for _ in range(num_iterations):
        frames = torch.fft.irfft(torch.fft.rfft(frames), n=N_FFT)
    return frames


def compare_phases(clips: Clips, measured: Measured) -> None:
    """Magnitude to waveform, each sound through each contestant."""
    for index, (_, _, waveform) in enumerate(clips):
        magnitude = magnitude_of(waveform[None])
        array = magnitude[0].numpy()

        def by_librosa(array: np.ndarray = array, seed: int = index) -> Tensor:
            found = librosa.griffinlim(
                array, n_iter=32, hop_length=HOP, n_fft=N_FFT, momentum=0.99, length=NUM_SAMPLES, pad_mode="reflect",
                random_state=seed,
            )  # fmt: skip
            return torch.from_numpy(found)[None]

        def by_torchaudio(magnitude: Tensor = magnitude, seed: int = index) -> Tensor:
            torch.manual_seed(seed)
            return torchaudio.functional.griffinlim(
                magnitude, WINDOW, N_FFT, HOP, N_FFT, 1.0, 32, 0.99, NUM_SAMPLES, True
            )

        def by_us(spec: GriffinLimSpec, magnitude: Tensor = magnitude, seed: int = index) -> Tensor:
            return griffin_lim(magnitude, STFT, spec, num_samples=NUM_SAMPLES, seeds=[seed])

        contestants: dict[str, Callable[[], Tensor]] = {"librosa, 32": by_librosa, "torchaudio, 32": by_torchaudio}
        for number in ITERATIONS:
            spec = GriffinLimSpec(num_iterations=number)
            contestants[f"latentmill, {number}"] = lambda spec=spec, by_us=by_us: by_us(spec)
        random = GriffinLimSpec(num_iterations=32, start="random")
        contestants["latentmill, random 32"] = lambda random=random, by_us=by_us: by_us(random)
        for name, call in contestants.items():
            found = measured.run(name, call)
            measured.nearness[name].append(convergence_db(found, magnitude))
        for number in (DEFAULT.num_iterations, 32):
            measured.run(f"transforms only, {number}", lambda m=magnitude, n=number: transforms_only(m, n))


def compare_batches(clips: Clips, measured: Measured) -> None:
    """The same clips one by one and together."""
    for begin in range(0, len(clips) - BATCH + 1, BATCH):
        magnitude = magnitude_of(torch.stack([waveform for _, _, waveform in clips[begin : begin + BATCH]]))
        measured.run("together", lambda m=magnitude: griffin_lim(m, STFT, DEFAULT), BATCH)
        alone = lambda m=magnitude: torch.cat([griffin_lim(row, STFT, DEFAULT) for row in m.split(1)])  # noqa: E731
        measured.run("one by one", alone, BATCH)


def compare_mels(clips: Clips, measured: Measured, power: float) -> None:
    """Mel to waveform; librosa with its defaults, 32 rounds."""
    spec = MelSpec(preset="audioldm2", spectrum="power" if power == 2 else "magnitude", floor=FLOOR)
    filters = torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS))

    def log_mel(waveform: Tensor) -> Tensor:
        return (filters @ magnitude_of(waveform).pow(power)).clamp(min=FLOOR).log()

    for index, (_, _, waveform) in enumerate(clips):
        mel = log_mel(waveform[None])
        bands = mel[0].exp().numpy()

        def by_librosa(bands: np.ndarray = bands) -> Tensor:
            found = librosa.feature.inverse.mel_to_audio(
                bands, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP, power=power, n_iter=32, length=NUM_SAMPLES,
                pad_mode="reflect",
            )  # fmt: skip
            return torch.from_numpy(found)[None]

        def by_us(mel: Tensor = mel) -> Tensor:
            return griffin_lim(magnitude_from_mel(mel, spec), STFT, DEFAULT, num_samples=NUM_SAMPLES)

        np.random.seed(index)  # noqa: NPY002
        for name, call in {"librosa": by_librosa, "latentmill": by_us}.items():
            found = measured.run(name, call)
            measured.nearness[name].append(float((log_mel(found) - mel).abs().mean()))


def row(case: str, what: str, unit: str, values: list[float]) -> Row:
    """The median of sounds as a figure, with its quartiles as the span."""
    quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return Row(case=case, what=what, unit=unit, value=statistics.median(values), values=[quartiles[0], quartiles[2]])


def report_phases(clips: Clips, measured: Measured) -> list[Row]:
    """The figures of `compare_phases`, and spectral convergence by class."""
    peers = ("librosa, 32", "torchaudio, 32")
    rows = [
        row("phases", f"{name}: time", "ms", [1e3 * value for value in measured.seconds[name]])
        for name in measured.seconds
    ]
    rows += [row("phases", f"{name}: convergence", "dB", measured.nearness[name]) for name in measured.nearness]
    best = [min(both) for both in zip(*(measured.nearness[peer] for peer in peers), strict=True)]
    for number in ITERATIONS[2:]:
        name = f"latentmill, {number}"
        gain = [peer - own for peer, own in zip(best, measured.nearness[name], strict=True)]
        share = statistics.mean(value >= 0 for value in gain)
        rows.append(row("ratio", f"{name}: faster than the faster peer", "×", measured.ratio(name, peers)))
        rows.append(row("ratio", f"{name}: nearer than the nearer peer", "dB", gain))
        rows.append(Row(case="ratio", what=f"{name}: sounds that reach both peers", unit="share", value=share))
    for kind in sorted({kind for _, kind, _ in clips}):
        chosen = [index for index, (_, other, _) in enumerate(clips) if other == kind]
        for name in (*peers, "latentmill, 8", f"latentmill, {DEFAULT.num_iterations}"):
            rows.append(row(f"class {kind}", name, "dB", [measured.nearness[name][index] for index in chosen]))
    return rows


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every fifth sound")
    parser.add_argument("--data", type=Path, help="a folder of recorded sounds; made-up ones where not given")
    parser.add_argument("--wall", action="store_true", help="wall time instead of the thread's processor time")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.perf_counter if arguments.wall else time.thread_time
    clips = recorded(arguments.data) if arguments.data else made_up(variations=2)
    clips = clips[:: 5 if arguments.quick else 1]
    for warm_up in (compare_phases, compare_batches):
        warm_up(clips[:BATCH], Measured(clock))

    phases, batches = Measured(clock), Measured(clock)
    compare_phases(clips, phases)
    compare_batches(clips, batches)
    rows = report_phases(clips, phases)
    rows += [
        row("batch", name, "ms a clip", [1e3 * value for value in batches.seconds[name]]) for name in batches.seconds
    ]
    rows.append(row("batch", f"{BATCH} together, faster", "×", batches.ratio("together", ("one by one",))))
    for power in (1.0, 2.0):
        mels = Measured(clock)
        compare_mels(clips, mels, power)
        case = "mel, power" if power == 2 else "mel, magnitude"
        for name in mels.seconds:
            rows.append(row(case, f"{name}: time", "ms", [1e3 * value for value in mels.seconds[name]]))
            rows.append(row(case, f"{name}: log-mel error", "nepers", mels.nearness[name]))
        rows.append(row(case, "faster than librosa", "×", mels.ratio("latentmill", ("librosa",))))
    print_table(rows)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "machine": machine(),
            "clock": "wall" if arguments.wall else "thread",
            "sounds": len(clips),
            "rows": [each.as_json() for each in rows],
        }
        arguments.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
