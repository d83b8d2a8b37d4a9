"""Operations for scanned and photographed pages and for handwriting: skew, paper, light, printers and files.

Left out, for it does not keep the label where it matters:

- `hflip` and `vflip`: mirrored letters are other letters (b and d, p and q) or none.
- `random_erasing`, `cutout`: without a word or a stroke it is another text.
- `invert`, `solarize`, `hue`, `channel_shuffle`: marks, stamps and highlights are told by their colours, and no page is
  half in negative.
- `fog`: no page has it.

`rotate` stays: it reaches ±30 degrees, at which a 6 is still a 6. Take it out for `trivialaugment`, whose wide ranges
reach ±135 and make it a 9.
"""

OPS_DOCUMENTS: tuple[str, ...] = (
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "zoom",
    "perspective",
    "elastic",
    "brightness",
    "contrast",
    "gamma",
    "sharpness",
    "grayscale",
    "auto_contrast",
    "posterize",
    "gaussian_blur",
    "motion_blur",
    "gaussian_noise",
    "salt_and_pepper",
    "jpeg",
    "plasma_brightness",
    "plasma_contrast",
    "plasma_shadow",
)
