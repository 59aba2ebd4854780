#!/usr/bin/env bash
# Runs a server between a client and two recordings: what passes is what each side wrote, byte by byte.
#   wiretap.sh RECORD_DIR COMMAND [ARGUMENT...]
# RECORD_DIR gets `sent` (client to server), `received`, `stderr`, `pid`, and, once the server has ended on its
# own, `exit` with its exit code. Opening a file to append makes it safe for a client that starts the server twice.
record=$1
shift
tee -a "$record/sent" | {
    echo "$BASHPID" >"$record/pid"
    exec "$@" 2>>"$record/stderr"
} | tee -a "$record/received"
status=("${PIPESTATUS[@]}")
echo "${status[1]}" >>"$record/exit"
