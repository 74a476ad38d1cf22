/*
 * Judges the product of a finished AS exchange: was it a KDC that knows our service key, and who is it?
 *
 * Invariant: REASON_OK only after the ticket opened with our keytab, its session key, client and time agreed
 * with the reply that the password opened, and an identity was read from the ticket, never from the reply.
 * Every failure is infrastructure; none reads as a wrong password.
 */
#include "validate/krb/krb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "validate/krb/pac.h"
#include "validate/types/detail.h"

#define CLOCK_SKEW_MAX 300 /* seconds, the profile's clockskew */

enum { PAC_LOGON_INFO = 1, PAC_UPN_DNS_INFO = 12 };

static void fail(struct outcome *out, enum reason reason, const char *what)
{
        out->reason = reason;
        snprintf(out->context, sizeof out->context, "%s", what);
}

void krb_make_plain(char *text)
{
        for (; *text; text++)
                if (*text < 0x20 || *text > 0x7e)
                        *text = '?';
}

void krb_context_text(struct krb *krb, struct outcome *out, const char *what, krb5_error_code code)
{
        const char *text = krb5_get_error_message(krb->context, code);

        snprintf(out->context, sizeof out->context, "%s: %s", what, text);
        krb_make_plain(out->context);
        krb5_free_error_message(krb->context, text);
}

/* Opens the ticket with our keys; after a failure once more with keys read afresh, for they may have been
 * changed. */
static krb5_error_code open_ticket(struct krb *krb, struct krb_domain *domain, krb5_ticket *ticket)
{
        krb5_error_code code = krb5_server_decrypt_ticket_keytab(krb->context, domain->keytab, ticket);

        if (!code || krb_domain_reload(krb, domain) != 0)
                return code;
        return krb5_server_decrypt_ticket_keytab(krb->context, domain->keytab, ticket);
}

/* The opened ticket must be the one that the reply spoke of, fresh, and for our service. NULL when it is. */
static const char *ticket_flaw(struct krb *krb, const struct krb_domain *domain, const krb5_creds *creds,
                               const krb5_ticket *ticket)
{
        const krb5_enc_tkt_part *part = ticket->enc_part2;
        const krb5_keyblock *theirs = part->session, *told = &creds->keyblock;
        krb5_timestamp now;
        int64_t age;

        if (!krb5_principal_compare(krb->context, ticket->server, domain->service))
                return "the ticket is for another service";
        if (theirs->enctype != told->enctype || theirs->length != told->length ||
            !equal_const_time(theirs->contents, told->contents, told->length))
                return "the ticket and the KDC's reply have different session keys";
        if (!krb5_principal_compare(krb->context, part->client, creds->client))
                return "the ticket and the KDC's reply name different clients";
        if (part->client->realm.length != strlen(domain->realm) ||
            memcmp(part->client->realm.data, domain->realm, part->client->realm.length) != 0)
                return "the ticket names an account of another realm";
        if (krb5_timeofday(krb->context, &now) != 0)
                return "no time of day";
        /* Timestamps are unsigned seconds in a signed type. */
        age = (int64_t)(uint32_t)now - (int64_t)(uint32_t)part->times.authtime;
        if (age > CLOCK_SKEW_MAX || age < -CLOCK_SKEW_MAX)
                return "the ticket is not fresh";
        if (part->flags & TKT_FLG_INVALID)
                return "the ticket is marked invalid";
        return NULL;
}

/* Checks the PAC's server signature with each of our keys of the ticket's kind. */
static krb5_error_code pac_verify(struct krb *krb, const struct krb_domain *domain, krb5_pac pac,
                                  const krb5_ticket *ticket)
{
        krb5_kt_cursor cursor;
        krb5_keytab_entry entry;
        krb5_error_code code = krb5_kt_start_seq_get(krb->context, domain->keytab, &cursor), got = KRB5_KT_NOTFOUND;

        if (code)
                return code;
        while (got != 0 && krb5_kt_next_entry(krb->context, domain->keytab, &entry, &cursor) == 0) {
                if (entry.key.enctype == ticket->enc_part.enctype)
                        got = krb5_pac_verify(krb->context, pac, ticket->enc_part2->times.authtime,
                                              ticket->enc_part2->client, &entry.key, NULL);
                krb5_free_keytab_entry_contents(krb->context, &entry);
        }
        code = krb5_kt_end_seq_get(krb->context, domain->keytab, &cursor);
        return got ? got : code;
}

/* Hands one buffer of the PAC to its parser; -ENOENT where there is none. */
static int pac_buffer(struct krb *krb, krb5_pac pac, krb5_ui_4 type, struct identity *user)
{
        krb5_data data = {0};
        int r;

        if (krb5_pac_get_buffer(krb->context, pac, type, &data) != 0)
                return -ENOENT;
        if (type == PAC_UPN_DNS_INFO)
                r = krb_pac_upn_dns_info(user, (const uint8_t *)data.data, data.length);
        else
                r = krb_pac_logon_info(user, (const uint8_t *)data.data, data.length);
        krb5_free_data_contents(krb->context, &data);
        return r;
}

/* Reads who it is from a PAC whose signature is checked first. LOGON_INFO must name the same account: through a trust
 * it alone is filtered ([MS-PAC] 4.1.2.2), and it alone says of which kind the account is. */
static void identity_from_pac(struct krb *krb, const struct krb_domain *domain, const krb5_ticket *ticket, krb5_pac pac,
                              struct outcome *out)
{
        krb5_error_code code = pac_verify(krb, domain, pac, ticket);
        struct identity user = {0}, logon = {0};
        int r;

        if (code) {
                out->reason = REASON_KDC_NOT_VERIFIED;
                krb_context_text(krb, out, "the PAC's signature", code);
                return;
        }
        r = pac_buffer(krb, pac, PAC_UPN_DNS_INFO, &user);
        if (r == -ENOENT) {
                r = pac_buffer(krb, pac, PAC_LOGON_INFO, &user);
        } else if (r == 0) {
                if (pac_buffer(krb, pac, PAC_LOGON_INFO, &logon) < 0 || strcmp(logon.id, user.id) != 0)
                        r = -EBADMSG;
                user.kind = logon.kind;
        }
        if (r < 0 || user.id[0] == '\0') {
                fail(out, REASON_NO_IDENTITY, r == -EBADMSG ? "the PAC is malformed" : "the PAC holds no SID");
                return;
        }
        out->user = user;
        out->reason = REASON_OK;
}

static void identity_ad(struct krb *krb, const struct krb_domain *domain, const krb5_ticket *ticket,
                        struct outcome *out)
{
        krb5_authdata **found = NULL;
        krb5_pac pac = NULL;
        krb5_error_code code = krb5_find_authdata(krb->context, ticket->enc_part2->authorization_data, NULL,
                                                  KRB5_AUTHDATA_WIN2K_PAC, &found);

        if (code || !found || !found[0]) {
                fail(out, REASON_NO_IDENTITY, "the ticket holds no PAC");
        } else if ((code = krb5_pac_parse(krb->context, found[0]->contents, found[0]->length, &pac)) != 0) {
                out->reason = REASON_NO_IDENTITY;
                krb_context_text(krb, out, "the ticket's PAC", code);
        } else {
                identity_from_pac(krb, domain, ticket, pac, out);
                krb5_pac_free(krb->context, pac);
        }
        krb5_free_authdata(krb->context, found);
}

/* Without a PAC the ticket's client is all there is: "krb5:" and its canonical text. */
static void identity_generic(struct krb *krb, const krb5_ticket *ticket, struct outcome *out)
{
        char *text = NULL;
        int n;

        if (krb5_unparse_name(krb->context, ticket->enc_part2->client, &text) != 0) {
                fail(out, REASON_NO_IDENTITY, "the ticket's client has no text form");
                return;
        }
        n = snprintf(out->user.id, sizeof out->user.id, "krb5:%s", text);
        if (n < 0 || (size_t)n >= sizeof out->user.id) {
                out->user.id[0] = '\0';
                fail(out, REASON_NO_IDENTITY, "the principal's name is too long for an id");
        } else {
                snprintf(out->user.upn, sizeof out->user.upn, "%s", text);
                out->reason = REASON_OK;
        }
        krb5_free_unparsed_name(krb->context, text);
}

/* Which of the things that make a ticket stay shut it is, by what the keytab holds; one without the service's principal
 * was not taken. */
static enum detail key_detail(struct krb *krb, const struct krb_domain *domain, const krb5_ticket *ticket)
{
        krb5_keytab_entry entry = {0};
        bool of_number = false;
        krb5_kt_cursor cursor;

        if (krb5_kt_start_seq_get(krb->context, domain->keytab, &cursor) != 0)
                return DETAIL_KEYTAB_OLD_KEY;
        while (krb5_kt_next_entry(krb->context, domain->keytab, &entry, &cursor) == 0) {
                of_number |= krb5_principal_compare(krb->context, entry.principal, ticket->server) &&
                             entry.vno == ticket->enc_part.kvno && entry.key.enctype == ticket->enc_part.enctype;
                krb5_free_keytab_entry_contents(krb->context, &entry);
        }
        (void)krb5_kt_end_seq_get(krb->context, domain->keytab, &cursor);
        return of_number ? DETAIL_KEYTAB_WRONG_KEY : DETAIL_KEYTAB_OLD_KEY;
}

/* Which key the KDC used, and which there are: a key that was changed at the DC shows by its number. */
static void tell_keys(struct krb *krb, const struct krb_domain *domain, const krb5_ticket *ticket, struct outcome *out)
{
        char kind[48], held[160];

        krb_keytab_text(krb->context, domain->keytab_source, domain->service_text, held, sizeof held);
        if (krb5_enctype_to_name(ticket->enc_part.enctype, 0, kind, sizeof kind))
                snprintf(kind, sizeof kind, "type %d", (int)ticket->enc_part.enctype);
        snprintf(out->context, sizeof out->context,
                 "the ticket does not open: %s; the ticket needs key number %u (%s)%s%.130s",
                 detail_phrase(key_detail(krb, domain, ticket)), (unsigned)ticket->enc_part.kvno, kind,
                 held[0] ? ", and " : "", held);
}

void krb_verify(struct krb *krb, struct krb_domain *domain, const struct domain_config *config, krb5_creds *creds,
                struct outcome *out)
{
        krb5_ticket *ticket = NULL;
        krb5_error_code code = krb5_decode_ticket(&creds->ticket, &ticket);
        const char *flaw;

        out->counted = COUNTED_NO;
        out->password_proved = false;
        if (!code)
                code = open_ticket(krb, domain, ticket);
        if (ticket)
                log_debug("krb_ticket", KV_U("kvno", ticket->enc_part.kvno), KV_I("etype", ticket->enc_part.enctype),
                          KV_S("result", code ? "not opened" : "opened"));
        if (code) {
                out->reason = REASON_KDC_NOT_VERIFIED;
                krb_context_text(krb, out, "the ticket does not open with the keytab", code);
                if (ticket)
                        tell_keys(krb, domain, ticket, out);
        } else if ((flaw = ticket_flaw(krb, domain, creds, ticket))) {
                fail(out, REASON_KDC_NOT_VERIFIED, flaw);
        } else if (config->directory == DIRECTORY_AD) {
                identity_ad(krb, domain, ticket, out);
        } else {
                identity_generic(krb, ticket, out);
        }
        if (ticket)
                krb5_free_ticket(krb->context, ticket);
        if (out->reason == REASON_OK || out->reason == REASON_NO_IDENTITY)
                out->password_proved = true;
        if (out->reason == REASON_OK)
                snprintf(out->user.domain, sizeof out->user.domain, "%s", config->name);
}
