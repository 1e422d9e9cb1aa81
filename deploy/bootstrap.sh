#!/usr/bin/env bash
# Make .venv with exactly the packages of requirements.lock, and see to the system tools. Safe to run again.
#
#   deploy/bootstrap.sh            what `make demo` and `make ui` need
#   deploy/bootstrap.sh --tests    also what `make test` needs (an sshd of our own)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'aurora: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# -- system tools ------------------------------------------------------------------------------------------------------

have() { command -v "$1" > /dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

want=()
have rsync || want+=(rsync)
have ssh || want+=(openssh-client)
if [ "${1:-}" = --tests ]; then have sshd || want+=(openssh-server); fi

if [ "${#want[@]}" -gt 0 ]; then
    root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    if have apt-get && "${root[@]}" true 2> /dev/null; then
        say "installing ${want[*]}"
        export DEBIAN_FRONTEND=noninteractive
        { "${root[@]}" apt-get update -qq && "${root[@]}" apt-get install -y -qq --no-install-recommends "${want[@]}"; } \
            > /dev/null || say "apt could not install ${want[*]}; please install them"
    else
        say "please install: ${want[*]}"
    fi
fi
have rsync || die "rsync is missing and needed: install the package rsync, then run this again"
for tool in flock prlimit setpriv timeout; do
    have "$tool" || die "$tool is missing and needed: install the packages util-linux and coreutils, then run this again"
done

# -- python ------------------------------------------------------------------------------------------------------------

is_312() { "$@" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' > /dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in python3.12 python3 python; do
        if is_312 "$candidate"; then command -v "$candidate"; return; fi
    done
    if have pyenv; then
        # A shim answers only for the version that pyenv has chosen; the versions themselves always do.
        for candidate in "$(pyenv root)"/versions/3.12*/bin/python; do
            if is_312 "$candidate"; then echo "$candidate"; return; fi
        done
    fi
    if have uv && candidate=$(uv python find 3.12 2> /dev/null) && is_312 "$candidate"; then echo "$candidate"; fi
}

# One at a time: two would build the same .venv.
exec 9> .venv.lock
flock 9

stamp=.venv/.complete
if [ ! -f "$stamp" ] || [ requirements.lock -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    # A set-up that was killed may have left half of it.
    if ! is_312 .venv/bin/python || ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
        python=$(find_python)
        [ -n "$python" ] || die "Python 3.12 not found: install it (apt install python3.12-venv, pyenv install 3.12, or uv python install 3.12)"
        say "making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv || die "this Python cannot make a virtual environment: install python3.12-venv"
    fi
    say "installing the packages of requirements.lock (about a minute)"
    pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps)
    "${pip[@]}" --require-hashes -r requirements.lock
    "${pip[@]}" --no-build-isolation -e .
    touch "$stamp"
fi
