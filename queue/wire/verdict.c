/*
 * The claims of a verdict: what a connector signs and a sign-in service believes.
 *
 * Strict both ways: an encoder's forgotten field is an error, not a verdict, and nothing that is not a known
 * word is ever decoded into accepted or refused. What a verdict must agree with (request, roster, time) is
 * checked by the client.
 */
#include "queue/wire/wire.h"

#include <errno.h>
#include <string.h>

#include "base/core/text.h"
#include "queue/wire/json.h"

#define MS_MAX INT64_C(3600000)
#define RETRY_AFTER_MAX 604800 /* s */

static const char *const verdicts[] = {"accepted", "refused", "unavailable", NULL};
static const char *const classes[] = {"none", "credentials", "policy", "infrastructure", NULL};
static const char *const counts[] = {"0", "1", "unknown", NULL};

static bool one_of(const char *const *words, const char *word)
{
        for (; *words; words++)
                if (word && strcmp(*words, word) == 0)
                        return true;
        return false;
}

static const char *const states[] = {"complete", "truncated", "unavailable", NULL};

#define ATTRIBUTE_NAME "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."
#define ATTRIBUTE_NAMES_MAX 16
#define ATTRIBUTE_VALUES_MAX 512

/* The rules that hold between members. */
static const char *incoherent(const struct verdict_claims *c)
{
        const bool accepted = strcmp(c->verdict, "accepted") == 0;

        if (accepted && !c->user_id[0])
                return "user is missing, required with accepted";
        if (accepted && !c->password_proved)
                return "password_proved is false with accepted";
        /* each verdict has classes of its own (PROTOCOL.md 8.1): a refusal has the two others */
        if (accepted != (strcmp(c->class, "none") == 0) ||
            (strcmp(c->verdict, "unavailable") == 0) != (strcmp(c->class, "infrastructure") == 0))
                return "class does not go with verdict";
        if (!accepted && c->user_id[0])
                return "user without accepted";
        if (c->retry_after && strcmp(c->reason, "throttled") != 0)
                return "retry_after without reason throttled";
        if (c->user_id[0] ? !c->user_domain[0]
                          : c->user_guid[0] || c->user_upn[0] || c->user_sam[0] || c->user_domain[0])
                return "user without id or domain";
        if (c->attributes_state && !accepted)
                return "attributes without accepted";
        if (c->attributes.len > 0 && (!c->attributes_state || strcmp(c->attributes_state, "unavailable") == 0))
                return "attributes have values that their state denies";
        return NULL;
}

static void put_user(struct json_writer *w, const struct verdict_claims *c)
{
        if (!c->user_id[0])
                return;
        json_write_open(w, "user", '{');
        json_write_str(w, "id", c->user_id);
        json_write_opt(w, "guid", c->user_guid);
        json_write_opt(w, "upn", c->user_upn);
        json_write_opt(w, "sam", c->user_sam);
        json_write_str(w, "domain", c->user_domain);
        json_write_close(w, '}');
}

/* Whether the name stands before the pair at until. */
static bool named_before(const struct pairs *p, size_t until, const char *wanted)
{
        const char *name, *value;
        size_t at = 0;

        while (at < until && pairs_next(p, &at, &name, &value))
                if (strcmp(name, wanted) == 0)
                        return true;
        return false;
}

/* One array for each name, wherever its values stand: a member named twice would spoil the whole verdict. */
static void put_attributes(struct json_writer *w, const struct verdict_claims *c)
{
        const char *name, *other, *value;
        size_t at = 0, begin = 0;

        if (!c->attributes_state)
                return;
        json_write_open(w, "attributes", '{');
        json_write_str(w, "state", c->attributes_state);
        json_write_open(w, "values", '{');
        while (pairs_next(&c->attributes, &at, &name, &value)) {
                if (!named_before(&c->attributes, begin, name)) {
                        json_write_open(w, name, '[');
                        for (size_t i = 0; pairs_next(&c->attributes, &i, &other, &value);)
                                if (strcmp(other, name) == 0)
                                        json_write_str(w, NULL, value);
                        json_write_close(w, ']');
                }
                begin = at;
        }
        json_write_close(w, '}');
        json_write_close(w, '}');
}

static void put_raw(struct json_writer *w, const struct verdict_claims *c)
{
        if (!c->raw_ldap[0] && !c->raw_krb[0] && !c->raw_ntstatus[0])
                return;
        json_write_open(w, "raw", '{');
        json_write_opt(w, "ldap", c->raw_ldap);
        json_write_opt(w, "krb", c->raw_krb);
        json_write_opt(w, "ntstatus", c->raw_ntstatus);
        json_write_close(w, '}');
}

static void put_claims(struct json_writer *w, const struct verdict_claims *c)
{
        json_write_open(w, NULL, '{');
        json_write_int(w, "v", 1);
        json_write_str(w, "iss", c->iss);
        json_write_str(w, "aud", c->aud);
        json_write_str(w, "tenant", c->tenant);
        json_write_str(w, "jti", c->jti);
        json_write_str(w, "req", c->req);
        json_write_int(w, "iat", c->iat);
        json_write_int(w, "exp", c->exp);
        json_write_str(w, "verdict", c->verdict);
        json_write_str(w, "class", c->class);
        json_write_str(w, "reason", c->reason);
        json_write_bool(w, "password_proved", c->password_proved);
        json_write_str(w, "may_have_counted", c->may_have_counted);
        put_user(w, c);
        put_attributes(w, c);
        if (c->retry_after)
                json_write_int(w, "retry_after", c->retry_after);
        json_write_opt(w, "dc", c->dc);
        json_write_opt(w, "method", c->method);
        put_raw(w, c);
        json_write_open(w, "t", '{');
        json_write_int(w, "opened", c->t_opened);
        json_write_int(w, "dc", c->t_dc);
        json_write_int(w, "total", c->t_total);
        json_write_close(w, '}');
        json_write_close(w, '}');
}

int verdict_claims_encode(const struct verdict_claims *c, struct buffer *out, struct error *err)
{
        struct json_writer w;
        const char *why;
        int r;

        if (!one_of(verdicts, c->verdict) || !one_of(classes, c->class) || !one_of(counts, c->may_have_counted) ||
            !c->reason[0])
                return error_fail(err, -EINVAL, "verdict: verdict, class, reason or may_have_counted is not set");
        why = incoherent(c);
        if (why)
                return error_fail(err, -EINVAL, "verdict: %s", why);
        json_write_begin(&w, out);
        put_claims(&w, c);
        r = json_write_end(&w);
        return r < 0 ? error_fail(err, r, "verdict: cannot be written: %s", strerror(-r)) : 0;
}

static void read_user(struct json_reader *r, struct verdict_claims *c)
{
        struct json_reader user;

        if (!json_read_object(&user, r, "user", JSON_OPTIONAL))
                return;
        json_read_str(&user, "id", JSON_REQUIRED, c->user_id, sizeof(c->user_id));
        json_read_str(&user, "guid", JSON_OPTIONAL, c->user_guid, sizeof(c->user_guid));
        json_read_str(&user, "upn", JSON_OPTIONAL, c->user_upn, sizeof(c->user_upn));
        json_read_str(&user, "sam", JSON_OPTIONAL, c->user_sam, sizeof(c->user_sam));
        json_read_str(&user, "domain", JSON_REQUIRED, c->user_domain, sizeof(c->user_domain));
        json_read_end(&user, true);
}

static void read_attributes(struct json_reader *r, struct verdict_claims *c)
{
        char name[PAIRS_NAME_MAX + 1], value[PAIRS_BYTES_MAX + 1];
        struct json_reader attributes, values, list;

        if (!json_read_object(&attributes, r, "attributes", JSON_OPTIONAL))
                return;
        c->attributes_state = json_read_word(&attributes, "state", states);
        json_read_object(&values, &attributes, "values", JSON_REQUIRED);
        if (values.n > ATTRIBUTE_NAMES_MAX)
                json_read_fail(&attributes, "values", "has more than 16 attributes");
        while (json_read_next(&values)) {
                json_read_name(&values, name, sizeof(name));
                if (!*name || name[strspn(name, ATTRIBUTE_NAME)])
                        json_read_fail(&values, NULL, "has no name of an attribute");
                json_read_list(&list, &values, NULL, JSON_REQUIRED, 1, ATTRIBUTE_VALUES_MAX);
                while (json_read_next(&list)) {
                        const size_t n = json_read_bytes(&list, NULL, value, sizeof(value));

                        if (n > PAIRS_BYTES_MAX || pairs_add(&c->attributes, name, value, n) < 0)
                                json_read_fail(&list, NULL, "is malformed or too long");
                }
        }
        json_read_end(&attributes, true);
}

static void read_raw(struct json_reader *r, struct verdict_claims *c)
{
        struct json_reader raw;

        if (!json_read_object(&raw, r, "raw", JSON_OPTIONAL))
                return;
        json_read_str(&raw, "ldap", JSON_OPTIONAL, c->raw_ldap, sizeof(c->raw_ldap));
        json_read_str(&raw, "krb", JSON_OPTIONAL, c->raw_krb, sizeof(c->raw_krb));
        json_read_str(&raw, "ntstatus", JSON_OPTIONAL, c->raw_ntstatus, sizeof(c->raw_ntstatus));
        json_read_end(&raw, true);
}

static void read_times(struct json_reader *r, struct verdict_claims *c)
{
        struct json_reader t;

        c->iat = json_read_int(r, "iat", 0, JSON_TIME_MAX);
        c->exp = json_read_int(r, "exp", 0, JSON_TIME_MAX);
        if (c->exp != c->iat + VERDICT_LIFE)
                json_read_fail(r, "exp", "is not iat + 30");
        json_read_object(&t, r, "t", JSON_REQUIRED);
        c->t_opened = (uint32_t)json_read_int(&t, "opened", 0, MS_MAX);
        c->t_dc = (uint32_t)json_read_int(&t, "dc", 0, MS_MAX);
        c->t_total = (uint32_t)json_read_int(&t, "total", 0, MS_MAX);
        json_read_end(&t, true);
}

static void read_outcome(struct json_reader *r, struct verdict_claims *c)
{
        c->verdict = json_read_word(r, "verdict", verdicts);
        c->class = json_read_word(r, "class", classes);
        json_read_str(r, "reason", JSON_REQUIRED, c->reason, sizeof(c->reason));
        c->password_proved = json_read_bool(r, "password_proved");
        c->may_have_counted = json_read_word(r, "may_have_counted", counts);
        if (json_read_has(r, "retry_after"))
                c->retry_after = (uint32_t)json_read_int(r, "retry_after", 1, RETRY_AFTER_MAX);
        json_read_str(r, "dc", JSON_OPTIONAL, c->dc, sizeof(c->dc));
        json_read_str(r, "method", JSON_OPTIONAL, c->method, sizeof(c->method));
        if (c->method[0] && strcmp(c->method, "krb5") != 0 && strcmp(c->method, "ldap") != 0)
                json_read_fail(r, "method", "is no known word");
}

int verdict_claims_decode(struct verdict_claims *ret_c, const char *json, size_t n, struct error *err)
{
        struct verdict_claims c = {0};
        struct json_reader r;
        const char *why;

        json_read_begin(&r, json, n, JSON_PLAIN, "verdict", err);
        json_read_int(&r, "v", 1, 1);
        claims_id(&r, "iss", c.iss);
        claims_id(&r, "aud", c.aud);
        claims_tenant(&r, "tenant", c.tenant);
        claims_id(&r, "jti", c.jti);
        json_read_b64u_text(&r, "req", c.req, 32);
        read_times(&r, &c);
        read_outcome(&r, &c);
        read_user(&r, &c);
        read_attributes(&r, &c);
        read_raw(&r, &c);
        if (json_read_end(&r, true) < 0)
                return json_read_result(&r);
        why = incoherent(&c);
        if (why)
                return error_fail(err, -EBADMSG, "verdict: %s", why);
        *ret_c = c;
        return 0;
}
