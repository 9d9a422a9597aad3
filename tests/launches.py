"""Counts what is launched on a device, without one: every operation that torch dispatches."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


class Launches(TorchDispatchMode):
    """`with Launches() as launches:` lists the operators that ran, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.copies = 0
        """From one device to another; "meta" may stand for a GPU."""

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.names.append(func.overloadpacket.__name__)
        if args and isinstance(args[0], Tensor):
            target = (kwargs or {}).get("device") or args[0].device
            self.copies += target != args[0].device
        return func(*args, **(kwargs or {}))
