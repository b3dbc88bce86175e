import subprocess
import sys

import pytest
from pydantic import ValidationError

from workers.encode_worker_spec import EncodeWorkerSpec


def test_outputs_and_alignment_of_audioldm2() -> None:
    spec = EncodeWorkerSpec(model={"kind": "autoencoder_kl", "weights": "random"}, mel={"preset": "audioldm2"})
    assert spec.alignment_samples == 640
    assert [(c.name, c.shape, c.dtype) for c in spec.outputs(163_840, 1)] == [
        ("latent_mean", (8, 256, 16), "float16"),
        ("latent_logvar", (8, 256, 16), "float16"),
    ]


def test_outputs_of_stereo_audio_vae() -> None:
    spec = EncodeWorkerSpec(
        model={"kind": "audio_vae", "weights": "random"}, channels=2, latent="sample", dtype="float32"
    )
    (column,) = spec.outputs(131_072, 2)
    assert (column.name, column.shape, column.dtype) == ("latent_sample", (2, 8, 64), "float32")
    assert EncodeWorkerSpec(**spec.model_dump()) == spec


def test_refuses_a_microbatch_of_one() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        EncodeWorkerSpec(model={"kind": "audio_vae", "weights": "random"}, microbatch=1)


def test_refuses_an_unknown_model_kind() -> None:
    with pytest.raises(ValidationError, match="'audio_vae', 'autoencoder_kl'"):
        EncodeWorkerSpec(model={"kind": "vqvae"})


def test_settings_import_nothing_heavy() -> None:
    heavy = "{'torch', 'ray', 'numpy', 'diffusers', 'huggingface_hub', 'pyarrow'}"
    code = (
        "import sys, workers.encode_worker_spec, workers.mel_worker_spec, workers.models.weights, "
        f"workers.models.precision; print(*({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
