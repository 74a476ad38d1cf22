/*
 * Who a PAC says the account is ([MS-PAC]): pure parsers over buffers of a PAC that was verified by others.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "validate/types/outcome.h"

/*
 * UPN_DNS_INFO (type 12). Fills upn, and with the SAM-and-SID flag also id and sam. Without it -ENOENT (upn
 * is filled); -EBADMSG when malformed. A name longer than its field is left out.
 */
int krb_pac_upn_dns_info(struct identity *out, const uint8_t *bytes, size_t n);
/* The kind by the account flags of a PAC ([MS-SAMR] 2.2.1.12). */
enum account_kind krb_pac_kind(uint32_t flags);
/* LOGON_INFO (type 1), NDR. Fills id, sam and kind. -ENOENT when the account's SID isn't of the domain, -EBADMSG
 * when malformed. */
int krb_pac_logon_info(struct identity *out, const uint8_t *bytes, size_t n);
