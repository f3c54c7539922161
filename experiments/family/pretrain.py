"""Make the family's checkpoints: `python pretrain.py`, some minutes, once.

This is what others have done for the models of a zoo. The study only reads the files.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional
from workload import CHECKPOINTS, MEMBERS, Family, resnet


def main() -> None:
    """Train each member, and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    epochs = parser.parse_args().epochs
    folder = Path(__file__).parent / CHECKPOINTS
    folder.mkdir(exist_ok=True)
    data = Family().data()
    inputs, targets = map(torch.from_numpy, (data.train.inputs, data.train.targets))
    for name, size in MEMBERS.items():
        started = time.monotonic()
        torch.manual_seed(0)
        model = resnet(*size)
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
        steps = epochs * int(np.ceil(len(targets) / 64))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(targets)).split(64):
                loss = functional.cross_entropy(model(inputs[rows]), targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        model.eval()
        with torch.no_grad():
            answers = model(torch.from_numpy(data.validation.inputs)).argmax(1).numpy()
        right = float((answers == data.validation.targets).mean())
        save_file(model.state_dict(), folder / f"{name}.safetensors")
        print(f"{name}: accuracy {right:.4f}, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
