# Images with one static binary, certificates and notices each: no shell, no package, a user without a name, and a root file
# system that may be read-only. docs/install.md says how to use them.
#
#     docker build --target up -t spillway .                   the whole pipeline on one machine
#     docker build --target ingest -t spillway-ingest .        the ingest endpoint as a server
#     docker build --target exampleapi -t spillway-example .   the API of compose.yaml
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH
# Like v0.1.0; without one the programs say devel.
ARG VERSION=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    mkdir -p -m 0700 /out/data && \
    .ci/notices >/out/THIRD_PARTY_NOTICES && \
    export CGO_ENABLED=0 GOOS="$TARGETOS" GOARCH="$TARGETARCH" && \
    ldflags="-s -w -buildid= -X github.com/spillwayhq/spillway/shared/version.release=$VERSION" && \
    go build -trimpath -buildvcs=false -ldflags "$ldflags" -o /out/spillway ./cmd/spillway && \
    go build -trimpath -buildvcs=false -ldflags "$ldflags" -tags lambda.norpc -o /out/spillway-ingest ./functions/ingest && \
    go build -trimpath -buildvcs=false -ldflags "$ldflags" -o /out/exampleapi ./integration/exampleapi

FROM scratch AS exampleapi
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/exampleapi /
USER 65532:65532
EXPOSE 8090
ENTRYPOINT ["/exampleapi"]
CMD ["--listen", "0.0.0.0:8090"]

# For SPILLWAY_SPILL_DIR /data has the right owner: mount a volume there that outlives the container.
FROM scratch AS ingest
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/spillway-ingest /
COPY --from=build /out/THIRD_PARTY_NOTICES /src/LICENSE /
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/spillway-ingest", "health"]
ENTRYPOINT ["/spillway-ingest"]

# It listens on all addresses, because a port can't be published otherwise: publish to this machine alone,
# -p 127.0.0.1:8080:8080, since the emulators and the operator's page ask for no credentials.
FROM scratch AS up
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/spillway /
COPY --from=build /out/THIRD_PARTY_NOTICES /src/LICENSE /
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
EXPOSE 8080 9324 9325 9326
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/spillway", "health"]
ENTRYPOINT ["/spillway"]
CMD ["up", "--listen", "0.0.0.0", "--console-listen", "0.0.0.0", "--data-dir", "/data"]
