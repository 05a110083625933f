# SPDX-License-Identifier: MIT
"""Models that this library writes, opened by Hugging Face transformers: the same logits, or a refusal.

exported_models.py PROGRAM: PROGRAM is exported_models.cpp. Exit status 77 (skipped) without transformers.
"""

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

# transformers goes through float32 in its norms, routers and rotary tables, whatever the dtype of the model.
TOLERANCE = 2e-6


def main() -> None:
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="Initializing zero-element tensors")  # of absent shared experts
    tokens = torch.tensor([[(7 * i * i + 3 * i + 1) % 60 for i in range(40)]])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        models = sorted(path for path in Path(folder).iterdir() if path.is_dir())
        assert len(models) >= 16, models
        for path in models:
            if path.name.startswith("extended"):
                try:
                    transformers.AutoModelForCausalLM.from_pretrained(path)
                except ValueError as error:
                    assert "deepseek_extended" in str(error), error
                    print(f"{path.name}: refused")
                else:
                    raise AssertionError(f"{path.name}: transformers opened what it cannot compute")
                continue
            network = transformers.AutoModelForCausalLM.from_pretrained(
                path, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager"
            ).eval()
            with torch.no_grad():
                theirs = network(tokens).logits[0]
            rows = Path(f"{path}.logits").read_text().splitlines()
            ours = torch.tensor([[float(x) for x in row.split()] for row in rows], dtype=torch.float64)
            error = float((ours - theirs).abs().max() / theirs.abs().max())
            print(f"{path.name}: {error:.1e}")
            assert error < TOLERANCE, f"{path.name}: logits differ by {error} of the largest"


main()
