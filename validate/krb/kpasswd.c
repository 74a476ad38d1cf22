/*
 * Frames of RFC 3244, and the reasons behind its answers.
 *
 * AD answers a refusal with its policy instead of the rule that was broken ([MS-SAMR] 2.2.3.5 in network
 * order, as MIT's krb5_chpw_message reads it), Samba with a sentence. Invariant: what cannot be told apart is
 * called refused, never changed.
 */
#include "validate/krb/kpasswd.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/text.h"
#include "validate/types/outcome-table.h"

#define HEADER 6
#define VERSION_CHANGE 1
#define VERSION_MICROSOFT 0xff80
#define POLICY_LEN 30
#define POLICY_COMPLEX 1
#define CODE_SOFT_ERROR 4

int kpasswd_frame(struct buffer *out, const void *ap_req, size_t ap_req_n, const void *priv, size_t priv_n)
{
        size_t n = HEADER + ap_req_n + priv_n;
        uint8_t header[HEADER];
        int r;

        if (ap_req_n > UINT16_MAX || n > UINT16_MAX)
                return -EMSGSIZE;
        bytes_put_be16(header, (uint16_t)n);
        bytes_put_be16(header + 2, VERSION_CHANGE);
        bytes_put_be16(header + 4, (uint16_t)ap_req_n);
        r = buffer_append(out, header, sizeof header);
        if (r == 0)
                r = buffer_append(out, ap_req, ap_req_n);
        return r == 0 ? buffer_append(out, priv, priv_n) : r;
}

int kpasswd_parse(struct kpasswd_reply *ret_reply, const uint8_t *bytes, size_t n)
{
        struct kpasswd_reply reply = {0};
        size_t ap_rep_n;

        if (n < HEADER || bytes_be16(bytes) != n ||
            (bytes_be16(bytes + 2) != VERSION_CHANGE && bytes_be16(bytes + 2) != VERSION_MICROSOFT))
                return -EBADMSG;
        ap_rep_n = bytes_be16(bytes + 4);
        if (ap_rep_n >= n - HEADER)
                return -EBADMSG;
        if (ap_rep_n > 0)
                reply.ap_rep = bytes + HEADER;
        reply.ap_rep_n = ap_rep_n;
        reply.priv = bytes + HEADER + ap_rep_n;
        reply.priv_n = n - HEADER - ap_rep_n;
        *ret_reply = reply;
        return 0;
}

/* Which rule of AD's policy the new password breaks, where only one can be. The complex hold three of lower case, upper
 * case, digits, signs and other letters; the user's name, which they must not hold either, isn't looked at. */
static enum reason from_policy(const uint8_t *policy, const char *password)
{
        uint32_t least = bytes_be32(policy + 2), history = bytes_be32(policy + 6), properties = bytes_be32(policy + 10);
        bool has_age = bytes_be32(policy + 22) != 0 || bytes_be32(policy + 26) != 0;
        unsigned kinds = 0, characters = 0;

        for (const char *s = password; *s; s++) {
                uint8_t c = (uint8_t)*s;

                kinds |= c >= 0x80 ? 16 : islower(c) ? 1 : isupper(c) ? 2 : isdigit(c) ? 4 : 8;
                characters += (c & 0xc0) != 0x80;
        }
        if (characters < least)
                return REASON_NEW_PASSWORD_TOO_SHORT;
        if (properties & POLICY_COMPLEX && __builtin_popcount(kinds) < 3)
                return REASON_NEW_PASSWORD_TOO_SIMPLE;
        if (history > 0 && !has_age)
                return REASON_NEW_PASSWORD_IN_HISTORY;
        if (history == 0 && has_age && !(properties & POLICY_COMPLEX))
                return REASON_PASSWORD_TOO_YOUNG;
        return REASON_NEW_PASSWORD_REFUSED;
}

static enum reason from_text(const char *text, size_t n)
{
        for (size_t i = 0; i < outcome_kpasswd_texts_n; i++)
                if (memmem(text, n, outcome_kpasswd_texts[i].text, strlen(outcome_kpasswd_texts[i].text)))
                        return outcome_kpasswd_texts[i].reason;
        return REASON_NEW_PASSWORD_REFUSED;
}

void kpasswd_outcome(struct outcome *out, const uint8_t *answer, size_t n, const struct secret *new_password)
{
        int32_t code = n >= 2 ? (int32_t)bytes_be16(answer) : -1;
        const struct outcome_code *row = outcome_code_find(outcome_kpasswd_codes, outcome_kpasswd_codes_n, code);
        const uint8_t *rest = n >= 2 ? answer + 2 : NULL;

        out->password_proved = true;
        out->counted = COUNTED_NO;
        out->reason = row ? row->reason : REASON_DC_ERROR;
        if (code == CODE_SOFT_ERROR && n == 2 + POLICY_LEN && rest[0] == 0 && rest[1] == 0)
                out->reason = from_policy(rest, secret_text(new_password));
        else if (code == CODE_SOFT_ERROR)
                out->reason = from_text((const char *)rest, n - 2);
        snprintf(out->context, sizeof out->context, "kpasswd result %d (%s)", (int)code,
                 row ? row->name : "not a result this program knows");
}
