"""Write the list of what an image is made of: a CycloneDX bill of materials.

Source: the specification of CycloneDX 1.6 (ECMA-424), and that of package URLs (purl-spec).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from purekernel.analysis.components import Component
from purekernel.formats.bzimage import kernel_release
from purekernel.formats.partitions import make_id
from purekernel.libraries import load_library
from purekernel.remaster.image import Image
from purekernel.tree import OriginKind
from purekernel.version import __version__

if TYPE_CHECKING:
    from cyclonedx.model.component import Component as Listed

PACKAGE, EXTRA = "cyclonedx-python-lib", "sbom"

SBOM_ENDING = ".cdx.json"

_PROPERTY = "purekernel:origin"


def build_sbom(image: Image) -> bytes:
    """Return the bill of materials of ``image`` as JSON. The same image gives the same bytes.

    Raises:
        LibraryError: the optional package cyclonedx-python-lib is missing.
    """
    model = load_library("cyclonedx.model", package=PACKAGE, extra=EXTRA)
    bom_module = load_library("cyclonedx.model.bom", package=PACKAGE, extra=EXTRA)
    listing = _Listing(image)
    bom = bom_module.Bom()
    time = datetime.fromtimestamp(image.timestamp, tz=UTC)
    bom.metadata = bom_module.BomMetaData(
        timestamp=time, component=listing.image, tools=listing.tools
    )
    listed = {component.origin: listing.listed(component) for component in image.components}
    for each in (*listed.values(), listing.kernel):
        bom.components.add(each)
    bom.register_dependency(listing.image, [*listed.values(), listing.kernel])
    for component in image.components:
        needs = [listed[need] for need in component.needs if need in listed]
        bom.register_dependency(listed[component.origin], needs)
    bom.properties.add(model.Property(name="purekernel:volume-id", value=image.volume.volume_id))
    # A serial number is for one list: it comes from the content, with a number that says nothing.
    bom.serial_number = make_id(b"", "sbom")
    bom.serial_number = make_id(hashlib.sha256(_to_json(bom)).digest(), "sbom")
    return _to_json(bom)


def _to_json(bom: Any) -> bytes:
    text: str = (
        load_library("cyclonedx.output.json", package=PACKAGE, extra=EXTRA)
        .JsonV1Dot6(bom)
        .output_as_string(indent=2)
    )
    return text.encode() + b"\n"


class _Listing:
    """Makes the entries of a list.

    Attributes:
        image: the entry of the image itself.
        kernel: the entry of its kernel.
        tools: what made the list.
    """

    def __init__(self, image: Image) -> None:
        self._model = load_library("cyclonedx.model", package=PACKAGE, extra=EXTRA)
        self._components = load_library("cyclonedx.model.component", package=PACKAGE, extra=EXTRA)
        self._licences = load_library("cyclonedx.model.license", package=PACKAGE, extra=EXTRA)
        self._spdx = load_library("cyclonedx.spdx", package=PACKAGE, extra=EXTRA)
        self._purl = load_library("packageurl", package="packageurl-python", extra=EXTRA)
        kinds = self._components.ComponentType
        self.image: Listed = self._entry(
            kinds.OPERATING_SYSTEM, image.name, image.version or "", ref="image"
        )
        digest = hashlib.sha256(image.kernel).hexdigest()
        release = kernel_release(image.kernel) or ""
        self.kernel: Listed = self._entry(
            kinds.OPERATING_SYSTEM, "linux", release, ref="kernel", sha256=digest,
            purl=self._generic("linux", release, digest),
        )  # fmt: skip
        ours = self._entry(kinds.APPLICATION, "purekernel", __version__)
        tool = load_library("cyclonedx.model.tool", package=PACKAGE, extra=EXTRA)
        self.tools = tool.ToolRepository(components=[ours])

    def listed(self, component: Component) -> Listed:
        """Return the entry of a component."""
        origin, kinds = component.origin, self._components.ComponentType
        kind = {
            OriginKind.BASE: kinds.OPERATING_SYSTEM,
            OriginKind.OVERLAY: kinds.DATA,
            OriginKind.GEM: kinds.LIBRARY,
        }.get(origin.kind, kinds.APPLICATION)
        first = component.files[0] if component.files else None
        version = component.version or origin.version
        entry = self._entry(
            kind,
            origin.name,
            version,
            ref=str(origin),
            sha256="" if first is None else first.sha256,
            purl=self._purl_of(component, version),
        )
        entry.description = component.description or None
        for licence in component.licences:
            entry.licenses.add(self._licence(licence))
        for reference in self._references(component):
            entry.external_references.add(reference)
        entry.properties.add(self._model.Property(name=_PROPERTY, value=origin.kind.value))
        return entry

    def _entry(
        self, kind: Any, name: str, version: str, *, ref: str = "", sha256: str = "",
        purl: Any = None,
    ) -> Listed:  # fmt: skip
        hashes = []
        if sha256:
            algorithm = self._model.HashAlgorithm.SHA_256
            hashes.append(self._model.HashType(alg=algorithm, content=sha256))
        entry: Listed = self._components.Component(
            type=kind, name=name, version=version or None, bom_ref=ref or name, hashes=hashes,
            purl=purl,
        )  # fmt: skip
        return entry

    def _purl_of(self, component: Component, version: str) -> Any:
        """Return the package URL; ``None`` for what is not a package, such as an overlay."""
        origin = component.origin
        if origin.kind is OriginKind.PACKAGE:
            qualifiers = {"arch": component.architecture} if component.architecture else None
            return self._purl.PackageURL("deb", "debian", origin.name, version, qualifiers)
        if origin.kind is OriginKind.GEM:
            return self._purl.PackageURL("gem", None, origin.name, version)
        if origin.kind not in (OriginKind.BASE, OriginKind.EXTENSION) or not component.files:
            return None
        first = component.files[0]
        return self._generic(origin.name, version, first.sha256, first.url)

    def _generic(self, name: str, version: str, sha256: str, url: str = "") -> Any:
        """Return a package URL for what has no type of its own among package URLs."""
        qualifiers = {"checksum": f"sha256:{sha256}"}
        if url:
            qualifiers["download_url"] = url
        namespace = None if name == "linux" else "tinycorelinux"
        return self._purl.PackageURL("generic", namespace, name, version or None, qualifiers)

    def _licence(self, text: str) -> Any:
        """Return a licence: by its SPDX identifier, if the text is one."""
        known = self._spdx.fixup_id(text)
        if known is not None:
            return self._licences.DisjunctiveLicense(id=known)
        return self._licences.DisjunctiveLicense(name=text)

    def _references(self, component: Component) -> Iterator[Any]:
        kinds = self._model.ExternalReferenceType
        for kind, url in (
            *((kinds.DISTRIBUTION, file.url) for file in component.files[:1]),
            (kinds.WEBSITE, component.homepage),
        ):
            if url.startswith(("http://", "https://", "ftp://")) and " " not in url:
                yield self._model.ExternalReference(type=kind, url=self._model.XsUri(url))
