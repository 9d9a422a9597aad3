"""Model stacking (Salem et al. 2019): no network sees all members, and none answers alone.

The paper stacks a neural network and a random forest under a logistic regression; on images we
take the run's network twice, differently initialised.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from trainables.base.seeding import numpy_generator


class Stack(nn.Module):
    """Two networks whose posteriors a linear layer joins."""

    def __init__(self, first: nn.Module, second: nn.Module, n_classes: int) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.join = nn.Linear(2 * n_classes, n_classes)
        nn.init.zeros_(self.join.bias)
        with torch.no_grad():  # until it is fitted: the mean of both
            self.join.weight.copy_(torch.eye(n_classes).repeat(1, 2) / 2)

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, n_classes) logits."""
        logits: Tensor = self.join(self.posteriors(images))
        return logits

    def posteriors(self, images: Tensor) -> Tensor:
        """(b, 2 n_classes) float32: both networks' confidences side by side.

        Those of bfloat16 hold two or three digits, and near 1 none that attacks could read.
        """
        return torch.cat(
            [network(images).float().softmax(1) for network in (self.first, self.second)], dim=1
        )


def three_parts(labels: Tensor, meta_share: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positions for the first network, the second and the joint layer; disjoint and stratified.

    labels: (m,) of the members.  meta_share: share of the third part, in (0, 1).
    """
    generator = numpy_generator(seed, "stacking-parts")
    parts: list[list[np.ndarray]] = [[], [], []]
    values = labels.cpu().numpy()
    for label in np.unique(values):
        order = generator.permutation(np.flatnonzero(values == label))
        third = round(meta_share * len(order))
        half = (len(order) - third) // 2
        for part, chosen in zip(parts, np.split(order, [half, len(order) - third]), strict=True):
            part.append(chosen)
    first, second, meta = (
        torch.from_numpy(np.sort(np.concatenate(part))).to(labels.device) for part in parts
    )
    return first, second, meta


def fit_join(stack: Stack, posteriors: Tensor, labels: Tensor) -> None:
    """Fit the joint layer as a logistic regression on (m, 2k) posteriors of the third part."""
    model = LogisticRegression(max_iter=1000)
    model.fit(posteriors.double().cpu().numpy(), labels.cpu().numpy())
    classes = torch.as_tensor(model.classes_, device=stack.join.weight.device)
    rows, intercept = model.coef_, model.intercept_
    if len(rows) == 1:  # scikit-learn writes two classes as one row
        rows, intercept = (
            np.concatenate([-rows, rows]) / 2,
            np.concatenate([-intercept, intercept]) / 2,
        )
    with torch.no_grad():
        stack.join.weight.zero_()
        stack.join.bias.fill_(float(intercept.min()) - 10)  # a class the part lacks
        stack.join.weight[classes] = torch.as_tensor(rows, device=classes.device).float()
        stack.join.bias[classes] = torch.as_tensor(intercept, device=classes.device).float()
