"""What devices do well."""

from __future__ import annotations


def has_fast_bf16(device: str) -> bool:
    """Says whether a kind of device ("cuda", "cpu", "mps") multiplies bf16 matrices in hardware."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
