# SPDX-License-Identifier: MIT
"""Writes every fixture into fixtures/ beside this file. Run through make.sh, which pins the versions."""

import importlib.metadata
import inspect
import json
from pathlib import Path

import container
import generator
import layer_fixtures
import model_fixtures
import mtp_fixtures
import torch
import training_fixtures
import variant_fixtures
from configurations import CONFIGURATIONS, VARIANTS
from transformers.models.deepseek_v2 import modeling_deepseek_v2 as v2
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3

HERE = Path(__file__).parent


def check_versions() -> dict[str, str]:
    versions = {}
    for line in (HERE / "requirements.txt").read_text().split():
        package, version = line.split("==")
        found = importlib.metadata.version(package)
        assert found == version, f"{package}: requirements.txt pins {version}, found {found}"
        versions[package] = version
    return versions


def check_transformers() -> None:
    """What older versions had wrong, section 9.2 of the specification. The numbers are checked by the fixtures too."""
    router = inspect.getsource(v3.DeepseekV3TopkRouter.forward)
    assert 'masked_fill(~score_mask.bool(), float("-inf"))' in router, "groups not chosen must be masked by -inf"
    assert "topk_weights = scores.gather" in router, "gates must come from the unbiased scores"
    assert "yarn_apply_mscale" in inspect.getsource(v2.DeepseekV2Attention.__init__), "V2 needs the YaRN score scale"


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    versions = check_versions()
    check_transformers()
    builders = {name: lambda name=name: model_fixtures.build(name) for name in CONFIGURATIONS}
    builders |= {"layers": layer_fixtures.build, "mtp": mtp_fixtures.build, "training": training_fixtures.build}
    builders["variants"] = variant_fixtures.build
    own_configuration = CONFIGURATIONS | {"mtp": mtp_fixtures.configuration(mtp_fixtures.DEPTHS), "variants": VARIANTS}
    (HERE / "fixtures").mkdir(exist_ok=True)
    sizes = {}
    for name, build in builders.items():
        config = own_configuration.get(name, CONFIGURATIONS["t1"])
        metadata = {package: versions[package] for package in ("torch", "transformers")}
        metadata |= {"generator": generator.VERSION, "config": json.dumps(config, sort_keys=True)}
        sizes[name] = container.write(HERE / "fixtures" / f"{name}.safetensors", build(), metadata)
        print(f"{name}: {sizes[name]} bytes")
    print(f"total: {sum(sizes.values())} bytes")
    assert sum(sizes.values()) < 2_010_000


if __name__ == "__main__":
    main()
