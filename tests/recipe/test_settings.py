from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import CombinedError, PurekernelError, RecipeError
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.settings import (
    MAX_ERRORS,
    NAMES,
    Settings,
    parse_settings,
    settings_from_environment,
)

EXAMPLE = """\
# a comment
MK_BUNDLE_BUILTIN_LIST=lists/builtin.lst
export MK_BUNDLE_MIRROR_LIST="lists/mirror list.lst"

MK_BUNDLE_TC_PASSWD='hemlig #1'
MK_BUNDLE_TYPE=prod
MK_BUNDLE_TCL_MIRROR_URI=http://mirror.example/4.x/x86/tcz
MK_BUNDLE_TCL_ISO_URL=http://mirror.example/Core.iso?a=1&b=2
MK_BUNDLE_RUBY_GEMS_URL=http://mirror.example/rubygems.tgz
MK_BUNDLE_OPEN_VM_TOOLS_URL=http://mirror.example/tools.tar.gz
MK_BUNDLE_MCOLLECTIVE_URL=http://mirror.example/mcollective-2.0.0.tgz
MK_BUNDLE_GEM_SERVER_URI=http://user:hemlig@gems.example:8808/
MK_BUNDLE_DEB_MIRROR_URL=http://debian.example/debian
MK_BUNDLE_RE_USE_PREV_DL=yes
"""


def parse(text: str) -> Settings:
    return parse_settings(text.encode(), source="bundle.cfg")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_every_setting_is_read(ends: str) -> None:
    settings = parse(EXAMPLE.replace("\n", ends))
    assert settings == Settings(
        builtin_list="lists/builtin.lst",
        mirror_list="lists/mirror list.lst",
        tc_passwd="hemlig #1",
        type=Flavour.PROD,
        tcl_mirror_uri="http://mirror.example/4.x/x86/tcz",
        tcl_iso_url="http://mirror.example/Core.iso?a=1&b=2",
        ruby_gems_url="http://mirror.example/rubygems.tgz",
        open_vm_tools_url="http://mirror.example/tools.tar.gz",
        mcollective_url="http://mirror.example/mcollective-2.0.0.tgz",
        gem_server_uri="http://user:hemlig@gems.example:8808/",
        deb_mirror_url="http://debian.example/debian",
        re_use_prev_dl=True,
    )
    assert settings.warnings == ()
    assert settings.places["builtin_list"] == "bundle.cfg, line 2"
    assert settings.places["re_use_prev_dl"] == "bundle.cfg, line 14"
    assert len(settings.places) == len(NAMES) == 12


def test_password_is_not_in_repr() -> None:
    settings = parse(EXAMPLE)
    assert "hemlig" not in repr(settings)
    assert "'http://…@gems.example:8808/'" in repr(settings)


@pytest.mark.parametrize("text", ["", "\n# x\n", "MK_BUNDLE_TYPE=\n", 'MK_BUNDLE_TC_PASSWD=""'])
def test_empty_value_is_not_set(text: str) -> None:
    assert parse(text) == Settings()
    assert parse(text).places == {}


def test_shell_syntax_is_not_evaluated_and_gives_warning() -> None:
    settings = parse(
        "MK_BUNDLE_TC_PASSWD=pa$$word\n"
        'MK_BUNDLE_BUILTIN_LIST="$HOME/list"\n'
        "MK_BUNDLE_MIRROR_LIST='$HOME/list'\n"
        "MK_BUNDLE_TCL_ISO_URL=`reboot`\n"
        "MK_BUNDLE_GEM_SERVER_URI=$(reboot) # now\n"
    )
    assert settings.tc_passwd == "pa$$word"
    assert settings.builtin_list == settings.mirror_list == "$HOME/list"
    assert settings.tcl_iso_url == "`reboot`"
    assert settings.gem_server_uri == "$(reboot) # now"
    literal = "is used as written; the original scripts evaluate it as a shell does"
    assert settings.warnings == (
        f"bundle.cfg, line 1: MK_BUNDLE_TC_PASSWD {literal}",
        f"bundle.cfg, line 2: MK_BUNDLE_BUILTIN_LIST {literal}",
        f"bundle.cfg, line 4: MK_BUNDLE_TCL_ISO_URL {literal}",
        f"bundle.cfg, line 5: MK_BUNDLE_GEM_SERVER_URI {literal}",
        "bundle.cfg, line 5: '#' is part of the value of MK_BUNDLE_GEM_SERVER_URI, not a comment",
    )


def test_last_value_of_a_repeated_name_is_used() -> None:
    settings = parse("MK_BUNDLE_TYPE=dev\nMK_BUNDLE_TYPE=debug\n")
    assert settings.type is Flavour.DEBUG
    assert settings.places == {"type": "bundle.cfg, line 2"}
    assert settings.warnings == (
        "bundle.cfg, line 2: MK_BUNDLE_TYPE is set more than once; the last value is used",
    )
    assert parse("MK_BUNDLE_TYPE=dev\nMK_BUNDLE_TYPE=\n") == Settings()


def test_all_errors_are_reported_without_values() -> None:
    with pytest.raises(CombinedError) as caught:
        parse(
            "MK_BUNDLE_TPYE=hemlig\n"
            "TC_PASSWD=hemlig\n"
            "PATH=hemlig\n"
            "hemlig\n"
            "MK_BUNDLE_TC_PASSWD= hemlig\n"
            "MK_BUNDLE_TC_PASSWD='hemlig\n"
            "MK_BUNDLE_TC_PASSWD=hem\0lig\n"
            "MK_BUNDLE_TYPE=prdo\n"
            "MK_BUNDLE_RE_USE_PREV_DL=No\n"
            "MK_BUNDLE_RE_USE_PREV_DL=1\n"
        )
    assert [(str(error), error.hint) for error in caught.value.errors] == [
        (
            ("bundle.cfg, line 1: unknown setting 'MK_BUNDLE_TPYE'; did you mean MK_BUNDLE_TYPE?"),
            "write MK_BUNDLE_TYPE",
        ),
        (
            ("bundle.cfg, line 2: unknown setting 'TC_PASSWD'; did you mean MK_BUNDLE_TC_PASSWD?"),
            "write MK_BUNDLE_TC_PASSWD",
        ),
        ("bundle.cfg, line 3: unknown setting 'PATH'", f"use one of {', '.join(NAMES)}"),
        (
            "bundle.cfg, line 4: expected a name, '=' and a value",
            "write NAME=value, or start the line with '#'",
        ),
        (
            "bundle.cfg, line 5: there must be no blanks around the '=' of MK_BUNDLE_TC_PASSWD",
            "remove the blanks, or quote the value",
        ),
        (
            "bundle.cfg, line 6: the value of MK_BUNDLE_TC_PASSWD must end with its closing quote",
            "put the whole value in single or double quotes that it does not contain",
        ),
        (
            (
                "bundle.cfg, line 7: MK_BUNDLE_TC_PASSWD must be text on one line, "
                "of at most 4096 characters"
            ),
            "correct the value",
        ),
        (
            (
                'bundle.cfg, line 8: MK_BUNDLE_TYPE must be dev, prod or debug, got "prdo"; '
                "did you mean prod?"
            ),
            "write MK_BUNDLE_TYPE=prod",
        ),
        (
            (
                'bundle.cfg, line 9: MK_BUNDLE_RE_USE_PREV_DL must be yes or no, got "No"; '
                "did you mean no?"
            ),
            "write MK_BUNDLE_RE_USE_PREV_DL=no",
        ),
        (
            'bundle.cfg, line 10: MK_BUNDLE_RE_USE_PREV_DL must be yes or no, got "1"',
            "write MK_BUNDLE_RE_USE_PREV_DL=yes",
        ),
    ]


def test_number_of_errors_is_limited() -> None:
    with pytest.raises(CombinedError) as caught:
        parse("x\n" * 400_000)
    assert len(caught.value.errors) == MAX_ERRORS


def test_file_that_is_not_utf8_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"^bundle\.cfg, line 2: the byte 0xff is not UTF-8$"):
        parse_settings(b"\nMK_BUNDLE_TC_PASSWD=\xff", source="bundle.cfg")
    with pytest.raises(RecipeError, match=r"^bundle\.cfg: a text file must be UTF-8, got UTF-16$"):
        parse_settings("x".encode("utf-16"), source="bundle.cfg")


def test_unknown_name_in_environment_gives_warning() -> None:
    settings = settings_from_environment(
        {
            "PATH": "/bin",
            "MK_BUNDLE_TYPE": "debug",
            "MK_BUNDLE_TC_PASSWD": "$x `y` #z",
            "MK_BUNDLE_MIRROR_LIST": "",
            "MK_BUNDLE_TYP": "dev",
            "MK_BUNDLE_ZZZZZZZZ": "1",
        }
    )
    assert settings == Settings(type=Flavour.DEBUG, tc_passwd="$x `y` #z")
    assert settings.places == {"type": "the environment", "tc_passwd": "the environment"}
    assert settings.warnings == (
        ("the environment: ignored unknown setting 'MK_BUNDLE_TYP'; did you mean MK_BUNDLE_TYPE?"),
        "the environment: ignored unknown setting 'MK_BUNDLE_ZZZZZZZZ'",
    )
    assert settings_from_environment({}) == Settings()


def test_invalid_value_in_environment_is_an_error() -> None:
    with pytest.raises(RecipeError) as caught:
        settings_from_environment({"MK_BUNDLE_TYPE": "x"})
    assert str(caught.value) == (
        'the environment: MK_BUNDLE_TYPE must be dev, prod or debug, got "x"'
    )


LINES = st.builds(
    "{}{}={}".format,
    st.sampled_from(["", "export ", " "]),
    st.sampled_from(NAMES),
    st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20),
)


@pytest.mark.slow
@given(st.lists(LINES, max_size=4).map("\n".join) | st.text(max_size=40))
def test_random_text_gives_settings_or_an_error(text: str) -> None:
    try:
        settings = parse_settings(text.encode("utf-8", "surrogatepass"), source="x")
    except PurekernelError:
        return
    for name in settings.places:
        value = getattr(settings, name)
        assert not isinstance(value, str) or value in text
