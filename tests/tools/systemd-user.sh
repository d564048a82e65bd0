#!/usr/bin/env bash
# Runs a command under a real `systemd --user`, so that the units can be tested as a person would use them.
#   systemd-user.sh HOME COMMAND [ARG...]
# A mount namespace holds a /run of its own and a PID namespace ends every process with the command; the network is that
# of the machine. Units are in HOME/.config/systemd/user; what the manager and its services print goes to
# HOME/systemd-user.log. Needs root and Debian's systemd. Exit status: COMMAND's.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6p' "$0" >&2; exit 64; }
home=$(realpath "$1")
shift
export TEST_HOME=$home

# Control groups of its own, or two of these would take each other's services for theirs.
group=kmi-test-$$
for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    if [ -e "$tree/cgroup.procs" ] && mkdir "$tree/$group" 2>/dev/null; then
        echo $$ >"$tree/$group/cgroup.procs" 2>/dev/null || true
    fi
done
clean_up() {
    for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
        [ -d "$tree/$group" ] || continue
        echo $$ >"$tree/cgroup.procs" 2>/dev/null || true
        find "$tree/$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
}
trap clean_up EXIT

unshare --mount --pid --fork --kill-child --mount-proc bash -c '
  set -eu
  mount -t tmpfs tmpfs /run
  mkdir -p /run/systemd/system "/run/user/$(id -u)"
  chmod 700 "/run/user/$(id -u)"
  export XDG_RUNTIME_DIR=/run/user/$(id -u) HOME=$TEST_HOME
  unset TEST_HOME NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES WATCHDOG_USEC WATCHDOG_PID
  mkdir -p "$HOME/.config/systemd/user"
  /lib/systemd/systemd --user --log-target=console >"$HOME/systemd-user.log" 2>&1 &
  for _ in $(seq 300); do
    systemctl --user show --property=Version >/dev/null 2>&1 && break
    sleep 0.05
  done
  rc=0
  "$@" || rc=$?
  systemctl --user exit >/dev/null 2>&1 || true
  wait || true
  exit $rc' bash "$@"
