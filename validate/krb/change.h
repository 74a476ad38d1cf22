/*
 * One change of a password (RFC 3244) at one DC, with a ticket that the old password just got. Internal to
 * the Kerberos method.
 */
#pragma once

#include "validate/krb/krb.h"

struct krb_change;

/* Called once, from the loop; the callee frees the change. sent: the new password was handed to the socket.
 */
typedef void krb_change_fn(void *arg, const struct outcome *outcome, bool sent);

struct krb_change_request {
        krb5_creds *creds;                 /* for kadmin/changepw; borrowed during the call */
        const struct secret *new_password; /* borrowed */
        struct sockaddr_storage address;   /* with the port */
        socklen_t address_len;
        const char *id;
        uint64_t deadline;
};

/* 0, -ENOMEM, -EBADMSG where libkrb5 cannot make the request; then nothing was sent. */
int krb_change_start(struct krb_change **ret, struct krb *krb, const struct krb_change_request *request,
                     krb_change_fn *fn, void *arg);
/* Stops caring. NULL-safe. */
struct krb_change *krb_change_free(struct krb_change *change);
