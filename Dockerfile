# syntax=docker/dockerfile:1
# The gateway: built on Debian's current headers, run on a slim Debian as a user without rights.
#
#   docker build -t rolegate .
#   docker run -p 127.0.0.1:8080:8080 -v rolegate:/var/lib/rolegate -v ./secrets/master_key:/run/secrets/master_key:ro \
#     -e ROLEGATE_PUBLIC_URL=https://roles.example.com rolegate
#
# docker-compose.yml adds PostgreSQL.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY scripts/install.sh scripts/
RUN scripts/install.sh build && rm -rf /var/lib/apt/lists/*
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && install -D target/release/rolegate /out/rolegate

FROM debian:bookworm-slim
# curl is for the health check.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 libxml2 libxmlsec1 libxmlsec1-openssl libxslt1.1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/rolegate --create-home --shell /usr/sbin/nologin rolegate
COPY --from=build /out/rolegate /usr/local/bin/rolegate
USER rolegate
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
