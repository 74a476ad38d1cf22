/*
 * A link, the relay that it speaks to and the validator behind it, for the tests: both sides do what a test
 * says, on a fake clock, so that 25 s of silence take no time.
 */
#pragma once

#include "tests/queue/client/sealed_text.h"
#include "tests/queue/check.h"
#include "tests/queue/link/fake_relay.h"

#include "queue/link/link.h"

#define BOOT "AAAAAAAAAAAAAAAAAAAAAA"
#define ID1 "REQUEST-0000000001"
#define ID2 "REQUEST-0000000002"
#define ID3 "REQUEST-0000000003"
#define REAL_LIMIT_S 60 /* a test that waits longer has failed */
#define LOG_MAX 8192

struct test {
        struct loop *loop;
        struct fake_relay *relay;
        struct link *link;
        struct test *beside; /* another relay, which has its turns with this one */

        /* the relay's side */
        const char *node, *nodes;           /* of hello; nodes: as in JSON, NULL: this one */
        struct fake_conn *stream, *waiting; /* waiting: a report that is not answered yet */
        size_t streams, reports, identities;
        bool no_hello, hold_reports, close_streams, drain_streams; /* the last two: right after hello */
        int report_status, stream_status, identity_status, enrol_status;
        const char *enrol_fields; /* headers of that answer */
        size_t enrolments;
        char enrolment[1024];             /* the body of the last one */
        const char *stream_type, *answer; /* answer: of reports; NULL: confirms what came */
        char reconnect[32];
        uint64_t granted;
        char items[LOG_MAX];   /* "id:is:why " of all reports in order */
        char last[REPORT_MAX]; /* text of the last report */
        char all[REPORT_MAX];  /* of all of them */
        char announced[2048];

        /* the validator's side */
        char log[LOG_MAX]; /* "request:ID " and so on */
        enum link_down why;
        char detail[256];
        size_t states;
        bool drained, answer_at_once, told_last;
        uint32_t budget;
        char sealed[SEALED_TEXT_LEN + 1], trace[64];
};

typedef bool condition_fn(const struct test *t);

extern const struct link_callbacks *const link_rig_callbacks;
/* The relay says hello on the stream that is open. */
void send_hello(struct test *t);
/* The relay sends a request with the budget 8000. */
void send_request(struct test *t, const char *id, unsigned seq);
/* What the relay does with a request; for a second relay of a test. */
void on_http(void *arg, struct fake_conn *conn, const struct fake_request *request);
/* One turn of both sides, then ms on the fake clock. */
void turn(struct test *t, uint64_t ms);
/* Turns until the condition holds; fails when the fake clock moved by more than limit_ms. Returns how far it
 * moved. */
uint64_t until(struct test *t, condition_fn *condition, uint64_t limit_ms, const char *what);
#define UNTIL(t, condition, limit_ms) until((t), (condition), (limit_ms), #condition)
/* So much time goes by. */
void pass(struct test *t, uint64_t ms);
/* Conditions. */
bool is_up(const struct test *t);
bool is_down(const struct test *t);
bool second_stream(const struct test *t);
bool was_confirmed(const struct test *t);
bool was_requested(const struct test *t);
bool was_received(const struct test *t);
bool was_declined(const struct test *t);
bool is_waiting(const struct test *t);
bool has_drained(const struct test *t);
/* A state with one realm that is ready, and a statement. */
struct link_state state_of(uint32_t capacity);
/* A right configuration for the relay of the test. */
struct link_config config_of(struct test *t);
/* A relay more, without a link: node n2 or n3, at 127.0.0.2 or 3. Ends with t. */
struct test *begin_beside(struct test *t);
/* Set-ups and the tear-down: a link that was not started, and one that is up with its first report answered.
 */
int begin(void **state);
int begin_up(void **state);
int end(void **state);
