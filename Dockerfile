# The sidecar alone: it needs no root, no shell and no writable root file system, only StateFolder.
#   docker build -t remote-slurm .
#   docker run --network host -v ./interlink:/etc/interlink:ro -v state:/var/lib/remote-slurm remote-slurm
# It listens on 127.0.0.1 unless the configuration says otherwise: beside interLink, in the same pod or network.
FROM python:3.13-slim AS build
WORKDIR /src
COPY scripts/requirements.txt scripts/requirements.txt
RUN python -m venv /opt/remote-slurm \
 && /opt/remote-slurm/bin/pip install --no-cache-dir --require-hashes -r scripts/requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY remote_slurm remote_slurm
RUN /opt/remote-slurm/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="remote-slurm" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/remote-slurm /opt/remote-slurm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/remote-slurm remote-slurm
USER remote-slurm
ENV PATH=/opt/remote-slurm/bin:$PATH PYTHONUNBUFFERED=1
VOLUME /var/lib/remote-slurm
EXPOSE 4000
ENTRYPOINT ["remote-slurm"]
CMD ["serve"]
