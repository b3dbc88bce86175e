"""The language model's tensors under names of our own, whatever file they came from.

```
embeddings.{k}                        [card + 1, dim]   one for each codebook; the last row is the special token
text_projection.weight                [dim, text_dim]
layers.{i}.norm1.{weight,bias}        [dim]             before self-attention
layers.{i}.qkv.weight                 [3 dim, dim]      queries, keys, values
layers.{i}.attention_out.weight       [dim, dim]
layers.{i}.norm_cross.{weight,bias}   [dim]             before cross-attention
layers.{i}.cross_q.weight             [dim, dim]
layers.{i}.cross_kv.weight            [2 dim, dim]      keys, values
layers.{i}.cross_out.weight           [dim, dim]
layers.{i}.norm2.{weight,bias}        [dim]             before the feed-forward layers
layers.{i}.ffn_in.weight              [ffn_dim, dim]
layers.{i}.ffn_out.weight             [dim, ffn_dim]
out_norm.{weight,bias}                [dim]
heads.weight                          [K card, dim]     codebook by codebook
```

A matrix may have a bias: `layers.{i}.qkv.bias` [3 dim] beside `layers.{i}.qkv.weight`, and so on.
"""

from collections.abc import Mapping

from torch import Tensor

from workers.models.audiogen.lm_spec import LmSpec

LmState = dict[str, Tensor]

NORMS = ("norm1", "norm_cross", "norm2")


def lm_state_shapes(spec: LmSpec) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that every language model has, in a fixed order; without biases of matrices."""
    dim = spec.dim
    shapes: dict[str, tuple[int, ...]] = {f"embeddings.{k}": (spec.card + 1, dim) for k in range(spec.num_codebooks)}
    shapes["text_projection.weight"] = (dim, spec.text_dim)
    for i in range(spec.num_layers):
        matrices = {
            "qkv": (3 * dim, dim),
            "attention_out": (dim, dim),
            "cross_q": (dim, dim),
            "cross_kv": (2 * dim, dim),
            "cross_out": (dim, dim),
            "ffn_in": (spec.ffn_dim, dim),
            "ffn_out": (dim, spec.ffn_dim),
        }
        for norm in NORMS:
            shapes |= {f"layers.{i}.{norm}.weight": (dim,), f"layers.{i}.{norm}.bias": (dim,)}
        shapes |= {f"layers.{i}.{name}.weight": shape for name, shape in matrices.items()}
    shapes |= {"out_norm.weight": (dim,), "out_norm.bias": (dim,)}
    shapes["heads.weight"] = (spec.num_codebooks * spec.card, dim)
    return shapes


def check_lm_state(state: Mapping[str, Tensor], spec: LmSpec, *, source: str) -> None:
    """Refuse a state that does not have the shape.

    Args:
        state: By name.
        spec: The shape.
        source: Where it came from, for the message.

    Raises:
        ValueError: A tensor is missing, there is one too many, or one has another shape.
    """
    required = lm_state_shapes(spec)
    biases = {
        f"{name.removesuffix('.weight')}.bias": shape[:1]
        for name, shape in required.items()
        if name.endswith(".weight") and len(shape) == 2
    }
    if missing := sorted(required.keys() - state.keys()):
        raise ValueError(f"{source} does not fit its settings: it has no weights for {_some(missing)}")
    if surplus := sorted(state.keys() - required.keys() - biases.keys()):
        raise ValueError(f"{source} does not fit its settings: nothing takes its {_some(surplus)}")
    for name, tensor in state.items():
        shape = required.get(name) or biases[name]
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{source} does not fit its settings: {name} is {list(tensor.shape)}, expected {list(shape)}"
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
