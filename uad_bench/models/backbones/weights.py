"""Weight files: read as tensors, without running what they hold, and known by their checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from uad_bench.errors import UadBenchError
from uad_bench.models.batches import enough_memory


def file_checksum(file: Path, sha256: str | None = None) -> str:
    """Return the SHA-256 of a weight file, in lower-case hexadecimal.

    Args:
        file: any file.
        sha256: the checksum that it must have.

    Raises:
        UadBenchError: if the file cannot be read or has another checksum.
    """
    try:
        with file.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UadBenchError(
            f"weights {file}: {error.strerror or error}; give the path of the weight file"
        ) from None
    if sha256 is not None and checksum != sha256.lower():
        raise UadBenchError(
            f"weights {file}: SHA-256 is {checksum} and not {sha256}; get the file again"
        )
    return checksum


def read_weights(
    file: Path, device: str, sha256: str | None = None
) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a weight file, on a device, and the file's SHA-256.

    Args:
        file: a state dict, by ``torch.save`` or as ``.safetensors``.
        device: a torch device.
        sha256: checksum that the file must have, in hexadecimal.

    Raises:
        UadBenchError: if the file cannot be read, has another checksum, or is no state dict.
        DeviceMemoryError: if the device has too little memory.
    """
    checksum = file_checksum(file, sha256)
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UadBenchError(f"weights {file}: {error.strerror or error}") from None
    except Exception:  # an unpickler raises anything on foreign bytes
        raise UadBenchError(
            f"weights {file}: not a state dict; save it by torch.save(model.state_dict(), ...) "
            "or as .safetensors"
        ) from None
    tensors = state.items() if isinstance(state, Mapping) else ()
    with enough_memory(device, "use --device cpu"):
        found = {key: value.to(device) for key, value in tensors if isinstance(value, Tensor)}
    return found, checksum
