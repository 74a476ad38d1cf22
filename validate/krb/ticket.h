/*
 * A ticket for the connector's own service in another realm than the account's: TGS exchanges along the trusts
 * (RFC 4120 3.3), with the ticket-granting ticket that the password just got. Internal to the Kerberos method.
 *
 * No request of these holds the password or counts as an attempt, so one that fails may be sent to another KDC.
 */
#pragma once

#include "validate/krb/krb.h"

#define KRB_TICKET_REQUESTS_MAX 10 /* over all realms */

struct krb_ticket;

/* creds: for the service; NULL: there are none, and why says so. The callee's to copy. Called once, from the loop;
 * the callee frees the ticket. */
typedef void krb_ticket_fn(void *arg, krb5_creds *creds, const char *why);

struct krb_ticket_request {
        krb5_creds *tgt;        /* borrowed during the call */
        krb5_principal service; /* borrowed during the call */
        const char *id;
        uint64_t deadline;
};

/* 0, -ENOMEM, -EBADMSG where libkrb5 does not take the ticket. */
int krb_ticket_start(struct krb_ticket **ret, struct krb *krb, const struct krb_ticket_request *request,
                     krb_ticket_fn *fn, void *arg);
/* Stops caring. NULL-safe. */
struct krb_ticket *krb_ticket_free(struct krb_ticket *ticket);
