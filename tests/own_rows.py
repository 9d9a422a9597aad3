"""Plugins with other data than images: rows like those of shops, short texts, and signals."""

PURCHASE = '''
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from trainables.plugin import register_dataset, register_model

CLASSES, FEATURES, FLIPPED = 20, 600, 0.3


def purchases(folder, rows=2000):
    """What customers bought of 600 products: a prototype for each kind, flipped here and there.

    Nasr et al. 2018 and Shokri et al. 2017 cluster real customers of a shop into such kinds.
    """
    generator = np.random.default_rng(0)
    prototypes = generator.random((CLASSES, FEATURES)) < 0.3
    labels = np.arange(rows) % CLASSES
    bought = prototypes[labels] ^ (generator.random((rows, FEATURES)) < FLIPPED)
    return TensorDataset(torch.tensor(bought).float(), torch.tensor(labels))


def mlp(n_classes, shape):
    return nn.Sequential(nn.Linear(*shape, 64), nn.Tanh(), nn.Linear(64, n_classes))


register_model("mlp", mlp)
register_dataset(
    "purchase", purchases, n_classes=CLASSES, input_shape=(FEATURES,), noun="rows",
    default_model="mlp",
)
'''
"""Binary rows in 20 classes, and an MLP of two layers."""

TEXTS = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from trainables.plugin import register_dataset, register_model

WORDS, LENGTH, TOPICS = 50, 12, 4


def texts(folder):
    generator = np.random.default_rng(0)
    labels = np.arange(400) % TOPICS
    topical = labels[:, None] * 10 + generator.integers(0, 10, (400, LENGTH))
    common = generator.integers(0, WORDS, (400, LENGTH))
    ids = np.where(generator.random((400, LENGTH)) < 0.4, topical, common)
    return TensorDataset(torch.tensor(ids), torch.tensor(labels))


class Convolved(nn.Module):
    def __init__(self, n_classes, shape):
        super().__init__()
        self.table = nn.Embedding(WORDS, 8)
        self.conv = nn.Conv1d(8, 16, 3, padding=1)
        self.head = nn.Linear(16, n_classes)

    def forward(self, ids):
        found = torch.relu(self.conv(self.table(ids).transpose(1, 2)))
        return self.head(found.amax(2))


class Recurrent(nn.Module):
    def __init__(self, n_classes, shape):
        super().__init__()
        self.table = nn.Embedding(WORDS, 8)
        self.gru = nn.GRU(8, 16, batch_first=True)
        self.head = nn.Linear(16, n_classes)

    def forward(self, ids):
        return self.head(self.gru(self.table(ids))[0][:, -1])


register_model("convolved", Convolved)
register_model("recurrent", Recurrent)
register_dataset(
    "texts", texts, n_classes=TOPICS, input_shape=(LENGTH,), n_tokens=WORDS, noun="texts",
    default_model="convolved",
)
"""
"""Sequences of token ids, with a convolution or a GRU behind their embeddings."""

SIGNALS = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from trainables.plugin import register_dataset, register_model


def signals(folder):
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 3
    time = np.linspace(0, 1, 32)
    waves = np.sin(2 * np.pi * (1 + labels[:, None]) * (time + generator.random((400, 1))))
    noisy = (waves + generator.normal(0, 1, waves.shape))[:, None]
    return TensorDataset(torch.tensor(noisy).float(), torch.tensor(labels))


def heard(n_classes, shape):
    return nn.Sequential(
        nn.Conv1d(1, 8, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(),
        nn.Linear(32, n_classes),
    )


register_model("heard", heard)
register_dataset(
    "signals", signals, n_classes=3, input_shape=(1, 32), noun="signals", default_model="heard"
)
"""
"""Noisy waves of 32 samples, with a convolution over time."""
