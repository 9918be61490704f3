"""Describe packages and containers: the control fields of a .deb and of a gem, an OCI image."""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.analysis.contents import Part
from purekernel.analysis.nested import FORMAT_MEMBER, is_gem
from purekernel.analysis.sections import Section
from purekernel.formats.detect import FileKind
from purekernel.formats.oci import is_oci_layout, read_images
from purekernel.input import Input


def describe_package(part: Part) -> Iterator[Section]:
    """Yield what a Debian package, a gem or an OCI image says about itself.

    Raises:
        FormatError: it is damaged.
    """
    if part.kind is FileKind.AR and FORMAT_MEMBER in part.tree:
        yield from _deb(_plain(part))
    elif part.kind is FileKind.TAR and is_gem(part.tree):
        yield from _gem(_plain(part))
    elif part.kind in (FileKind.TAR, None) and is_oci_layout(part.tree):
        yield from _oci(part)


def _deb(file: Input) -> Iterator[Section]:
    from purekernel.formats.debian import parse_deb  # noqa: PLC0415  # slow to import

    package = parse_deb(file)
    yield Section(
        key="deb",
        title="Debian package",
        facts={
            **package.record.fields.fields,
            "control_files": [_text(name) for name in sorted(package.control)],
        },
    )


def _gem(file: Input) -> Iterator[Section]:
    from purekernel.formats.gem import parse_gem  # noqa: PLC0415  # slow to import

    spec = parse_gem(file).spec
    yield Section(
        key="gem",
        title="Gem",
        facts={
            "name": spec.name,
            "version": str(spec.version),
            "platform": spec.platform,
            "summary": spec.summary,
            "date": spec.date.isoformat(),
            "authors": list(spec.authors),
            "homepage": spec.homepage,
            "licenses": list(spec.licenses),
            "required_ruby": str(spec.required_ruby),
            "dependencies": [f"{each} ({each.kind.value})" for each in spec.dependencies],
        },
    )


def _oci(part: Part) -> Iterator[Section]:
    file = part.plain or Input(b"", name=part.place or "the folder")
    for image in read_images(part.tree, file):
        config = image.config.get("config")
        process = config if isinstance(config, dict) else {}
        yield Section(
            key="oci",
            title=f"OCI image {image.name}".rstrip(),
            facts={
                "name": image.name,
                "digest": image.digest,
                "architecture": image.config.get("architecture"),
                "os": image.config.get("os"),
                "created": image.config.get("created"),
                "entrypoint": process.get("Entrypoint"),
                "command": process.get("Cmd"),
                "environment": process.get("Env"),
                "user": process.get("User"),
                "working_directory": process.get("WorkingDir"),
                "labels": process.get("Labels"),
            },
            rows=[
                {
                    "layer": number,
                    "media_type": layer.media_type,
                    "size_bytes": _size(part, layer.path),
                    "path": _text(layer.path),
                }
                for number, layer in enumerate(image.layers, start=1)
            ],
        )


def _size(part: Part, path: bytes) -> int:
    node = part.tree[path]
    return getattr(node, "size_bytes", 0)


def _plain(part: Part) -> Input:
    assert part.plain is not None  # noqa: S101  # parts of these kinds are files
    return part.plain.strict()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
