"""Images for tests: drawn from a seed, with the statistics of photographs, so that nothing is downloaded."""

import torch
from torch import Tensor


def photographs(batch: int = 6, channels: int = 3, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    """Return smooth images [B, C, H, W] in [0, 1] with a 1/f amplitude spectrum and channels that go together."""
    rng = torch.Generator().manual_seed(seed)
    high, wide = 2 * height, 2 * width  # a corner of a larger picture: the Fourier transform wraps around
    frequency = torch.hypot(torch.fft.fftfreq(high)[:, None] * high, torch.fft.fftfreq(wide)[None] * wide).clamp(min=1)
    noise = torch.randn(batch, 1 + channels, high, wide, generator=rng)
    layers = torch.fft.ifft2(torch.fft.fft2(noise) / frequency).real[..., :height, :width]
    picture = layers[:, :1] + 0.4 * layers[:, 1:]
    picture = picture - picture.mean((1, 2, 3), keepdim=True)
    spread = picture.flatten(1).std(1).clamp(min=1e-6).view(-1, 1, 1, 1) if height * width > 1 else 1.0
    return (0.5 + 0.2 * picture / spread).clamp(0, 1)


def eight_bit(images: Tensor) -> Tensor:
    """Return the nearest 8-bit levels of images in [0, 1], uint8, as torchvision and Pillow keep them."""
    return (images * 255).round().to(torch.uint8)
