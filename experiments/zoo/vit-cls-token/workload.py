import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from paretune import Data, Recipe, Split, Workload

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
R = lambda **k: Recipe(reference_epochs=6, distill_epochs=6, fine_tune_epochs=4, **k)


def split(x, y, *more, cut=(900, 1000, 1400)):
    parts = [np.split(a, cut) for a in (x, y, *more)]
    return Data(*(Split(p[0], p[1], tuple(p[2:])) for p in zip(*parts)))


class Block(nn.Module):
    def __init__(self, d=64, heads=4):
        super().__init__()
        self.n1, self.n2, self.qkv, self.proj = (
            nn.LayerNorm(d),
            nn.LayerNorm(d),
            nn.Linear(d, 3 * d),
            nn.Linear(d, d),
        )
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.heads = heads
        self.gamma = nn.Parameter(torch.ones(d) * 0.5)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = (
            self.qkv(self.n1(x))
            .reshape(b, n, 3, self.heads, c // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        x = x + self.proj(
            nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        )
        return x + self.gamma * self.mlp(self.n2(x))


class Vit(nn.Module):
    """timm-style: one qkv projection, class token, position embedding, layer scale."""

    def __init__(self, d=64):
        super().__init__()
        self.cls, self.pos = (
            nn.Parameter(torch.zeros(1, 1, d)),
            nn.Parameter(torch.randn(1, 17, d) * 0.02),
        )
        self.patch, self.blocks, self.norm, self.head = (
            nn.Conv2d(1, d, 2, 2),
            nn.Sequential(Block(d), Block(d)),
            nn.LayerNorm(d),
            nn.Linear(d, 10),
        )

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


class W(Workload):
    def models(self):
        return {"reference": Vit}

    def data(self):
        return split(X.reshape(-1, 1, 8, 8), Y)

    def recipe(self):
        return R()
