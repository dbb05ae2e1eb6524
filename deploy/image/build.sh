#!/usr/bin/env bash
# Builds the container image of the agent: deploy/image/build.sh [NAME:TAG]
# Needs what `cargo build` needs, setcap (libcap2-bin), and podman or docker (CONTAINER_TOOL).
# WSTAP_BINARY=FILE takes a static binary that is there already.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
tag=${1:-wstap:$version}
tool=${CONTAINER_TOOL:-podman}
target="$(uname -m)-unknown-linux-gnu"
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

binary=${WSTAP_BINARY:-target/$target/release/wstap}
if [[ -z ${WSTAP_BINARY:-} ]]; then
    # The flags hold for the agent's target only, so that build scripts and macros stay dynamic.
    flags="CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUSTFLAGS"
    env "$flags=-C target-feature=+crt-static" \
        cargo build --release --package wstap --bin wstap --target "$target"
fi
if ldd "$binary" 2>/dev/null | grep -q '=>'; then
    echo "$binary needs shared libraries: the image has none; build it with +crt-static" >&2
    exit 1
fi

install -m 0755 "$binary" "$context/wstap"
strip --strip-debug "$context/wstap"
# What a user other than root starts with; Kubernetes cannot give it ambient capabilities.
setcap cap_bpf,cap_perfmon,cap_net_admin+ep "$context/wstap"
cp deploy/image/Containerfile "$context/"
"$tool" build --tag "$tag" --file "$context/Containerfile" "$context"
