# SPDX-License-Identifier: MIT
"""Logits of configurations that read differently than they run. Contents: README.md, `variants`."""

import warnings

import float64
import generator
import hf
import numpy as np
import torch
from configurations import VARIANTS
from model_fixtures import double_model

LENGTH = 40
ROWS = [0, 20, 39]


def build() -> dict[str, np.ndarray]:
    tokens = torch.from_numpy(generator.tokens("variants", 128, 1, LENGTH))
    fixture = {"tokens": tokens.numpy(), "rows": np.array(ROWS)}
    warnings.filterwarnings("ignore", message="Initializing zero-element tensors")  # of absent shared experts
    for name, config in VARIANTS.items():
        float64.check_changes_precision_only(hf.build, config, tokens)
        with float64.wide(), torch.no_grad():
            fixture[f"{name}.logits"] = double_model(config)(tokens).logits[0, ROWS].numpy()
    return fixture
