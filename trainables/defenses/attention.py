"""Multi-head attention made of linear layers, whose per-image gradients Opacus knows.

Opacus's own form, with the batch first, hands the heads on in another order than torch's, and its
state does not load back inside a network.
"""

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """What nn.MultiheadAttention with `batch_first` computes, with its weights."""

    batch_first = True
    in_proj_weight = None
    in_proj_bias = None  # where nn.TransformerEncoderLayer looks before it takes a fused path
    _qkv_same_embed_dim = False

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        """attention: batch first, without add_bias_kv and add_zero_attn."""
        super().__init__()
        self.num_heads, self.dropout = attention.num_heads, nn.Dropout(attention.dropout)
        together = attention.in_proj_weight
        weights = (
            (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
            if together is None
            else together.chunk(3)
        )
        joint = attention.in_proj_bias
        biases = (None, None, None) if joint is None else joint.chunk(3)
        self.query, self.key, self.value = map(_linear, weights, biases)
        self.out_proj = _linear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,  # noqa: ARG002 - a hint about attn_mask, which is given too
    ) -> tuple[Tensor, Tensor | None]:
        """As in torch: (n, l, e), (n, s, e), (n, s, e) -> (n, l, e) and the weights."""
        q, k, v = self._heads(self.query(query)), self._heads(self.key(key)), self.value(value)
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        if attn_mask is not None:
            each = attn_mask if attn_mask.dim() == 2 else attn_mask.view(scores.shape)
            scores = scores + _additive(each, scores)
        if key_padding_mask is not None:
            scores = scores + _additive(key_padding_mask, scores)[:, None, None]
        weights = scores.softmax(3)
        mixed = self.dropout(weights) @ self._heads(v)
        answer: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if not need_weights:
            return answer, None
        return answer, weights.mean(1) if average_attn_weights else weights

    def _heads(self, features: Tensor) -> Tensor:
        """(n, l, e) -> (n, heads, l, e / heads)."""
        return features.view(*features.shape[:2], self.num_heads, -1).transpose(1, 2)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    rows, columns = weight.shape
    layer = nn.Linear(columns, rows, bias=bias is not None, device=weight.device).to(weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def _additive(mask: Tensor, scores: Tensor) -> Tensor:
    """The mask as numbers to add: minus infinity where a boolean mask is True."""
    if mask.dtype != torch.bool:
        return mask.to(scores)
    return torch.zeros_like(mask, dtype=scores.dtype).masked_fill(mask, -math.inf)
