"""The model: a Llama with grouped-query heads and tied embeddings, its parameters named as Hugging Face names them."""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    vocabulary: int = 8192
    hidden: int = 512
    layers: int = 6
    heads: int = 8
    kv_heads: int = 2
    head: int = 64
    middle: int = 896
    context: int = 2048
    theta: float = 10000.0
    epsilon: float = 1e-5


# 16.4 million parameters. Wide enough for 8 heads and matrices that fill a GPU's tiles, and six layers deep, since
# copying names from a request takes a few; what is saved in the middle of the MLP pays for the vocabulary.
GUIDE = Shape()
TINY = Shape(vocabulary=768, hidden=128, layers=3, heads=2, kv_heads=1, middle=256, context=512)


class RmsNorm(nn.Module):
    def __init__(self, size, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return (wide * self.weight).to(x.dtype)


def rotate(x, cos, sin):
    left, right = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-right, left), dim=-1) * sin).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.q_proj = nn.Linear(shape.hidden, shape.heads * shape.head, bias=False)
        self.k_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head, bias=False)
        self.v_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head, shape.hidden, bias=False)

    def forward(self, x, cos, sin):
        rows, length, _ = x.shape
        s = self.shape
        q = self.q_proj(x).view(rows, length, s.heads, s.head).transpose(1, 2)
        k = self.k_proj(x).view(rows, length, s.kv_heads, s.head).transpose(1, 2)
        v = self.v_proj(x).view(rows, length, s.kv_heads, s.head).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = s.heads // s.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        y = F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(rows, length, s.heads * s.head))


class Mlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.middle, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.middle, bias=False)
        self.down_proj = nn.Linear(shape.middle, shape.hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = Mlp(shape)
        self.input_layernorm = RmsNorm(shape.hidden, shape.epsilon)
        self.post_attention_layernorm = RmsNorm(shape.hidden, shape.epsilon)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.hidden, shape.epsilon)
        angles = torch.arange(shape.context)[:, None] / shape.theta ** (torch.arange(0, shape.head, 2) / shape.head)
        angles = torch.cat((angles, angles), dim=-1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * shape.layers) ** 0.5 if last else 0.02)

    def logits(self, tokens):
        length = tokens.shape[1]
        x = self.embed_tokens(tokens)
        cos, sin = self.cos[:length], self.sin[:length]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.linear(self.norm(x), self.embed_tokens.weight)

    def forward(self, tokens, targets):
        """The mean surprise over the targets that are not −100."""
        logits = self.logits(tokens)
        return F.cross_entropy(logits.view(-1, self.shape.vocabulary).float(), targets.view(-1), ignore_index=-100)

    def count(self):
        return sum(parameter.numel() for parameter in self.parameters())

    def settings(self):
        return asdict(self.shape)
