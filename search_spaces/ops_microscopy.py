"""Operations for stained tissue and cells under a microscope: any direction is up; focus, lamp, stain and slide.

Left out, for it does not keep the label where it matters:

- `hue`, `channel_shuffle`, `invert`: the stain is the signal. The table's ±0.5 turns make eosin of haematoxylin; a
  stain varies by a few hundredths: `apply("hue", (0.0, 1.0), most=0.03)` in a policy of your own.
- `posterize`, `solarize`, `equalize`: how strongly a cell takes the stain is graded.
- `perspective`, `motion_blur`, `fog`: a slide lies flat and still.
- `random_erasing`, `cutout`: a mitosis is few pixels.

`zoom` stays; take it out where the size of a cell is the class at a known magnification.
"""

OPS_MICROSCOPY: tuple[str, ...] = (
    "hflip",
    "vflip",
    "rotate",
    "translate_x",
    "translate_y",
    "shear_x",
    "shear_y",
    "zoom",
    "elastic",
    "brightness",
    "contrast",
    "color",
    "saturation",
    "gamma",
    "planckian_jitter",
    "sharpness",
    "gaussian_blur",
    "gaussian_noise",
    "jpeg",
    "plasma_brightness",
    "plasma_contrast",
)
