"""The four-layer CNN of Table 2: 1,832,266 parameters on CIFAR-10.

The paper takes it from Rahman et al. 2018 and prints no more than its depth.  Assumed, since they
train it under the DP-SGD of Abadi et al. 2016: it is that paper's CIFAR-10 network (section 5.3),
two convolutions of 64 channels, 5 x 5, each with ReLU and 2 x 2 max pooling, then two linear layers
of 384, the four; a linear layer makes the logits.  Also assumed: padded convolutions, and whole
images where Abadi et al. crop 24 x 24.
"""

from torch import Tensor, nn
from torch.nn import functional


class FourLayerCNN(nn.Module):
    """Two convolutions and two hidden linear layers for 28 x 28 or 32 x 32 images."""

    def __init__(self, n_classes: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.conv1 = nn.Conv2d(channels, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 64, 5, padding=2)
        self.fc1 = nn.Linear(64 * (height // 4) * (width // 4), 384)
        self.fc2 = nn.Linear(384, 384)
        self.fc3 = nn.Linear(384, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(b, channels, 28 or 32, same) -> (b, n_classes) logits."""
        # pooled first, the same values and gradients need a quarter of the ReLUs
        hidden = functional.relu(functional.max_pool2d(self.conv1(images), 2))
        hidden = functional.relu(functional.max_pool2d(self.conv2(hidden), 2))
        hidden = functional.relu(self.fc1(hidden.flatten(1)))
        logits: Tensor = self.fc3(functional.relu(self.fc2(hidden)))
        return logits
