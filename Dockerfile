# syntax=docker/dockerfile:1

# The build stage uses relative paths only: scripts/check-dockerfile runs its commands where there is no Docker.
FROM rust:1.95-bookworm AS build
WORKDIR /src

# The dependencies as a layer of their own, built against an empty crate: it is built again only when they change. The
# benches are not built, but Cargo.toml names their files.
COPY Cargo.toml Cargo.lock ./
COPY benches ./benches
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs
RUN cargo build --release --locked --bin decache

# What the crate is made of: its source, and the files that it includes. `touch`, because the files may be older than
# the empty crate that cargo has just built.
COPY openapi.yaml ./
COPY assets ./assets
COPY config ./config
COPY src ./src
RUN touch src/lib.rs src/main.rs && cargo build --release --locked --bin decache

# A volume takes its owner from the directory in the image, and the final image has no shell to make one.
RUN mkdir -p home/data

# No shell and no package manager: glibc, CA certificates, and decache, as uid 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/decache /usr/local/bin/decache
COPY --from=build --chown=65532:65532 /src/home /var/lib/decache

# Relative paths in the configuration begin here. Without a file at config/default.yaml the built-in defaults hold.
WORKDIR /var/lib/decache
# The embedded store and the secret. Where the secret is lost, so is the meaning of the index.
VOLUME /var/lib/decache/data

# All interfaces of the container. decache then asks for keys in its configuration, or for
# `server.allow_unauthenticated: true`, and refuses to start without either.
ENV DECACHE__SERVER__BIND=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/decache", "healthcheck"]

ENTRYPOINT ["/usr/local/bin/decache"]
CMD ["serve"]
