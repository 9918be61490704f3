"""Summarize builds, plans and dependencies, as text and for JSON."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from purekernel.analysis.diff.render import Shown, comparison_json, render_short
from purekernel.cli.terminal import escaped
from purekernel.encode.releases import installed_releases
from purekernel.fetch.urls import redact
from purekernel.formats import extension_info
from purekernel.host.write import STDOUT
from purekernel.tree import Device, Directory, Fifo, File, Socket, Symlink, content_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from purekernel.fetch.model import Download
    from purekernel.host.write import Output, Replaced
    from purekernel.plan import Plan
    from purekernel.plan.fetch_plan import Gathered
    from purekernel.plan.lookup import Description, FoundDependents, FoundExtension
    from purekernel.remaster.image import Image
    from purekernel.repos.tinycore import ExtensionGraph

# The keys of an extension in JSON that are fields of its .info.
INFO_KEYS = {
    "title": extension_info.TITLE,
    "description": extension_info.DESCRIPTION,
    "version": extension_info.VERSION,
    "licence": extension_info.LICENCE,
    "author": extension_info.AUTHOR,
    "site": extension_info.SITE,
    "extension_by": extension_info.PACKAGER,
    "tags": extension_info.TAGS,
    "comments": extension_info.COMMENTS,
}

_COUNTED = {
    File: "files",
    Directory: "folders",
    Symlink: "symbolic_links",
    Device: "devices",
    Fifo: "fifos",
    Socket: "sockets",
}


# What changed against a replaced file is a short form, in JSON too.
_SHORT = Shown(changes=50, has_details=False)


def summarize(
    image: Image, outputs: Sequence[Output], seconds: dict[str, float], total_seconds: float
) -> dict[str, object]:
    """Return the summary that ``--json`` prints; docs/json.md explains each key."""
    counts = Counter(dict.fromkeys(_COUNTED.values(), 0))
    for _path, node in image.root.walk():
        counts[_COUNTED[type(node)]] += 1
    counts["hard_links"] = sum(len(names) - 1 for names in image.root.hard_links().values())
    return {
        "name": image.name,
        "version": image.version,
        "flavour": image.flavour.value if image.flavour else None,
        "generation": image.generation.value if image.generation else None,
        "volume_id": image.volume.volume_id,
        "timestamp": image.timestamp,
        "outputs": [
            {**_output(output), "changes": _changes_of(image, output)} for output in outputs
        ],
        "checksums": None if image.checksums is None else str(image.checksums),
        "core": {
            "bytes": len(image.core),
            "sha256": hashlib.sha256(image.core).hexdigest(),
            "cpio_bytes": image.cpio_bytes,
            "unpacked_bytes": content_bytes(image.root),
            "unpacked_modules_bytes": image.unpacked_modules_bytes,
            "unpacked_modules_saved_bytes": image.unpacked_modules_saved_bytes,
            "counts": dict(counts),
        },
        "kernel": {
            "bytes": len(image.kernel),
            "sha256": hashlib.sha256(image.kernel).hexdigest(),
        },
        "findings": [finding.json() for finding in image.findings],
        "releases": installed_releases(),
        "seconds": {
            **{words: round(taken, 4) for words, taken in seconds.items()},
            "total": round(total_seconds, 4),
        },
    }


def summarize_bundle(
    gathered: Gathered, outputs: Sequence[Output], seconds: dict[str, float]
) -> dict[str, object]:
    """Return the summary that ``bundle --json`` prints; docs/json.md explains each key."""
    plan = gathered.plan
    return {
        "flavour": plan.flavour.value if plan.flavour else None,
        "generation": _generation(plan),
        "outputs": [_output(output) for output in outputs],
        "inputs": describe_inputs(gathered),
        "onboot": list(plan.extensions.builtin),
        "releases": installed_releases(),
        "seconds": {words: round(taken, 4) for words, taken in seconds.items()},
    }


def describe_inputs(gathered: Gathered) -> list[dict[str, object]]:
    """Return the JSON of the files that were fetched."""
    return [
        {
            "name": fetched.name,
            "url": fetched.url,
            "bytes": fetched.size_bytes,
            "sha256": fetched.sha256,
        }
        for fetched in gathered.fetched.values()
        if fetched is not None
    ]


def describe_graph(graph: ExtensionGraph, sizes: Mapping[str, int]) -> dict[str, object]:
    """Return the JSON of dependencies."""
    return {
        "roots": list(graph.roots),
        "extensions": [
            {"name": name, "bytes": sizes.get(name), "needs": list(graph.needs.get(name, ()))}
            for name in sorted(graph.extensions)
        ],
        "missing": sorted(missing.name for missing in graph.missing),
        "loops": [list(edge) for edge in graph.loops],
    }


def describe_dependents(found: FoundDependents) -> dict[str, object]:
    """Return the JSON of what depends on extensions."""
    missing = set(found.missing)
    return {
        "roots": list(found.dependents.roots),
        "extensions": [
            {"name": name, "bytes": found.sizes.get(name), "needed_by": list(names)}
            for name, names in sorted(found.dependents.needed_by.items())
            if name not in missing or names
        ],
        "missing": sorted(missing),
        "loops": [[end, start] for start, end in found.dependents.loops],
    }


def describe_found(found: FoundExtension) -> dict[str, object]:
    """Return the JSON of an extension that a search found."""
    return {
        "name": found.name,
        "bytes": found.size_bytes,
        "text": found.text or None,
        "files": list(found.files),
    }


def describe_extension(described: Description) -> dict[str, object]:
    """Return the JSON of what is known of an extension."""
    extension, info = described.extension, described.info
    return {
        "name": extension.name,
        "url": redact(extension.file.urls[0]) if extension.file.urls else None,
        "bytes": described.size_bytes,
        "md5": extension.file.md5,
        **{
            key: (info.value(field) or None) if info is not None else None
            for key, field in INFO_KEYS.items()
        },
        "info": None if info is None else [list(field) for field in info.fields],
        "needs": list(extension.dependencies),
        "all_needs": list(described.all_dependencies),
        "missing": list(described.missing),
        "total_bytes": described.total_bytes,
        "needed_by": _list_or_none(described.needed_by),
        "all_needed_by": _list_or_none(described.all_needed_by),
        "files": _list_or_none(described.files),
    }


def _list_or_none(values: Iterable[object] | None) -> list[object] | None:
    return None if values is None else list(values)


def summarize_plan(
    plan: Plan, sizes: Mapping[Download, int | None], writes: Iterable[str]
) -> dict[str, object]:
    """Return what ``--dry-run --json`` prints; docs/json.md explains each key."""
    return {
        "flavour": plan.flavour.value if plan.flavour else None,
        "generation": _generation(plan),
        "inputs": [
            {
                "name": download.name,
                "urls": [redact(url) for url in download.urls],
                "bytes": sizes.get(download),
                "sha256": download.sha256,
                "md5": download.md5,
                "optional": download.optional,
            }
            for download in plan.downloads()
        ],
        "onboot": list(plan.extensions.builtin),
        "cde": list(plan.extensions.cde),
        "tce": list(plan.extensions.tce),
        "writes": list(writes),
    }


def _output(output: Output) -> dict[str, object]:
    replaced = output.replaced
    return {
        "path": str(output.path),
        "bytes": output.size_bytes,
        "sha256": output.sha256,
        "replaced": replaced and {"bytes": replaced.size_bytes, "sha256": replaced.sha256},
    }


def _changes_of(image: Image, output: Output) -> dict[str, object] | None:
    """Return the JSON of what changed against the file that an output replaced."""
    for each in image.changes:
        if each.path == output.path:
            found = each.comparison
            document = {} if found is None else comparison_json(found, _SHORT)
            return {"reason": each.reason or None, **document}
    return None


def _change_lines(image: Image | None, output: Output) -> Iterator[str]:
    for each in () if image is None else image.changes:
        if each.path == output.path:
            if each.comparison is not None:
                yield from (f"    {line}" for line in render_short(each.comparison))
            if each.reason:
                yield f"    not compared as a whole: {escaped(each.reason)}"


def render_text(outputs: Sequence[Output], image: Image | None = None) -> list[str]:
    """Return the lines for each output: path and size in MB, SHA-256, and what it replaced.

    If the image has unpacked kernel modules, a last line gives their effect on disc and memory.
    """
    lines = []
    for output in outputs:
        path = "stdout" if output.path == STDOUT else output.path
        lines.append(f"{path}  {output.size_bytes / 1e6:.2f} MB")
        lines.append(f"  sha256:{output.sha256}")
        if output.replaced is not None:
            lines.append(f"  replaced {_describe(output.replaced, new=output.sha256)}")
            lines += _change_lines(image, output)
    if image is not None and image.checksums is not None:
        lines.append(f"{image.checksums}  checksums, for sha256sum -c")
    if image is not None and image.unpacked_modules_bytes:
        saved_bytes = image.unpacked_modules_saved_bytes
        lines.append(
            f"kernel modules unpacked: core {abs(saved_bytes) / 1e6:.2f} MB "
            f"{'smaller' if saved_bytes >= 0 else 'larger'}, "
            f"{image.unpacked_modules_bytes / 1e6:.2f} MB more memory after boot"
        )
    return lines


def _describe(replaced: Replaced, *, new: str) -> str:
    if replaced.size_bytes is None:
        return "a link or another special file"
    if replaced.sha256 is None:
        return "a file that could not be read"
    if replaced.sha256 == new:
        return "a file with the same content"
    return f"sha256:{replaced.sha256}"


def _generation(plan: Plan) -> str | None:
    generation = plan.conventions.generation
    return None if generation is None else generation.value
