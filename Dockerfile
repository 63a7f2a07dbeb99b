# The sidecar alone. It needs no root and no writable root file system, only StateFolder:
#   scripts/image        builds it as localhost/remote-slurm, with version and commit in its labels
#   docker run --read-only --network host -v ./interlink:/etc/interlink:ro -v state:/var/lib/remote-slurm \
#       localhost/remote-slurm
# It listens on 127.0.0.1 unless the configuration says otherwise: beside interLink, in the same pod or network.
# A release names its base by digest, PYTHON_IMAGE=...@sha256:...: `scripts/image --release` accepts nothing else.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim
FROM $PYTHON_IMAGE AS build
WORKDIR /src
COPY scripts/requirements.txt scripts/requirements-build.txt scripts/
# kubernetes/aio is a third of all that is installed, and nothing here uses it (tests/shipping/test_image.py).
# pip stays behind, in a folder of its own; so do the builder's package index and certificates, which scripts/image gives
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    python -m venv /opt/build \
 && python -m venv --without-pip /opt/remote-slurm \
 && /opt/build/bin/pip install --quiet --no-cache-dir --require-hashes -r scripts/requirements-build.txt \
 && /opt/build/bin/pip --python /opt/remote-slurm/bin/python install --quiet --no-cache-dir --require-hashes \
    -r scripts/requirements.txt \
 && rm -r /opt/remote-slurm/lib/python3.*/site-packages/kubernetes/aio
COPY pyproject.toml README.md LICENSE ./
COPY scripts/commit_hook.py scripts/metadata_hook.py scripts/
COPY remote_slurm remote_slurm
ARG COMMIT=unknown
RUN REMOTE_SLURM_COMMIT=$COMMIT /opt/build/bin/python -m hatchling build -t wheel -d dist \
 && /opt/build/bin/pip --python /opt/remote-slurm/bin/python install --quiet --no-deps dist/*.whl

FROM $PYTHON_IMAGE
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="remote-slurm" \
      org.opencontainers.image.description="interLink plugin for a Slurm cluster that is reached only by SSH" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
RUN groupadd --gid 10001 remote-slurm \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/remote-slurm --shell /usr/sbin/nologin remote-slurm \
 && install -d -m 700 -o 10001 -g 10001 /var/lib/remote-slurm
COPY --from=build /opt/remote-slurm /opt/remote-slurm
# a number, so that Kubernetes can see that it is not root
USER 10001:10001
ENV PATH=/opt/remote-slurm/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    XDG_STATE_HOME=/var/lib
VOLUME /var/lib/remote-slurm
EXPOSE 4000
HEALTHCHECK --interval=60s --timeout=15s --start-period=20s CMD ["remote-slurm", "ping"]
ENTRYPOINT ["remote-slurm"]
CMD ["serve"]
