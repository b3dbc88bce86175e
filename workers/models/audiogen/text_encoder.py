"""Texts to hidden states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workers.models.audiogen.tensors import read_tensors
from workers.models.audiogen.text_encoder_spec import TextEncoderSpec, require_tokenizer, t5_config
from workers.models.checkpoint import Checkpoint
from workers.models.pieces import Pieces
from workers.models.seeded_init import initialise


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Texts as a language model attends to them."""

    hidden: Tensor
    """float32 [B, L, text_dim]; exact zeros where `mask` is."""

    mask: Tensor
    """bool [B, L]: where there are tokens. A row of an empty text has none."""


class TextEncoder:
    """T5's encoder (https://doi.org/10.48550/arXiv.1910.10683) and its tokenizer, in float32.

    Each text is computed by itself, on a CPU by one thread, so that its bits depend neither on its neighbours nor on
    the number of threads.

    Args:
        spec: Which model.

    Raises:
        ValueError: The files are missing or damaged, of another class, pickled without leave, or do not fit their
            config; or there is no tokenizer beside them.
    """

    def __init__(self, spec: TextEncoderSpec) -> None:
        checkpoint = spec.checkpoint()
        if checkpoint is None:
            self.model, self._tokenizer = _random(spec)
        else:
            self.model, self._tokenizer = _load(checkpoint), _load_tokenizer(checkpoint)
        self.model.eval().requires_grad_(False)
        self.text_dim = int(self.model.config.d_model)
        """Width of the hidden states."""
        self._max_text_length = spec.max_text_length
        self._rows = Pieces(1)

    def to(self, device: torch.device) -> "TextEncoder":
        """Move the weights. They stay float32: T5's states go beyond float16's range."""
        nn.Module.to(self.model, device=device)
        return self

    def tokenize(self, text: str) -> Tensor:
        """A text's tokens, int64 [L]; none where it is empty.

        Raises:
            ValueError: There are more than `max_text_length`.
        """
        if not text:  # audiocraft's null condition; spaces alone are a text
            return torch.empty(0, dtype=torch.int64)
        tokens: list[int] = self._tokenizer(text, truncation=False).input_ids
        if len(tokens) > self._max_text_length:
            raise ValueError(
                f"a text has {len(tokens)} tokens, and max_text_length is {self._max_text_length}: shorten it, or "
                f"raise the limit ({_beginning(text)})"
            )
        return torch.tensor(tokens)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Encode texts; an empty one is the null condition.

        Returns:
            On the model's device, padded to the longest of them (one column if all are empty). Whoever projects the
            states with a bias multiplies by the mask again, as audiocraft does.

        Raises:
            ValueError: A text has too many tokens.
        """
        tokens = [self.tokenize(text) for text in texts]
        lengths = [len(row) for row in tokens]
        device = self.model.device
        hidden = torch.zeros(len(texts), max([1, *lengths]), self.text_dim, device=device)
        for length in sorted(set(lengths) - {0}):
            rows = [index for index, each in enumerate(lengths) if each == length]
            same = torch.stack([tokens[row] for row in rows]).to(device)
            hidden[rows, :length] = self._each(same)
        positions = torch.arange(hidden.shape[1], device=device)
        return EncodedTexts(hidden, positions < torch.tensor(lengths, device=device).unsqueeze(1))

    def _each(self, tokens: Tensor) -> Tensor:
        if tokens.device.type == "cpu":
            return self._rows.map(self._states, tokens)
        return torch.cat([self._states(row) for row in torch.split(tokens, 1)])

    def _states(self, tokens: Tensor) -> Tensor:
        states: Tensor = self.model(input_ids=tokens).last_hidden_state
        return states.float()


def _load(checkpoint: Checkpoint) -> Any:
    in_musicgen = checkpoint.config.get("model_type") == "musicgen"
    state = read_tensors(checkpoint.files, prefix="text_encoder." if in_musicgen else "")
    model = _empty(t5_config(checkpoint.config))
    if "shared.weight" not in state and "encoder.embed_tokens.weight" in state:
        state["shared.weight"] = state["encoder.embed_tokens.weight"]
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    if missing := sorted(wanted.keys() - state.keys()):
        raise ValueError(
            f"the weights in {checkpoint.folder} do not fit its config.json (missing: {', '.join(missing[:3])})"
        )
    for name, shape in wanted.items():
        if tuple(state[name].shape) != shape:
            raise ValueError(
                f"the weights in {checkpoint.folder} do not fit its config.json: {name} is "
                f"{list(state[name].shape)}, expected {list(shape)}"
            )
    # What else there is belongs to the decoder.
    model.load_state_dict({name: state[name].float() for name in wanted}, strict=False, assign=True)
    model.tie_weights()
    return model


def _load_tokenizer(checkpoint: Checkpoint) -> Any:
    import transformers

    require_tokenizer(checkpoint)
    try:
        return transformers.AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"the tokenizer in {checkpoint.folder} cannot be read: {error}") from error


def _random(spec: TextEncoderSpec) -> tuple[Any, Any]:
    import transformers

    model = _empty(spec.config())
    model.to_empty(device="cpu")
    model.tie_weights()
    initialise(model, spec.seed)
    return model, transformers.ByT5Tokenizer()


def _empty(config: Mapping[str, Any]) -> Any:
    """The module without memory: its initial weights would be drawn from torch's global generator."""
    import transformers

    with torch.device("meta"):
        return transformers.T5EncoderModel(transformers.T5Config(**config))


def _beginning(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
