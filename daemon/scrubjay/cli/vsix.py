"""The package of VS Code's extension: a zip of its files with two lists, which needs none of the programs of the market."""

import json
import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import ZIP_DEFLATED, ZipFile

ASSETS = {
    "package.json": ("package.json", "Microsoft.VisualStudio.Code.Manifest"),
    "README.md": ("readme.md", "Microsoft.VisualStudio.Services.Content.Details"),
    "CHANGELOG.md": ("changelog.md", "Microsoft.VisualStudio.Services.Content.Changelog"),
    "LICENSE": ("LICENSE.txt", "Microsoft.VisualStudio.Services.Content.License"),
}
"""Files that are named otherwise in a package, and what they are there."""
ICON = "Microsoft.VisualStudio.Services.Icons.Default"
MANIFEST, TYPES = "extension.vsixmanifest", "[Content_Types].xml"


def write_vsix(folder: Path, package: Path) -> None:
    """Write the package of the extension that is built in `folder`: of the files that its .vscodeignore excepts.

    Raises:
        OSError: a file cannot be read or written.
    """
    about = json.loads((folder / "package.json").read_text("utf-8"))
    # All else is ignored there, so that the exceptions are the list of files.
    lines = (folder / ".vscodeignore").read_text("utf-8").splitlines()
    patterns = [line[1:] for line in lines if line.startswith("!")]
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    assets = {about["icon"]: (about["icon"], ICON)} | ASSETS
    # A file of an installation may be older than zips can say.
    with ZipFile(package, "w", ZIP_DEFLATED, strict_timestamps=False) as opened:
        for path in files:
            name = path.relative_to(folder).as_posix()
            opened.write(path, f"extension/{assets.get(name, (name,))[0]}")
        opened.writestr(MANIFEST, _manifest(about, assets.values()))
        opened.writestr(TYPES, _types(opened.namelist()))


def _manifest(about: dict[str, Any], assets: Iterable[tuple[str, str]]) -> bytes:
    """What VS Code is told of the extension besides its package.json, which `about` is."""
    root = ElementTree.Element(
        "PackageManifest", Version="2.0.0", xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011"
    )
    metadata = ElementTree.SubElement(root, "Metadata")
    identity = {"Id": about["name"], "Version": about["version"], "Publisher": about["publisher"]}
    ElementTree.SubElement(metadata, "Identity", Language="en-US", **identity)
    ElementTree.SubElement(metadata, "DisplayName").text = about["displayName"]
    ElementTree.SubElement(metadata, "Description", {"xml:space": "preserve"}).text = about["description"]
    ElementTree.SubElement(metadata, "Categories").text = ",".join(about["categories"])
    properties = ElementTree.SubElement(metadata, "Properties")
    values = {"Engine": about["engines"]["vscode"], "ExtensionKind": ",".join(about["extensionKind"])}
    for name, value in values.items():
        ElementTree.SubElement(properties, "Property", Id=f"Microsoft.VisualStudio.Code.{name}", Value=value)
    ElementTree.SubElement(metadata, "License").text = f"extension/{ASSETS['LICENSE'][0]}"
    ElementTree.SubElement(metadata, "Icon").text = f"extension/{about['icon']}"
    ElementTree.SubElement(
        ElementTree.SubElement(root, "Installation"), "InstallationTarget", Id="Microsoft.VisualStudio.Code"
    )
    ElementTree.SubElement(root, "Dependencies")
    listed = ElementTree.SubElement(root, "Assets")
    for name, kind in assets:
        ElementTree.SubElement(listed, "Asset", Type=kind, Path=f"extension/{name}", Addressable="true")
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True))


def _types(names: Iterable[str]) -> bytes:
    """The content type of each kind of file in the package."""
    root = ElementTree.Element("Types", xmlns="http://schemas.openxmlformats.org/package/2006/content-types")
    for suffix in sorted({Path(name).suffix for name in names}):
        known = "text/xml" if suffix == Path(MANIFEST).suffix else mimetypes.guess_type(f"file{suffix}")[0]
        ElementTree.SubElement(root, "Default", Extension=suffix, ContentType=known or "application/octet-stream")
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True))
