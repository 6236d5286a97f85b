"""Pages joined from pieces that were compressed apart."""

import gzip
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition.blocks import Block, Deflater, gzipped, plain

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n# a{}"))


@given(st.lists(st.lists(texts)), st.randoms())
def test_any_blocks_in_any_order(publications: list[list[str]], chance: Random) -> None:
    """Blocks of several publications, shuffled and repeated, are one gzip stream."""
    blocks = [block for each in publications for block in map(Deflater().block, each)] * 2
    chance.shuffle(blocks)
    page = b"".join(block.plain for block in blocks)
    assert plain(blocks) == page
    assert gzip.decompress(gzipped(blocks)) == page


def test_a_long_block() -> None:
    """More than the compressor's window fits into a block, and is small."""
    lines = "".join(f'pgconn_connections{{client="worker {n}"}} {n}\n' for n in range(5000))
    block = Deflater().block(lines)
    assert gzip.decompress(gzipped([block, block])) == 2 * lines.encode()
    assert len(block.deflated) < len(block.plain) / 5


@pytest.mark.parametrize("blocks", [[], [Deflater().block("")]])
def test_nothing(blocks: list[Block]) -> None:
    """A page without lines is empty."""
    assert plain(blocks) == gzip.decompress(gzipped(blocks)) == b""
