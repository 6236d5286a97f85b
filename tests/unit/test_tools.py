"""The scripts of the development environment, as far as they need no network."""

from pathlib import Path

import pytest

from tools import dockerfile_steps, generated, pg_upgrade, pgbench, pgbouncer, postgres, prometheus
from tools.process import output

DOCKERFILE = r"""
# the stage that is run
FROM python AS build
WORKDIR /src
ENV GREETING=hello
COPY pyproject.toml ./
RUN test -f pyproject.toml \
 # in between
 && mkdir -p /opt/made && echo $GREETING > /opt/made/word
FROM python
RUN exit 1
"""


def test_the_build_stage_is_carried_out(tmp_path: Path) -> None:
    """COPY, ENV and RUN work below the folder that stands for the image's root."""
    stage = dockerfile_steps.Stage(tmp_path, tmp_path, {"PATH": "/usr/bin:/bin"})
    for instruction, rest in dockerfile_steps.build_stage(DOCKERFILE):
        stage.carry_out(instruction, rest)
    assert (tmp_path / "opt/made/word").read_text() == "hello\n"
    assert (tmp_path / "src/pyproject.toml").exists()


def test_an_unknown_instruction_stops(tmp_path: Path) -> None:
    """A step that can't be carried out is no step passed."""
    with pytest.raises(SystemExit, match="ADD is not known"):
        dockerfile_steps.Stage(tmp_path, tmp_path).carry_out("ADD", "a b")


def test_stale_documents_are_told_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check names the stale file; generating leaves nothing to tell."""
    (tmp_path / "printing.py").write_text("print('now')")
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    monkeypatch.setattr(generated, "DOCUMENTS", {"docs/a.md": "printing"})
    assert generated.main(check=True) > 1
    told = capsys.readouterr().out
    assert "docs/a.md is stale" in told
    assert "grafana/dashboards/pgconn-incident.json is stale" in told
    assert generated.main(check=False) == 0
    assert generated.main(check=True) == 0
    assert (tmp_path / "docs/a.md").read_text() == "now\n"


def test_what_is_generated_no_more_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dashboard that is written no more is stale, and goes."""
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    monkeypatch.setattr(generated, "DOCUMENTS", {})
    assert generated.main(check=False) == 0
    old = tmp_path / "grafana" / "dashboards" / "pgconn-old.json"
    old.write_text("{}")
    assert generated.main(check=True) == 1
    assert generated.main(check=False) == 0
    assert not old.exists()


def test_a_server_of_no_known_build_is_refused() -> None:
    """An unsupported version is an error that names the supported ones."""
    with pytest.raises(SystemExit, match="no PostgreSQL 9 for this machine; there is"):
        postgres.fetch("9")


def test_the_systems_pgbouncer_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has the program nothing is fetched, and a link that broke is mended."""
    system = tmp_path / "system" / "pgbouncer"
    system.parent.mkdir()
    system.write_text("#!/bin/sh\n")
    system.chmod(0o755)
    monkeypatch.setenv("PATH", f"{system.parent}:/usr/bin:/bin")
    link = tmp_path / "cache" / "bin" / "pgbouncer"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "gone")
    assert pgbouncer.fetch(tmp_path / "cache").resolve() == system


def test_a_server_that_is_unpacked_finds_its_libraries(tmp_path: Path) -> None:
    """Its programs run with the libraries that came with them, wherever the folder is copied."""
    programs = tmp_path / "13" / "root" / "usr/lib/postgresql/13/bin"
    libraries = tmp_path / "13" / "root" / "usr/lib/any"
    for folder in (programs, libraries, tmp_path / "13" / "bin"):
        folder.mkdir(parents=True)
    (libraries / "libpq.so.5").touch()
    (programs / "postgres").write_text('#!/bin/sh\necho "$1" "$LD_LIBRARY_PATH"\n')
    (programs / "postgres").chmod(0o755)
    pg_upgrade.wrap(tmp_path / "13" / "root", tmp_path / "13" / "bin", "13")
    copied = (tmp_path / "13").rename(tmp_path / "copied")
    said, found = output(str(copied / "bin" / "postgres"), "hello").split()
    assert said == "hello"
    assert (Path(found) / "libpq.so.5").resolve().parent == copied / "root/usr/lib/any"


def test_pgbench_is_there() -> None:
    """The package of the demo's server brings it."""
    assert pgbench.fetch().is_file()


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Give a cache of Prometheus' programs as an earlier checkout left it: with plain links."""
    cache = tmp_path / "cache"
    (cache / "bin").mkdir(parents=True)
    for name, (packaged, _) in prometheus.PROGRAMS.items():
        program = cache / "root" / packaged
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\ncat /usr/share/prometheus/alertmanager/default.tmpl $1\n")
        program.chmod(0o755)
        (cache / "bin" / name).symlink_to(Path("../root", packaged))
    templates = cache / "root/usr/share/prometheus/alertmanager"
    templates.mkdir(parents=True)
    (templates / "default.tmpl").write_text("templates\n")
    return cache


def test_alertmanager_finds_its_templates_where_it_was_unpacked(unpacked: Path) -> None:
    """That holds for a cache from before, for one that is copied, and when it is done twice."""
    for _ in range(2):
        prometheus.fetch(unpacked)
    copied = unpacked.rename(unpacked.with_name("copied"))
    assert output(str(copied / "bin" / "alertmanager"), "/dev/null") == "templates\n"


def test_the_systems_alertmanager_is_taken(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name that Debian gives it; it is as it was, and what we had in its place is gone."""
    system = tmp_path / "system" / "prometheus-alertmanager"
    system.parent.mkdir()
    system.write_text("#!/bin/sh\n# /usr/share/prometheus/\n")
    system.chmod(0o755)
    monkeypatch.setenv("PATH", f"{system.parent}:/usr/bin:/bin")
    link = unpacked / "bin" / "alertmanager"
    link.unlink()
    link.write_text("#!/bin/sh\n# a starter, whose program may have gone\n")
    prometheus.fetch(unpacked)
    assert link.resolve() == system
    assert system.read_text() == "#!/bin/sh\n# /usr/share/prometheus/\n"
