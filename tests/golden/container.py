# SPDX-License-Identifier: MIT
"""Writes fixtures: safetensors files whose bytes depend on nothing but their contents."""

import json
import struct
from pathlib import Path

import numpy as np
from safetensors import safe_open

_TYPES = {"float64": "F64", "float32": "F32", "int64": "I64"}


def write(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> int:
    """Tensors in the order of their names, header padded to 8 bytes. Returns the size of the file."""
    header, blobs, begin = {"__metadata__": dict(sorted(metadata.items()))}, [], 0
    # Wide elements first keeps every tensor aligned to its element.
    for name in sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name)):
        array = np.ascontiguousarray(tensors[name])
        assert array.dtype.kind == "i" or np.isfinite(array).all(), f"{path.name}: {name} is not finite"
        blobs.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        end = begin + len(blobs[-1])
        header[name] = {
            "dtype": _TYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    with safe_open(path, framework="numpy") as file:  # an independent reader agrees
        assert set(file.keys()) == set(tensors)
        for name in tensors:
            assert np.array_equal(file.get_tensor(name), tensors[name]), f"{path.name}: {name} reads back differently"
    return path.stat().st_size
