"""The text encoder of the pocket models, and prompts as the pipelines pad them."""

import math

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_wan import WanAttention, _get_qkv_projections
from transformers import UMT5EncoderModel

from wan_tui.core.catalog import load_catalogue
from wan_tui.worker.networks import network_of
from wan_tui.worker.pocket import tokenizer

LONGEST = 20  # tokens of the longest caption, with room
# What the pipelines may pad to: the product's 512, and the 226 of diffusers.
PADDED = (512, 512, 226)


def text_encoder() -> UMT5EncoderModel:
    encoder: UMT5EncoderModel = network_of(load_catalogue().find("t2v-pocket").text_encoder)
    return encoder


class PaddedCrossAttention:
    """Cross-attention to LONGEST tokens and one zero key that stands for all padding of the pipelines.

    The pipelines pad prompts with zeros to 512 tokens, and the transformer attends to them unmasked. Zeros are equal to
    each other, so one key whose logit grows by the logarithm of their number does the same with a 20th of the work.
    """

    _attention_backend = None
    _parallel_config = None

    def __init__(self, bias: torch.Tensor) -> None:
        self.bias = bias

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: object = None,
    ) -> torch.Tensor:
        query, key, value = _get_qkv_projections(attn, hidden_states, encoder_hidden_states)
        query, key = attn.norm_q(query), attn.norm_k(key)
        query, key, value = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (query, key, value))
        bias = self.bias[: query.shape[0], None, None, :]
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return attn.to_out[0](found.transpose(1, 2).flatten(2))


class Prompts:
    """Turns captions into what the transformer reads, with ``bias`` for its cross-attention."""

    def __init__(self, most: int) -> None:
        self.tokenizer, self.encoder = tokenizer(), text_encoder()
        self.bias = torch.zeros(most, LONGEST + 1)

    def __call__(self, captions: list[str], padded: int) -> torch.Tensor:
        tokens = self.tokenizer(
            captions, padding="max_length", max_length=LONGEST, truncation=True, return_tensors="pt"
        )
        mask = tokens.attention_mask.float()
        states = self.encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        count = len(captions)
        with torch.no_grad():
            self.bias[:count, :LONGEST] = torch.where(mask > 0, 0.0, -math.inf)
            self.bias[:count, LONGEST] = torch.log(padded - mask.sum(1))
        return F.pad(states * mask[..., None], (0, 0, 0, 1))
