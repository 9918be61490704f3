"""Make the root file system of an image: merge its layers, and run its passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from purekernel.errors import BundleError, PurekernelError, inside, raise_all
from purekernel.formats.bzimage import kernel_release
from purekernel.progress import Progress
from purekernel.recipe.composition import Composition
from purekernel.recipe.flavour import InitrdLayout
from purekernel.remaster.initrds import changed_paths
from purekernel.remaster.origins import OriginTracker, generated
from purekernel.rootfs.modules import kernel_releases
from purekernel.rootfs.passes import finishing_passes
from purekernel.tree import (
    Layer,
    Metadata,
    Pass,
    Tree,
    clamp_times,
    date_implied,
    display,
    merge,
    put_file,
)
from purekernel.tree.origin import origin_of_pass


def change_root(
    composition: Composition,
    metadata: Metadata,
    progress: Progress,
    notes: list[str],
    origins: OriginTracker,
) -> Tree:
    """Return the root file system with all layers and after the recipe's passes.

    Args:
        composition: what the image is made of.
        metadata: the metadata of added files.
        progress: receives the steps.
        notes: receives notes for the user.
        origins: follows where the files come from.

    Raises:
        PurekernelError: two layers contradict each other, or a pass failed. Several failures of
            passes are raised together.
    """
    with progress.step("merging"):
        root = _merge_root(composition, origins)
        root = date_implied(root, metadata.mtime)  # a copy, so that files can be added
        for path, content in composition.root_files.items():
            put_file(root, path, content, metadata=metadata)
        origins.follow(root, generated("version of the image"))

    def check(tree: Tree) -> Tree:
        notes.extend(_check_kernel(tree, composition))
        return tree

    def follow(tree: Tree, words: str, run: Pass) -> None:
        origins.follow(tree, origin_of_pass(words, run), owns_metadata=True)

    passes = (*composition.passes, ("check the kernel", check))
    return _run_passes(root, passes, progress, follow)


def finish_root(
    root: Tree,
    composition: Composition,
    progress: Progress,
    notes: list[str],
    *,
    origins: OriginTracker,
    timestamp: int,
) -> Tree:
    """Return the root file system after the passes that every build runs.

    A second initrd has only what the changes concern. The arguments are those of
    :func:`change_root`; ``timestamp`` is the newest time, in seconds since 1970, UTC.
    """
    is_second = composition.recipe.core.layout is InitrdLayout.SECOND
    changed = changed_paths(composition.base.initramfs.tree, root) if is_second else None
    passes = finishing_passes(mtime=timestamp, note=notes.append, changed=changed)
    root = _run_passes(
        root, passes, progress, lambda tree, words, _run: origins.follow(tree, generated(words))
    )
    return clamp_times(root, timestamp)


def _run_passes(
    root: Tree,
    passes: Iterable[tuple[str, Pass]],
    progress: Progress,
    follow: Callable[[Tree, str, Pass], None],
) -> Tree:
    """Return the tree after all passes. One that fails changes nothing.

    Args:
        root: the tree before the first pass.
        passes: the passes, each with its description for the user.
        progress: receives them.
        follow: called with the tree after each pass, its description, and the pass.

    Raises:
        PurekernelError: a pass failed. Several failures are raised together.
    """
    errors: list[PurekernelError] = []
    for words, run in passes:
        with progress.step(words):
            try:
                root = run(root)
            except PurekernelError as error:
                errors.append(error)
            else:
                follow(root, words, run)
    raise_all(errors)
    return root


def _merge_root(composition: Composition, origins: OriginTracker) -> Tree:
    core = root = composition.base.root
    sources = composition.sources
    origins.follow(root, generated("merged extensions"), sources=sources)

    def lay_over(root: Tree, layer: Layer, kept: Tree | None = None) -> Tree:
        with inside(layer.source):
            root = merge(root, layer.tree, stated=layer.stated, kept=kept)
        if layer.origin is None:
            origins.follow(root, generated("lists and indexes"), sources=sources)
        else:
            origins.follow(root, layer.origin, owns_metadata=True)
        return root

    with inside(composition.source):
        for part in composition.parts:
            # Core's own folders keep their metadata; among a bundle's parts the last wins.
            root = lay_over(root, part, core)
    for layer in composition.layers:
        root = lay_over(root, layer)
    return root


def _check_kernel(root: Tree, composition: Composition) -> Iterator[str]:
    """Refuse a kernel of the user's own if the image has modules, but none for its release.

    Yields:
        A note if the image has no modules at all.
    """
    recipe = composition.recipe
    if recipe.core.kernel is None:
        return
    release = kernel_release(composition.base.kernel.content)
    found = [each.decode("ascii", "replace") for each in kernel_releases(root)]
    if release is None or release in found:
        return
    if not found:
        yield f"the image has no modules for its kernel, {release}"
        return
    raise BundleError(
        f"{display(composition.base.kernel_path)}: the image has no modules for this kernel: must "
        f"have lib/modules/{release}, got {', '.join(found)}",
        hint="add its modules, by an initrd or an overlay, or use the kernel that the modules are "
        "for",
    ).within(recipe.core.place("kernel"))
