#!/bin/sh
# On the node that sends guests: holds a tunnel to xend on the node that receives
# them, until it is interrupted. Meanwhile, relocate to 127.0.0.1, port local_port,
# which is not 8002, so that this node's own xend may have that.
set -eu

peer_address=203.0.113.12
relocation_port=8002
local_port=8012
key=/etc/xen/relocation-key
known_hosts=/etc/xen/relocation-known-hosts

python3 "$(dirname "$0")/../check_values.py" "$0"

# Only the key that is on file counts as the peer's, and a tunnel that cannot
# listen is an error, not a warning.
exec ssh -N -T -i "$key" \
    -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=10 \
    -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$known_hosts" -o GlobalKnownHostsFile=/dev/null \
    -o ExitOnForwardFailure=yes -o ServerAliveInterval=15 \
    -L "127.0.0.1:$local_port:127.0.0.1:$relocation_port" \
    "relocation@$peer_address"
