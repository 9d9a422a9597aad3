"""The paper's f_A, the membership network of Nasr et al. 2018: attacks and Min-Max share it."""

import torch
from torch import Tensor, nn


class NeuralAttack(nn.Module):
    """Two branches, prediction and label, joined; 652,801 parameters at k = 10.

    Default initialisation: with the N(0, 0.01) of the published code the output never leaves 0.5.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.prediction = nn.Sequential(
            nn.Linear(n_classes, 1024),
            nn.ReLU(),
            nn.Linear(1024, 512),
            nn.ReLU(),
            nn.Linear(512, 64),
            nn.ReLU(),
        )
        self.label = nn.Sequential(
            nn.Linear(n_classes, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()
        )
        self.joined = nn.Sequential(
            nn.Linear(128, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 1),
        )

    def forward(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """(b, k) probabilities and (b, k) one-hot labels -> (b,) logit of membership."""
        both = torch.cat([self.prediction(predictions), self.label(labels)], dim=1)
        logits: Tensor = self.joined(both).squeeze(1)
        return logits
