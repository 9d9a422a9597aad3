"""Torch's compiler stays out of a process that trains, and comes when it is asked for."""

import subprocess
import sys

import pytest

TRAINS = """
import sys
import torch
from trainables.eager import leave_compiler_out

if {left_out}:
    leave_compiler_out()
torch.manual_seed(0)
network = torch.nn.Linear(3, 2)
for kind in (torch.optim.AdamW, torch.optim.SGD):
    optimizer = kind(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.ones(4, 3)).sum().backward()
        optimizer.step()
print(network.weight.tolist(), "torch._dynamo.config" in sys.modules)
"""

ASKS = {
    "compile": "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item())",
    "submodule": "import torch._dynamo.config; print(2.0 * torch._dynamo.config.verbose + 2)",
    "attribute": "print(2.0 + torch._dynamo.is_compiling())",
    "from": "from torch._dynamo import reset; reset(); print(2.0)",
    "later": "import torch._dynamo; torch._dynamo.reset(); torch._dynamo.graph_break(); print(2.0)",
}


def printed(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=200
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_steps_are_the_same_and_do_not_import_the_compiler() -> None:
    with_it, without = (printed(TRAINS.format(left_out=left_out)) for left_out in (False, True))
    weights, loaded = with_it.rsplit(" ", 1)
    assert loaded == "True", "torch's optimisers no longer need this: drop trainables/eager.py"
    assert without == f"{weights} False"


@pytest.mark.slow
@pytest.mark.parametrize("asks", ASKS)
def test_whoever_asks_the_compiler_gets_it(asks: str) -> None:
    assert printed(f"{TRAINS.format(left_out=True)}{ASKS[asks]}").splitlines()[-1] == "2.0"


@pytest.mark.slow
def test_a_process_that_only_trains_imports_no_attacks() -> None:
    """Pandas comes with Ray Tune."""
    program = (
        "import sys, trainables.trial; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    loaded = set(printed(program).split())
    assert not loaded & {"sklearn", "matplotlib", "optuna", "torchvision", "opacus", "mlxtend"}
