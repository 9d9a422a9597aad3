"""Optimizers do the same without torch._dynamo, which stays away."""

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, sys
import torch
from trainables.base.lean_optimizers import spare_dynamo
if {spared}:
    spare_dynamo()
found = []
for kind in torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW:
    weights = torch.arange(6.0, requires_grad=True)
    optimizer = kind([weights], lr=0.1, weight_decay=0.01)
    for step in range(3):
        optimizer.zero_grad()
        (weights**2).sum().backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    found.append(weights.tolist())
print(json.dumps([found, "torch._dynamo" in sys.modules]))
"""


def stepped(*, spared: bool) -> Any:
    """The weights after steps in a process of its own, and whether it has torch._dynamo."""
    program = PROGRAM.format(spared=spared)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_steps_are_the_same_and_dynamo_stays_away() -> None:
    weights, loaded = stepped(spared=False)
    assert loaded, "torch no longer imports it: drop lean_optimizers.py"
    assert stepped(spared=True) == [weights, False]
