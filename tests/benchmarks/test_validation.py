"""Judging 69 GB of shards is quicker than loading 1 MB of them."""

from tests.benchmarks.validation import compare


def test_a_check_of_true_size_takes_less_than_loading_the_pocket_model() -> None:
    ours, theirs, ratio, read, size = compare(2)
    assert size > 68_000_000_000
    assert read < 20_000_000
    assert ratio < 0.5, f"check {ours:.3f} s, from_pretrained {theirs:.3f} s"
