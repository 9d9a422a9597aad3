# prune-privacy in a container, for machines without a GPU or with one of NVIDIA's.
#
#   docker build -t prune-privacy .
#   docker build --build-arg VARIANT=cuda -t prune-privacy:cuda .
#   docker run --rm --shm-size 4g --user "$(id -u)" -v "$PWD:/data" prune-privacy run --preset smoke
#
# With a GPU add `--gpus all`, which needs NVIDIA's container toolkit on the host. Ray keeps its objects in shared
# memory, of which Docker gives 64 MB otherwise.
#
# NOT YET BUILT: hadolint checks this file, and a test makes and runs the wheel from what it copies.

ARG VARIANT=cpu

FROM python:3.11-slim-bookworm AS cpu
COPY constraints.txt /src/
# Of PyPI's torch, three of four gigabytes are for GPUs; the rest of what it needs comes below.
RUN python -m venv /opt/prune-privacy \
    && /opt/prune-privacy/bin/pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu \
        -c /src/constraints.txt torch torchvision

FROM nvidia/cuda:13.0.1-base-ubuntu24.04 AS cuda
# The distribution moves on within its release; PyPI's torch brings its own CUDA.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/prune-privacy

# hadolint ignore=DL3006
FROM ${VARIANT}
COPY constraints.txt pyproject.toml README.md LICENSE /src/
COPY analysis /src/analysis
COPY search /src/search
COPY trainables /src/trainables
RUN /opt/prune-privacy/bin/pip install --no-cache-dir -c /src/constraints.txt /src
# A user without an entry in /etc/passwd has neither a home nor a name.
ENV PATH=/opt/prune-privacy/bin:$PATH HOME=/tmp LOGNAME=prune
WORKDIR /data
USER 1000
ENTRYPOINT ["prune-privacy"]
CMD ["--help"]
