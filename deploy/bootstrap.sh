#!/usr/bin/env bash
# Install exactly the packages of requirements.lock into .venv, and the system tools. Safe to run again.
#
#   deploy/bootstrap.sh            for `make demo` and `make ui`
#   deploy/bootstrap.sh --tests    also for `make test` (needs an sshd)
set -euo pipefail
cd "$(dirname "$0")/.."

log() { printf 'aurora: %s\n' "$*" >&2; }
die() { log "$*"; exit 1; }

# -- system tools ------------------------------------------------------------------------------------------------------

have() { command -v "$1" > /dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

missing=()
have rsync || missing+=(rsync)
have ssh || missing+=(openssh-client)
if [ "${1:-}" = --tests ]; then have sshd || missing+=(openssh-server); fi

if [ "${#missing[@]}" -gt 0 ]; then
    root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    if have apt-get && "${root[@]}" true 2> /dev/null; then
        log "installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        { "${root[@]}" apt-get update -qq && "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
            > /dev/null || log "apt could not install ${missing[*]}: install them yourself"
    else
        log "missing: install ${missing[*]}"
    fi
fi
have rsync || die "rsync is missing: install the package rsync, then run this again"
for tool in flock prlimit setpriv timeout; do
    have "$tool" || die "$tool is missing: install the packages util-linux and coreutils, then run this again"
done

# -- python ------------------------------------------------------------------------------------------------------------

is_312() { "$@" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' > /dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in python3.12 python3 python; do
        if is_312 "$candidate"; then command -v "$candidate"; return; fi
    done
    if have pyenv; then
        # A pyenv shim works only for the selected version, so try the installed versions directly.
        for candidate in "$(pyenv root)"/versions/3.12*/bin/python; do
            if is_312 "$candidate"; then echo "$candidate"; return; fi
        done
    fi
    if have uv && candidate=$(uv python find 3.12 2> /dev/null) && is_312 "$candidate"; then echo "$candidate"; fi
}

# Take a lock: two runs at once would build the same .venv.
exec 9> .venv.lock
flock 9

stamp=.venv/.complete
if [ ! -f "$stamp" ] || [ requirements.lock -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    # A killed set-up may have left an incomplete .venv.
    if ! is_312 .venv/bin/python || ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
        python=$(find_python)
        [ -n "$python" ] || die "Python 3.12 not found: install it (apt install python3.12-venv, pyenv install 3.12, or uv python install 3.12)"
        log "creating .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv || die "this Python cannot create a virtual environment: install python3.12-venv"
    fi
    log "installing the packages of requirements.lock (about a minute)"
    pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps)
    "${pip[@]}" --require-hashes -r requirements.lock
    "${pip[@]}" --no-build-isolation -e .
    touch "$stamp"
fi
