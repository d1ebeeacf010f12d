"""The commit of wan-tui, as git itself tells it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from wan_tui.core.revision import checked_out

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git: NOT checked")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    run = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture
def checkout(home: Path) -> Path:
    folder = home / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_of_a_branch_packed_or_not_and_of_no_branch(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert checked_out(checkout) == commit
    git(checkout, "pack-refs", "--all")
    assert checked_out(checkout) == commit
    git(checkout, "checkout", "-q", "--detach")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    assert checked_out(checkout) == git(checkout, "rev-parse", "HEAD") != commit


def test_of_a_worktree(checkout: Path) -> None:
    git(checkout, "worktree", "add", "-q", "-b", "other", "../tree")
    tree = checkout.parent / "tree"
    git(tree, "commit", "-q", "--allow-empty", "-m", "there")
    assert checked_out(tree) == git(tree, "rev-parse", "HEAD") != checked_out(checkout)


def test_of_what_is_no_checkout_there_is_none(home: Path) -> None:
    assert checked_out(home) is None
