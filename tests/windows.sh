#!/usr/bin/env bash
# Builds kmid and kmi for Windows and tries them under Wine: the proxy, the control pipe, every command that steers, the
# start in the background, and every way to stop. Run by hand: the first build takes some minutes.
#
#   tests/windows.sh              builds, then all steps
#   tests/windows.sh --install    installs what it needs before (Debian, as root, about 1 GB)
#   tests/windows.sh --built      takes the programs of the last build
#
# It needs wine (64 bits), the mingw-w64 compiler for x86_64, a rustc with the sources of its standard library beside it
# (Debian: rustc-web and rust-web-src), cargo, curl, python3 and script. What lacks is named, and everything is skipped with it;
# with KMI_TEST_REQUIRE_ALL=1 that is a failure. Wine gets a folder of its own, and every process of that folder is
# ended by its id. Each step prints a line with its verdict; the first failure ends the run with exit status 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=x86_64-pc-windows-gnu
rustc=${KMI_TEST_WINDOWS_RUSTC:-/usr/bin/rustc}
programs=${CARGO_TARGET_DIR:-target}/$target/debug
scratch=$(mktemp -d)
build=1
case ${1:-} in
    '') ;;
    --built) build=0 ;;
    --install)
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            rustc-web rust-web-src gcc-mingw-w64-x86-64 wine wine64 curl python3
        ;;
    *)
        sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
esac

# The settings of whoever runs this are not to be tested.
unset "${!KMI_@}" HTTPS_PROXY https_proxy
export WINEPREFIX=$scratch/wine WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='

step='first step'
pass() {
    printf 'PASS  %s%s\n' "$step" "${1:+: $1}"
}

fail() {
    printf 'FAIL  %s: %s\n' "$step" "$*"
    for file in "$scratch"/*.txt "${state:-$scratch/none}"/logs/proxy.out; do
        [ -s "$file" ] && printf -- '--- %s\n' "${file##*/}" && tail -n 15 "$file"
    done
    exit 1
}
# shellcheck disable=SC2154
trap 'fail "the command in line $LINENO failed"' ERR

# Processes of our Wine folder by their ids. Their environment names the folder from their start on.
ours() {
    grep -lsaF "WINEPREFIX=$WINEPREFIX" /proc/[0-9]*/environ | cut -d/ -f3 | grep -vx "$$" || true
}

leave() {
    local ids
    ids=$(ours)
    # shellcheck disable=SC2086
    [ -z "$ids" ] || kill $ids 2>/dev/null || true
    waits 10 nobody_left || { ids=$(ours) && [ -n "$ids" ] && kill -9 $ids 2>/dev/null; } || true
    rm -rf "$scratch"
}

nobody_left() {
    [ -z "$(ours)" ]
}

# Looks ten times a second, for so many seconds, whether a command succeeds.
waits() {
    local left=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.1
    done
}

# A program of ours, with what it prints as Unix has it; at most a minute. By a file: a kmid that it starts would hold a
# pipe open (ARCHITECTURE.md, "Windows").
kmi() {
    local said code=0
    said=$(mktemp -p "$scratch")
    timeout 60 wine "$programs/kmi.exe" "$@" </dev/null >"$said" 2>"$scratch/kmi.err.txt" || code=$?
    tr -d '\r' <"$said"
    return "$code"
}

# The value at a path of keys and numbers in the JSON of standard input.
json() {
    python3 -c '
import functools, json, sys
found = functools.reduce(lambda at, key: at[int(key) if isinstance(at, list) else key], sys.argv[1:], json.load(sys.stdin))
print(found if isinstance(found, str) else json.dumps(found))' "$@"
}

is() {
    [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

has() {
    case $2 in *"$3"*) ;; *) fail "$1 lacks '$3': $2" ;; esac
}

step=tools
missing=()
for tool in wine wineboot x86_64-w64-mingw32-gcc cargo curl python3 script; do
    command -v "$tool" >/dev/null 2>&1 || missing+=("$tool")
done
[ -x "$rustc" ] && [ -f "$("$rustc" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ] ||
    missing+=("the sources of the standard library beside $rustc")
if [ ${#missing[@]} -gt 0 ]; then
    rm -rf "$scratch"
    printf '%s  tools: missing: %s\n' "$([ "${KMI_TEST_REQUIRE_ALL:-}" = 1 ] && echo FAIL || echo SKIP)" \
        "$(printf '%s; ' "${missing[@]}")"
    [ "${KMI_TEST_REQUIRE_ALL:-}" != 1 ]
    exit
fi
trap leave EXIT
pass "$("$rustc" --version), $(wine --version 2>/dev/null)"

step='builds for Windows without a warning'
if [ "$build" = 1 ]; then
    # Cargo builds the standard library, too, because no package brings it for Windows. That wants a switch of nightly.
    for package in kmid kmi; do
        RUSTC=$rustc RUSTC_BOOTSTRAP=1 cargo build -j2 -Zbuild-std=std,panic_abort,panic_unwind --locked \
            --target "$target" -p "$package" 2>&1 | tee -a "$scratch/build.txt"
    done
    ! grep -E '^warning: `(kmid|kmi|kmi-proto|kmid-core|kmid-config)`' "$scratch/build.txt" || fail 'there are warnings'
    pass
fi
[ -f "$programs/kmid.exe" ] && [ -f "$programs/kmi.exe" ] || fail "no programs in $programs"
# Wine 8 lacks the library that Rust's std has its random numbers from.
cat >"$scratch/random.c" <<'C'
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count) {
    for (; count > 0; bytes++, count--)
        if (!RtlGenRandom(bytes, 1)) return FALSE;
    return TRUE;
}
C
x86_64-w64-mingw32-gcc -shared -O1 -o "$programs/bcryptprimitives.dll" "$scratch/random.c" -ladvapi32

step='Wine'
timeout 300 wineboot -i >"$scratch/wineboot.txt" 2>&1
profile=$(timeout 60 wine cmd /c 'echo %USERPROFILE%' 2>/dev/null | tr -d '\r')
home=$(winepath -u "$profile" 2>/dev/null)
[ -d "$home" ] || fail "no profile at $profile"
state=$home/.kmi
# As a profile of Windows is. Wine keeps access lists as the modes of the Unix files, and lets what is in a folder take
# over what the folder allows, whatever the list says.
chmod 700 "$home"
pass "profile $profile"

step='settings'
mkdir -p "$state/_auths"
printf 'KMI_API_KEY=sk-kimi-alpha-0123456789abcdef\r\n' >"$state/_auths/alpha.env"
printf 'KMI_API_KEY=sk-kimi-beta-0123456789abcdef\n' >"$state/_auths/beta.env"
chmod -R a+rX "$state"
printf 'KMI_PROXY_LISTEN=127.0.0.1:0\nKMI_TIMEZONE=UTC\nKMI_LOG_MAX_MB=1\n' >"$state/.env"
settings=$(timeout 60 wine "$programs/kmid.exe" --no-folder --check-config 2>/dev/null | tr -d '\r')
has settings "$settings" "KMI_STATE_DIR=$profile\\.kmi "
has settings "$settings" "KMI_AUTHS_DIR=$profile\\.kmi\\_auths "
has settings "$settings" 'KMI_SOCKET=\\.\pipe\kmid-'
pass "$(printf '%s\n' "$settings" | grep ^KMI_SOCKET)"

step='kmi without a daemon'
code=0
status=$(kmi status --json --no-start) || code=$?
is 'exit status' "$code" 3
is running "$(printf %s "$status" | json proxy running)" false
pass 'exit status 3'

step='kmid serves in the foreground'
serve() {
    : >"$scratch/kmid.txt"
    timeout 600 wine "$@" >"$scratch/kmid.txt" 2>&1 </dev/null &
    daemon=$!
    waits 60 grep -q '^kmid is ready' "$scratch/kmid.txt" || fail 'it is not ready after a minute'
    url=$(tr -d '\r' <"$scratch/kmid.txt" | sed -n 's/^kmid is ready: //p')
}
serve "$programs/kmid.exe" --no-folder
has URL "$url" http://127.0.0.1:
pass "$url"

step='files are for their owner alone'
waits 20 test -f "$state/state.json" || fail 'no state.json'
for path in "$state" "$state/logs" "$state/_auths" "$state/_auths/alpha.env" "$state/.env"; do
    is "what others may do with $path" "$(stat -c %A "$path" | cut -c8-)" ---
done
has 'the log' "$(cat "$state/logs/kmi.log")" permissions_hardened
is 'issues' "$(kmi status --json | json issues)" '[]'
pass 'what was open is tightened and logged'

step='the proxy answers'
ask() {
    curl -sS --noproxy '*' --max-time 30 "$@"
}
question='{"model":"kimi-for-coding","messages":[{"role":"user","content":"hi"}]}'
is /models "$(ask -o "$scratch/models.txt" -D "$scratch/head.txt" -w '%{http_code}' "$url/models")" 200
has models "$(json data <"$scratch/models.txt")" kimi-for-coding
has head "$(cat "$scratch/head.txt")" 'x-kmi-dry-run: true'
answer=$(ask -H 'content-type: application/json' -d "$question" "$url/chat/completions")
is role "$(printf %s "$answer" | json choices 0 message role)" assistant
is /messages "$(ask -o /dev/null -w '%{http_code}' -H 'content-type: application/json' \
    -d '{"model":"kimi-for-coding","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}' "$url/messages")" 200
stream=$(ask -N -H 'content-type: application/json' -d "${question%\}},\"stream\":true}" "$url/chat/completions")
is 'the last event' "$(printf '%s\n' "$stream" | grep -v '^$' | tail -n 1)" 'data: [DONE]'
is 'outside the base path' "$(ask -o /dev/null -w '%{http_code}' "${url%/kmi-rotor/v1}/")" 404
is 'another Host' "$(ask -o /dev/null -w '%{http_code}' -H 'host: example.com' "$url/models")" 403
pass 'models, chat, messages, a stream, 404 and 403'

step='kmi status'
status=$(kmi status --json)
is running "$(printf %s "$status" | json proxy running)" true
is mode "$(printf %s "$status" | json mode)" dry-run
is keys "$(printf %s "$status" | json keys total)" 2
is 'requests, with the two refused' "$(printf %s "$status" | json requests total)" 6
has 'for people' "$(kmi status --plain)" dry-run
pass "over the pipe: pid $(printf %s "$status" | json daemon pid)"

step='eight connections to the pipe at once'
clients=()
for n in 1 2 3 4 5 6 7 8; do
    kmi keys --json >"$scratch/client$n.out" &
    clients+=($!)
done
for n in "${clients[@]}"; do
    wait "$n"
done
for n in 1 2 3 4 5 6 7 8; do
    has 'keys' "$(cat "$scratch/client$n.out")" '"alpha"'
done
pass

step='kmi rotate'
active() {
    kmi status --json | json active_key
}
is 'the active key' "$(active)" alpha
kmi rotate >"$scratch/rotate.txt"
is 'the active key' "$(active)" beta
has 'the answer' "$(ask -D - -o /dev/null "$url/models")" 'x-kmi-key: beta'
pass 'alpha -> beta'

step='a new key counts by itself'
printf 'KMI_API_KEY=sk-kimi-gamma-0123456789abcdef\n' >"$state/_auths/gamma.env"
three() {
    [ "$(kmi status --json | json keys total)" = 3 ]
}
waits 20 three || fail 'it was not seen'
pass

step='kmi trace, kmi proxy-logs'
has 'the last request' "$(kmi trace --no-follow --json | tail -n 1)" '"key_label":"beta"'
has 'the log' "$(kmi proxy-logs --no-follow)" 'endpoint=/chat/completions status=200'
kmi proxy-logs --no-follow --app -n 1 | json ts >/dev/null
pass

step='kmi proxy-reload'
printf 'KMI_LOG_LEVEL=debug\n' >>"$state/.env"
has 'the answer' "$(kmi proxy-reload; cat "$scratch/kmi.err.txt"; kmi proxy-logs --no-follow)" KMI_LOG_LEVEL
pass

step='a second kmid is refused'
code=0
timeout 60 wine "$programs/kmid.exe" --no-folder >"$scratch/second.txt" 2>&1 </dev/null || code=$?
is 'exit status' "$code" 75
has 'what it says' "$(cat "$scratch/second.txt")" 'already uses'
pass

step='a second kmid with another state directory has its own pipe'
mkdir -p "$home/other/_auths"
cp "$state/_auths/alpha.env" "$home/other/_auths/"
first_url=$url first=$daemon
KMI_STATE_DIR=$profile\\other KMI_PROXY_LISTEN=127.0.0.1:0 serve "$programs/kmid.exe" --no-folder
is 'keys of the second' "$(KMI_STATE_DIR=$profile\\other kmi status --json | json keys total)" 1
is 'keys of the first' "$(kmi status --json | json keys total)" 3
KMI_STATE_DIR=$profile\\other kmi proxy-stop -y >"$scratch/stop.txt"
wait "$daemon"
url=$first_url daemon=$first
pass

step='kmi proxy-stop'
kmi proxy-stop -y >"$scratch/stop.txt"
has 'what it says' "$(cat "$scratch/stop.txt")" 'has stopped'
code=0
wait "$daemon" || code=$?
is 'the exit status of kmid' "$code" 0
grep -q kmid_stopped "$state/logs/kmi.log" || fail 'no kmid_stopped in the log'
is 'the active key on disk' "$(json keys "$(json active <"$state/state.json")" label <"$state/state.json")" beta
pass 'kmid ended with 0'

step='Ctrl-C at the console ends kmid in order'
# Wine makes a console of a terminal, and an event of a typed Ctrl-C.
mkfifo "$scratch/typed"
timeout 600 script -qfec "wine '$programs/kmid.exe' --no-folder" /dev/null \
    <"$scratch/typed" >"$scratch/kmid.txt" 2>&1 &
daemon=$!
exec 7>"$scratch/typed"
waits 60 grep -aq 'kmid is ready' "$scratch/kmid.txt" || fail 'it is not ready after a minute'
is 'the active key, remembered' "$(active)" beta
url=$(kmi status --json | json proxy url)
ask -N -H 'content-type: application/json' -d "${question%\}},\"stream\":true}" "$url/chat/completions" \
    >"$scratch/stream.txt" &
stream=$!
under_way() {
    [ "$(kmi status --json | json requests in_flight)" = 1 ] || [ -s "$scratch/stream.txt" ]
}
waits 10 under_way || fail 'the stream did not begin'
printf '\003' >&7
wait "$stream"
is 'the last event' "$(grep -v '^$' "$scratch/stream.txt" | tail -n 1)" 'data: [DONE]'
code=0
wait "$daemon" || code=$?
exec 7>&-
is 'the exit status of kmid' "$code" 0
json schema_version <"$state/state.json" >/dev/null
tail -n 1 "$state/trace/trace.jsonl" | json request_id >/dev/null
is 'the last word' "$(tail -n 1 "$state/logs/kmi.log" | json message)" kmid_stopped
pass 'exit status 0, the stream under way was finished'

step='kmi proxy starts kmid in the background'
shown=$(kmi proxy)
url=$(printf '%s\n' "$shown" | grep -o 'http://127.0.0.1:[0-9]*/kmi-rotor/v1' | head -n 1)
is /models "$(ask -o /dev/null -w '%{http_code}' "$url/models")" 200
first=$(kmi status --json | json daemon pid)
pass "$url"

step='kmi proxy-restart stops and starts'
kmi proxy-restart >"$scratch/restart.txt"
second=$(kmi status --json | json daemon pid)
[ "$first" != "$second" ] || fail "pid $second is the same"
is 'the active key, remembered' "$(active)" beta
pass "pid $first -> $second"

step='kmi proxy-stop ends what runs in the background'
kmi proxy-stop -y >"$scratch/stop.txt"
code=0
kmi status --json --no-start >/dev/null || code=$?
is 'exit status of kmi status' "$code" 3
gone() {
    ! ours | while read -r id; do tr '\0' ' ' <"/proc/$id/cmdline"; done 2>/dev/null | grep -q 'kmid\.exe'
}
waits 20 gone || fail 'its process is still there'
pass

step='a command starts kmid on demand'
has 'what it shows' "$(kmi health --plain)" alpha
kmi proxy-stop -y >"$scratch/stop.txt"
pass

step='log files rotate while they are read'
printf 'KMI_PROXY_LISTEN=127.0.0.1:0\nKMI_LOG_MAX_MB=1\nKMI_LOG_LEVEL=debug\n' >"$state/.env"
head -c 1048000 /dev/zero | tr '\0' '\n' >"$scratch/filler"
cat "$scratch/filler" >>"$state/logs/kmi.log"
kmi proxy >"$scratch/proxy.txt"
timeout 60 wine "$programs/kmi.exe" proxy-logs --app >"$scratch/follow.txt" 2>/dev/null </dev/null &
follower=$!
url=$(grep -o 'http://127.0.0.1:[0-9]*/kmi-rotor/v1' "$scratch/proxy.txt" | head -n 1)
rotated() {
    ask -o /dev/null "$url/models" && [ -s "$state/logs/kmi.log.1" ]
}
waits 60 rotated || fail 'no kmi.log.1'
tail -n 1 "$state/logs/kmi.log" | json ts >/dev/null
waits 20 grep -q proxy_request "$scratch/follow.txt" || fail 'the reader saw nothing'
pass

step='a stop ends those who follow'
kmi proxy-stop -y >"$scratch/stop.txt"
wait "$follower" || true
pass

step='kmi service, without changing anything'
printf 'KMI_TIMEZONE=UTC\n' >"$state/.env"
kmi service install --dry-run --json >"$scratch/service.txt" || true
has 'what it would do' "$(cat "$scratch/service.txt")" 'schtasks.exe /Create /TN kmid /XML'
has 'what it would do' "$(cat "$scratch/service.txt")" '<Arguments>--detach --no-folder</Arguments>'
pass

trap - ERR
printf 'All steps passed.\n'
