"""CLAP: sounds and texts in one space.

Wu et al., https://doi.org/10.1109/ICASSP49357.2023.10095969.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.models.clap_spec import ClapSpec
from workers.models.load_pretrained import found_checkpoint, load_pretrained

TEXT_TOKENS: Final = 77
"""Texts are cut to so many tokens, and filled up to as many."""
_FLOOR: Final = 1e-10


class Clap:
    """A `ClapModel`; see `workers.models.clip_listener.ClipModel`.

    Sounds go through the feature extractor's settings as `ClapFeatureExtractor` has them for clips that are not longer
    than its window: repeated or filled up as it says, and nothing drawn at random.

    Args:
        spec: Which model.
        device: Where to compute.

    Raises:
        ValueError: The files are missing, of another class, or do not fit their config.
    """

    def __init__(self, spec: ClapSpec, device: torch.device) -> None:
        import transformers

        checkpoint = found_checkpoint(spec.checkpoint())
        self._spec, self._folder = spec, checkpoint.folder
        self._model = load_pretrained(transformers.ClapModel, checkpoint, may_have_more=True).to(device)
        self._settings: Any = transformers.ClapFeatureExtractor(**_known(spec.feature_settings()))
        self.sample_rate = int(self._settings.sampling_rate)
        self.window_samples = int(self._settings.nb_max_samples)
        self.min_samples = int(self._settings.fft_window_size)
        fused = self._settings.truncation == "fusion"
        self._copies = 4 if fused else 1
        filters = self._settings.mel_filters if fused else self._settings.mel_filters_slaney
        self._filters = torch.from_numpy(np.asarray(filters, np.float64))
        self._tokenizer: Any = None

    def features(self, window: NDArray[np.float32]) -> Tensor:
        """Log-mels in dB, float32 [1 or 4, frames, n_mels]."""
        settings, missing = self._settings, self.window_samples - len(window)
        if missing and settings.padding in ("repeat", "repeatpad"):
            times = self.window_samples // len(window) + (settings.padding == "repeat")
            window = np.tile(window, times)[: self.window_samples]
        filled = np.zeros(self.window_samples)
        filled[: len(window)] = window
        spectra = torch.stft(
            torch.from_numpy(filled),
            n_fft=settings.fft_window_size,
            hop_length=settings.hop_length,
            window=torch.hann_window(settings.fft_window_size, dtype=torch.float64),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        mel = (spectra.real.square() + spectra.imag.square()).T @ self._filters
        levels = 10.0 * torch.log10(mel.clamp(min=_FLOOR))
        return levels.float().expand(self._copies, -1, -1)

    def vectors(self, features: Tensor) -> Tensor:
        """Unit vectors [B, d]."""
        longer = torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)
        return _pooled(self._model.get_audio_features(input_features=features, is_longer=longer))

    def joined(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over windows."""
        return np.asarray(vectors.mean(axis=0))

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Ids and mask, int64 [n, 2, TEXT_TOKENS].

        Raises:
            ValueError: The tokenizer's files are missing.
        """
        if self._tokenizer is None:
            import transformers

            self._spec.check_tokenizer()
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        found = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=TEXT_TOKENS, return_tensors="pt"
        )
        return torch.stack([found["input_ids"], found["attention_mask"]], dim=1)

    def text_vectors(self, tokens: Tensor) -> Tensor:
        """Unit vectors [B, d] of `tokens`."""
        return _pooled(self._model.get_text_features(input_ids=tokens[:, 0], attention_mask=tokens[:, 1]))


def _pooled(output: Any) -> Tensor:
    """What older versions of transformers give as it is."""
    vectors: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return vectors.float()


def _known(settings: Any) -> dict[str, Any]:
    """Settings as the extractor takes them; what follows from them is computed anew."""
    derived = {"nb_max_samples", "nb_frequency_bins", "feature_extractor_type", "processor_class"}
    return {name: value for name, value in settings.items() if name not in derived}
