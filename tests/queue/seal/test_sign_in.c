/*
 * A request as the connector opens it, and its verdict as the service checks it: every check of PROTOCOL.md
 * fails alone once.
 */
#include "tests/queue/world.h"

#include "certs/jose/sealed.h"
#include "base/core/text.h"

struct made {
        struct world *w;
        struct directory *d;
        char *json;
        struct secret *password;
        struct sign_in s;
};

static int begin(void **state)
{
        struct made *x = calloc(1, sizeof(*x));
        struct error err = {""};

        assert_non_null(x);
        x->w = world_new();
        world_put_domain(x->w, "corp.example", "corp.com", "CORP", "S-1-5-21-1-2-3");
        world_put_domain(x->w, "b.example", "b.com", "BEE", "S-1-5-21-9-9-9");
        x->json = world_all_keys(x->w, 3);
        x->d = world_open(x->w, x->json);
        assert_int_equal(secret_new(&x->password, "s3cret", 6), 0);
        const struct sign_in_params p = {.service_id = SERVICE_ID,
                                         .service_key = x->w->service,
                                         .username = "amy@corp.example",
                                         .username_len = 16,
                                         .password = x->password,
                                         .client_ip = "192.0.2.7",
                                         .client_app = "mail",
                                         .now = NOW};
        assert_int_equal(sign_in_make(&x->s, x->d, &p, &err), 0);
        *state = x;
        return 0;
}

static int end(void **state)
{
        struct made *x = *state;

        sign_in_clear(&x->s);
        secret_free(x->password);
        directory_free(x->d);
        world_free(x->w);
        free(x->json);
        free(x);
        return 0;
}

/* Opens the request as connector i does. */
static void open_request(const struct made *x, size_t i, struct request_claims *ret_c, char ret_hash[KID_LEN + 1])
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE + 1);
        struct sealed sealed;
        _cleanup_(jws_clear) struct jws jws = {0};
        struct error err = {""};
        size_t n, at;

        assert_int_equal(sealed_read(&sealed, x->s.body.data, x->s.body.len, &err), 0);
        for (at = 0; at < sealed.n && memcmp(sealed_line(&sealed, at), key_kid(x->w->connectors[i].enc), KID_LEN) != 0;)
                at++;
        assert_true(at < sealed.n);
        assert_int_equal(sealed_open(&sealed, at, x->w->connectors[i].enc, &plain, &err), 0);
        assert_int_equal(plain.len, x->s.padded);
        assert_int_equal(jose_unpadded(plain.data, plain.len, &n), 0);
        assert_int_equal(jws_parse(&jws, plain.data, n, JOSE_TYP_REQUEST, true, &err), 0);
        assert_int_equal(jws_verify(&jws, x->w->service, &err), 0);
        assert_int_equal(request_claims_decode(ret_c, jws.payload.data, jws.payload.len, &err), 0);
        request_hash(plain.data, n, ret_hash);
}

static bool names(const struct request_claims *c, const char *kid)
{
        for (size_t i = 0; i < c->n_to; i++)
                if (strcmp(c->to[i], kid) == 0)
                        return true;
        return false;
}

static void each_recipient_opens_the_same(void **state)
{
        const struct made *x = *state;
        char hash[KID_LEN + 1];

        assert_int_equal(x->s.n_to, 3);
        assert_null(memmem(x->s.body.data, x->s.body.len, "s3cret", 6));
        assert_null(memmem(x->s.body.data, x->s.body.len, "amy@corp", 8)); /* too long to come about by chance */
        for (size_t i = 0; i < 3; i++) {
                struct request_claims c;

                open_request(x, i, &c, hash);
                assert_string_equal(hash, x->s.req);
                assert_string_equal(c.password, "s3cret");
                assert_string_equal(c.username, "amy@corp.example");
                assert_string_equal(c.iss, SERVICE_ID);
                assert_string_equal(c.aud, TENANT);
                assert_string_equal(c.jti, x->s.id);
                assert_memory_equal(c.rk, x->s.rk, sizeof(c.rk));
                assert_string_equal(c.client_ip, "192.0.2.7");
                assert_string_equal(c.client_app, "mail");
                assert_string_equal(c.client_agent, "");
                assert_int_equal(c.n_to, 3);
                assert_true(names(&c, key_kid(x->w->connectors[i].identity))); /* in an order that is drawn */
                assert_int_equal(c.iat, NOW);
                wipe(&c, sizeof(c));
        }
}

static void no_two_requests_share_anything_random(void **state)
{
        struct made *x = *state;
        const struct sign_in_params p = {.service_id = SERVICE_ID,
                                         .service_key = x->w->service,
                                         .username = "amy@corp.example",
                                         .username_len = 16,
                                         .now = NOW};
        struct request_claims c;
        struct error err = {""};
        char hash[KID_LEN + 1];
        struct made y = *x;

        assert_int_equal(sign_in_make(&y.s, x->d, &p, &err), 0);
        assert_string_not_equal(y.s.id, x->s.id);
        assert_memory_not_equal(y.s.rk, x->s.rk, sizeof(y.s.rk));
        open_request(&y, 0, &c, hash);
        assert_int_equal(c.password_form, CREDENTIAL_EMPTY); /* no password was given */
        sign_in_clear(&y.s);
        assert_int_equal(y.s.n_to, 0);
}

static void misuse(void **state)
{
        struct made *x = *state;
        char name[WIRE_USERNAME_MAX + 2];
        struct sign_in_params p = {
                .service_id = SERVICE_ID, .service_key = x->w->service, .username = name, .now = NOW};
        struct error err = {""};
        struct key *public = NULL;
        json_t *jwk = NULL;
        struct sign_in s;

        memset(name, 'n', sizeof(name));
        p.username_len = WIRE_USERNAME_MAX + 1;
        assert_int_equal(sign_in_make(&s, x->d, &p, &err), -EMSGSIZE);
        p.username_len = WIRE_USERNAME_MAX;
        assert_int_equal(sign_in_make(&s, x->d, &p, &err), 0);
        sign_in_clear(&s);
        name[0] = '\xff';
        assert_int_equal(sign_in_make(&s, x->d, &p, &err), -EINVAL);
        name[0] = 'n';
        p.service_id = "short";
        assert_int_equal(sign_in_make(&s, x->d, &p, &err), -EINVAL);
        p.service_id = SERVICE_ID;
        assert_int_equal(key_to_jwk(x->w->service, &jwk), 0);
        assert_int_equal(key_from_jwk(&public, jwk, &err), 0);
        json_decref(jwk);
        p.service_key = public;
        assert_int_equal(sign_in_make(&s, x->d, &p, &err), -EINVAL);
        key_free(public);
        p.service_key = x->w->service;
        p.only_connector = "dc-2";
        assert_int_equal(sign_in_make(&s, x->d, &p, &err), 0);
        assert_int_equal(s.n_to, 1);
        assert_string_equal(s.to[0].id, x->w->connectors[2].id);
        sign_in_clear(&s);
}

/* ---- classes of padding ---- */

static size_t class_of(const struct made *x, const struct sign_in_params *p)
{
        struct error err = {""};
        struct sign_in s;
        size_t padded;

        assert_int_equal(sign_in_make(&s, x->d, p, &err), 0);
        padded = s.padded;
        assert_int_equal(s.body.len, SEALED_LEN(padded, s.n_to));
        sign_in_clear(&s);
        return padded;
}

/* Names and passwords of all lengths that people have leave a sign-in in its class. */
static void class_says_nothing_of_what_was_typed(void **state)
{
        struct made *x = *state;
        char name[WIRE_USERNAME_MAX + 1], password[256];
        struct sign_in_params p = {
                .service_id = SERVICE_ID, .service_key = x->w->service, .username = name, .now = NOW};
        struct secret *secret = NULL;

        memset(name, 'n', sizeof(name));
        memset(password, 'p', sizeof(password));
        for (size_t n = 1; n < sizeof(password); n += 50) {
                assert_int_equal(secret_new(&secret, password, n), 0);
                p.password = secret;
                p.username_len = n;
                assert_int_equal(class_of(x, &p), PADDED_SMALL);
                p.change_password = true;
                assert_int_equal(class_of(x, &p), PADDED_LARGE);
                p.change_password = false;
                secret = secret_free(secret);
        }
}

static void what_does_not_fit_takes_the_larger(void **state)
{
        struct made *x = *state;
        char password[WIRE_PASSWORD_MAX];
        struct sign_in_params p = {.service_id = SERVICE_ID,
                                   .service_key = x->w->service,
                                   .username = "amy@corp.example",
                                   .username_len = 16,
                                   .now = NOW};
        struct secret *secret = NULL;

        memset(password, 'p', sizeof(password));
        assert_int_equal(secret_new(&secret, password, sizeof(password)), 0);
        p.password = secret;
        assert_int_equal(class_of(x, &p), PADDED_LARGE);
        secret_free(secret);
}

/* A connector that adds attributes says so in its statement; one of those that may get it is enough. */
static void class_that_a_statement_asks_for(void **state)
{
        struct made *x = *state;
        const struct sign_in_params p = {.service_id = SERVICE_ID,
                                         .service_key = x->w->service,
                                         .username = "amy@corp.example",
                                         .username_len = 16,
                                         .password = x->password,
                                         .now = NOW};

        x->w->connectors[1].statement->pad = PADDED_LARGE;
        free(x->json);
        directory_free(x->d);
        x->json = world_all_keys(x->w, 3);
        x->d = world_open(x->w, x->json);
        assert_int_equal(class_of(x, &p), PADDED_LARGE);
}

/* A second attempt has the first one's id with "-2" behind, and everything else of its own. */
static void a_retry_joins_its_first(void **state)
{
        struct made *x = *state;
        char second[ID_MAX + 1], joined[ID_MAX + 4];
        struct sign_in_params p = {.service_id = SERVICE_ID,
                                   .service_key = x->w->service,
                                   .username = "amy@corp.example",
                                   .username_len = 16,
                                   .id = second,
                                   .now = NOW};
        struct error err = {""};
        struct sign_in s;

        assert_int_equal(sign_in_retry_id(second, x->s.id), 0);
        (void)snprintf(joined, sizeof(joined), "%s-2", x->s.id);
        assert_string_equal(second, joined);
        assert_int_equal(sign_in_make(&s, x->d, &p, &err), 0);
        assert_string_equal(s.id, joined);
        assert_memory_not_equal(s.rk, x->s.rk, sizeof(s.rk));
        sign_in_clear(&s);
        assert_int_equal(sign_in_retry_id(second, "An-id-that-is-as-long-as-ids-may-be-and-has-no-room-for-more-of-it"),
                         -EINVAL);
        p.id = "no id";
        assert_int_equal(sign_in_make(&s, x->d, &p, &err), -EINVAL);
}

/* ---- verdicts ---- */

/* What the connector may get wrong. Unset members are right. */
struct wrong {
        void (*claims)(struct verdict_claims *c);
        size_t signer;   /* connector whose key signs; default 0 */
        const char *typ; /* of the JWS */
        bool other_rk, padded_wrong, cut;
        int64_t now; /* of the check, relative to NOW */
};

static void seal_verdict(const struct made *x, const struct wrong *wrong, struct buffer *out)
{
        struct verdict_claims c = {.tenant = TENANT,
                                   .aud = SERVICE_ID,
                                   .iat = NOW,
                                   .exp = NOW + 30,
                                   .verdict = "accepted",
                                   .class = "none",
                                   .reason = "ok",
                                   .password_proved = true,
                                   .may_have_counted = "0",
                                   .user_id = "S-1-5-21-1-2-3-1104",
                                   .user_domain = "corp.example"};
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096), jws = BUFFER(8192), plain = BUFFER(8192);
        const struct world_connector *signer = &x->w->connectors[wrong->signer];
        uint8_t rk[32];
        struct error err = {""};

        memcpy(c.iss, signer->id, strlen(signer->id) + 1);
        memcpy(c.jti, x->s.id, sizeof(c.jti));
        memcpy(c.req, x->s.req, sizeof(c.req));
        if (wrong->claims)
                wrong->claims(&c);
        memcpy(rk, x->s.rk, sizeof(rk));
        rk[0] ^= wrong->other_rk;
        assert_int_equal(verdict_claims_encode(&c, &text, &err), 0);
        assert_int_equal(
                jws_sign(signer->identity, wrong->typ ? wrong->typ : JOSE_TYP_VERDICT, text.data, text.len, &jws, &err),
                0);
        assert_int_equal(jose_pad(&plain, jws.data, jws.len, x->s.padded), 0);
        if (wrong->padded_wrong)
                plain.data[plain.len - 1] = '\n';
        assert_int_equal(jwe_seal(JWE_VERDICT, rk, plain.data, wrong->cut ? plain.len - 1 : plain.len, out, &err), 0);
}

static int check(const struct made *x, const struct wrong *wrong, struct verdict_claims *v, struct error *err)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(16384);

        seal_verdict(x, wrong, &jwe);
        return sign_in_check(&x->s, jwe.data, jwe.len, NOW + wrong->now, v, err);
}

static void right_verdicts(void **state)
{
        static const int64_t times[] = {0, -120, 150};

        for (size_t i = 0; i < 3; i++) {
                const struct wrong none = {.signer = i, .now = times[i]};
                const struct made *x = *state;
                struct verdict_claims v;
                struct error err = {""};

                assert_int_equal(check(x, &none, &v, &err), 0);
                assert_string_equal(v.verdict, "accepted");
                assert_string_equal(v.iss, x->w->connectors[i].id);
                assert_string_equal(v.user_id, "S-1-5-21-1-2-3-1104");
        }
}

static void other_iss(struct verdict_claims *c)
{
        c->iss[13] = '1';
}

static void other_aud(struct verdict_claims *c)
{
        c->aud[11] = '2';
}

static void other_tenant(struct verdict_claims *c)
{
        c->tenant[0] = 'b';
}

static void other_jti(struct verdict_claims *c)
{
        c->jti[0] = c->jti[0] == 'A' ? 'B' : 'A';
}

static void other_req(struct verdict_claims *c)
{
        c->req[0] = c->req[0] == 'A' ? 'B' : 'A';
}

static void other_domain(struct verdict_claims *c)
{
        memcpy(c->user_domain, "b.example", sizeof("b.example"));
}

static void domain_in_capitals(struct verdict_claims *c)
{
        memcpy(c->user_domain, "CORP.example", sizeof("CORP.example"));
}

/* What a DC of b.example, or a connector, may say of itself in corp.example's name, and the other way round. */
static void sid_of_another(struct verdict_claims *c)
{
        memcpy(c->user_id, "S-1-5-21-9-9-9-500", sizeof("S-1-5-21-9-9-9-500"));
}

static void sid_of_nobody(struct verdict_claims *c)
{
        memcpy(c->user_id, "S-1-5-21-1-2-33-500", sizeof("S-1-5-21-1-2-33-500"));
}

static void sid_of_the_domain(struct verdict_claims *c)
{
        memcpy(c->user_id, "S-1-5-21-1-2-3", sizeof("S-1-5-21-1-2-3"));
}

static void sid_and_more(struct verdict_claims *c)
{
        memcpy(c->user_id, "S-1-5-21-1-2-3-500-1", sizeof("S-1-5-21-1-2-3-500-1"));
}

static void a_principal(struct verdict_claims *c)
{
        memcpy(c->user_id, "krb5:amy@CORP.EXAMPLE", sizeof("krb5:amy@CORP.EXAMPLE"));
}

static void each_check_fails_alone(void **state)
{
        static const struct {
                struct wrong wrong;
                int code;
                const char *says;
        } cases[] = {
                {{.other_rk = true}, -EKEYREJECTED, ""},
                {{.signer = 3}, -EKEYREJECTED, "not sealed to"}, /* in the roster, but the request was not for it */
                {{.signer = 5}, -EKEYREJECTED, "not sealed to"}, /* not in the roster */
                {{.claims = other_iss}, -EKEYREJECTED, "iss"},
                {{.claims = other_aud}, -EBADMSG, "another service"},
                {{.claims = other_tenant}, -EBADMSG, "another tenant"},
                {{.claims = other_jti}, -EBADMSG, "another request id"},
                {{.claims = other_req}, -EBADMSG, "another request"},
                {{.claims = other_domain}, -EKEYREJECTED, "corp.example was asked"},
                {{.claims = domain_in_capitals}, -EKEYREJECTED, "corp.example was asked"},
                {{.claims = sid_of_another}, -EKEYREJECTED, "is not of domain corp.example"},
                {{.claims = sid_of_nobody}, -EKEYREJECTED, "is not of domain corp.example"},
                {{.claims = sid_of_the_domain}, -EKEYREJECTED, "is not of domain corp.example"},
                {{.claims = sid_and_more}, -EKEYREJECTED, "is not of domain corp.example"},
                {{.claims = a_principal}, -EKEYREJECTED, "is not of domain corp.example"},
                {{.now = 151}, -EBADMSG, "expired"},
                {{.now = -121}, -EBADMSG, "future"},
                {{.typ = JOSE_TYP_REQUEST}, -EBADMSG, "typ"},
                {{.padded_wrong = true}, -EBADMSG, "padding"},
                {{.cut = true}, -EBADMSG, "padding"},
        };

        for (size_t i = 0; i < N(cases); i++) {
                struct verdict_claims v = {.reason = "untouched"};
                struct error err = {""};

                assert_says(check(*state, &cases[i].wrong, &v, &err), cases[i].code, &err, cases[i].says);
                assert_string_equal(v.reason, "untouched");
        }
}

/* Where the roster has no SID for the domain, an account may be anything but another domain's. */
static void a_domain_without_a_sid(void **state)
{
        const struct wrong principal = {.claims = a_principal}, nobody = {.claims = sid_of_nobody},
                           another = {.claims = sid_of_another};
        struct made *x = *state;
        struct verdict_claims v;
        struct error err = {""};

        x->s.domain_sid[0] = '\0';
        assert_int_equal(check(x, &principal, &v, &err), 0);
        assert_int_equal(check(x, &nobody, &v, &err), 0);
        assert_says(check(x, &another, &v, &err), -EKEYREJECTED, &err, "is of another domain of the roster");
}

/* A verdict whose signature was made by another key than the one its kid names. */
static void a_forged_signature(void **state)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(16384), plain = BUFFER_SECRET(PADDED_LARGE + 1),
                                             again = BUFFER(16384);
        const struct wrong none = {0};
        const struct made *x = *state;
        struct verdict_claims v = {.reason = "untouched"};
        struct error err = {""};
        char *signature;

        seal_verdict(x, &none, &jwe);
        assert_int_equal(jwe_open(JWE_VERDICT, x->s.rk, jwe.data, jwe.len, &plain, &err), 0);
        signature = strrchr(plain.data, '.') + 1;
        signature[10] = signature[10] == 'A' ? 'B' : 'A';
        assert_int_equal(jwe_seal(JWE_VERDICT, x->s.rk, plain.data, plain.len, &again, &err), 0);
        assert_int_equal(sign_in_check(&x->s, again.data, again.len, NOW, &v, &err), -EKEYREJECTED);
        assert_string_equal(v.reason, "untouched");
}

static void bytes_changed_on_the_way(void **state)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(16384);
        const struct wrong none = {0};
        const struct made *x = *state;
        struct verdict_claims v;
        struct error err = {""};

        seal_verdict(x, &none, &jwe);
        for (size_t i = 0; i < jwe.len; i += 97) {
                char was = jwe.data[i];

                jwe.data[i] = was == 'Q' ? 'g' : 'Q';
                assert_true(sign_in_check(&x->s, jwe.data, jwe.len, NOW, &v, &err) < 0);
                jwe.data[i] = was;
        }
        assert_true(sign_in_check(&x->s, jwe.data, jwe.len - 1, NOW, &v, &err) < 0);
        assert_true(sign_in_check(&x->s, "", 0, NOW, &v, &err) < 0);
        assert_int_equal(sign_in_check(&x->s, jwe.data, jwe.len, NOW, &v, &err), 0);
}

/* Nobody serves the name, and no password was sent: nobody can have been accepted. */
static void accepted_without_a_password(void **state)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(16384);
        const struct wrong none = {0};
        struct made *x = *state;
        struct verdict_claims v;
        struct error err = {""};

        seal_verdict(x, &none, &jwe);
        x->s.nobody = true;
        assert_says(sign_in_check(&x->s, jwe.data, jwe.len, NOW, &v, &err), -EKEYREJECTED, &err,
                    "no password was sent");
}

static void refused_as(struct verdict_claims *c, const char *reason)
{
        c->verdict = "refused";
        c->class = "credentials";
        (void)snprintf(c->reason, sizeof(c->reason), "%s", reason);
        c->user_id[0] = c->user_domain[0] = c->user_sam[0] = c->user_upn[0] = '\0';
        c->password_proved = false;
}

static void wrong_password(struct verdict_claims *c)
{
        refused_as(c, "wrong_password");
}

static void bad_name_form(struct verdict_claims *c)
{
        refused_as(c, "bad_name_form");
}

/* Whatever the connector says, but of what is no name at all: that its user can mend. */
static void a_name_that_is_none(void **state)
{
        const struct wrong unknown = {.claims = wrong_password}, none = {.claims = bad_name_form};
        struct made *x = *state;
        struct verdict_claims v;
        struct error err = {""};

        x->s.nobody = true;
        assert_says(check(x, &unknown, &v, &err), 0, &err, "");
        assert_string_equal(v.reason, "unknown_domain");
        assert_says(check(x, &none, &v, &err), 0, &err, "");
        assert_string_equal(v.reason, "bad_name_form");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(each_recipient_opens_the_same, begin, end),
                cmocka_unit_test_setup_teardown(no_two_requests_share_anything_random, begin, end),
                cmocka_unit_test_setup_teardown(misuse, begin, end),
                cmocka_unit_test_setup_teardown(class_says_nothing_of_what_was_typed, begin, end),
                cmocka_unit_test_setup_teardown(what_does_not_fit_takes_the_larger, begin, end),
                cmocka_unit_test_setup_teardown(class_that_a_statement_asks_for, begin, end),
                cmocka_unit_test_setup_teardown(a_retry_joins_its_first, begin, end),
                cmocka_unit_test_setup_teardown(right_verdicts, begin, end),
                cmocka_unit_test_setup_teardown(each_check_fails_alone, begin, end),
                cmocka_unit_test_setup_teardown(a_domain_without_a_sid, begin, end),
                cmocka_unit_test_setup_teardown(accepted_without_a_password, begin, end),
                cmocka_unit_test_setup_teardown(a_name_that_is_none, begin, end),
                cmocka_unit_test_setup_teardown(a_forged_signature, begin, end),
                cmocka_unit_test_setup_teardown(bytes_changed_on_the_way, begin, end),
        };
        struct error err = {""};

        if (secret_arena_init(4, &err) < 0) {
                (void)fprintf(stderr, "%s\n", err.text);
                return 1;
        }
        return cmocka_run_group_tests_name("queue/sign-in", tests, NULL, NULL);
}
