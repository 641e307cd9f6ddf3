# bitnet with lavapipe, for the CPU; with the NVIDIA container toolkit it sees the machine's cards.
#
#   docker build -t bitnet .
#   docker run --rm -v "$PWD:/work" bitnet train --exp simple
#   docker run --rm -v "$PWD:/work" --gpus all bitnet devices
#
# testdata/docker.sh makes the second stage without Docker, and trains in it.
FROM golang:1.26-trixie AS build
COPY . /src
WORKDIR /src
RUN make build

FROM debian:trixie-slim
# libegl1 and libxext6 are for NVIDIA's Vulkan driver, which the container toolkit mounts.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libegl1 libvulkan1 libxext6 mesa-vulkan-drivers && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/build/bitnet /usr/local/bin/bitnet
# "graphics" is the part with Vulkan; without it, a card is not seen.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility
WORKDIR /work
ENTRYPOINT ["bitnet"]
CMD ["--help"]
