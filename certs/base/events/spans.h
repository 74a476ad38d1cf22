/*
 * Spans of a trace as OTLP/JSON: a line is an ExportTraceServiceRequest in the JSON mapping of protobuf as OTLP has it
 * (ids in hex, 64-bit numbers as text), which is what the OpenTelemetry collector's file receiver reads.
 *
 * A trace's context comes with the request (W3C Trace Context, version 00); where none comes, its id is made of the
 * sign-in's, which is the same at each part of Postern.
 */
#pragma once

#include "base/events/events.h"

#define SPANS_TRACE_LEN 32
#define SPANS_ID_LEN 16
#define SPANS_PARENT_LEN 55 /* of a traceparent */

struct spans_context {
        char trace[SPANS_TRACE_LEN + 1], parent[SPANS_ID_LEN + 1]; /* parent "": the trace begins here */
        bool sampled;                                              /* else nobody wants spans of it */
};
/* traceparent may be NULL, empty or malformed: then the trace is id's, and is wanted. */
void spans_context(struct spans_context *ret, const char *traceparent, const char *id);
/* A fresh id of a span; "" without randomness. */
void spans_id(char ret[SPANS_ID_LEN + 1]);
/* The traceparent for whoever is asked next, to whom the span of this id is the parent. */
void spans_traceparent(char ret[SPANS_PARENT_LEN + 1], const struct spans_context *context, const char *id);

enum spans_kind { SPANS_INTERNAL = 1, SPANS_SERVER, SPANS_CLIENT, SPANS_PRODUCER, SPANS_CONSUMER };

#define SPANS_ATTRIBUTES_MAX 12
struct spans_span {
        const char *name; /* literal */
        enum spans_kind kind;
        char id[SPANS_ID_LEN + 1], parent[SPANS_ID_LEN + 1];
        uint64_t begin, end; /* ns since the epoch */
        bool failed;
        size_t n;
        struct events_field
                attributes[SPANS_ATTRIBUTES_MAX]; /* keys: literal, of OpenTelemetry's conventions or postern.* */
};
/* Of ms milliseconds, which end now. */
void spans_took(struct spans_span *span, uint64_t ms);
/* NULL and empty texts are left out. */
void spans_text(struct spans_span *span, const char *key, const char *text);

/* One line with n spans of the context's trace into out (EVENTS_LINE_MAX bytes); its length, 0: they do not fit.
 * service: the service.name; instance: which one of them. */
size_t spans_render(char *out, const struct events_origin *origin, const char *service, const char *instance,
                    const struct spans_context *context, const struct spans_span *spans, size_t n);
