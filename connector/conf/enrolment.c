/*
 * Reads enrolment.json, which `postern enroll` wrote: who this connector is and which tenant key it pins.
 * Strict: the file is ours.
 */
#include "connector/conf/enrolment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "certs/trust/roster.h"
#include "connector/frames/messages.h"

static int take(char **to, const json_t *json, const char *name, struct error *err)
{
        const char *text;
        int r = jose_json_str(json, FILE_ENROLMENT, name, 1, 512, &text, err);

        if (r == 0 && text_set(to, text) < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        return r;
}

int enrolment_read(struct enrolment *ret_e, int fd, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(16384);
        _cleanup_(enrolment_clear) struct enrolment e = {0};
        json_t *json = NULL;
        int r = fd_read_all(&text, fd, err);

        if (r == 0)
                r = jose_json_object(&json, text.data ? text.data : "", text.len, FILE_ENROLMENT, err);
        if (r < 0)
                return r;
        if ((r = jose_json_version(json, FILE_ENROLMENT, ENROLMENT_VERSION, err)) == 0 &&
            (r = take(&e.relay, json, "relay", err)) == 0 && (r = take(&e.tenant, json, "tenant", err)) == 0 &&
            (r = take(&e.id, json, "id", err)) == 0 && (r = take(&e.name, json, "name", err)) == 0)
                r = jose_json_kid(json, FILE_ENROLMENT, "pin", e.pin, err);
        if (r == 0 && (!id_valid(e.id, strlen(e.id)) || !tenant_valid(e.tenant)))
                r = error_fail(err, -EBADMSG, "%s: id or tenant is malformed; enrol anew", FILE_ENROLMENT);
        json_decref(json);
        if (r < 0)
                return r;
        *ret_e = e;
        e = (struct enrolment){0};
        return 0;
}

void enrolment_clear(struct enrolment *e)
{
        free(e->relay);
        free(e->tenant);
        free(e->id);
        free(e->name);
        *e = (struct enrolment){0};
}
