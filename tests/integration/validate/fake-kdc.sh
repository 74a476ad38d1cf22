#!/bin/sh
# Makes a realm of the given name with a user and a service whose key the connector doesn't have, and serves it:
# what somebody who owns the network but not the realm can do. Runs until killed.
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
printf 'addprinc -pw %s +requires_preauth %s\naddprinc -pw %s -requires_preauth open\naddprinc -randkey %s\n' \
    "$password" "$user" "$password" "$service" | kadmin.local -r "$realm" >/dev/null 2>&1
exec krb5kdc -n -r "$realm"
