"""audiocraft's files give their shape and their tensors, and what is wrong with them is named."""

import torch

from tests.workers.models.audiogen.references import reference, reference_folder
from workers.models.audiogen.audiocraft_checkpoint import read_audiocraft_checkpoint
from workers.models.audiogen.lm_state import lm_state_shapes


def test_reference_checkpoint() -> None:
    folder = reference_folder("ckpt_A")
    checkpoint = read_audiocraft_checkpoint(folder)
    shape, lm = checkpoint.shape, checkpoint.shape.lm
    assert (lm.dim, lm.num_layers, lm.num_heads, lm.ffn_dim) == (48, 3, 4, 192)
    assert (lm.card, lm.delays, lm.text_dim) == (512, (0, 1, 2, 3), 512)
    assert (shape.sample_rate, shape.channels, shape.frame_rate_hz, shape.segment_seconds) == (16_000, 1, 50, 3.0)
    assert (shape.guidance, shape.top_k, shape.top_p, shape.temperature) == (3.0, 250, 0.0, 1.0)
    assert (shape.text_encoder, shape.extend_stride_seconds) == ("t5-small", 2.0)
    codec = shape.codec
    assert (codec.n_filters, codec.dimension, codec.ratios, codec.pad_mode) == (8, 32, (8, 5, 4, 2), "constant")
    assert (codec.causal, codec.true_skip, codec.num_lstm_layers, codec.n_q) == (False, True, 2, 4)
    theirs = torch.load(folder / "state_dict.bin", weights_only=True)["best_state"]
    state = checkpoint.lm_state
    assert {name: tuple(state[name].shape) for name in lm_state_shapes(lm)} == lm_state_shapes(lm)
    assert set(state) - set(lm_state_shapes(lm)) == {"text_projection.bias"}
    assert torch.equal(state["heads.weight"][512:1024], theirs["linears.1.weight"])
    cross = theirs["transformer.layers.2.cross_attention.in_proj_weight"]
    assert torch.equal(state["layers.2.cross_q.weight"], cross[:48])
    assert torch.equal(state["layers.2.cross_kv.weight"], cross[48:])
    assert sum(tensor.numel() for tensor in state.values()) == sum(tensor.numel() for tensor in theirs.values())


def test_projection_of_text_equals_the_references() -> None:
    """Of null rows too, which are zeros; within 1e-6, for audiocraft's batches multiply in another order."""
    text = reference("A_text.pt")
    state = read_audiocraft_checkpoint(reference_folder("ckpt_A")).lm_state
    weight, bias = state["text_projection.weight"].float(), state["text_projection.bias"].float()
    projected = torch.nn.functional.linear(text["t5_last_hidden"], weight, bias) * text["cond_mask"].unsqueeze(-1)
    torch.testing.assert_close(projected, text["cond"], atol=1e-6, rtol=0)
