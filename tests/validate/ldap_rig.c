/*
 * The rig of the LDAP tests. The peer is a TLS server on the validator's own loop; its answers are built with
 * liblber.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/validate/ldap_rig.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <krb5.h>
#include <lber.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "tests/lab/lab.h"
#include "validate/ldap/ber.h"

#define BUDGET_MS 60000
#define HANGS_MS 120000 /* no busy machine takes so long */

static char *read_text(const char *path)
{
        struct buffer b = BUFFER(1 << 20);
        struct error err;

        if (file_read(&b, path, &err) < 0)
                fail_msg("%s", err.text);
        return buffer_steal(&b);
}

void rig_open(struct rig *rig)
{
        static bool arena;
        struct error err;

        if (!arena && secret_arena_init(2048, &err) < 0)
                fail_msg("%s", err.text);
        arena = true;
        log_open("test", getenv("TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, NULL);
        memset(rig, 0, sizeof *rig);
        assert_int_equal(loop_new(&rig->loop), 0);
        rig->ca = read_text(lab_get("CA"));
}

void rig_close(struct rig *rig)
{
        rig->v = validate_free(rig->v);
        free(rig->ca);
        if (rig->peers > 0) /* the test failed, and its peers went with its stack: nothing may call them */
                return;
        loop_run_once(rig->loop);
        rig->loop = loop_free(rig->loop);
        assert_int_equal(secret_arena_in_use(), 0);
}

void rig_samba(struct rig *rig, size_t i)
{
        rig->domains[i] = (struct domain_config){
                .name = lab_get("AD_DOMAIN"),
                .realm = lab_get("AD_REALM"),
                .netbios = lab_get("AD_NETBIOS"),
                .suffixes = {lab_get("AD_SUFFIX")},
                .dcs = {{.host = lab_get("AD_HOST"), .address = lab_get("AD_ADDRESS")}},
                .n_dcs = 1,
                .methods = {METHOD_LDAP},
                .ldaps_port = lab_port("AD_LDAPS_PORT"),
                .ca_pem = rig->ca,
        };
}

void rig_samba_by(struct rig *rig, size_t i, enum method method)
{
        static char keytab[512];

        rig_samba(rig, i);
        rig->domains[i].methods[0] = method;
        if (method != METHOD_KRB5)
                return;
        snprintf(keytab, sizeof keytab, "FILE:%s", lab_get("AD_KEYTAB"));
        rig->domains[i].keytab = keytab;
        rig->domains[i].service_principal = lab_get("AD_SERVICE");
        rig->domains[i].kdc_port = lab_port("AD_KDC_PORT");
}

int rig_set_up(void **state)
{
        static struct rig rig;

        rig_open(&rig);
        *state = &rig;
        return 0;
}

int rig_tear_down(void **state)
{
        rig_close(*state);
        return 0;
}

void rig_random_keytab(const char *keytab, const char *principal)
{
        krb5_context context = NULL;
        krb5_keytab to = NULL;
        krb5_keytab_entry entry = {.vno = 1};

        assert_int_equal(krb5_init_context(&context), 0);
        assert_int_equal(krb5_kt_resolve(context, keytab, &to), 0);
        assert_int_equal(krb5_parse_name(context, principal, &entry.principal), 0);
        assert_int_equal(krb5_c_make_random_key(context, ENCTYPE_AES256_CTS_HMAC_SHA1_96, &entry.key), 0);
        assert_int_equal(krb5_kt_add_entry(context, to, &entry), 0);
        krb5_free_keytab_entry_contents(context, &entry);
        krb5_free_context(context); /* the keytab stays open, or it would be gone */
}

void rig_slapd(struct rig *rig, size_t i)
{
        rig->domains[i] = (struct domain_config){
                .name = lab_get("SLAPD_DOMAIN"),
                .dcs = {{.host = lab_get("SLAPD_HOST"), .address = lab_get("SLAPD_ADDRESS")}},
                .n_dcs = 1,
                .methods = {METHOD_LDAP},
                .directory = DIRECTORY_GENERIC,
                .ldaps_port = lab_port("SLAPD_LDAPS_PORT"),
                .ca_pem = rig->ca,
                .bind_template = lab_get("SLAPD_BIND_TEMPLATE"),
        };
}

static void on_ready(void *arg)
{
        struct rig *rig = arg;

        rig->ready_calls++;
}

void rig_start(struct rig *rig, size_t n)
{
        struct error err = {""};

        rig->config = (struct validate_config){.domains = rig->domains,
                                               .n_domains = n,
                                               .default_domain = rig->domains[0].name,
                                               .dns_servers = rig->dns_servers,
                                               .guard = rig->guard};
        if (validate_new(&rig->v, rig->loop, &rig->config, on_ready, rig, &err) < 0)
                fail_msg("%s", err.text);
}

static void on_spun(void *arg)
{
        loop_stop(arg, 0);
}

void rig_spin(struct rig *rig, uint32_t ms)
{
        struct loop_timer *timer = NULL;

        assert_int_equal(loop_timer_new(&timer, rig->loop, NULL, on_spun, rig->loop), 0);
        loop_timer_in(timer, ms);
        loop_run(rig->loop);
        loop_timer_free(timer);
}

void rig_until(struct rig *rig, const unsigned *counter, unsigned value)
{
        uint64_t end = loop_now(rig->loop) + HANGS_MS;

        while (*counter < value) {
                if (loop_now(rig->loop) > end)
                        fail_msg("a counter stopped at %u instead of %u", *counter, value);
                rig_spin(rig, 2);
        }
}

void rig_start_ready(struct rig *rig, size_t n)
{
        const char *why = NULL;

        rig_start(rig, n);
        for (size_t i = 0; i < n; i++) {
                uint64_t end = loop_now(rig->loop) + HANGS_MS;

                while (!validate_ready(rig->v, i, &why)) {
                        if (loop_now(rig->loop) > end)
                                fail_msg("domain %zu is not ready: %s", i, why);
                        rig_spin(rig, 2);
                }
        }
}

static void on_done(void *arg, const struct outcome *outcome)
{
        struct ask *ask = arg;

        ask->calls++;
        ask->op = NULL;
        ask->outcome = *outcome;
        ask->ended = loop_now(ask->rig->loop);
}

void ask_start(struct rig *rig, struct ask *ask)
{
        struct validate_request request = {
                .id = "0123456789abcdef",
                .name = ask->name,
                .name_len = strlen(ask->name),
                .deadline = loop_now(rig->loop) + (ask->budget_ms ? ask->budget_ms : BUDGET_MS),
                .password_reason = REASON_EMPTY_PASSWORD,
        };

        ask->rig = rig;
        ask->calls = 0;
        ask->started = loop_now(rig->loop);
        if (ask->password[0])
                assert_int_equal(secret_new(&request.password, ask->password, strlen(ask->password)), 0);
        if (ask->new_password)
                assert_int_equal(secret_new(&request.new_password, ask->new_password, strlen(ask->new_password)), 0);
        assert_int_equal(validate_start(&ask->op, rig->v, &request, on_done, ask), 0);
        assert_int_equal(ask->calls, 0);
}

void ask_wait(struct rig *rig, struct ask *asks, size_t n)
{
        uint64_t end = loop_now(rig->loop) + 2 * HANGS_MS;

        for (size_t i = 0; i < n; i++) {
                while (asks[i].calls == 0) {
                        if (loop_now(rig->loop) > end)
                                fail_msg("no answer to %s", asks[i].name);
                        rig_spin(rig, 1);
                }
        }
        for (size_t i = 0; i < n; i++)
                assert_int_equal(asks[i].calls, 1);
}

void ask_all(struct rig *rig, struct ask *asks, size_t n)
{
        for (size_t i = 0; i < n; i++)
                ask_start(rig, &asks[i]);
        ask_wait(rig, asks, n);
}

const struct outcome *ask_one(struct rig *rig, struct ask *ask)
{
        ask_all(rig, ask, 1);
        return &ask->outcome;
}

void assert_reason(const struct ask *ask, enum reason reason)
{
        const struct outcome *o = &ask->outcome;

        if (o->reason != reason)
                fail_msg("%s: %s instead of %s (%s; ldap %d data %x; dc %s; %u ms)", ask->name,
                         reason_info(o->reason)->id, reason_info(reason)->id, o->context, o->ldap, o->ldap_data, o->dc,
                         o->ms_total);
}

/* ---- the peer ---- */

#define PEER_SID "\1\5\0\0\0\0\0\5\25\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\350\3\0\0"   /* S-1-5-21-1-2-3-1000 */
#define PEER_OTHER "\1\5\0\0\0\0\0\5\25\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\351\3\0\0" /* ...-1001 */
#define DATA_52E "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 52e, v4563"

static void put(struct bufferevent *bev, BerElement *ber)
{
        struct berval value;

        assert_int_equal(ber_flatten2(ber, &value, 0), 0);
        bufferevent_write(bev, value.bv_val, value.bv_len);
        ber_free(ber, 1);
}

static void put_result(struct bufferevent *bev, int id, unsigned tag, int result, const char *text)
{
        BerElement *ber = ber_alloc_t(LBER_USE_DER);

        assert_true(ber_printf(ber, "{it{ess}}", id, tag, result, "", text) >= 0);
        put(bev, ber);
}

static void put_script(struct bufferevent *bev, int id, const struct peer_result *script)
{
        BerElement *ber = ber_alloc_t(LBER_USE_DER);

        assert_true(ber_printf(ber, "{it{ess", id, 0x61, script->code, "", script->text) >= 0);
        if (script->referral)
                assert_true(ber_printf(ber, "t{s}", 0xa3, script->referral) >= 0);
        assert_true(ber_printf(ber, "}}") >= 0);
        put(bev, ber);
}

/* The rootDSE with a clock that is wrong. */
static void put_time(struct bufferevent *bev, int id, int offset)
{
        BerElement *ber = ber_alloc_t(LBER_USE_DER);
        time_t now = time(NULL) + offset;
        char text[32];
        struct tm tm;

        strftime(text, sizeof text, "%Y%m%d%H%M%S.0Z", gmtime_r(&now, &tm));
        assert_true(ber_printf(ber, "{it{s{{s[s]}{s[o]}{s[s]}}}}", id, 0x64, "", "currentTime", text, "tokenGroups",
                               PEER_SID, (ber_len_t)PEER_SID_SIZE, "msDS-PrincipalName", "CORP\\someone") >= 0);
        put(bev, ber);
}

/* The domain's group of this number, in bytes. */
static void group_of(char out[PEER_SID_SIZE], const char *sid, unsigned rid)
{
        memcpy(out, sid, PEER_SID_SIZE);
        for (size_t i = 0; i < 4; i++)
                out[PEER_SID_SIZE - 4 + i] = (char)(rid >> 8 * i);
}

static void put_root(BerElement *ber, const struct peer *peer, const char *sid)
{
        char group[PEER_SID_SIZE];

        group_of(group, sid, peer->group);
        assert_true(ber_printf(ber, peer->group ? "{s[oo]}" : "{s[o]}", "tokenGroups", sid, (ber_len_t)PEER_SID_SIZE,
                               group, (ber_len_t)sizeof group) >= 0);
        assert_true(ber_printf(ber, "{s[s]}", "msDS-PrincipalName",
                               peer->principal ? peer->principal : "CORP\\someone") >= 0);
}

static void put_account(BerElement *ber, const struct peer *peer, const char *sid)
{
        const char *name = peer->principal ? strchr(peer->principal, '\\') : NULL;

        if (sid)
                assert_true(ber_printf(ber, "{s[o]}", "objectSid", sid, (ber_len_t)PEER_SID_SIZE) >= 0);
        assert_true(ber_printf(ber, "{s[s]}", "sAMAccountName", name ? name + 1 : "someone") >= 0);
        if (peer->type)
                assert_true(ber_printf(ber, "{s[s]}", "sAMAccountType", peer->type) >= 0);
        if (peer->control)
                assert_true(ber_printf(ber, "{s[s]}", "userAccountControl", peer->control) >= 0);
}

/* One entry: the rootDSE as bound, or the account. sid NULL leaves it out. */
static void put_entry(struct bufferevent *bev, const struct peer *peer, int id, bool root, const char *sid)
{
        BerElement *ber = ber_alloc_t(LBER_USE_DER);

        assert_true(ber_printf(ber, "{it{s{", id, 0x64, root ? "" : "CN=someone,DC=corp,DC=example") >= 0);
        if (root)
                put_root(ber, peer, sid);
        else
                put_account(ber, peer, sid);
        assert_true(ber_printf(ber, "}}}") >= 0);
        put(bev, ber);
}

static void put_notice(struct bufferevent *bev)
{
        BerElement *ber = ber_alloc_t(LBER_USE_DER);

        assert_true(ber_printf(ber, "{it{essts}}", 0, 0x78, 52, "", "", 0x8a, LDAP_OID_DISCONNECT) >= 0);
        put(bev, ber);
}

static void link_close(struct peer *peer, struct bufferevent *bev)
{
        for (size_t i = 0; i < sizeof peer->links / sizeof *peer->links; i++)
                if (peer->links[i] == bev)
                        peer->links[i] = NULL;
        for (size_t i = 0; i < PEER_WORK_MAX; i++)
                if (peer->work[i].bev == bev)
                        peer->work[i].bev = NULL;
        bufferevent_free(bev);
        peer->open--;
}

/* Everything but PEER_ANSWER and its variants. True when the link still stands. */
static bool misbehave(struct peer *peer, struct bufferevent *bev, enum peer_act act)
{
        if (act == PEER_GARBAGE)
                bufferevent_write(bev, "HTTP/1.1 400 Bad Request\r\n", 26);
        if (act == PEER_HUGE)
                bufferevent_write(bev, "\x30\x84\x40\0\0\0", 6);
        if (act == PEER_NOTICE)
                put_notice(bev);
        if (act != PEER_CLOSE)
                return true;
        link_close(peer, bev);
        return false;
}

static bool answer_bind(struct peer *peer, struct bufferevent *bev, int id, BerElement *ber)
{
        struct berval name, password;
        int version;
        enum peer_act act = peer->on_bind;

        peer->binds++;
        assert_true(ber_scanf(ber, "{imm", &version, &name, &password) != LBER_ERROR);
        if (password.bv_len == 0)
                fail_msg("an empty password reached the peer");
        if (act == PEER_WRONG_ID)
                id += 7;
        if (act == PEER_UNAVAILABLE)
                put_result(bev, id, 0x61, 52, "");
        else if (act == PEER_ENTRY)
                put_entry(bev, peer, id, true, PEER_SID);
        else if (act == PEER_SCRIPTED)
                put_script(bev, id, &peer->script);
        else if (act != PEER_ANSWER && act != PEER_WRONG_ID && act != PEER_SCRIPTED_WRONG)
                return misbehave(peer, bev, act);
        else if (password.bv_len == 5 && memcmp(password.bv_val, "right", 5) == 0)
                put_result(bev, id, 0x61, 0, "");
        else if (act == PEER_SCRIPTED_WRONG)
                put_script(bev, id, &peer->script);
        else
                put_result(bev, id, 0x61, 49, DATA_52E);
        return true;
}

static bool answer_read(struct peer *peer, struct bufferevent *bev, int id, BerElement *ber)
{
        struct berval base;
        enum peer_act act = peer->on_read;
        const char *own = peer->sid ? peer->sid : PEER_SID, *sid = act == PEER_OTHER_SID ? PEER_OTHER
                                                                   : act == PEER_NO_SID  ? NULL
                                                                                         : own;

        peer->reads++;
        if (peer->read_times > 0 && --peer->read_times == 0)
                peer->on_read = PEER_ANSWER;
        assert_true(ber_scanf(ber, "{m", &base) != LBER_ERROR);
        if (act != PEER_ANSWER && act != PEER_OTHER_SID && act != PEER_NO_SID)
                return misbehave(peer, bev, act);
        if (base.bv_len == 0 && peer->clock_offset)
                put_time(bev, id, peer->clock_offset);
        else if (base.bv_len > 0 && peer->hides_account > 0)
                peer->hides_account--;
        else
                put_entry(bev, peer, id, base.bv_len == 0, base.bv_len == 0 ? own : sid);
        put_result(bev, id, 0x65, 0, "");
        return true;
}

static bool answer_fast_bind(struct peer *peer, struct bufferevent *bev, int id)
{
        peer->fast++;
        put_result(bev, id, 0x78, peer->no_fast_bind ? 2 : 0, "");
        return true;
}

/* Answers one whole request. False when the link is gone. */
static bool answer(struct peer *peer, struct bufferevent *bev, char *bytes, size_t n)
{
        struct berval whole = {n, bytes};
        BerElement *ber = ber_init(&whole);
        ber_len_t len;
        int id;
        bool stands;

        assert_non_null(ber);
        assert_true(ber_scanf(ber, "{i", &id) != LBER_ERROR);
        if (ber_peek_tag(ber, &len) == 0x77)
                stands = answer_fast_bind(peer, bev, id);
        else if (ber_peek_tag(ber, &len) == 0x60)
                stands = answer_bind(peer, bev, id, ber);
        else
                stands = answer_read(peer, bev, id, ber);
        ber_free(ber, 1);
        return stands;
}

/* The first whole request in the link's input: true, with its length. */
static bool has_request(struct bufferevent *bev, size_t *ret_len)
{
        struct evbuffer *input = bufferevent_get_input(bev);
        uint8_t head[6];
        ev_ssize_t got = evbuffer_copyout(input, head, sizeof head);

        return got > 0 && ldap_message_length(head, (size_t)got, ret_len) == 0 &&
               evbuffer_get_length(input) >= *ret_len;
}

/* Answers the first request. False when there is none, or the link is gone. */
static bool answer_next(struct peer *peer, struct bufferevent *bev)
{
        char bytes[LDAP_REQUEST_MAX];
        size_t len;

        if (!has_request(bev, &len))
                return false;
        assert_true(len <= sizeof bytes);
        evbuffer_remove(bufferevent_get_input(bev), bytes, len);
        return answer(peer, bev, bytes, len);
}

static void work_add(struct peer *peer, int fd, struct bufferevent *bev)
{
        assert_true(peer->n_work < PEER_WORK_MAX);
        peer->work[(peer->work_first + peer->n_work++) % PEER_WORK_MAX] = (struct peer_work){fd, bev};
        if (peer->n_work == 1)
                loop_timer_in(peer->worker, peer->work_ms);
}

static void on_peer_read(struct bufferevent *bev, void *arg)
{
        struct peer *peer = arg;
        size_t len;

        if (peer->work_ms && has_request(bev, &len)) /* a client has one under way: it is not there yet */
                work_add(peer, -1, bev);
        while (!peer->work_ms && answer_next(peer, bev))
                ;
}

static void on_peer_event(struct bufferevent *bev, short what, void *arg)
{
        if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
                link_close(arg, bev);
}

static void link_open(struct peer *peer, int s)
{
        int one = 1;
        size_t i = 0;

        peer->open++;
        peer->most_open = peer->open > peer->most_open ? peer->open : peer->most_open;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while (i < sizeof peer->links / sizeof *peer->links && peer->links[i])
                i++;
        assert_true(i < sizeof peer->links / sizeof *peer->links);
        peer->links[i] = bufferevent_openssl_socket_new(loop_base(peer->rig->loop), s, SSL_new(peer->ctx),
                                                        BUFFEREVENT_SSL_ACCEPTING,
                                                        BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
        bufferevent_setcb(peer->links[i], on_peer_read, NULL, on_peer_event, peer);
        bufferevent_enable(peer->links[i], EV_READ | EV_WRITE);
}

static void on_peer_accept(void *arg, int fd, int events)
{
        struct peer *peer = arg;
        int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        (void)events;
        if (s < 0)
                return;
        peer->accepts++;
        if (peer->work_ms)
                work_add(peer, s, NULL);
        else
                link_open(peer, s);
}

/* Does what comes next. */
static void on_peer_worker(void *arg)
{
        struct peer *peer = arg;
        struct peer_work work = peer->work[peer->work_first];

        peer->work[peer->work_first] = (struct peer_work){.fd = -1};
        peer->work_first = (peer->work_first + 1) % PEER_WORK_MAX;
        if (--peer->n_work > 0)
                loop_timer_in(peer->worker, peer->work_ms);
        if (work.fd >= 0)
                link_open(peer, work.fd);
        else if (work.bev) /* else it was closed meanwhile */
                answer_next(peer, work.bev);
}

static void peer_certificate(struct peer *peer, const char *cert)
{
        peer->ctx = SSL_CTX_new(TLS_server_method());
        assert_non_null(peer->ctx);
        assert_int_equal(SSL_CTX_use_certificate_chain_file(peer->ctx, lab_get2("CERT", cert)), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(peer->ctx, lab_get2("KEY", cert), SSL_FILETYPE_PEM), 1);
}

void peer_open(struct peer *peer, struct rig *rig, const char *address, uint16_t port, const char *cert)
{
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
        socklen_t len = sizeof sa;
        int one = 1;

        memset(peer, 0, sizeof *peer);
        peer->rig = rig;
        rig->peers++;
        snprintf(peer->address, sizeof peer->address, "%s", address);
        assert_int_equal(inet_pton(AF_INET, address, &sa.sin_addr), 1);
        peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(peer->fd >= 0);
        setsockopt(peer->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        assert_int_equal(bind(peer->fd, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(listen(peer->fd, 64), 0);
        assert_int_equal(getsockname(peer->fd, (struct sockaddr *)&sa, &len), 0);
        peer->port = ntohs(sa.sin_port);
        if (!cert)
                return; /* the kernel accepts, nobody speaks */
        peer_certificate(peer, cert);
        assert_int_equal(loop_io_new(&peer->io, rig->loop, NULL, peer->fd, LOOP_READ, on_peer_accept, peer), 0);
        assert_int_equal(loop_timer_new(&peer->worker, rig->loop, NULL, on_peer_worker, peer), 0);
}

void peer_drop(struct peer *peer)
{
        for (size_t i = 0; i < sizeof peer->links / sizeof *peer->links; i++)
                if (peer->links[i])
                        link_close(peer, peer->links[i]);
}

void peer_close(struct peer *peer)
{
        peer->rig->peers--;
        loop_io_free(peer->io);
        loop_timer_free(peer->worker);
        for (; peer->n_work > 0; peer->n_work--, peer->work_first = (peer->work_first + 1) % PEER_WORK_MAX)
                if (peer->work[peer->work_first].fd >= 0)
                        close(peer->work[peer->work_first].fd);
        peer_drop(peer);
        SSL_CTX_free(peer->ctx);
        close(peer->fd);
}

void peer_domain(struct rig *rig, size_t i, const struct peer *peer)
{
        rig->domains[i] = (struct domain_config){
                .name = "corp.example",
                .realm = "CORP.EXAMPLE",
                .netbios = "CORP",
                .dcs = {{.host = "dc1.corp.example", .address = peer->address}},
                .n_dcs = 1,
                .methods = {METHOD_LDAP},
                .ldaps_port = peer->port,
                .ca_pem = rig->ca,
                .connect_timeout_ms = PEER_CONNECT_MS,
        };
}

const char *peer_address(unsigned i)
{
        static char text[4][INET_ADDRSTRLEN];
        struct in_addr in;

        assert_int_equal(inet_pton(AF_INET, lab_get("ADDRESS"), &in), 1);
        in.s_addr = htonl((ntohl(in.s_addr) & 0xffffff00U) | ((ntohl(in.s_addr) + 100 + i) & 0xffU));
        assert_non_null(inet_ntop(AF_INET, &in, text[i], sizeof text[i]));
        return text[i];
}

struct ask ask_right(void)
{
        return (struct ask){.name = "someone@corp.example", .password = "right"};
}

struct ask ask_wrong(void)
{
        return (struct ask){.name = "someone@corp.example", .password = "wrong"};
}

void peer_start(struct rig *rig, struct peer *peer)
{
        peer_open(peer, rig, peer_address(0), 0, "DC");
        peer_domain(rig, 0, peer);
        rig_start_ready(rig, 1);
}

void peer_stop(struct rig *rig, struct peer *peer)
{
        rig->v = validate_free(rig->v);
        rig_spin(rig, 5);
        peer_close(peer);
}
