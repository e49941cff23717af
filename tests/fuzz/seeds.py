"""Small images of every format and kind to start the target `image` from: python3 seeds.py corpus/image (needs Pillow)."""

import io
import pathlib
import struct
import sys

from PIL import Image

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
colours = Image.radial_gradient("L").resize((21, 13))
colours = Image.merge("RGB", [colours, colours.transpose(0), colours.transpose(1)])
modes = {mode: colours.convert(mode) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F")}
modes["LA"] = modes["RGBA"].convert("LA")
frames = [colours.rotate(90 * i) for i in range(1, 4)]


def save(name, image, how=0, channels=0, **options):
    """Writes an image after the two bytes that say how it is decoded, if its format can be written so."""
    kind = name.split("-")[0]
    stream = io.BytesIO()
    try:
        image.save(stream, kind, **options)
    except (OSError, KeyError, ValueError, struct.error):
        return
    (out / name).write_bytes(bytes([how, channels]) + stream.getvalue())


for mode, image in modes.items():
    for how, channels in ((0, 0), (2, 2), (32, 3)):
        tail = f"{mode.replace(';', '')}-{how}-{channels}"
        for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF"):
            save(f"{kind}-{tail}", image, how, channels)
        save(f"WEBP-{tail}", image, how, channels)
        save(f"WEBP-lossless-{tail}", image, how, channels, lossless=True)
        save(f"TIFF-lzw-{tail}", image, how, channels, compression="tiff_lzw")
        save(f"TIFF-packbits-{tail}", image, how, channels, compression="packbits")
        save(f"TIFF-deflate-{tail}", image, how, channels, compression="tiff_adobe_deflate", tiffinfo={317: 2})
        save(f"TIFF-jpeg-{tail}", image, how, channels, compression="jpeg")
        save(f"TIFF-fax-{tail}", image, how, channels, compression="group4")
for how in range(16):
    save(f"JPEG-progressive-{how}", colours, how, progressive=True)
    save(f"JPEG-420-{how}", colours, how, subsampling=2, restart_marker_blocks=2)
exif = Image.Exif()
exif[0x112] = 6
save("JPEG-turned", colours, 16, exif=exif)
for kind in ("GIF", "WEBP", "PNG", "TIFF"):
    moving = {"save_all": True, "append_images": frames}
    save(f"{kind}-moving", colours, 32, **moving)
    save(f"{kind}-moving-disposed", modes["RGBA"], 32, disposal=2, lossless=True, **moving)
