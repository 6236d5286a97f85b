# The build stage is run by `python -m tools.dockerfile_steps` too, without a container engine.
FROM python:3.13-slim-trixie AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/build && python -m venv /opt/pgconn-exporter
# The locked packages first: they stay in the layer cache while only our code changes.
COPY requirements.lock requirements-build.lock ./
RUN /opt/build/bin/pip install --quiet --require-hashes -r requirements-build.lock \
 && /opt/pgconn-exporter/bin/pip install --quiet --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /src/dist . \
 && /opt/pgconn-exporter/bin/pip install --quiet --no-deps /src/dist/*.whl \
 && /opt/pgconn-exporter/bin/pip check \
 && /opt/pgconn-exporter/bin/pip uninstall --quiet --yes pip

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="pgconn-exporter" \
      org.opencontainers.image.description="Prometheus exporter for PostgreSQL connections" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/pgconn-exporter /opt/pgconn-exporter
ENV PATH=/opt/pgconn-exporter/bin:$PATH
# A number, because Kubernetes' runAsNonRoot can't judge a name.
USER 10432:10432
EXPOSE 10432
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:10432/-/healthy', timeout=4)"]
ENTRYPOINT ["pgconn-exporter"]
CMD ["run", "--config.file", "/etc/pgconn-exporter/config.yaml"]
