# The gateway, built and run on the Debian that its tests run on, as a user without rights. How to use it: docs/containers.md.

# To pin an image by its digest, pass the argument: docs/containers.md.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY scripts/install.sh scripts/
RUN scripts/install.sh build && rm -rf /var/lib/apt/lists/*
# Only what the program is made of: a change to a test or a page builds nothing again.
COPY Cargo.toml Cargo.lock ./
COPY migrations migrations
COPY presets presets
COPY templates templates
COPY src src
# Cargo goes by the times of files, and the cache may hold the build of another checkout whose files were newer: touched, the crate
# itself is always compiled.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    touch src/lib.rs src/main.rs && cargo build --release --locked && install -D target/release/rolegate /out/rolegate

FROM ${RUN_IMAGE}
# curl is for the health check.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 libxml2 libxmlsec1 libxmlsec1-openssl libxslt1.1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 rolegate \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/rolegate --shell /usr/sbin/nologin rolegate \
    && install --directory --owner=rolegate --group=rolegate --mode=0700 /var/lib/rolegate
COPY --from=build /out/rolegate /usr/local/bin/rolegate
# By its number: orchestrators that forbid root look at it.
USER 10001:10001
WORKDIR /var/lib/rolegate
VOLUME /var/lib/rolegate
# The public address has no default: it is part of every URL that is given to an identity provider.
ENV ROLEGATE_LISTEN=0.0.0.0:8080 \
    ROLEGATE_DATA_DIR=/var/lib/rolegate \
    ROLEGATE_DATABASE_URL=sqlite:///var/lib/rolegate/rolegate.db \
    ROLEGATE_MASTER_KEY_FILE=/run/secrets/master_key
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--show-error", "--output", "/dev/null", "http://127.0.0.1:8080/health/live"]
ENTRYPOINT ["rolegate"]
CMD ["serve"]
