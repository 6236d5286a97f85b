"""Run every benchmark: `make bench`."""

from tests.benchmarks import polling, rendering, scraping

for benchmark in (rendering, scraping, polling):
    benchmark.main()
