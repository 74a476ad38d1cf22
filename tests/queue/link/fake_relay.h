/*
 * A relay that does what a test says: TLS with client certificates on 127.0.0.1, HTTP/1.1, each request
 * handed to the test.
 *
 * It lives on an event base of its own and moves only in fake_relay_turn, so that a test with a fake clock
 * decides when what happens.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_relay;
struct fake_conn;

struct fake_request {
        const char *method, *path;
        const char *head; /* whole, for headers */
        const char *body; /* NUL-terminated */
        size_t body_len;
};

/* One request came in on conn; answer it now or later. */
typedef void fake_request_fn(void *arg, struct fake_conn *conn, const struct fake_request *request);

struct fake_relay *fake_relay_new(fake_request_fn *fn, void *arg);
/* Another node of it, on the host 127.0.0.1 + n (n 1 or 2), with the same certificates. */
struct fake_relay *fake_relay_beside(const struct fake_relay *first, unsigned n, fake_request_fn *fn, void *arg);
struct fake_relay *fake_relay_free(struct fake_relay *relay);
/* "https://127.0.0.1:port" */
const char *fake_relay_url(const struct fake_relay *relay);
/* PEM texts: the CA, and a client certificate with its key. */
const char *fake_relay_ca(const struct fake_relay *relay);
const char *fake_relay_cert(const struct fake_relay *relay);
const char *fake_relay_key(const struct fake_relay *relay);
/* Does what is ready. */
void fake_relay_turn(struct fake_relay *relay);
/* Connections taken since the start, and open now. */
size_t fake_relay_accepted(const struct fake_relay *relay);
size_t fake_relay_open(const struct fake_relay *relay);
/* Refuses new connections (closes the listener), and takes them again at the same port. */
void fake_relay_listen(struct fake_relay *relay, bool on);

/* Refuses new connections and closes those that are there. */
void fake_relay_cut(struct fake_relay *relay);

/* Takes clients without a certificate too. */
void fake_relay_allow_anonymous(struct fake_relay *relay);
/* Serves for good; for a child process. */
void fake_relay_run(struct fake_relay *relay);

/* A whole answer. fields: further "Name: value\r\n" lines, or "". */
void fake_answer_with(struct fake_conn *conn, int status, const char *type, const char *fields, const char *body);
void fake_answer(struct fake_conn *conn, int status, const char *type, const char *body);
/* The head of a stream, then pieces of it (chunked). */
void fake_stream(struct fake_conn *conn, const char *type);
void fake_send(struct fake_conn *conn, const char *text);
void fake_close(struct fake_conn *conn);
