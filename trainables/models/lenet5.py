"""LeNet-5 (LeCun et al. 1998) with ReLU and max pooling: 61,706 parameters, "60 K" of Table 4."""

from torch import Tensor, nn
from torch.nn import functional


class LeNet5(nn.Module):
    """Two convolutions and three linear layers for 28 x 28 or 32 x 32 images."""

    def __init__(self, n_classes: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, _ = image_shape
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=(32 - height) // 2)  # 28 is padded to 32
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(b, channels, 28 or 32, same) -> (b, n_classes) logits."""
        # pooled first, the same values and gradients need a quarter of the ReLUs
        hidden = functional.relu(functional.max_pool2d(self.conv1(images), 2))
        hidden = functional.relu(functional.max_pool2d(self.conv2(hidden), 2))
        hidden = functional.relu(self.fc1(hidden.flatten(1)))
        logits: Tensor = self.fc3(functional.relu(self.fc2(hidden)))
        return logits
