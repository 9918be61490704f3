"""Describe the tables that change files of the image: remove, file, edit, link, attributes.

They apply to the complete root file system, in this order, and each table in the order of the
recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import field

from purekernel.recipe.keys import Named, Placed, key
from purekernel.recipe.kinds import FLAG, PATH, Array, Choice, Text, Whole
from purekernel.records import frozen

if TYPE_CHECKING:
    from purekernel.recipe.model import Recipe

# The limit of purekernel.rootfs.expressions, which only an edit needs.
MAX_EXPRESSION = 1000

_OCTAL = "[0-7]{3,4}"
_SYMBOLIC = "[ugoa]*[+=-][rwxXst]*(,[ugoa]*[+=-][rwxXst]*)*"
_OWNER = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}"

# Neither the root itself, nor control characters.
_TREE_PATH = r"^(?!(\.?/)*\.?$)(?!(.*/)?\.\.(/|$))[^\u0000-\u001f\u007f]+$"

TREE_PATH = Text(
    pattern=_TREE_PATH,
    max_length=2048,
    words="a path in the image, without '..'",
    definition="tree-path",
)
GLOB = Text(
    pattern=_TREE_PATH,
    max_length=2048,
    words="a path in the image, without '..'; *, ?, [...] and ** match as in a shell",
    definition="glob",
)
GLOBS = Array(item=GLOB, min_items=1, definition="globs")
TARGET = Text(
    pattern=r"^[^\u0000-\u001f\u007f]+$",
    max_length=2048,
    words="the target of a link",
)
LINES = Text(
    pattern=r"^[^\u0000]+$", max_length=1 << 20, words="text, not empty", definition="lines"
)
CONTENT = Text(pattern=r"^[^\u0000]*$", max_length=1 << 20, words="text")
MODE = Text(
    pattern=f"^({_OCTAL}|{_SYMBOLIC})$",
    max_length=200,
    words='a mode such as "0755", or as for chmod: "u=rwX,go=rX"',
    definition="mode",
)
OWNER_TEXT = Text(
    pattern=f"^({_OWNER}(:{_OWNER})?|:{_OWNER})$",
    words='a user, a user and a group, or a group, by name or number: "tc", "tc:staff", ":50"',
    definition="owner",
)
SETTING = Text(
    pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*=[^\u0000-\u001f\u007f]*$",
    max_length=4096,
    words='a setting such as "KEY=value"',
)
MISSING = Choice(choices=("ok",))


def _named(items: Iterable[str | Named]) -> tuple[Named, ...]:
    """Return ``items`` as names, which those of a recipe are already."""
    return tuple(item if isinstance(item, Named) else Named(name=item, place="") for item in items)


@frozen(kw_only=True)
class Removal(Placed):
    """Paths to remove from the image."""

    paths: tuple[Named, ...] = field(
        converter=_named,
        metadata=key(
            "Paths",
            "Paths and patterns of what to remove. A folder is removed with its content. A link "
            "is removed, not its target.",
            GLOBS,
            ["usr/share/doc", "usr/local/share/man/**/*.gz"],
            named=True,
        ),
    )
    missing: str | None = field(
        default=None,
        metadata=key(
            "Missing paths",
            '"ok" allows paths that match nothing. Otherwise they are an error.',
            MISSING,
            "ok",
        ),
    )


@frozen(kw_only=True)
class FileChange(Placed):
    """A file to write into the image, with a text or the content of a file on the host."""

    path: str = field(
        metadata=key(
            "Path",
            "Path of the file in the image. Missing folders are created. An existing file is "
            "replaced; so is a link, not its target.",
            TREE_PATH,
            "etc/motd",
        )
    )
    text: str | None = field(
        default=None,
        metadata=key(
            "Text",
            "The content, in UTF-8. TOML's triple quotes hold several lines.",
            CONTENT,
            "Welcome.\n",
        ),
    )
    source: str | None = field(
        default=None,
        metadata=key(
            "Source", "A file with the content, relative to the recipe's folder.", PATH, "motd"
        ),
    )
    mode: str | None = field(
        default=None,
        metadata=key(
            "Mode",
            "Permissions, in octal digits or as for chmod. If not given, an existing file keeps "
            "its own, and a new one gets 0644.",
            MODE,
            "0755",
        ),
    )
    owner: str | None = field(
        default=None,
        metadata=key(
            "Owner",
            "User and group, by name or number. If not given, an existing file keeps its own, and "
            "a new one belongs to root, or in a home to its user.",
            OWNER_TEXT,
            "tc:staff",
        ),
    )


@frozen(kw_only=True)
class EditChange(Placed):
    """A change to the text of files."""

    paths: tuple[Named, ...] = field(
        converter=_named,
        metadata=key(
            "Paths",
            "Paths and patterns of the files to edit. Links are followed.",
            GLOBS,
            ["etc/inittab"],
            named=True,
        ),
    )
    append: str | None = field(
        default=None,
        metadata=key(
            "Append",
            "Lines to add at the end. The last one needs no line feed.",
            LINES,
            "ttyS0",
        ),
    )
    prepend: str | None = field(
        default=None,
        metadata=key("Prepend", "Lines to add at the start.", LINES, "# changed"),
    )
    find: str | None = field(
        default=None,
        metadata=key(
            "Text to find", "Text to replace, which may have several lines.", LINES, "timeout 300"
        ),
    )
    regex: str | None = field(
        default=None,
        metadata=key(
            "Regular expression to find",
            "Regular expression for the text to replace. ^ and $ match at each line.",
            Text(
                pattern=r"^[^\u0000]+$",
                max_length=MAX_EXPRESSION,
                words=f"a regular expression of at most {MAX_EXPRESSION} characters",
            ),
            "^#?Port .*$",
        ),
    )
    replace: str | None = field(
        default=None,
        metadata=key(
            "Replacement",
            r"Text to put in place of what find or regex finds. With regex, \1 is the first group "
            r"and \0 the whole match.",
            CONTENT,
            "Port 2222",
        ),
    )
    set: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Set",
            "Settings to change, or to append where no line sets the key. The value is written as "
            "it is, with its quotes.",
            Array(item=SETTING, min_items=1),
            ["TZ=UTC"],
        ),
    )
    count: int | None = field(
        default=None,
        metadata=key(
            "Count",
            "How often each file must have what is replaced. If not given, once.",
            Whole(minimum=1, maximum=1_000_000, words="a whole number from 1 to 1000000"),
            2,
        ),
    )
    every: bool = field(
        default=False,
        metadata=key(
            "Every occurrence",
            "Whether to replace any number of occurrences, at least one in all files together.",
            FLAG,
            True,
        ),
    )
    missing: str | None = field(
        default=None,
        metadata=key(
            "Missing paths or text",
            '"ok" allows paths that match nothing, and files without what is replaced. Otherwise '
            "they are an error.",
            MISSING,
            "ok",
        ),
    )


@frozen(kw_only=True)
class LinkChange(Placed):
    """A link to add to the image, or a link for each of several paths."""

    target: str = field(
        metadata=key(
            "Target",
            "What the link points to. With into, a pattern: each path that it matches gets a link "
            "of the same name.",
            TARGET,
            "/usr/local/bin/*",
        )
    )
    path: str | None = field(
        default=None,
        metadata=key(
            "Path",
            "Path of the link in the image. Missing folders are created.",
            TREE_PATH,
            "usr/sbin/dmidecode",
        ),
    )
    into: str | None = field(
        default=None,
        metadata=key("Folder", "Folder in the image for the links.", TREE_PATH, "usr/bin"),
    )
    hard: bool = field(
        default=False,
        metadata=key("Hard link", "Whether to make hard links.", FLAG, True),
    )
    existing: str = field(
        default="error",
        metadata=key(
            "Existing names",
            'What happens where a name exists that is not the same link: "error", "keep" or '
            '"replace". Folders are never replaced.',
            Choice(choices=("error", "keep", "replace")),
            "keep",
        ),
    )
    missing: str | None = field(
        default=None,
        metadata=key(
            "Missing targets",
            '"ok" allows a pattern that matches nothing. Otherwise it is an error.',
            MISSING,
            "ok",
        ),
    )


@frozen(kw_only=True)
class AttributeChange(Placed):
    """Owner and mode of files and folders."""

    paths: tuple[Named, ...] = field(
        converter=_named,
        metadata=key(
            "Paths",
            "Paths and patterns of files and folders. Links are not followed.",
            GLOBS,
            ["usr/local/bin/*"],
            named=True,
        ),
    )
    mode: str | None = field(
        default=None,
        metadata=key(
            "Mode",
            "Permissions, in octal digits or as for chmod: X is x for folders and for files that "
            "someone may execute.",
            MODE,
            "u=rwX,go=rX",
        ),
    )
    folder_mode: str | None = field(
        default=None,
        metadata=key(
            "Mode of folders", "Permissions of folders, in place of those in mode.", MODE, "0755"
        ),
    )
    owner: str | None = field(
        default=None,
        metadata=key(
            "Owner",
            "User and group, by number, or by name in the image's etc/passwd and etc/group.",
            OWNER_TEXT,
            "root:staff",
        ),
    )
    missing: str | None = field(
        default=None,
        metadata=key(
            "Missing paths",
            '"ok" allows paths that match nothing. Otherwise they are an error.',
            MISSING,
            "ok",
        ),
    )


# The keys of an edit that say what to do; it has one of them.
OPERATIONS = ("append", "prepend", "find", "regex", "set")


def operation_of(edit: EditChange) -> str:
    """Return the key that says what ``edit`` does."""
    return next(key for key in OPERATIONS if getattr(edit, key) not in (None, ()))


def describe_changes(recipe: Recipe) -> Iterator[str]:
    """Yield a line for each change, in the order in which they apply."""
    for removal in recipe.removals:
        yield f"remove {_listed(removal.paths)}"
    for file in recipe.files:
        source = "" if file.source is None else f" from {file.source}"
        yield f"write {file.path}{source}"
    for edit in recipe.edits:
        yield f"edit {_listed(edit.paths)}: {operation_of(edit)}"
    for link in recipe.links:
        place = link.path if link.into is None else f"{link.into}/"
        kind = "hard link" if link.hard else "link"
        yield f"{kind} {place} to {link.target}"
    for change in recipe.attributes:
        set_to = (
            f"{word} {value}"
            for word, value in (
                ("mode", change.mode),
                ("mode of folders", change.folder_mode),
                ("owner", change.owner),
            )
            if value is not None
        )
        yield f"set {_listed(change.paths)}: {', '.join(set_to)}"


def _listed(paths: Iterable[Named]) -> str:
    return ", ".join(path.name for path in paths)
