"""VGG16, ResNet-18 and MobileNetV2 in their CIFAR forms, made of torchvision's own blocks.

The forms differ from ImageNet's only where 32 x 32 images need it: smaller strides, no early
pooling, one linear layer on VGG16.  Parameter counts for 10 classes: 14,728,266, 11,173,962 and
2,236,682.  torchvision is imported where a network is built: it costs each process a second.
"""

from collections import OrderedDict

from torch import nn


def vgg16(n_classes: int, image_shape: tuple[int, ...]) -> nn.Module:
    """Thirteen convolutions with batch norm and one linear layer (Simonyan and Zisserman 2015)."""
    from torchvision import models

    # models.vgg16_bn would first allocate 119 million weights of a classifier not used here
    features = models.vgg.make_layers(models.vgg.cfgs["D"], batch_norm=True)
    first = features[0]
    features[0] = nn.Conv2d(image_shape[0], first.out_channels, 3, padding=1)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.get_parameter("bias"))
    layers = {
        "features": features,
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "classifier": nn.Linear(512, n_classes),
    }
    return nn.Sequential(OrderedDict(layers))


def resnet18(n_classes: int, image_shape: tuple[int, ...]) -> nn.Module:
    """A 3 x 3 stem of stride 1 and no max pooling (He et al. 2016, section 4.2, at full width)."""
    from torchvision import models

    network: nn.Module = models.resnet18(num_classes=n_classes, weights=None)
    network.conv1 = nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def mobilenetv2(n_classes: int, image_shape: tuple[int, ...]) -> nn.Module:
    """Stem and second stage of stride 1, no dropout (Sandler et al. 2018, for 32 x 32 images)."""
    from torchvision import models

    settings = [
        # expansion, channels, blocks, stride
        [1, 16, 1, 1],
        [6, 24, 2, 1],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    network = models.MobileNetV2(
        num_classes=n_classes, inverted_residual_setting=settings, dropout=0.0
    )
    stem: nn.Sequential = network.features[0]
    stem[0] = nn.Conv2d(image_shape[0], 32, 3, padding=1, bias=False)
    whole: nn.Module = network
    return whole
