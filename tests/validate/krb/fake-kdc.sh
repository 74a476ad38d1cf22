#!/bin/sh
# Makes a realm of the given name with a user and a service whose key the connector doesn't have, and serves it:
# what somebody who owns the network but not the realm can do. Its own keytab is FOLDER/own.keytab: with that one it is
# an honest KDC with users of every kind of key (k17 ... k20, k1718; openNN without preauthentication). Runs until killed.
#     fake-kdc.sh FOLDER ADDRESS PORT REALM USER PASSWORD SERVICE
set -eu
d=$1 address=$2 port=$3 realm=$4 user=$5 password=$6 service=$7
export KRB5_CONFIG="$d/krb5.conf" KRB5_KDC_PROFILE="$d/kdc.conf"
printf '[libdefaults]\n default_realm = %s\n dns_lookup_kdc = false\n' "$realm" >"$KRB5_CONFIG"
cat >"$KRB5_KDC_PROFILE" <<END
[kdcdefaults]
 kdc_listen = ""
 kdc_tcp_listen = $address:$port
[realms]
 $realm = {
  database_name = $d/principal
  key_stash_file = $d/stash
  acl_file = $d/acl
  supported_enctypes = aes256-cts-hmac-sha1-96:normal
 }
END
printf 'master\nmaster\n' | kdb5_util create -s -r "$realm" >/dev/null 2>&1
{
    echo "addprinc -randkey $service"
    echo "ktadd -k $d/own.keytab $service"
    echo "addprinc -pw $password +requires_preauth $user"
    echo "addprinc -pw $password -requires_preauth open"
    for pair in 17=aes128-cts-hmac-sha1-96:normal 18=aes256-cts-hmac-sha1-96:normal 19=aes128-cts-hmac-sha256-128:normal \
        20=aes256-cts-hmac-sha384-192:normal 23=arcfour-hmac:normal \
        1718=aes128-cts-hmac-sha1-96:normal,aes256-cts-hmac-sha1-96:normal; do
        echo "addprinc -e ${pair#*=} -pw $password +requires_preauth k${pair%%=*}"
        echo "addprinc -e ${pair#*=} -pw $password -requires_preauth open${pair%%=*}"
    done
} | kadmin.local -r "$realm" >"$d/log" 2>&1
exec setpriv --pdeathsig TERM krb5kdc -n -r "$realm"
