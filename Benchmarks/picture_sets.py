"""Data sets that need no download but Debian's packages: digits, letters, and stamps of a paint program.

Each function fills a folder with a folder of PNG files for each class. What is there already stays.
"""

from __future__ import annotations

import shutil
import string
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
SIDE = 96

#: What a data set is to networks that were trained on ImageNet, by the names that commands take.
KINDS = {
    "inside": "inside ImageNet's classes",
    "outside": "outside of them",
    "unlike": "unlike photographs",
}

#: A font of each of these Debian packages: its file below usr/share/fonts.
FONTS = {
    "fonts-allerta": "opentype/allerta/allerta_stencil.otf",
    "fonts-averia-serif-gwf": "truetype/averia-gwf/AveriaSerifGWF-Regular.ttf",
    "fonts-bebas-neue": "opentype/bebas-neue/BebasNeue-Regular.otf",
    "fonts-cabinsketch": "truetype/cabinsketch/CabinSketch-Regular.ttf",
    "fonts-comfortaa": "truetype/comfortaa/Comfortaa-Regular.ttf",
    "fonts-comic-neue": "opentype/comic-neue/ComicNeue-Regular.otf",
    "fonts-courier-prime": "opentype/courier-prime/Courier Prime.otf",
    "fonts-dancingscript": "opentype/dancingscript/DancingScript-Regular.otf",
    "fonts-dejavu-core": "truetype/dejavu/DejaVuSerif.ttf",
    "fonts-dkg-handwriting": "truetype/fifthhorseman/dkg.ttf",
    "fonts-dosis": "opentype/dosis/Dosis-Book.otf",
    "fonts-dustin": "truetype/dustin/Domestic_Manners.ttf",
    "fonts-ecolier-court": "truetype/ecolier-court/Ecolier-court.ttf",
    "fonts-essays1743": "truetype/essays1743/Essays1743.ttf",
    "fonts-femkeklaver": "truetype/femkeklaver/femkeklaver.ttf",
    "fonts-gfs-didot": "opentype/didot/GFSDidot.otf",
    "fonts-gotico-antiqua": "opentype/gotico-antiqua/Jessen-Mittel14.otf",
    "fonts-humor-sans": "truetype/humor-sans/Humor-Sans.ttf",
    "fonts-isabella": "truetype/isabella/Isabella.ttf",
    "fonts-jura": "opentype/jura/Jura-Regular.otf",
    "fonts-kaushanscript": "opentype/kaushanscript/KaushanScript-Regular.otf",
    "fonts-kristi": "truetype/kristi/Kristi.ttf",
    "fonts-leckerli-one": "truetype/leckerli-one/LeckerliOne-Regular.ttf",
    "fonts-liberation": "truetype/liberation/LiberationSans-Regular.ttf",
    "fonts-lobster": "opentype/lobster/lobster.otf",
    "fonts-oldstandard": "truetype/fonts-oldstandard/OldStandard-Regular.ttf",
    "fonts-opendyslexic": "opentype/opendyslexic/OpenDyslexic-Regular.otf",
    "fonts-prociono": "opentype/fonts-prociono/Prociono.otf",
    "fonts-quicksand": "truetype/quicksand/Quicksand-Regular.ttf",
    "fonts-rufscript": "truetype/rufscript/Rufscript010.ttf",
    "fonts-staypuft": "truetype/staypuft/StayPuft.ttf",
    "fonts-vollkorn": "truetype/vollkorn/Vollkorn-Regular.ttf",
}

STAMPS_PACKAGE = "tuxpaint-stamps-default"

#: Folders of the stamps with twelve pictures or more. ImageNet has classes for most things in these.
STAMPS_INSIDE = {
    "birds": "animals/birds",
    "clothes": "clothes",
    "fruit": "food/fruit",
    "insects": "animals/insects",
    "mammals": "animals/mammals",
    "tools": "household/tools",
    "vegetables": "food/vegetables",
    "vehicles": "vehicles",
}
#: It has none, or next to none, for these.
STAMPS_OUTSIDE = {
    "chess": "symbols/chess",
    "christmas": "seasonal/christmas",
    "flowers": "plants/flowers",
    "halloween": "seasonal/halloween",
    "hands": "symbols/alphabets/asl",
    "houses": "town/houses",
    "mathematics": "symbols/math",
    "money": "symbols/money",
    "music": "symbols/music",
    "roadsigns": "town/roadsigns",
    "space": "space",
}


class DataSet(NamedTuple):
    """A folder with a folder for each class, and what it is to networks of ImageNet: a name of KINDS."""

    name: str
    kind: str
    folder: Path


def digits(folder: Path, per_class: int = 30) -> None:
    """scikit-learn's handwritten digits, 8 x 8 pixels, enlarged."""

    def pictures() -> Iterator[tuple[str, Image.Image]]:
        from sklearn.datasets import load_digits

        known = load_digits()
        for label in range(10):
            for number in np.flatnonzero(known.target == label)[:per_class]:
                pixels = Image.fromarray((known.images[number] * 15.9375).astype(np.uint8))
                yield f"{label}/{number}.png", pixels.resize((SIDE, SIDE), Image.Resampling.BICUBIC)

    _fill(folder, pictures())


def letters(folder: Path, fonts: Mapping[str, Path], alphabet: str = string.ascii_uppercase) -> None:
    """A class for each letter, with a picture of each font. The fonts' names are the files' names."""

    def pictures() -> Iterator[tuple[str, Image.Image]]:
        for name, font in fonts.items():
            for letter in alphabet:
                yield f"{letter}/{name}.png", _letter(font, letter)

    _fill(folder, pictures())


def _letter(font: Path, letter: str) -> Image.Image:
    """A black letter in the middle of a white square. Large ones are made smaller, so that no part is cut off."""
    picture = Image.new("L", (SIDE, SIDE), 255)
    for size in range(64, 8, -4):
        drawn = ImageFont.truetype(str(font), size)
        left, top, right, bottom = drawn.getbbox(letter)
        if max(right - left, bottom - top) <= SIDE - 8:
            break
    place = (SIDE - left - right) / 2, (SIDE - top - bottom) / 2
    ImageDraw.Draw(picture).text(place, letter, fill=0, font=drawn)
    return picture


def stamps(folder: Path, source: Path, classes: Mapping[str, str]) -> None:
    """The PNG files below some folders of the stamps, on white.

    Args:
        source: the package's folder "stamps"
        classes: of each class its folder below source
    """

    def pictures() -> Iterator[tuple[str, Image.Image]]:
        for name, part in classes.items():
            for path in sorted((source / part).rglob("*.png")):
                yield f"{name}/{'-'.join(path.relative_to(source / part).parts)}", _on_white(path)

    _fill(folder, pictures())


def _on_white(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        stamp = opened.convert("RGBA")
    stamp.thumbnail((256, 256))
    white = Image.new("RGBA", stamp.size, "white")
    white.alpha_composite(stamp)
    return white.convert("RGB")


def _fill(folder: Path, pictures: Iterable[tuple[str, Image.Image]]) -> None:
    """Writes pictures into a folder, unless it is there. It has its name only when it is whole."""
    if folder.exists():
        return
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    for name, picture in pictures:
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(part / name)
    part.rename(folder)


def debian_files(folder: Path, packages: Sequence[str]) -> None:
    """Unpacks Debian's packages: their files are then below folder/PACKAGE."""
    subprocess.run([ROOT / "scripts/debian-files", folder, *packages], check=True)


def all_sets(folder: Path) -> list[DataSet]:
    """All data sets of this file, which are made below a folder."""
    debian = folder / "debian"
    debian_files(debian, [STAMPS_PACKAGE, *FONTS])
    digits(folder / "digits")
    letters(folder / "letters", {name: debian / name / "usr/share/fonts" / file for name, file in FONTS.items()})
    source = debian / STAMPS_PACKAGE / "usr/share/tuxpaint/stamps"
    stamps(folder / "stamps", source, STAMPS_INSIDE)
    stamps(folder / "stamps-outside", source, STAMPS_OUTSIDE)
    return [
        DataSet("stamps of animals, food and things", "inside", folder / "stamps"),
        DataSet("stamps of signs, feasts and houses", "outside", folder / "stamps-outside"),
        DataSet("letters", "unlike", folder / "letters"),
        DataSet("digits", "unlike", folder / "digits"),
    ]
