# Voxray for CPUs: every job, `voxray transcribe`, and a node of a Ray cluster. Dockerfile.gpu is the same on CUDA.
#
#     docker build -t voxray .
#     docker run --rm voxray                                                     voxray doctor
#     docker run --rm -v "$PWD:/data" voxray voxray transcribe /data/call.mp3
#     docker run --rm --shm-size=1g -p 127.0.0.1:8000:8000 -e VOXRAY_API_KEYS=KEY voxray \
#         python -m voxray.serving.ray.launch serve/local.yaml host=0.0.0.0          the live service
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# The CPU build of torch, where the index would give the one with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAY_AUTH_MODE=token \
    RAY_worker_niceness=0 \
    RAY_USAGE_STATS_ENABLED=0

# wget is for the probes of KubeRay and Compose; its version is not pinned: old ones leave the archive.
# A volume for the models of the hub takes the owner of the folder that it covers.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1001 voxray \
    && install --directory --owner=voxray /home/voxray/.cache \
    && python -m venv /opt/venv
WORKDIR /opt/voxray

# torch has a layer of its own: it is the largest part and changes least.
COPY constraints.txt ./
RUN pip install --no-cache-dir --extra-index-url "${TORCH_INDEX}" -c constraints.txt torch==2.13.0

COPY pyproject.toml README.md LICENSE ./
COPY platform platform
RUN pip install --no-cache-dir -c constraints.txt '.[train,serve,tiny-en]'

COPY jobs jobs
COPY serve serve

# The live service, where it is started.
EXPOSE 8000

USER 1001
CMD ["voxray", "doctor"]
