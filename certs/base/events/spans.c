/*
 * Trace contexts in, lines of OTLP/JSON out.
 *
 * Invariant: a line is whole or is not written. What is in it of others' words stands in attributes' values, escaped as
 * in records.
 */
#include "base/events/spans.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/core/text.h"
#include "base/events/events-internal.h"

/* n lower-case hex digits, not all of them 0. */
static bool is_id(const char *s, size_t n)
{
        return strspn(s, "0123456789abcdef") >= n && strspn(s, "0") < n;
}

void spans_context(struct spans_context *ret, const char *traceparent, const char *id)
{
        unsigned char hash[EVP_MAX_MD_SIZE] = {1};
        unsigned n = 0;

        *ret = (struct spans_context){.sampled = true};
        if (traceparent && strlen(traceparent) == SPANS_PARENT_LEN && memcmp(traceparent, "00-", 3) == 0 &&
            is_id(traceparent + 3, SPANS_TRACE_LEN) && traceparent[35] == '-' &&
            is_id(traceparent + 36, SPANS_ID_LEN) && traceparent[52] == '-' &&
            strspn(traceparent + 53, "0123456789abcdef") == 2) {
                memcpy(ret->trace, traceparent + 3, SPANS_TRACE_LEN);
                memcpy(ret->parent, traceparent + 36, SPANS_ID_LEN);
                ret->sampled = strchr("13579bdf", traceparent[54]) != NULL;
                return;
        }
        (void)EVP_Digest(id, id_first(id), hash, &n, EVP_sha256(), NULL);
        hex_encode_to(ret->trace, hash, SPANS_TRACE_LEN / 2);
}

void spans_id(char ret[SPANS_ID_LEN + 1])
{
        unsigned char bytes[SPANS_ID_LEN / 2];

        ret[0] = '\0';
        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                return;
        bytes[0] |= 1; /* an id of zeros is none */
        hex_encode_to(ret, bytes, sizeof(bytes));
}

void spans_traceparent(char ret[SPANS_PARENT_LEN + 1], const struct spans_context *context, const char *id)
{
        (void)snprintf(ret, SPANS_PARENT_LEN + 1, "00-%s-%.16s-%s", context->trace, id, context->sampled ? "01" : "00");
}

#define NS_A_MS UINT64_C(1000000)

void spans_took(struct spans_span *span, uint64_t ms)
{
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_REALTIME, &now);
        span->end = (uint64_t)now.tv_sec * 1000 * NS_A_MS + (uint64_t)now.tv_nsec;
        span->begin = span->end - (ms < span->end / NS_A_MS ? ms * NS_A_MS : 0);
}

void spans_text(struct spans_span *span, const char *key, const char *text)
{
        if (text && text[0] && span->n < SPANS_ATTRIBUTES_MAX)
                span->attributes[span->n++] =
                        (struct events_field){.key = key, .type = EVENTS_TEXT, .text = text, .n = strlen(text)};
}

static void put_attribute(struct events_out *t, const char *key, const char *text, size_t n, bool first)
{
        events_out_str(t, first ? "{\"key\":" : ",{\"key\":");
        events_out_value(t, EVENTS_JSON, key, strlen(key));
        events_out_str(t, ",\"value\":{\"stringValue\":");
        events_out_value(t, EVENTS_JSON, text, n);
        events_out_str(t, "}}");
}

size_t spans_render(char *out, const struct events_origin *origin, const char *service, const char *instance,
                    const struct spans_context *context, const struct spans_span *spans, size_t n)
{
        struct events_out t = {out, EVENTS_LINE_MAX, false};
        char head[512];

        events_out_str(&t, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
        put_attribute(&t, "service.name", service, strlen(service), true);
        put_attribute(&t, "service.version", origin->version, strlen(origin->version), false);
        put_attribute(&t, "service.instance.id", instance, strlen(instance), false);
        put_attribute(&t, "host.name", origin->host, strlen(origin->host), false);
        events_out_str(&t, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"postern\"},\"spans\":[");
        for (const struct spans_span *span = spans; span < spans + n; span++) {
                const int len = snprintf(head, sizeof(head),
                                         "%s{\"traceId\":\"%s\",\"spanId\":\"%s\",%s%s%s\"name\":\"%.60s\",\"kind\":%d,"
                                         "\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\",\"attributes\":[",
                                         span > spans ? "," : "", context->trace, span->id,
                                         span->parent[0] ? "\"parentSpanId\":\"" : "", span->parent,
                                         span->parent[0] ? "\"," : "", span->name, (int)span->kind,
                                         (unsigned long long)span->begin, (unsigned long long)span->end);

                events_out_put(&t, head, len < 0 ? 0 : (size_t)len);
                for (const struct events_field *f = span->attributes; f < span->attributes + span->n; f++)
                        put_attribute(&t, f->key, f->text, f->n, f == span->attributes);
                events_out_str(&t, span->failed ? "],\"status\":{\"code\":2}}" : "],\"status\":{}}");
        }
        events_out_str(&t, "]}]}]}\n");
        return t.full ? 0 : (size_t)(t.at - out);
}
