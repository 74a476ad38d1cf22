/*
 * Sign-ins from frame to confirmed verdict, on the real validate/ with a DC that nobody answers for: what a
 * hostile link or relay can make of duplicates, cancels, silence and floods.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include "base/core/secret.h"
#include "connector/frames/messages.h"
#include "connector/validator/signin.h"
#include "connector/validator/verdict.h"
#include "tests/connector/validator/fixture.h"
#include "tests/valgrind.h"

#define SLOTS 4
#define GUARD_SLOTS 1 /* the lockout guard's key */

static struct world {
        struct fixture f;
        struct loop *loop;
        struct validate *validate;
        struct replay *replay;
        struct signins *signins;
        int refuse; /* what to_link says */
        size_t verdicts, held, declines, records, declined_records, named, events, idles;
        char why[32], reason[48];
        struct verdict_claims verdict; /* of the last verdict frame */
} w;

static const struct roster *get_roster(void *arg)
{
        (void)arg;
        return w.f.roster;
}

/* Opens the verdict as the service would: with the request's key. */
static void read_verdict(const char *jwe)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE);
        _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)};
        uint8_t rk[32];
        size_t n = 0;

        memset(rk, 7, sizeof(rk));
        assert_int_equal(jwe_open(JWE_VERDICT, rk, jwe, strlen(jwe), &plain, NULL), 0);
        assert_int_equal(plain.len, PADDED_SMALL); /* as the request */
        assert_int_equal(jose_unpadded(plain.data, plain.len, &n), 0);
        assert_int_equal(jws_parse(&jws, plain.data, n, JOSE_TYP_VERDICT, false, NULL), 0);
        assert_int_equal(jws_verify(&jws, w.f.identity, NULL), 0);
        assert_int_equal(verdict_claims_decode(&w.verdict, jws.payload.data, jws.payload.len, NULL), 0);
}

static int on_link(void *arg, const struct msg_out *out)
{
        char jwe[VERDICT_JWE_MAX];
        struct msg_in m;

        (void)arg;
        if (w.refuse)
                return w.refuse;
        assert_false(out->overflow);
        assert_int_equal(msg_parse(&m, out->data, out->len), 0);
        if (m.type == FRAME_DECLINED) {
                w.declines++;
                return msg_get_str(&m, TAG_WHY, w.why, sizeof(w.why));
        }
        if (m.type == FRAME_HELD) {
                w.held++;
                return 0;
        }
        assert_int_equal(m.type, FRAME_VERDICT);
        w.verdicts++;
        assert_int_equal(msg_get_str(&m, TAG_JWE, jwe, sizeof(jwe)), 0);
        if (w.verdicts <= 2) /* opening each of thousands would only take time */
                read_verdict(jwe);
        return 0;
}

static void on_ledger(void *arg, const struct msg_out *out)
{
        struct msg_in m;

        (void)arg;
        assert_false(out->overflow);
        assert_int_equal(msg_parse(&m, out->data, out->len), 0);
        w.events += m.type == FRAME_EVENT;
        w.declined_records += m.type == FRAME_RECORD && msg_has(&m, R_DECLINED);
        w.named += m.type == FRAME_RECORD && (msg_has(&m, R_USER) || msg_has(&m, R_USER_MASKED));
        if (m.type != FRAME_RECORD || msg_get_str(&m, R_REASON, w.reason, sizeof(w.reason)) < 0)
                return;
        w.records++;
}

static void on_idle(void *arg)
{
        (void)arg;
        w.idles++;
}

static size_t domains; /* of the next make_signins */

static void make_signins(const struct enckeys *keys)
{
        static const uint8_t hash_key[NAME_HASH_KEY_LEN] = {1};
        const struct signins_config config = {
                .loop = w.loop,
                .validate = w.validate,
                .keys = keys,
                .replay = w.replay,
                .connector_id = CONNECTOR_ID,
                .tenant = TENANT,
                .max = SLOTS,
                .n_domains = domains,
                .hash_key = hash_key,
                .roster = get_roster,
                .to_link = on_link,
                .to_ledger = on_ledger,
                .idle = on_idle,
        };

        assert_int_equal(signins_new(&w.signins, &config), 0);
}

static int setup(void **state)
{
        static const struct domain_config configs[] = {{.name = "corp.example",
                                                        .realm = "CORP.EXAMPLE",
                                                        .dcs = {{"dc1.corp.example", "127.0.0.1"}},
                                                        .n_dcs = 1,
                                                        .methods = {METHOD_LDAP},
                                                        .ldaps_port = 1},
                                                       {.name = "other.example",
                                                        .realm = "OTHER.EXAMPLE",
                                                        .dcs = {{"dc1.other.example", "127.0.0.1"}},
                                                        .n_dcs = 1,
                                                        .methods = {METHOD_LDAP},
                                                        .ldaps_port = 1}};
        static const struct validate_config config = {.domains = configs, .n_domains = 2};
        struct error err = {""};

        (void)state;
        w = (struct world){0};
        assert_int_equal(loop_new(&w.loop), 0);
        fixture_make(&w.f);
        assert_int_equal(validate_new(&w.validate, w.loop, &config, NULL, NULL, &err), 0);
        assert_int_equal(replay_new(&w.replay, 64), 0);
        make_signins(&w.f.keys);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        signins_free(w.signins);
        assert_int_equal(secret_arena_in_use(), GUARD_SLOTS);
        validate_free(w.validate);
        replay_free(w.replay);
        fixture_clear(&w.f);
        loop_free(w.loop);
        return 0;
}

/* The fixture's times are fixed, the loop's are not. */
static struct request_claims claims_now(void)
{
        struct request_claims c = fixture_claims(&w.f);

        c.iat = loop_wall(w.loop);
        c.exp = c.iat + 60;
        return c;
}

static void seal(const struct request_claims *c, const struct key *signer, struct buffer *jwe)
{
        w.f.keys.keys[0].exp = loop_wall(w.loop) + 3600; /* the fixture's end in its own time */
        fixture_seal(&w.f, c, signer, jwe);
}

static void request(const char *id, const struct buffer *jwe)
{
        struct msg_out out;
        struct msg_in m;

        msg_begin(&out, FRAME_REQUEST);
        msg_str(&out, TAG_ID, id);
        msg_u64(&out, TAG_BUDGET, 5000);
        msg_u64(&out, TAG_RECEIVED, loop_now(w.loop));
        msg_bytes(&out, TAG_SEALED, jwe->data, jwe->len);
        assert_int_equal(msg_parse(&m, out.data, out.len), 0);
        signins_request(w.signins, &m);
}

/* Runs the loop until *count is n, or fails. */
static void run_until(const size_t *count, size_t n)
{
        uint64_t end = loop_now(w.loop) + 10000;

        while (*count < n && loop_now(w.loop) < end)
                loop_run_once(w.loop);
        assert_int_equal(*count, n);
}

static void test_empty_password(void **state)
{
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);

        (void)state;
        c.password_len = 0;
        c.password[0] = '\0';
        seal(&c, w.f.service, &jwe);
        request(REQUEST_ID, &jwe);
        assert_int_equal(signins_running(w.signins), 1);
        run_until(&w.verdicts, 1);
        assert_string_equal(w.verdict.verdict, "refused");
        assert_string_equal(w.verdict.reason, "empty_password");
        assert_string_equal(w.verdict.may_have_counted, "0");
        assert_string_equal(w.verdict.jti, REQUEST_ID);
        assert_int_equal(signins_undelivered(w.signins), 1);
        signins_delivered(w.signins, REQUEST_ID, "confirmed");
        assert_int_equal(signins_undelivered(w.signins), 0);
        assert_int_equal(w.idles, 1);
}

/* A hostile link sends the same request again and again, cancels it, and sends it once more. */
static void test_never_started_twice(void **state)
{
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);

        (void)state;
        seal(&c, w.f.service, &jwe);
        request(REQUEST_ID, &jwe);
        request(REQUEST_ID, &jwe);
        assert_int_equal(signins_running(w.signins), 1);
        assert_int_equal(secret_arena_in_use(), GUARD_SLOTS + 1);
        assert_int_equal(w.held, 0);
        signins_resend(w.signins); /* to a link process that is new: it is here */
        assert_int_equal(w.held, 1);
        request("another-000000001", &jwe); /* the same request under another id */
        assert_string_equal(w.why, "bad_request");
        assert_int_equal(signins_running(w.signins), 1);
        signins_cancel(w.signins, REQUEST_ID);
        assert_int_equal(signins_running(w.signins), 0);
        assert_int_equal(secret_arena_in_use(), GUARD_SLOTS);
        assert_string_equal(w.reason, "cancelled");
        request(REQUEST_ID, &jwe);
        assert_string_equal(w.why, "replay");
        assert_int_equal(signins_running(w.signins), 0);
        assert_int_equal(w.verdicts, 0);
}

/* A request that was answered already gets its verdict again, also after a new link asked for all of them. */
static void test_answered_is_sent_again(void **state)
{
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);

        (void)state;
        c.password_len = 0;
        seal(&c, w.f.service, &jwe);
        request(REQUEST_ID, &jwe);
        run_until(&w.verdicts, 1);
        request(REQUEST_ID, &jwe);
        assert_int_equal(w.verdicts, 2);
        assert_int_equal(signins_running(w.signins), 0);
        signins_resend(w.signins);
        assert_int_equal(w.verdicts, 3);
        assert_int_equal(w.records, 1);
        signins_delivered(w.signins, REQUEST_ID, "late");
        request(REQUEST_ID, &jwe);
        assert_string_equal(w.why, "replay");
}

/* Whatever the account is called, an accepted verdict of either class says who it is, and leaves out the rest as it
 * must. */
static void test_verdict_of_either_class(void **state)
{
        static const size_t classes[] = {PADDED_SMALL, PADDED_LARGE};
        const uint8_t rk[32] = {7};
        struct outcome o = {.reason = REASON_OK,
                            .password_proved = true,
                            .has_krb = true,
                            .has_ldap = true,
                            .details = {.state = DETAILS_COMPLETE}};

        (void)state;
        memset(o.user.id, '1', sizeof(o.user.id) - 1);
        memset(o.user.guid, 'g', sizeof(o.user.guid) - 1);
        memset(o.user.upn, 'u', sizeof(o.user.upn) - 1);
        memset(o.user.sam, '"', sizeof(o.user.sam) - 1);
        memset(o.user.domain, 'd', sizeof(o.user.domain) - 1);
        memset(o.dc, 'c', sizeof(o.dc) - 1);
        while (pairs_add(&o.details.values, "mail", "somebody@corp.example", 21) == 0)
                continue;
        for (size_t i = 0; i < 2; i++) {
                const struct verdict_frame f = {.signer = w.f.identity,
                                                .connector_id = "connector-000000001",
                                                .service_id = "service-000000000001",
                                                .tenant = "acme",
                                                .jti = REQUEST_ID,
                                                .req = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                                .rk = rk,
                                                .padded = classes[i],
                                                .now = 1000000};
                _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX), plain = BUFFER_SECRET(PADDED_LARGE);
                _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)};
                struct verdict_claims v;
                struct error err = {""};
                size_t n;

                assert_int_equal(verdict_seal(&f, &o, &jwe, &err), 0);
                assert_int_equal(jwe_open(JWE_VERDICT, rk, jwe.data, jwe.len, &plain, &err), 0);
                assert_int_equal(plain.len, classes[i]);
                assert_int_equal(jose_unpadded(plain.data, plain.len, &n), 0);
                assert_int_equal(jws_parse(&jws, plain.data, n, JOSE_TYP_VERDICT, false, &err), 0);
                assert_int_equal(verdict_claims_decode(&v, jws.payload.data, jws.payload.len, &err), 0);
                assert_string_equal(v.user_id, o.user.id);
                assert_string_equal(v.user_domain, o.user.domain);
                assert_string_equal(v.attributes_state, "truncated");
                assert_int_equal(v.user_sam[0] == '"', i == 1);
        }
}

static void test_arena_full(void **state)
{
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        struct secret *taken[SLOTS + 1];

        (void)state;
        for (size_t i = 0; i < SLOTS; i++)
                assert_int_equal(secret_new(&taken[i], "x", 1), 0);
        assert_int_equal(secret_new(&taken[SLOTS], "x", 1), -EAGAIN);
        seal(&c, w.f.service, &jwe);
        request(REQUEST_ID, &jwe);
        assert_int_equal(w.verdicts, 1);
        assert_string_equal(w.verdict.verdict, "unavailable");
        assert_string_equal(w.verdict.reason, "overloaded");
        assert_string_equal(w.verdict.may_have_counted, "0");
        for (size_t i = 0; i < SLOTS; i++)
                secret_free(taken[i]);
}

static void test_in_flight_is_bounded(void **state)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        struct request_claims c = claims_now();

        (void)state;
        for (int i = 0; i <= SLOTS; i++) {
                snprintf(c.jti, sizeof(c.jti), "request-%09d", i);
                buffer_clear(&jwe);
                seal(&c, w.f.service, &jwe);
                request(c.jti, &jwe);
        }
        assert_int_equal(signins_running(w.signins), SLOTS);
        assert_int_equal(w.declines, 1);
        assert_string_equal(w.why, "full");
}

static void request_of(const char *name, int i)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        struct request_claims c = claims_now();

        snprintf(c.jti, sizeof(c.jti), "request-%09d", i);
        c.username_len = (size_t)snprintf(c.username, sizeof(c.username), "%s", name);
        seal(&c, w.f.service, &jwe);
        request(c.jti, &jwe);
}

/* One domain whose DCs hold every sign-in leaves room for the others; what nobody needs it may borrow. */
static void test_domains_share(void **state)
{
        (void)state;
        w.signins = signins_free(w.signins);
        domains = 2;
        make_signins(&w.f.keys);
        domains = 0;
        for (int i = 0; i < SLOTS - 1; i++)
                request_of("alice@corp.example", i); /* half of it is corp's, a quarter borrowed */
        assert_int_equal(signins_running(w.signins), SLOTS - 1);
        assert_int_equal(w.declines, 0);
        request_of("alice@corp.example", 10);
        assert_string_equal(w.why, "full");
        assert_int_equal(w.declines, 1);
        request_of("bob@other.example", 11);
        assert_int_equal(signins_running(w.signins), SLOTS);
        assert_int_equal(w.declines, 1);
        signins_cancel(w.signins, "request-000000000");
        request_of("bob@other.example", 12);
        assert_int_equal(signins_running(w.signins), SLOTS);
        request_of("alice@corp.example", 13);
        assert_int_equal(w.declines, 2);
}

/*
 * A relay needs no service to make requests that are answered ("service_unknown"), each under an id of its
 * own, and need never confirm: what is kept for it has an end.
 */
static void test_undelivered_is_bounded(void **state)
{
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        _cleanup_(key_freep) struct key *stranger = NULL;
        char id[ID_MAX + 1];

        (void)state;
        if (in_valgrind())
                skip();
        assert_int_equal(key_generate(&stranger, NULL), 0);
        seal(&c, stranger, &jwe);
        for (int i = 0; i < SIGNINS_UNDELIVERED_MAX + 3; i++) {
                snprintf(id, sizeof(id), "flood-%010d", i);
                request(id, &jwe);
        }
        assert_string_equal(w.verdict.reason, "service_unknown");
        assert_int_equal(signins_undelivered(w.signins), SIGNINS_UNDELIVERED_MAX);
        assert_int_equal(w.declines, 3);
        assert_string_equal(w.why, "full");
        signins_delivered(w.signins, "flood-0000000000", "confirmed");
        request(id, &jwe);
        assert_int_equal(signins_undelivered(w.signins), SIGNINS_UNDELIVERED_MAX);
        assert_int_equal(w.declines, 3);
}

/* What a relay can send at will is recorded now and then, without what it says, and a flood once as such. */
static void test_floods_are_not_all_recorded(void **state)
{
        const size_t flood = 10 * SIGNINS_REFUSALS_BURST;
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX), junk = BUFFER(8);
        _cleanup_(key_freep) struct key *stranger = NULL;
        uint64_t began = loop_now(w.loop);
        size_t most;
        char id[ID_MAX + 1];

        (void)state;
        if (in_valgrind())
                skip();
        assert_int_equal(buffer_append_str(&junk, "{}"), 0);
        assert_int_equal(key_generate(&stranger, NULL), 0);
        seal(&c, stranger, &jwe);
        for (size_t i = 0; i < flood; i++) {
                snprintf(id, sizeof(id), "flood-%010zu", i);
                request(id, i % 2 ? &jwe : &junk);
        }
        most = SIGNINS_REFUSALS_BURST + 1 + (loop_now(w.loop) - began) / SIGNINS_REFUSAL_EVERY_MS;
        assert_int_equal(w.declines, flood / 2);
        assert_in_range(w.records + w.declined_records, SIGNINS_REFUSALS_BURST, most);
        assert_true(w.records >= SIGNINS_REFUSALS_BURST / 2 && w.named == 0);
        assert_in_range(w.events, 1, 1 + 2 * (most - SIGNINS_REFUSALS_BURST));
        /* an authentic one is recorded all the same */
        buffer_clear(&jwe);
        seal(&c, w.f.service, &jwe);
        w.records = 0;
        request(REQUEST_ID, &jwe);
        signins_cancel(w.signins, REQUEST_ID);
        assert_int_equal(w.records, 1);
        assert_int_equal(w.named, 1);
}

/* A channel that is full takes the verdict later; nobody has to ask. */
static void test_unsent_is_offered_again(void **state)
{
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);

        (void)state;
        c.password_len = 0;
        seal(&c, w.f.service, &jwe);
        w.refuse = -ENOBUFS;
        request(REQUEST_ID, &jwe);
        run_until(&w.records, 1);
        assert_int_equal(w.verdicts, 0);
        assert_int_equal(signins_undelivered(w.signins), 1);
        w.refuse = 0;
        run_until(&w.verdicts, 1);
        assert_string_equal(w.verdict.reason, "empty_password");
}

/* What cannot be sealed is recorded all the same, and declined so that no other connector is asked. */
static void test_no_seal(void **state)
{
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        _cleanup_(key_freep) struct key *public = NULL;
        struct enckeys keys;
        json_t *jwk = NULL;

        (void)state;
        c.password_len = 0;
        seal(&c, w.f.service, &jwe);
        assert_int_equal(key_to_jwk(w.f.identity, &jwk), 0);
        assert_int_equal(key_from_jwk(&public, jwk, NULL), 0);
        json_decref(jwk);
        signins_free(w.signins);
        keys = w.f.keys;
        keys.identity = public;
        make_signins(&keys);
        request(REQUEST_ID, &jwe);
        run_until(&w.declines, 1);
        assert_string_equal(w.why, "bad_request");
        assert_false(decline_may_move_on(w.why));
        assert_int_equal(w.records, 1);
        assert_string_equal(w.reason, "internal");
        assert_int_equal(signins_running(w.signins), 0);
        assert_int_equal(w.idles, 1);
        w.signins = signins_free(w.signins);
}

static void test_drain(void **state)
{
        struct request_claims c = claims_now();
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);

        (void)state;
        c.password_len = 0;
        seal(&c, w.f.service, &jwe);
        request(REQUEST_ID, &jwe);
        signins_drain(w.signins);
        request("another-000000001", &jwe);
        assert_string_equal(w.why, "draining");
        run_until(&w.verdicts, 1);
        assert_int_equal(w.idles, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_empty_password, setup, teardown),
                cmocka_unit_test_setup_teardown(test_never_started_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(test_answered_is_sent_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_verdict_of_either_class, setup, teardown),
                cmocka_unit_test_setup_teardown(test_arena_full, setup, teardown),
                cmocka_unit_test_setup_teardown(test_in_flight_is_bounded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_domains_share, setup, teardown),
                cmocka_unit_test_setup_teardown(test_undelivered_is_bounded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_floods_are_not_all_recorded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unsent_is_offered_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_seal, setup, teardown),
                cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
        };
        struct error err = {""};

        if (secret_arena_init(SLOTS + GUARD_SLOTS, &err) < 0) {
                fprintf(stderr, "%s\n", err.text);
                return 1;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
