/*
 * The gateway's side of the talk, as bytes: the request that asks, and the answer.
 *
 * Nothing here waits. Invariant: an answer is taken only whole, with a length that it says itself, and a verdict that
 * is none of the known ones is unavailable.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "certs/codec/json.h"
#include "queue/gateway/pam/pam.h"

int pam_question_write(const struct pam_question *q, struct buffer *out)
{
        _cleanup_(buffer_free) struct buffer body = BUFFER_SECRET(16384);
        struct json_writer w;
        int r;

        json_write_begin(&w, &body);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "username", q->user);
        json_write_str(&w, "password", q->password);
        if (q->new_password)
                json_write_str(&w, "new_password", q->new_password);
        json_write_open(&w, "client", '{');
        json_write_opt(&w, "ip", q->client_ip);
        json_write_opt(&w, "app", q->client_app);
        json_write_opt(&w, "agent", q->tty);
        json_write_close(&w, '}');
        json_write_close(&w, '}');
        r = json_write_end(&w);
        if (r == 0)
                r = buffer_printf(out,
                                  "POST /v1/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                  "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                                  q->new_password ? "change-password" : "sign-in", body.len);
        return r < 0 ? r : buffer_append(out, body.data, body.len);
}

/* One of the head's lines; false at the empty one that ends it. */
static bool next_line(const char **at, const char **ret_line, size_t *ret_n)
{
        const char *end = strstr(*at, "\r\n");

        if (!end || end == *at)
                return false;
        *ret_line = *at;
        *ret_n = (size_t)(end - *at);
        *at = end + 2;
        return true;
}

/* The body's length, once; -EBADMSG: none, two, or the body comes in pieces. */
static int read_length(const char *head, size_t *ret_length)
{
        static const char length[] = "Content-Length:", coding[] = "Transfer-Encoding:";
        const char *line;
        uint64_t value;
        bool found = false;
        char text[24];
        size_t n;

        while (next_line(&head, &line, &n)) {
                if (strncasecmp(line, coding, strlen(coding)) == 0)
                        return -EBADMSG;
                if (strncasecmp(line, length, strlen(length)) != 0)
                        continue;
                const char *from = line + strlen(length);
                from += strspn(from, " \t");
                n -= (size_t)(from - line);
                if (found || n >= sizeof text)
                        return -EBADMSG;
                memcpy(text, from, n);
                text[n] = '\0';
                if (text_parse_u64(text, 0, PAM_ANSWER_MAX, &value) < 0)
                        return -EBADMSG;
                *ret_length = (size_t)value;
                found = true;
        }
        return found ? 0 : -EBADMSG;
}

static int read_problem(const char *body, size_t n, unsigned status, struct error *err)
{
        char title[128] = "", detail[256] = "";
        struct json_reader p;

        json_read_begin(&p, body, n, JSON_PLAIN, "problem", NULL);
        json_read_cut(&p, "title", title, sizeof title);
        json_read_cut(&p, "detail", detail, sizeof detail);
        (void)json_read_end(&p, false);
        return error_fail(err, -EBUSY, "the gateway answered %u %s: %s", status, title, detail);
}

static int read_verdict(struct pam_answer *ret_answer, const char *body, size_t n, struct error *err)
{
        struct pam_answer a = {PAM_UNAVAILABLE};
        char verdict[16] = "", class[16] = "";
        struct json_reader json, user;
        int r;

        json_read_begin(&json, body, n, JSON_PLAIN, "the gateway's answer", err);
        json_read_str(&json, "id", JSON_REQUIRED, a.id, sizeof a.id);
        json_read_cut(&json, "verdict", verdict, sizeof verdict);
        json_read_cut(&json, "class", class, sizeof class);
        json_read_cut(&json, "reason", a.reason, sizeof a.reason);
        json_read_cut(&json, "text", a.text, sizeof a.text);
        a.password_proved = json_read_has(&json, "password_proved") && json_read_bool(&json, "password_proved");
        if (strcmp(verdict, "accepted") == 0 && json_read_object(&user, &json, "user", JSON_REQUIRED)) {
                a.verdict = PAM_ACCEPTED;
                json_read_str(&user, "id", JSON_REQUIRED, a.user_id, sizeof a.user_id);
                json_read_str(&user, "domain", JSON_REQUIRED, a.user_domain, sizeof a.user_domain);
                json_read_end(&user, false);
        } else if (strcmp(verdict, "refused") == 0) {
                a.verdict = PAM_REFUSED;
        }
        a.class = strcmp(class, "credentials") == 0 ? PAM_CREDENTIALS
                  : strcmp(class, "policy") == 0    ? PAM_POLICY
                                                    : PAM_INFRASTRUCTURE;
        if (a.verdict == PAM_REFUSED && a.class == PAM_INFRASTRUCTURE)
                a.verdict = PAM_UNAVAILABLE;
        if ((r = json_read_end(&json, false)) < 0)
                return r;
        *ret_answer = a;
        return 0;
}

int pam_answer_read(struct pam_answer *ret_answer, const char *bytes, size_t n, struct error *err)
{
        static const char version[] = "HTTP/1.1 ";
        const char *end = memmem(bytes, n, "\r\n\r\n", 4);
        _cleanup_(buffer_free) struct buffer head = BUFFER(PAM_ANSWER_MAX);
        size_t length = 0;
        uint64_t status;
        char code[4];

        if (!end)
                return n < PAM_ANSWER_MAX ? 1 : error_fail(err, -EBADMSG, "the answer's head has no end");
        const size_t before = (size_t)(end - bytes) + 4;
        if (memchr(bytes, '\0', before) || buffer_append(&head, bytes, before) < 0 ||
            strncmp(head.data, version, strlen(version)) != 0 || before < strlen(version) + 4)
                return error_fail(err, -EBADMSG, "the answer is not of HTTP/1.1");
        memcpy(code, head.data + strlen(version), 3);
        code[3] = '\0';
        if (text_parse_u64(code, 200, 599, &status) < 0 || read_length(head.data, &length) < 0)
                return error_fail(err, -EBADMSG, "the answer's head is none of the gateway's");
        if (n < before + length)
                return 1;
        return status == 200 ? read_verdict(ret_answer, bytes + before, length, err)
                             : read_problem(bytes + before, length, (unsigned)status, err);
}
