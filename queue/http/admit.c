/*
 * Who may connect, who makes room, and whose handshake goes on: what the server does for those that it has, before
 * those who come.
 *
 * Owns struct client. Invariants: each connection is in the crowd of all and in that of its client, at the end of the
 * list of its rank whenever the rank changes, so the first of a list is its stalest, and coming and going costs the
 * same however many there are. Of handshakes, which are what a connection costs most, only some go on at each turn of
 * the loop, between which all others are served; while many wait, nobody is accepted, and the kernel's queue does the
 * waiting. It reads and writes no bytes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/http/internal.h"

#define SHAKES_A_TURN 8 /* 5 ms or so */

/* ---- crowds ---- */

void http_crowd_init(struct crowd *crowd)
{
        for (int i = 0; i < RANKS_; i++)
                TAILQ_INIT(&crowd->ranks[i]);
}

unsigned http_crowd_size(const struct crowd *crowd)
{
        return crowd->n[RANK_UNSERVED] + crowd->n[RANK_IDLE] + crowd->n[RANK_BUSY];
}

static void join(struct conn *c, enum conn_rank rank)
{
        struct crowd *const crowds[CROWDS_] = {&c->http->crowd, c->client ? &c->client->crowd : NULL};

        c->rank = rank;
        for (int i = 0; i < CROWDS_; i++) {
                if (!crowds[i])
                        continue;
                TAILQ_INSERT_TAIL(&crowds[i]->ranks[rank], c, place[i]);
                crowds[i]->n[rank]++;
        }
}

static void part(struct conn *c)
{
        struct crowd *const crowds[CROWDS_] = {&c->http->crowd, c->client ? &c->client->crowd : NULL};

        for (int i = 0; i < CROWDS_; i++) {
                if (!crowds[i])
                        continue;
                TAILQ_REMOVE(&crowds[i]->ranks[c->rank], c, place[i]);
                crowds[i]->n[c->rank]--;
        }
}

void http_admit_rank(struct conn *c, enum conn_rank rank)
{
        part(c);
        join(c, rank);
}

bool http_crowd_shed(struct crowd *crowd)
{
        struct conn *c =
                TAILQ_FIRST(&crowd->ranks[crowd->n[RANK_IDLE] > crowd->n[RANK_UNSERVED] ? RANK_IDLE : RANK_UNSERVED]);

        if (c)
                http_conn_free(c);
        return c != NULL;
}

/* ---- clients ---- */

/* The peer's address in words, and that of its client; false: it has none. */
static bool read_address(struct conn *c, const struct sockaddr *address, char client[INET6_ADDRSTRLEN])
{
        struct in6_addr a;

        if (address->sa_family == AF_INET6) {
                a = ((const struct sockaddr_in6 *)address)->sin6_addr;
        } else if (address->sa_family == AF_INET) {
                inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, c->peer, sizeof(c->peer));
                memcpy(client, c->peer, sizeof(c->peer));
                return true;
        } else {
                memcpy(c->peer, "unix", sizeof("unix"));
                return false;
        }
        if (IN6_IS_ADDR_V4MAPPED(&a)) {
                inet_ntop(AF_INET, &a.s6_addr[12], c->peer, sizeof(c->peer));
                memcpy(client, c->peer, sizeof(c->peer));
                return true;
        }
        inet_ntop(AF_INET6, &a, c->peer, sizeof(c->peer));
        memset(&a.s6_addr[8], 0, 8); /* a host may use all of its /64 */
        inet_ntop(AF_INET6, &a, client, INET6_ADDRSTRLEN);
        return true;
}

static struct client *client_of(struct http *http, const char *address)
{
        return table_object(table_find(&http->clients, address, NULL), struct client, by_address);
}

int http_admit(struct conn *c, const struct sockaddr *address)
{
        struct http *http = c->http;
        char text[INET6_ADDRSTRLEN] = "";
        const bool counted = read_address(c, address, text);
        struct client *client = counted ? client_of(http, text) : NULL;
        struct crowd *full = NULL;

        /* over the client's own cap one of its own goes, over the other one of all */
        if (client && http_crowd_size(&client->crowd) >= http->config.limits.per_address)
                full = &client->crowd;
        else if (http_crowd_size(&http->crowd) >= http->config.limits.connections)
                full = &http->crowd;
        if (full) {
                log_debug("http_over_cap", KV_U("connections", http_crowd_size(&http->crowd)));
                if (!http_crowd_shed(full))
                        return -EBUSY;
        }
        /* its last connection may just have made room */
        if (counted && !(c->client = client_of(http, text))) {
                c->client = calloc(1, sizeof(*c->client));
                if (!c->client)
                        return -ENOMEM;
                memcpy(c->client->address, text, sizeof(text));
                http_crowd_init(&c->client->crowd);
                table_add(&http->clients, &c->client->by_address, c->client->address, NULL);
        }
        join(c, RANK_UNSERVED);
        return 0;
}

void http_admit_leave(struct conn *c)
{
        part(c);
        if (c->client && http_crowd_size(&c->client->crowd) == 0) {
                table_remove(&c->client->by_address);
                free(c->client);
        }
        if (!c->shaking)
                return;
        TAILQ_REMOVE(&c->http->shaking, c, shake);
        c->http->n_shaking--;
        http_listen_or_pause(c->http);
}

/* ---- handshakes ---- */

void http_admit_shake(struct conn *c)
{
        struct http *http = c->http;

        if (c->shaking)
                return;
        c->shaking = true;
        TAILQ_INSERT_TAIL(&http->shaking, c, shake);
        if (++http->n_shaking >= HTTP_SHAKING_MAX)
                http_listen_or_pause(http);
        if (!loop_timer_armed(http->shake))
                loop_timer_in(http->shake, 0); /* at the next turn, when all that is ready has been served */
}

void http_admit_shake_some(void *arg)
{
        struct http *http = arg;
        struct conn *c;

        for (int i = 0; i < SHAKES_A_TURN && (c = TAILQ_FIRST(&http->shaking)); i++) {
                TAILQ_REMOVE(&http->shaking, c, shake);
                http->n_shaking--;
                c->shaking = false;
                http_conn_turn(c);
        }
        if (!TAILQ_EMPTY(&http->shaking))
                loop_timer_in(http->shake, 0);
        http_listen_or_pause(http);
}
