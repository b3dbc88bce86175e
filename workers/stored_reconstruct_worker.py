"""Stored mels and latents to waveforms."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from workers.device import repeatable_inference
from workers.microbatch import in_microbatches
from workers.reconstruct_worker_spec import ReconstructWorkerSpec
from workers.resynthesis import Resynthesis, seconds_column, sound_columns
from workers.transfer import to_device


class StoredReconstructWorker:
    """Makes sounds of what a store holds, in microbatches of a fixed shape, on one device.

    A row's sound has the same bits in whatever batch, position and company it comes, on a given device.

    Args:
        spec: What is stored, models and methods.

    Raises:
        ValueError: Nothing is stored, a model cannot be loaded, or a GPU is asked for that is not there.
    """

    def __init__(self, spec: ReconstructWorkerSpec) -> None:
        if spec.stored is None:
            raise ValueError("the spec is of recordings: set stored, or take a ReconstructWorker")
        self.spec = spec
        self._resynthesis = Resynthesis(spec)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Make sounds of any number of rows.

        Args:
            batch: Each of `spec.stored_columns` [n, values], in any floating type; `num_samples` int64 [n], the true
                lengths; `bucket_samples` int, the length T of all rows with their padding; `seed` int64 [n].

        Returns:
            The columns of `spec.outputs`: sounds float32 [n, C, T] on the CPU, numbers float64 [n]. And `microbatch`
            int32 [n], the rows computed at once: fewer than the spec's where memory ran out.

        Raises:
            ValueError: The tensors do not have the shape of such a unit.
            NoMemoryError: Not even one row fits into the device's memory.
        """
        num_samples, seeds, samples = batch["num_samples"], batch["seed"], int(batch["bucket_samples"])
        shape = self.spec.stored_shape(samples)
        tensors = [self._shaped(name, batch[name], shape) for name in self.spec.stored_columns]

        def sounds(*pieces: Tensor) -> Tensor:
            *stored, piece_seeds = pieces
            return self._sounds(stored, piece_seeds, samples)

        self._resynthesis.restart_clock()
        with repeatable_inference():
            made = in_microbatches(sounds, *tensors, seeds, size=self.spec.microbatch)
        columns = {"microbatch": made.sizes}
        inside = torch.arange(samples) < num_samples[:, None, None]
        for method, sound in zip(self.spec.methods, made.values * inside, strict=True):
            columns |= sound_columns(method, sound)
            columns[f"{method}_seconds"] = seconds_column(self._resynthesis.seconds[method], len(seeds))
        return columns

    def _shaped(self, name: str, values: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A column of flat rows as signals [n, signals, ...]."""
        count = torch.Size(shape).numel()
        if values.ndim != 2 or values.shape[1] != count:
            raise ValueError(f"{name}: rows of shape {list(values.shape[1:])}, where a unit is {list(shape)}")
        return values.view(len(values), *shape)

    def _sounds(self, stored: list[Tensor], seeds: Tensor, samples: int) -> Tensor:
        """One microbatch by all methods, float32 [methods, size, C, T]."""
        rows = [to_device(tensor, self._resynthesis.device).float().flatten(0, 1) for tensor in stored]
        if self.spec.stored == "mel":
            signal = self._resynthesis.through_vae(rows[0], seeds)
        else:
            signal = self._resynthesis.decoded(rows, seeds)
        return self._resynthesis.sounds(signal, seeds, channels=self.spec.channels, num_samples=samples)
