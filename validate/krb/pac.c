/*
 * Parsers for the two PAC buffers that name the account: UPN_DNS_INFO (flat offsets) and LOGON_INFO (NDR).
 *
 * Invariant: no byte outside [bytes, bytes + n) is read, whatever offsets and counts say; outputs stay
 * untouched unless the whole part was well-formed. Signatures are krb/verify.c's business.
 */
#include "validate/krb/pac.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/text.h"

#define SUBAUTHS_MAX 15
#define GROUPS_MAX 8192 /* in LOGON_INFO; AD stops at 1015 */

/* UTF-16LE -> UTF-8. Text that does not fit gives "". -EBADMSG on odd length, NUL, control characters, lone
 * surrogates. */
static int utf16_text(char *out, size_t cap, const uint8_t *bytes, size_t n)
{
        size_t used = 0;

        if (n % 2)
                return -EBADMSG;
        for (size_t i = 0; i < n; i += 2) {
                uint32_t c = bytes_le16(bytes + i);

                if (c >= 0xd800 && c < 0xdc00 && i + 4 <= n && (bytes_le16(bytes + i + 2) & 0xfc00) == 0xdc00) {
                        c = 0x10000 + ((c & 0x3ff) << 10) + (bytes_le16(bytes + i + 2) & 0x3ff);
                        i += 2;
                }
                if (c < 0x20 || c == 0x7f || (c >= 0xd800 && c < 0xe000))
                        return -EBADMSG;
                if (used + 4 >= cap) {
                        out[0] = '\0';
                        return 0;
                }
                used += utf8_put(out + used, c);
        }
        out[used] = '\0';
        return 0;
}

/* Finds the part that {length u16, offset u16} at bytes + at describes. */
static bool flat_part(const uint8_t *bytes, size_t n, size_t at, const uint8_t **ret, size_t *ret_n)
{
        size_t length = bytes_le16(bytes + at), offset = bytes_le16(bytes + at + 2);

        if (offset > n || length > n - offset)
                return false;
        *ret = bytes + offset;
        *ret_n = length;
        return true;
}

int krb_pac_upn_dns_info(struct identity *out, const uint8_t *bytes, size_t n)
{
        char upn[sizeof out->upn], sam[sizeof out->sam], id[SID_TEXT_MAX];
        const uint8_t *part;
        size_t part_n;

        if (n < 12 || !flat_part(bytes, n, 0, &part, &part_n) || utf16_text(upn, sizeof upn, part, part_n) < 0)
                return -EBADMSG;
        if (!(bytes_le32(bytes + 8) & 2)) {
                memcpy(out->upn, upn, sizeof upn);
                return -ENOENT;
        }
        if (n < 20 || !flat_part(bytes, n, 12, &part, &part_n) || utf16_text(sam, sizeof sam, part, part_n) < 0)
                return -EBADMSG;
        if (!flat_part(bytes, n, 16, &part, &part_n) || sid_text(id, part, part_n) < 0)
                return -EBADMSG;
        memcpy(out->upn, upn, sizeof upn);
        memcpy(out->sam, sam, sizeof sam);
        memcpy(out->id, id, sizeof id);
        return 0;
}

/* A reader of NDR (little endian, 32-bit pointers); ok turns false at the first violation and stays so. */
struct ndr {
        const uint8_t *bytes;
        size_t n, at;
        bool ok;
};

static const uint8_t *ndr_take(struct ndr *r, size_t count, size_t align)
{
        static const uint8_t none[16];
        size_t start = (r->at + align - 1) & ~(align - 1);

        if (!r->ok || start > r->n || count > r->n - start) {
                r->ok = false;
                return none;
        }
        r->at = start + count;
        return r->bytes + start;
}

static uint32_t ndr_u32(struct ndr *r)
{
        return bytes_le32(ndr_take(r, 4, 4));
}

/* RPC_UNICODE_STRING's fixed part: true when a text follows among the deferred ones. */
static bool ndr_string_header(struct ndr *r)
{
        (void)ndr_take(r, 4, 4);
        return ndr_u32(r) != 0;
}

/* A deferred text: maximum, offset, actual count, UTF-16. */
static const uint8_t *ndr_string(struct ndr *r, size_t *ret_n)
{
        uint32_t max = ndr_u32(r), offset = ndr_u32(r), actual = ndr_u32(r);

        if (offset != 0 || actual > max || actual > UINT16_MAX)
                r->ok = false;
        *ret_n = r->ok ? 2 * (size_t)actual : 0;
        return ndr_take(r, *ret_n, 2);
}

struct logon_info {
        bool strings[6], groups, server, domain_name, domain_sid;
        uint32_t user_id, group_count, flags;
};

/* The fixed part of KERB_VALIDATION_INFO behind the headers. */
static void ndr_logon_fixed(struct ndr *r, struct logon_info *l)
{
        const uint8_t *ids;

        (void)ndr_take(r, 48, 4); /* six times */
        for (size_t i = 0; i < 6; i++)
                l->strings[i] = ndr_string_header(r);
        (void)ndr_take(r, 4, 4);  /* two counters */
        ids = ndr_take(r, 12, 4); /* UserId, PrimaryGroupId, GroupCount */
        l->user_id = bytes_le32(ids);
        l->group_count = r->ok ? bytes_le32(ids + 8) : 0;
        l->groups = ndr_u32(r) != 0;
        (void)ndr_take(r, 20, 4); /* UserFlags, UserSessionKey */
        l->server = ndr_string_header(r);
        l->domain_name = ndr_string_header(r);
        l->domain_sid = ndr_u32(r) != 0;
        (void)ndr_take(r, 8, 4);                 /* reserved */
        l->flags = ndr_u32(r);                   /* UserAccountControl */
        (void)ndr_take(r, 28, 4);                /* seven reserved */
        (void)ndr_take(r, 4 + 4 + 4 + 4 + 4, 4); /* SidCount, ExtraSids, resource groups: domain, count, ids */
}

/* Skips what is deferred before the domain's SID, giving the account's name on the way. */
static const uint8_t *ndr_logon_deferred(struct ndr *r, const struct logon_info *l, size_t *ret_n)
{
        const uint8_t *name = NULL;
        size_t n = 0, skipped;

        for (size_t i = 0; i < 6; i++) {
                if (!l->strings[i])
                        continue;
                if (i == 0)
                        name = ndr_string(r, &n);
                else
                        (void)ndr_string(r, &skipped);
        }
        if (l->groups) {
                uint32_t count = ndr_u32(r);

                if (count != l->group_count || count > GROUPS_MAX)
                        r->ok = false;
                (void)ndr_take(r, r->ok ? 8 * (size_t)count : 0, 4);
        }
        if (l->server)
                (void)ndr_string(r, &skipped);
        if (l->domain_name)
                (void)ndr_string(r, &skipped);
        *ret_n = n;
        return name;
}

/* Reads the domain's SID and appends the account's relative id. */
static bool ndr_account_sid(struct ndr *r, uint32_t rid, char *out)
{
        uint8_t sid[8 + 4 * SUBAUTHS_MAX];
        uint32_t count = ndr_u32(r);
        size_t n;
        const uint8_t *bytes;

        if (!r->ok || count < 1 || count >= SUBAUTHS_MAX)
                return false;
        n = 8 + 4 * (size_t)count;
        bytes = ndr_take(r, n, 4);
        if (!r->ok || bytes[1] != count)
                return false;
        memcpy(sid, bytes, n);
        sid[1]++;
        for (size_t i = 0; i < 4; i++)
                sid[n + i] = (uint8_t)(rid >> 8 * i);
        return sid_text(out, sid, n + 4) == 0;
}

enum account_kind krb_pac_kind(uint32_t flags)
{
        enum { TEMP_DUPLICATE = 8, NORMAL = 0x10, MNS = 0x20, TRUST = 0x40, WORKSTATION = 0x80, SERVER = 0x100 };
        uint32_t kinds = flags & (TEMP_DUPLICATE | NORMAL | MNS | TRUST | WORKSTATION | SERVER);

        return kinds == NORMAL ? ACCOUNT_PERSON : kinds ? ACCOUNT_OTHER : ACCOUNT_UNKNOWN;
}

int krb_pac_logon_info(struct identity *out, const uint8_t *bytes, size_t n)
{
        static const uint8_t header[8] = {1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc};
        struct ndr r = {bytes, n, 0, true};
        struct logon_info l = {0};
        char sam[sizeof out->sam] = "", id[SID_TEXT_MAX];
        const uint8_t *name;
        size_t name_n;

        if (n < 20 || memcmp(bytes, header, sizeof header) != 0)
                return -EBADMSG;
        r.at = 20; /* behind both headers and the pointer to the structure */
        ndr_logon_fixed(&r, &l);
        name = ndr_logon_deferred(&r, &l, &name_n);
        if (!r.ok)
                return -EBADMSG;
        if (!l.domain_sid || l.user_id == 0)
                return -ENOENT;
        if (!ndr_account_sid(&r, l.user_id, id) || (name && utf16_text(sam, sizeof sam, name, name_n) < 0))
                return -EBADMSG;
        memcpy(out->sam, sam, sizeof sam);
        memcpy(out->id, id, sizeof id);
        out->kind = krb_pac_kind(l.flags);
        return 0;
}
