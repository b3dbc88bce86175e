"""The language model of AudioGen and MusicGen: parameters, and logits of whole sequences.

    T steps, K codebooks, B clips, D dim, L text tokens

Tokens are made one by one in `decoder.py`; here is what training needs, and what the decoder is compared with.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from workers.models.audiogen.lm_spec import LmSpec
from workers.models.seeded_init import initialise


class Layer(nn.Module):
    """Self-attention, cross-attention, feed-forward; each behind a norm and beside a residual path."""

    def __init__(self, spec: LmSpec, biased: frozenset[str]) -> None:
        super().__init__()
        self.num_heads = spec.num_heads
        dim, inner = spec.dim, spec.ffn_dim
        self.norm1, self.norm_cross, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias="qkv" in biased)
        self.attention_out = nn.Linear(dim, dim, bias="attention_out" in biased)
        self.cross_q = nn.Linear(dim, dim, bias="cross_q" in biased)
        self.cross_kv = nn.Linear(dim, 2 * dim, bias="cross_kv" in biased)
        self.cross_out = nn.Linear(dim, dim, bias="cross_out" in biased)
        self.ffn_in = nn.Linear(dim, inner, bias="ffn_in" in biased)
        self.ffn_out = nn.Linear(inner, dim, bias="ffn_out" in biased)

    def forward(self, x: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Hidden states [B, T, D] and a text [B, L, D] with its mask, bool [B, 1, 1, L], to hidden states [B, T, D]."""
        q, k, v = self._heads(self.qkv(self.norm1(x)), 3)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(attended.transpose(1, 2).flatten(2))
        (q,) = self._heads(self.cross_q(self.norm_cross(x)), 1)
        k, v = self._heads(self.cross_kv(text), 2)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=text_mask)
        x = x + self.cross_out(attended.transpose(1, 2).flatten(2))
        hidden: Tensor = x + self.ffn_out(functional.gelu(self.ffn_in(self.norm2(x))))
        return hidden

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """[B, T, parts · D] to `parts` times [B, heads, T, D / heads]."""
        return x.view(*x.shape[:2], parts, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


class LanguageModel(nn.Module):
    """Logits of codec tokens.

    Args:
        spec: The shape.
        biased: Names of the linear layers inside a layer that have a bias.
    """

    def __init__(self, spec: LmSpec, biased: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.spec = spec
        tables = [nn.Parameter(torch.zeros(spec.card + 1, spec.dim)) for _ in spec.delays]
        self.embeddings = nn.ParameterList(tables)
        self.text_projection = nn.Linear(spec.text_dim, spec.dim)
        self.layers = nn.ModuleList(Layer(spec, biased) for _ in range(spec.num_layers))
        self.out_norm = nn.LayerNorm(spec.dim)
        self.heads = nn.Linear(spec.dim, spec.num_codebooks * spec.card, bias=False)

    @classmethod
    def from_state(cls, spec: LmSpec, state: Mapping[str, Tensor]) -> Self:
        """A model around tensors, which it takes as they are.

        Raises:
            ValueError: Tensors are missing, left over or of another shape; the message says which.
        """
        parts = (name.split(".") for name in state if name.startswith("layers.") and name.endswith(".bias"))
        biased = frozenset(part[2] for part in parts if not part[2].startswith("norm"))
        with torch.device("meta"):
            model = cls(spec, biased)
        for linear, name in ((model.heads, "heads.bias"), (model.text_projection, "text_projection.bias")):
            linear.register_parameter("bias", nn.Parameter(state[name]) if name in state else None)
        try:
            model.load_state_dict(dict(state), assign=True)
        except RuntimeError as error:
            said = " ".join(str(error).split())
            raise ValueError(f"the language model's weights do not fit its configuration: {said}") from error
        return model.eval().requires_grad_(False)

    @classmethod
    def random(cls, spec: LmSpec, seed: int) -> Self:
        """A model to be trained, with weights that are a function of the seed."""
        model = cls(spec)
        initialise(model, seed)
        return model

    def save(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(self.spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
        save_file(
            {name: tensor.contiguous() for name, tensor in self.state_dict().items()}, folder / "model.safetensors"
        )

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: It is not there, or does not fit its configuration.
        """
        folder = Path(folder)
        try:
            spec = LmSpec.model_validate_json((folder / "config.json").read_text(encoding="utf-8"))
            return cls.from_state(spec, load_file(folder / "model.safetensors"))
        except OSError as error:
            raise ValueError(f"no language model in {folder}: expected what save() writes ({error})") from error

    def get_parameters(self) -> Tensor:
        """All parameters as one vector, in the order of `parameters()`."""
        return nn.utils.parameters_to_vector(self.parameters()).detach()

    def set_parameters(self, vector: Tensor) -> None:
        """The inverse.

        Raises:
            ValueError: The vector has another length.
        """
        if vector.shape != (self.num_parameters,):
            raise ValueError(f"expected a vector of {self.num_parameters} parameters, got shape {list(vector.shape)}")
        with torch.no_grad():
            nn.utils.vector_to_parameters(vector.to(self.heads.weight.dtype), self.parameters())

    @property
    def num_parameters(self) -> int:
        """Numbers that training would change."""
        return sum(parameter.numel() for parameter in self.parameters())

    def conditioning(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """What cross-attention looks at.

        Args:
            hidden: Of the text encoder, [B, L, text_dim].
            mask: bool [B, L]; a row without any true place is the null text.

        Returns:
            [B, L, D], zeros where there is no token.
        """
        projected: Tensor = self.text_projection(hidden.to(self.text_projection.weight.dtype))
        return projected * mask[..., None]

    def forward(self, sequence: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Logits of the token that follows each step.

        Args:
            sequence: Tokens in delayed order, int64 [B, K, T], `card` where there is no code.
            text: As `conditioning` gives it, [B, L, D].
            text_mask: bool [B, L].

        Returns:
            float32 [B, K, T, card].
        """
        steps = torch.arange(sequence.shape[-1], device=sequence.device)
        books = enumerate(self.embeddings)
        x = torch.stack([functional.embedding(sequence[:, book], table) for book, table in books]).sum(0)
        x = x + positions(steps, self.spec).to(x.dtype)
        seen = text_mask | ~text_mask.any(
            1, keepdim=True
        )  # the null text's keys and values are zeros: seen, not heeded
        for layer in self.layers:
            x = layer(x, text, seen[:, None, None])
        logits: Tensor = self.heads(self.out_norm(x)).float()
        return logits.view(*logits.shape[:2], self.spec.num_codebooks, -1).transpose(1, 2)


def positions(steps: Tensor, spec: LmSpec) -> Tensor:
    """Sinusoidal positions of steps, float32 [..., D]: cosines, then sines.

    https://arxiv.org/abs/1706.03762 with exponents from 0 to 1, both included.
    """
    half = spec.dim // 2
    exponents = torch.arange(half, device=steps.device, dtype=torch.float32) / max(half - 1, 1)
    phase = steps[..., None].float() / spec.max_period**exponents
    return torch.cat([phase.cos(), phase.sin()], dim=-1) * spec.positional_scale
