#!/bin/sh
# What the tests use beside Python: installed when root and apt are there; otherwise what is skipped is said plainly.
set -u

missing=""
need() { # need COMMAND PACKAGE WHAT-IS-SKIPPED
    command -v "$1" >/dev/null 2>&1 && return
    missing="$missing $2"
    skipped="${skipped:-}
  $1 ($2): $3"
}

need cc gcc "the tests on a simulated NVIDIA driver are skipped"
need curl curl "the tests of TLS and passwords with curl are skipped"
need tmux tmux "the test of the terminal UI in a real terminal is skipped"
need prometheus prometheus "the tests with a real Prometheus are skipped"
need promtool prometheus "the checks of metrics, rules and dashboards by promtool are skipped"
need amtool prometheus-alertmanager "the check of the routes of Alertmanager is skipped"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing for the tests:$missing"
    # RUNLEVEL=1 keeps Debian from starting the services: the tests start their own.
    # shellcheck disable=SC2086
    if apt-get update -qq >/dev/null && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null; then
        exit 0
    fi
    echo "apt-get could not install them" >&2
fi
echo "not on this machine:${skipped:-}" >&2
exit 0
