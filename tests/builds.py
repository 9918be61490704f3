"""Build images in tests, with the fields of all three records as flat arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path

from attrs import evolve, field

from purekernel import (
    BootChanges,
    Bundle,
    Context,
    Effort,
    Emit,
    Image,
    Layer,
    Modules,
    Outputs,
    OverlayChoice,
    Recipe,
    build,
    load_bundle,
    sample_bundle,
)
from purekernel.encode.cache import Cache
from purekernel.formats.initramfs import Compression
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.progress import Progress, Silent
from purekernel.recipe.iso_files import IsoChoice
from purekernel.recipe.request import Request, bundle_changes, join_request
from purekernel.records import frozen

# What a build of the sample as a bundle prints on stderr: it has neither Ruby nor dmidecode.
SAMPLE_FINDINGS = (
    "purekernel: note: PK301 error: dependencies/razor-microkernel-overlay.tar.gz: "
    "'/usr/local/bin/rz_mk_init.rb' is run by '/usr/bin/env', which is missing: add an extension "
    "that has it\n"
    "purekernel: note: PK501 warning: dependencies/razor-microkernel-overlay.tar.gz: "
    "'/usr/sbin/dmidecode' leads to '/usr/local/sbin/dmidecode', which is missing: delete the "
    "link, or add its target\n"
)

AnyPath = str | os.PathLike[str]


@frozen(kw_only=True)
class Encoding:
    """How to compress the core: attributes of Outputs and Context."""

    effort: Effort | None = None
    jobs: int | None = None
    nested: bool = True
    modules: Modules = Modules.REDO
    compression: Compression | None = Compression.GZIP
    executor: Executor | None = None
    cache: Cache | None = None

    def outputs(self, kinds: Iterable[Emit | str] | None = None) -> Outputs:
        return Outputs(
            kinds=kinds,
            effort=self.effort,
            nested=self.nested,
            modules=self.modules,
            compression=self.compression,
        )

    def context(self, **settings: object) -> Context:
        return evolve(Context(jobs=self.jobs, executor=self.executor, cache=self.cache), **settings)


@frozen(kw_only=True)
class Options:
    """Settings for the image of a bundle."""

    version: str | None = None
    keep_iso_files: bool = False
    keep_owners: bool = False
    boot: BootChanges = field(factory=BootChanges)
    volume: Mapping[str, str] = field(factory=dict)
    timestamp: int | None = None
    drop_boot: bool = False
    writes_iso: bool = True
    limits: Limits = DEFAULT_LIMITS
    encoding: Encoding = field(factory=Encoding)


def build_image(
    bundle: Bundle, layers: tuple[Layer, ...] = (), *, options: Options | None = None
) -> Image:
    """Build the image of ``bundle`` with ``layers`` on top."""
    options = options or Options()
    changes = Recipe(
        version=options.version,
        timestamp=options.timestamp,
        overlays=tuple(
            OverlayChoice(layer=layer, keep_owners=options.keep_owners) for layer in layers
        ),
        boot=options.boot,
        iso=IsoChoice(**options.volume, keep_files=options.keep_iso_files or None),
        drop_boot=options.drop_boot,
    )
    return build(
        evolve(bundle, changes=changes),
        options.encoding.context(limits=options.limits),
        options.encoding.outputs(None if options.writes_iso else ["core"]),
    )


def make_image(
    bundle: AnyPath | None = None,
    *,
    sample: bool = False,
    request: Request | None = None,
    cache_dir: Path | None = None,
    environment: Mapping[str, str] | None = None,
    iso_version: str | None = None,
    overlays: AnyPath | Iterable[AnyPath] = (),
    keep_iso_files: bool = False,
    keep_owners: bool = False,
    drop_boot: bool = False,
    boot_append: str | None = None,
    boot_timeout: int | None = None,
    timestamp: int | None = None,
    encoding: Encoding | None = None,
    progress: Progress | None = None,
) -> Image:
    """Build an image in memory, as ``purekernel build`` does."""
    if isinstance(overlays, str | os.PathLike):
        overlays = (overlays,)
    request = evolve(
        request or Request(),
        iso_version=iso_version,
        overlays=tuple(map(Path, overlays)),
        keep_owners=keep_owners,
        keep_iso_files=keep_iso_files,
        drop_boot=drop_boot,
        boot=BootChanges(append=boot_append, timeout=boot_timeout),
    )
    encoding = encoding or Encoding()
    context = encoding.context(
        cache_dir=cache_dir,
        environment=environment or {},
        timestamp=timestamp,
        progress=progress or Silent(),
    )
    source: Recipe | Bundle
    if sample:
        source = sample_bundle(changes=bundle_changes(request))
    elif bundle is not None:
        source = load_bundle(bundle, changes=bundle_changes(request))
    else:
        source = join_request(request, context.environment)
    return build(source, context, encoding.outputs())
