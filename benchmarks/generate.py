"""AudioGen's generation against transformers' `MusicgenForConditionalGeneration.generate`, on the same weights.

Both make clips of so many frames from the same token ids, guided by 3, greedy and sampled (top_k 250), texts and codec
included; transformers' batches have one length of text, or it would answer otherwise than for a clip alone. Rounds take
turns. Figures are tokens (frames x codebooks x clips) per second, and the ratio of the medians.

Shapes are those of the language model: dim x layers / heads. The codec and the text encoder are tiny in all of them.

Usage: python -m benchmarks.generate [--quick] [--threads 1] [--batches 1 4 16] [--shapes 48x3 256x6 1024x24]
"""

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import Row, machine, print_table
from workers.device import repeatable_inference
from workers.models.audiogen.audiogen_spec import AudioGenSpec
from workers.models.audiogen.codec import Codec
from workers.models.audiogen.decoder import Texts
from workers.models.audiogen.generate import UNKNOWN, generate_codes
from workers.models.audiogen.language_model import LanguageModel
from workers.models.audiogen.load_audiogen import load_weights
from workers.models.audiogen.packed_lm import PackedLm
from workers.models.audiogen.sampling import Sampling

CORES = len(os.sched_getaffinity(0))
CODEBOOKS, CARD, TEXT_TOKENS = 4, 2048, 12
FRAMES = {"48x3": 250, "256x6": 150, "384x8": 100, "1024x24": 40, "1536x48": 12}
HEADS = {"48x3": 4, "256x6": 4, "384x8": 6, "1024x24": 16, "1536x48": 24}
GUIDANCE, TOP_K = 3.0, 250


def build(shape: str, folder: Path) -> Any:
    """A MusicGen with random weights, in memory and in a folder."""
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    logging.getLogger("transformers").setLevel(logging.ERROR)
    dim, layers = map(int, shape.split("x"))
    codec = EncodecConfig(
        sampling_rate=16_000,
        upsampling_ratios=[8, 5, 4, 2],
        codebook_size=CARD,
        hidden_size=32,
        num_filters=8,
        use_causal_conv=False,
        target_bandwidths=[2.2],
    )
    decoder = MusicgenDecoderConfig(
        vocab_size=CARD,
        max_position_embeddings=2048,
        num_hidden_layers=layers,
        hidden_size=dim,
        ffn_dim=4 * dim,
        num_attention_heads=HEADS[shape],
        num_codebooks=CODEBOOKS,
        pad_token_id=CARD,
        bos_token_id=CARD,
    )
    text = T5Config(vocab_size=100, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4)
    torch.manual_seed(0)
    config = MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict(), initializer_range=0.1
    )
    model = MusicgenForConditionalGeneration(config).eval()
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.copy_(torch.randn_like(layer.codebook.embed))
    model.generation_config.update(pad_token_id=CARD, bos_token_id=CARD, decoder_start_token_id=CARD, max_length=None)
    model.save_pretrained(folder)
    return model


def ours(folder: Path, model: Any, batch: int, frames: int) -> Callable[[bool], torch.Tensor]:
    """Clips by latentmill: sampled or not → waveforms."""
    checkpoint = load_weights(AudioGenSpec(weights=str(folder), kind="audiogen"))
    shape = checkpoint.shape
    state = {name: tensor.float() for name, tensor in checkpoint.lm_state.items()}
    packed = PackedLm(LanguageModel.from_state(shape.lm, state), rows=2 * batch)
    codec = Codec(shape, checkpoint.codec_state)
    encoder = model.text_encoder

    def run(sampled: bool) -> torch.Tensor:
        with repeatable_inference():
            hidden = encoder(input_ids=token_ids(batch)).last_hidden_state
            mask = torch.ones(hidden.shape[:2], dtype=torch.bool)
            codes = generate_codes(
                packed,
                Texts(values=packed.conditioning(hidden, mask), mask=mask),
                torch.full((batch, CODEBOOKS, frames), UNKNOWN),
                guided=True,
                sampling=Sampling(
                    temperature=torch.ones(batch),
                    top_k=torch.full((batch,), TOP_K if sampled else 1),
                    top_p=torch.zeros(batch),
                    guidance=torch.full((batch,), GUIDANCE),
                ),
                seeds=list(range(batch)),
                window=frames,
                stride=frames,
            )
            return codec.decode(codes)

    return run


def theirs(model: Any, batch: int, frames: int) -> Callable[[bool], torch.Tensor]:
    """Clips by transformers."""

    def run(sampled: bool) -> torch.Tensor:
        torch.manual_seed(0)
        with torch.inference_mode():
            made: torch.Tensor = model.generate(
                input_ids=token_ids(batch),
                attention_mask=torch.ones(batch, TEXT_TOKENS, dtype=torch.long),
                do_sample=sampled,
                top_k=TOP_K,
                guidance_scale=GUIDANCE,
                max_new_tokens=frames + CODEBOOKS - 1,
                min_new_tokens=frames + CODEBOOKS - 1,
            )
            return made

    return run


def token_ids(batch: int) -> torch.Tensor:
    """Texts of one length."""
    return torch.randint(1, 100, (batch, TEXT_TOKENS), generator=torch.Generator().manual_seed(1))


def measure(shape: str, batches: list[int], threads: list[int], rounds: int) -> list[Row]:
    """All cases of one shape."""
    rows = []
    frames = FRAMES[shape]
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        model = build(shape, Path(name))
        for batch in batches:
            contestants = {
                "latentmill": ours(Path(name), model, batch, frames),
                "transformers": theirs(model, batch, frames),
            }
            for count in threads:
                torch.set_num_threads(count)
                for sampled in (False, True):
                    speeds: dict[str, list[float]] = {who: [] for who in contestants}
                    for turn in range(rounds + 1):
                        for who, run in contestants.items():
                            began = time.perf_counter()
                            waveform = run(sampled)
                            seconds = time.perf_counter() - began
                            made = waveform.shape[-1] // 320
                            assert abs(made - frames) <= 1, (who, made, frames)
                            if turn:  # the first warms up
                                speeds[who].append(batch * CODEBOOKS * made / seconds)
                    case = f"{shape}, batch {batch}, {count} thread(s), {'sampled' if sampled else 'greedy'}"
                    medians = {who: statistics.median(values) for who, values in speeds.items()}
                    rows += [
                        Row(case=case, what=who, unit="tokens/s", value=medians[who], values=values)
                        for who, values in speeds.items()
                    ]
                    ratio = medians["latentmill"] / medians["transformers"]
                    rows.append(Row(case=case, what="latentmill / transformers", unit="", value=ratio, values=[ratio]))
                    print_table(rows[-3:])
    return rows


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round; rougher figures")
    parser.add_argument("--shapes", nargs="+", default=["48x3", "256x6", "1024x24"], choices=FRAMES)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, CORES}))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    rows = [row for shape in arguments.shapes for row in measure(shape, arguments.batches, arguments.threads, rounds)]
    if arguments.json:
        figures = {"machine": machine(), "rows": [row.as_json() for row in rows]}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
