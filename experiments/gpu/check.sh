#!/usr/bin/env bash
# What Paretune does on this machine's card, in at most eight minutes and without a network.
#
#     experiments/gpu/check.sh OUT [STEP ...]
#
# STEP: machine contract agreement study promises schemes page; all of them by default, in this
# order. Each has a time limit and its own log in OUT; the next one runs whatever became of it.
# OUT/page.md is the result. Environment: PYTHON (python3), WORK (a folder for models and studies,
# which a later call with the same WORK uses again; a temporary one by default), TOTAL_S (470).
set -u
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(machine contract agreement study promises schemes page)
python=${PYTHON:-python3}
work=${WORK:-$(mktemp -d)}
mkdir -p "$work/leases"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
export TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$work/inductor}"
export PARETUNE_LEASES="${PARETUNE_LEASES:-$work/leases}" COLUMNS=180 TERM=dumb
began=$SECONDS
total=${TOTAL_S:-470}
prepared=""
devices=""

left() { echo $((total - (SECONDS - began))); }

# Seconds that a step may take: its own limit, or what is left of all.
allowed() {
    local most=$1 rest
    rest=$(left)
    [ "$rest" -lt "$most" ] && most=$rest
    [ "$most" -lt 5 ] && most=5
    echo "$most"
}

limited() {
    local seconds=$1
    shift
    timeout --kill-after=5 "$seconds" "$@"
}

# Study files for this machine, and the models of all schemes: in the background, while tests run.
prepare() {
    [ -f "$work/study/pictures.yaml" ] || "$python" "$here/this_machine.py" "$work/study" || return
    (
        limited "${PREPARE_S:-240}" "$python" "$here/artifacts.py" "$work/study/pictures.yaml"
        PARETUNE_LEASES=$(mktemp -d) \
            limited 120 "$python" "$here/compiler_cache.py" "$work/study/pictures.yaml"
    ) &
    limited "${PREPARE_S:-240}" "$python" "$here/artifacts.py" "$work/study/sentences.yaml" &
    wait
}

start_prepare() {
    [ -n "$prepared" ] && return
    # The suites of the contract have the last cores.
    local last=$(($(nproc) - 10))
    (
        [ "$last" -gt 0 ] && taskset -cp "0-$last" "$BASHPID" >/dev/null
        prepare
    ) >"$out/prepare.log" 2>&1 &
    prepared=$!
}

await_prepared() {
    start_prepare
    local since=$SECONDS most
    most=$(allowed "${PREPARE_S:-150}")
    while kill -0 "$prepared" 2>/dev/null && [ $((SECONDS - since)) -lt "$most" ]; do sleep 0.5; done
    kill -0 "$prepared" 2>/dev/null && echo "the models are not ready after $most s: going on"
    tail -n 20 "$out/prepare.log"
    await_devices
}

machine() {
    # Every provider is tried, compilers included; nothing is timed, so the tests need not wait.
    PARETUNE_LEASES=$(mktemp -d) limited 125 "$python" -m paretune devices \
        >"$out/devices.log" 2>&1 &
    devices=$!
    limited "$1" "$python" "$here/machine.py" "$out/machine.json"
}

await_devices() {
    [ -z "$devices" ] && return
    wait "$devices" || echo "paretune devices ended with exit code $?"
    devices=""
    cat "$out/devices.log"
}

contract() {
    local code
    limited "$1" "$python" "$here/contract.py" "$out" --seconds $(($1 - 40))
    code=$?
    await_devices # it would be somebody else on the card
    limited 40 "$python" "$here/contract.py" "$out" --alone --seconds 32 && return $code
}

agreement() {
    await_prepared
    local limit
    limit=$(allowed "$1")
    limited "$limit" "$python" "$here/agreement_cuda.py" "$work/study/pictures.yaml" \
        --seconds $((limit * 8 / 10)) --out "$out/agreement.json"
}

study() {
    await_prepared
    local limit hours code
    limit=$(allowed "$1")
    hours=$("$python" -c "print(($limit - 10) / 3600)")
    limited "$limit" "$python" -m paretune search "$work/study/pictures.yaml" --hours "$hours"
    code=$?
    limited 20 "$python" -m paretune frontier "$work/study/pictures.yaml"
    limited 20 "$python" "$here/frontier.py" "$work/study/pictures.yaml" "$out/frontier.json"
    return $code
}

promises() {
    limited "$1" "$python" "$here/promises_cuda.py" "$work/study/pictures.yaml" \
        --seconds $(($1 * 9 / 10)) --out "$out/promises.json"
}

schemes() {
    await_prepared
    local limit
    limit=$(allowed "$1")
    limited "$limit" "$python" "$here/schemes_cuda.py" "$work/study/pictures.yaml" \
        "$work/study/sentences.yaml" --seconds $((limit - 12)) --out "$out/schemes.json"
}

page() {
    "$python" "$here/page.py" "$out" | tee "$out/page.md"
}

declare -A most=([machine]=45 [contract]=140 [agreement]=100 [study]=150 [promises]=50
    [schemes]=130 [page]=10)
for step in "${steps[@]}"; do
    case " agreement study schemes " in *" $step "*) start_prepare ;; esac
done
for step in "${steps[@]}"; do
    if [ -z "${most[$step]:-}" ]; then
        echo "no step $step: ${!most[*]}" >&2
        continue
    fi
    started=$SECONDS
    limit=$(allowed "${LIMIT_S:-${most[$step]}}")
    echo "== $step (at most $limit s, $(left) s left)"
    "$step" "$limit" > >(tee "$out/$step.log") 2>&1
    code=$?
    printf '%s\t%s\t%s\n' "$step" "$code" "$((SECONDS - started))" >>"$out/steps.tsv"
    echo "== $step ended with exit code $code after $((SECONDS - started)) s"
done
await_devices
[ -n "$prepared" ] && kill "$prepared" 2>/dev/null
echo "all: $((SECONDS - began)) s"
