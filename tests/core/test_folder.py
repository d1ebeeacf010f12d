"""What a reader who looks for a picture is shown."""

import os
from pathlib import Path

import pytest

from wan_tui.core import folder
from wan_tui.core.errors import UsageError
from wan_tui.core.folder import Entry, read_folder


def test_folders_first_then_pictures_and_nothing_else(tmp_path: Path) -> None:
    for name in ("zoo", "Archive", ".hidden"):
        (tmp_path / name).mkdir()
    for name, size in (("fox.PNG", 3), ("boat.jpeg", 2), ("notes.txt", 1), (".secret.png", 1), ("clip.mp4", 9)):
        (tmp_path / name).write_bytes(b"x" * size)
    os.symlink(tmp_path / "nowhere", tmp_path / "broken.png")
    found = read_folder(str(tmp_path))
    assert found.path == str(tmp_path)
    assert found.entries == (Entry("Archive", None), Entry("zoo", None), Entry("boat.jpeg", 2), Entry("fox.PNG", 3))


def test_no_path_is_the_home_directory_and_dots_are_resolved(home: Path) -> None:
    (home / "pictures").mkdir()
    assert read_folder("").entries == (Entry("pictures", None),)
    assert read_folder("~/pictures/..").path == str(home)


def test_a_large_folder_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_ENTRIES", 3)
    for number in range(5):
        (tmp_path / f"{number}.png").touch()
    found = read_folder(str(tmp_path))
    assert (len(found.entries), found.left_out) == (3, 2)


@pytest.mark.parametrize("path", ["pictures", "/no/such/folder", "/etc/hostname"])
def test_what_is_no_folder_is_one_line(path: str) -> None:
    with pytest.raises(UsageError, match="folder"):
        read_folder(path)
