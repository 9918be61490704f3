"""Write how an image was made: an in-toto statement with SLSA provenance.

Source: the in-toto attestation framework, "Statement" v1; SLSA 1.0, "Provenance".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from purekernel.analysis.components import SourceFile
from purekernel.encode.releases import installed_releases
from purekernel.host.write import Output
from purekernel.remaster.image import Image

PROVENANCE_ENDING = ".provenance.json"

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"

# docs/supply-chain.md describes them. A URN names a thing without a server that could answer.
BUILD_TYPE = "urn:purekernel:build:1"
BUILDER = "urn:purekernel:builder"


def build_provenance(image: Image, outputs: Iterable[Output], folder: Path) -> bytes:
    """Return the statement about ``outputs``, as JSON. The same image gives the same bytes.

    Args:
        image: the image.
        outputs: the files that were written.
        folder: the folder that their names begin in.
    """
    subjects = [
        {
            "name": output.path.relative_to(folder).as_posix(),
            "digest": {"sha256": output.sha256},
        }
        for output in outputs
    ]
    files = dict.fromkeys(file for component in image.components for file in component.files)
    releases = installed_releases()
    version = {"purekernel": releases["purekernel"]}
    document = {
        "_type": STATEMENT,
        "subject": sorted(subjects, key=lambda subject: str(subject["name"])),
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _parameters(image),
                "internalParameters": {"releases": releases},
                "resolvedDependencies": [*map(_dependency, files)],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": version}},
        },
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _parameters(image: Image) -> dict[str, Any]:
    """Return what the user chose, as far as it is public."""
    flavour = None if image.flavour is None else image.flavour.value
    chosen = {
        "name": image.name,
        "version": image.version,
        "flavour": flavour,
        "outputs": [kind.value for kind in image.kinds],
        "layout": image.layout.value,
        "effort": image.effort.value,
        "timestamp": image.timestamp,
    }
    return {key: value for key, value in chosen.items() if value is not None}


def _dependency(file: SourceFile) -> dict[str, Any]:
    """Return the resource descriptor of a file that the build read."""
    place = {"uri": file.url} if file.url else {}
    return {"name": file.name, **place, "digest": {"sha256": file.sha256}}
