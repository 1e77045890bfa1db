#!/bin/sh
# Makes a key and a certificate, by which a node's libvirt shows the others who it is:
#
#   sh libvirt-certificate.sh NODE ADDRESS...
#
# The addresses are those that others reach it by. The first time it makes a certificate
# authority of your own as well, in the folder ca. Do it on a machine that is no node: whoever
# has ca/key.pem can be any of them. What belongs on the node is in the folder NODE then.
# Exit status: 0 done, 2 bad values or usage and nothing made.
set -eu
umask 077
days=3650

fail() {
    echo "libvirt-certificate.sh: $1" >&2
    exit 2
}

[ $# -ge 2 ] || fail "usage: sh libvirt-certificate.sh NODE ADDRESS..."
node=$1
shift
case $node in
    '' | ca | -* | *[!A-Za-z0-9.-]*) fail "$node is not the name of a node" ;;
esac
[ ! -e "$node" ] || fail "$node is there already; remove it first, and its certificate from the node"
names=DNS:$node
for address do
    case $address in
        '' | *[!0-9A-Fa-f.:]*) fail "$address is not an address" ;;
    esac
    names=$names,IP:$address
done

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

if ! [ -e ca/cacert.pem ]; then
    mkdir ca
    new_key ca/key.pem
    openssl req -x509 -new -key ca/key.pem -days "$days" -subj /CN=libvirt-nodes -out ca/cacert.pem
fi

mkdir "$node"
new_key "$node/key.pem"
openssl req -new -key "$node/key.pem" -subj "/CN=$node" -out "$node/request.pem"
# libvirt 9 wants the leave to encipher keys, which this kind of key is never used for.
printf '%s\n' "subjectAltName=$names" basicConstraints=critical,CA:FALSE \
    keyUsage=critical,digitalSignature,keyEncipherment extendedKeyUsage=serverAuth,clientAuth >"$node/extensions"
openssl x509 -req -in "$node/request.pem" -CA ca/cacert.pem -CAkey ca/key.pem -CAcreateserial \
    -days "$days" -extfile "$node/extensions" -out "$node/cert.pem" 2>/dev/null
rm "$node/request.pem" "$node/extensions"
cp ca/cacert.pem "$node"
