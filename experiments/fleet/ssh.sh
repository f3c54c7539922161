#!/usr/bin/env bash
# Start a host of a fleet on each machine by SSH, and leave it running:
#
#   ssh.sh tls://10.0.0.5:8786 build1:--builds=4 build2:--builds=4 board1:--device=jetson-1
#
# The scheduler runs already (paretune fleet start), and every machine has its keys. The log of each
# host is ~/paretune-worker.log there. To end a host: ssh MACHINE pkill -f "paretune worker".
set -euo pipefail
scheduler=$1
shift
paretune=${PARETUNE:-paretune} # the command there: it may lie in a virtual environment
for host in "$@"; do
    machine=${host%%:*} offer=${host#*:}
    # </dev/null and setsid: the host outlives the connection.
    # shellcheck disable=SC2029 # the names are meant to be put in here
    ${SSH:-ssh} "$machine" "setsid nohup $paretune worker --scheduler $scheduler --name $machine $offer \
        >~/paretune-worker.log 2>&1 </dev/null &"
    echo "started a host on $machine: $offer"
done
