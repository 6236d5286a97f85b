"""Small pictures: 256 colours, of which large areas keep theirs and small ones nearly so."""

from typing import Final, cast

from PIL import Image, ImageChops

_EXACT: Final = 16
"""How many colours are kept as they are: those of the page, the panels and most text."""

_Colour = tuple[int, int, int]


def reduced(screenshot: Image.Image) -> Image.Image:
    """Return the picture with a palette; its file is a third of the size.

    Palettes that mind frequency alone lose the hue of a legend's lines, those that mind hues alone
    the difference between a page and its panels.
    """
    image = screenshot.convert("RGB")
    rest = 256 - _EXACT
    small = image.quantize(rest, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette = (small.getpalette() or [])[: 3 * rest]
    palette += [0] * (3 * rest - len(palette))
    for index, colour in enumerate(_most_frequent(image), rest):
        small.paste(index, mask=_where(image, colour))
        palette += colour
    small.putpalette(palette)
    return small


def _most_frequent(image: Image.Image) -> list[_Colour]:
    counted = image.getcolors(image.width * image.height) or []
    return [cast("_Colour", colour) for _, colour in sorted(counted, reverse=True)[:_EXACT]]


def _where(image: Image.Image, colour: _Colour) -> Image.Image:
    """Return a mask of the pixels that have exactly this colour."""
    red, green, blue = ImageChops.difference(image, Image.new("RGB", image.size, colour)).split()
    farthest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return farthest.point(lambda distance: 0 if distance else 255)
