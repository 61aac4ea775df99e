"""Rearranging and resizing images."""

from __future__ import annotations

from ...frontend.tensor import Tensor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., c r r, h, w) -> (..., c, h r, w r): channels become pixels (Shi et al., 2016)."""
    r = upscale_factor
    channels, h, w = input.shape[-3:]
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    x = input.reshape(-1, channels // (r * r), r, r, h, w).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(*input.shape[:-3], channels // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`."""
    r = downscale_factor
    channels, h, w = input.shape[-3:]
    x = input.reshape(-1, channels, h // r, r, w // r, r).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(*input.shape[:-3], channels * r * r, h // r, w // r)
