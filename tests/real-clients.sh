#!/usr/bin/env bash
# Installs the real clients and runs the tests of tests/real_clients with them: both generations of the Kimi client,
# Claude Code, opencode, and the OpenAI and Anthropic SDKs, against a real kmid, in dry-run and with a scripted API
# over TLS behind it.
#
#   tests/real-clients.sh [FOLDER [ARGUMENTS OF THE TEST PROGRAM]]
#
# The clients go into FOLDER and stay there for the next time; without one, into a temporary folder. Nothing else on
# the machine changes. What cannot be had is skipped and named; with KMI_TEST_REQUIRE_ALL=1 it is a failure.
#
# Only the installs use the network. The tests run in a network namespace of their own that has nothing but loopback,
# where the kernel allows one (unshare -rn), and with the clients' telemetry and updates turned off everywhere.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ $# -gt 0 ]; then
    mkdir -p "$1"
    clients=$(cd "$1" && pwd)
    shift
else
    clients=$(mktemp -d)
    trap 'rm -rf "$clients"' EXIT
fi

has() {
    command -v "$1" >/dev/null 2>&1
}

missing() {
    printf 'missing: %s\n' "$*"
    if [ "${KMI_TEST_REQUIRE_ALL:-}" = 1 ]; then
        echo "error: everything is required (KMI_TEST_REQUIRE_ALL=1)" >&2
        exit 1
    fi
}

# npm PACKAGE into the common folder, each by itself: one that cannot be had takes none along.
npm_install() {
    if [ -d "$clients/npm/node_modules/${1%@[0-9]*}" ]; then
        printf 'there: %s (npm)\n' "$1"
    elif ! has npm; then
        missing "$1 (npm): there is no npm"
    elif npm install --prefix "$clients/npm" --no-audit --no-fund --loglevel error "$1" >"$clients/install.log" 2>&1; then
        printf 'installed: %s (npm)\n' "$1"
    else
        missing "$1 (npm): $(tail -n 1 "$clients/install.log")"
    fi
}

# PyPI packages into a virtual environment of their own: pip_install FOLDER PYTHON PACKAGE...
pip_install() {
    local folder=$clients/$1 python=$2
    shift 2
    if [ -e "$folder/complete" ]; then
        printf 'there: %s (PyPI)\n' "$*"
    elif [ -z "$python" ]; then
        missing "$* (PyPI): no Python that fits"
    elif "$python" -m venv --clear "$folder" >"$clients/install.log" 2>&1 &&
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >"$clients/install.log" 2>&1; then
        touch "$folder/complete"
        printf 'installed: %s (PyPI, with %s)\n' "$*" "$("$python" --version)"
    else
        rm -rf "$folder"
        missing "$* (PyPI): $(tail -n 1 "$clients/install.log")"
    fi
}

# The first of these Pythons (3.MINOR) that starts; a version manager's stand-in may lie on PATH and not start.
python_of() {
    local minor name
    for minor in "$@"; do
        for name in "python3.$minor" "$HOME"/.pyenv/versions/3."$minor".*/bin/python; do
            if "$name" -c 'import venv' >/dev/null 2>&1; then
                printf '%s\n' "$name"
                return
            fi
        done
    done
}

: >"$clients/install.log"
# kimi-code asks for Node 22.19; the npm package `node` brings one where the machine's is older.
if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 19) ? 0 : 1)' \
    2>/dev/null; then
    npm_install node@24
fi
npm_install @moonshot-ai/kimi-code
npm_install @anthropic-ai/claude-code
npm_install opencode-ai
npm_install openai
npm_install @anthropic-ai/sdk
# The `kimi` of 1.52 only downloads an installer. On the Anthropic wire 1.50.0 takes any newer `anthropic` and fails with
# 2.12 ("Cannot instantiate typing.Union", 2026-11).
pip_install kimi-cli "$(python_of 13 12 14)" kimi-cli==1.50.0 'anthropic<1'
pip_install python-sdks "$(python_of 13 12 14 11 10 9)" openai anthropic
rm -f "$clients/install.log"

cd "$repository"
# What is built is built with the network, so that nothing is missing without it.
cargo build --workspace --bins --locked
cargo test -p kmi-tests --test real-clients --locked --no-run

alone=()
if unshare -rn true 2>/dev/null; then
    echo "the tests see no network but loopback (unshare -rn)"
    alone=(unshare -rn sh -c 'ip link set lo up && exec "$@"' sh)
else
    echo "no network namespace can be had here: the clients' own switches alone keep them from talking elsewhere"
fi
# Two at a time: each client alone keeps a core busy while it starts.
export KMI_TEST_CLIENTS=$clients CARGO_NET_OFFLINE=true
${alone[@]+"${alone[@]}"} cargo test -p kmi-tests --test real-clients --locked -- --test-threads 2 --show-output "$@"
