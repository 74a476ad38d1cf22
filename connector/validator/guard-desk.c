/*
 * What an administrator asks of the lockout guard: how far an account is from its limit, and to forget its failures.
 *
 * The ledger brings the question, whom a client of its socket may have taken over: a release lets an account fail some
 * times more and no more than that, and only so many are granted. What was asked of whom the ledger records.
 */
#include <errno.h>
#include <string.h>

#include "certs/codec/jose-json.h"
#include "connector/validator/validator.h"

#define NAME_BYTES 1024

static int look(struct validator *v, const struct msg_in *m, bool release, json_t **ret, struct error *err)
{
        struct validate_guarded g;
        uint64_t missed;
        size_t n;
        const uint8_t *name = msg_get_bytes(m, R_USER, &n);

        if (!name || n > NAME_BYTES)
                return error_fail(err, -EINVAL, "that is no name of a user");
        if (release && !limit_take(&v->releases, loop_now(v->process.loop), &missed))
                return error_fail(err, -EBUSY, "too many accounts were released lately; try again in 10 s");
        switch (validate_guard_of(v->validate, (const char *)name, n, release, &g)) {
        case 0:
                break;
        case -ENOENT:
                return error_fail(err, -ENOENT, "that name is of no domain that this connector serves");
        default:
                return error_fail(err, -EINVAL, "nobody can sign in with a name of that form");
        }
        *ret = json_pack("{s:s, s:s, s:i, s:i, s:b, s:b, s:i, s:b}", "mode", g.mode, "domain", g.domain, "failures",
                         (int)g.failures, "limit", (int)g.limit, "share", g.share, "stopped", g.stopped, "left_s",
                         (int)g.left_s, "released", release);
        return *ret ? 0 : error_fail(err, -ENOMEM, "out of memory");
}

void validator_guard(struct validator *v, const struct msg_in *m)
{
        const bool release = msg_get_u64(m, TAG_RELEASE, 0) != 0;
        _cleanup_(buffer_free) struct buffer text = BUFFER(1024);
        struct error err = {""};
        json_t *json = NULL;
        struct msg_out out;

        msg_begin(&out, FRAME_GUARDED);
        msg_u64(&out, TAG_SEQ, msg_get_u64(m, TAG_SEQ, 0));
        if (look(v, m, release, &json, &err) == 0 && jose_json_text(json, &text) == 0)
                msg_bytes(&out, TAG_TEXT, text.data, text.len);
        else
                msg_str(&out, TAG_WHY, err.text[0] ? err.text : "out of memory");
        json_decref(json);
        validator_to_ledger(v, &out);
}
