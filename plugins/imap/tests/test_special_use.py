"""Which mailbox is for what."""

from __future__ import annotations

import pytest

from gateway_imap.special_use import ATTRIBUTES, NAMES, Listed, assign_uses


def box(path: str, *attributes: str, selectable: bool = True) -> Listed:
    """A mailbox with / between the levels."""
    parent, _, name = path.rpartition("/")
    return Listed(path, name, parent, frozenset(attributes), selectable)


def test_owner_beats_server_beats_name() -> None:
    """What a person has fixed is right; what a server says is better than a guess."""
    listed = [box("Sent", "\\sent"), box("Gesendet"), box("My Sent"), box("Trash")]
    assert assign_uses(listed, {"\\Sent": "My Sent"}, {}) == {
        "My Sent": ("\\Sent", "user"),
        "Trash": ("\\Trash", "name"),
    }
    assert assign_uses(listed, {}, {})["Sent"] == ("\\Sent", "extension")


def test_each_use_is_given_once() -> None:
    """Mail would be filed in one of two places at random otherwise."""
    uses = assign_uses([box("Papierkorb"), box("Trash"), box("Deleted Items", "\\trash")], {}, {})
    assert uses == {"Deleted Items": ("\\Trash", "extension")}


@pytest.mark.parametrize(
    ("path", "use"),
    [
        ("Sent Items", "\\Sent"),
        ("Gesendete Elemente", "\\Sent"),
        ("Éléments envoyés", "\\Sent"),
        ("Elementos eliminados", "\\Trash"),
        ("INBOX/Drafts", "\\Drafts"),
        ("[Gmail]/All Mail", "\\All"),
        ("Junk Email", "\\Junk"),
        ("送信済み", "\\Sent"),
    ],
)
def test_usual_names_are_known(path: str, use: str) -> None:
    """Exchange names its folders in the language in which the mailbox was opened first."""
    assert assign_uses([box(path)], {}, {}) == {path: (use, "name")}


@pytest.mark.parametrize("path", ["Projects/Sent", "All Mail", "Starred", "Inbox", "Presents"])
def test_names_of_own_folders_are_left_alone(path: str) -> None:
    """A folder deep in the tree is somebody's own, whatever it is called."""
    assert assign_uses([box(path)], {}, {}) == {}


def test_mailboxes_that_hold_nothing_have_no_use() -> None:
    """Nothing can be filed in a mailbox that cannot be selected."""
    assert assign_uses([box("Sent", "\\sent", selectable=False)], {}, {}) == {}


def test_services_may_bring_names() -> None:
    """A plugin knows its service."""
    assert assign_uses([box("Ausgang")], {}, {"ausgang": "\\Sent"}) == {"Ausgang": ("\\Sent", "name")}


def test_tables_are_in_the_form_that_is_looked_up() -> None:
    """A name with a capital letter would never match."""
    assert all(name == name.lower() for name in (*NAMES, *ATTRIBUTES))
