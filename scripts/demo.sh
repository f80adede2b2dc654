#!/bin/sh
# The main job on a simulated Spark: look, plan, start, start a second, be refused, check the mods, stop; then a model of
# one's own, by its name on the hub: what is known of it is shipped (recipes/models), and no network is asked.
# Everything happens in a temporary folder and on 127.0.0.1, and nothing is left.
set -eu

home=$(mktemp -d)
export HOME="$home" XDG_CONFIG_HOME="$home/.config" XDG_STATE_HOME="$home/.local/state"
export SPARKCTL_ENGINE=sim SPARKCTL_SIM_DIR="$home/sim"
unset SPARKCTL_RECIPES SPARKCTL_PROFILE

finish() {
    sparkctl down --all >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap finish EXIT
trap 'exit 130' INT TERM

show() {
    printf '\n$ sparkctl %s\n' "$*"
    sparkctl "$@"
}

refused() {
    expected=$1
    shift
    printf '\n$ sparkctl %s\n' "$*"
    code=0
    sparkctl "$@" || code=$?
    printf '(exit code %s)\n' "$code"
    [ "$code" -eq "$expected" ]
}

show recipes
show plan e4b-nvfp4 26b-a4b-fp8
show up e4b-nvfp4
show up e4b-nvfp4 26b-a4b-fp8
show ps
refused 3 plan e2b-nvfp4 --set limits.sequences=96
refused 6 up 26b-a4b-nvfp4 --set limits.sequences=1
show down --all
show plan Qwen/Qwen3-8B
show up Qwen/Qwen3-8B
show recipes show Qwen/Qwen3-8B
show down --all
