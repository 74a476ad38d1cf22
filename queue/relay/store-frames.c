/*
 * The table of frames between the relay and its store process, and the readers of the rows in them.
 *
 * Pure. A neighbour that was taken over may send any bytes: sizes are compared, and texts ended.
 */
#include "queue/relay/store-frames.h"

#include <string.h>

#define RELAY (1U << STORE_PART_RELAY)
#define STORE (1U << STORE_PART_STORE)

static const struct frame_rule frames[] = {
        CONTROL_FRAME_ROWS(RELAY, STORE, STORE),
        {.type = STORE_FRAME_CALL,
         .name = "CALL",
         .from = RELAY,
         .to = STORE,
         .needs = {STORE_TAG_OP, STORE_TAG_CALL},
         .may = {STORE_TAG_TENANT, STORE_TAG_ID, STORE_TAG_WORD, STORE_TAG_BYTES, STORE_TAG_AT, STORE_TAG_N,
                 STORE_TAG_HASH, STORE_TAG_JWK, STORE_TAG_PROOF},
         .about = "does or finds something; CALL 0: nobody waits for an END"},
        {.type = STORE_FRAME_PART,
         .name = "PART",
         .from = RELAY | STORE,
         .to = RELAY | STORE,
         .needs = {STORE_TAG_CALL, STORE_TAG_BYTES},
         .about = "a part of a long text, before its CALL or IMAGE_END"},
        {.type = STORE_FRAME_ROW,
         .name = "ROW",
         .from = STORE,
         .to = RELAY,
         .needs = {STORE_TAG_CALL, STORE_TAG_BYTES},
         .may = {STORE_TAG_JWK, STORE_TAG_PROOF},
         .about = "one of what was asked for"},
        {.type = STORE_FRAME_END,
         .name = "END",
         .from = STORE,
         .to = RELAY,
         .needs = {STORE_TAG_CALL, STORE_TAG_CODE},
         .may = {TAG_WHY},
         .about = "the CALL is done; CODE: its result, two's complement"},
        {.type = STORE_FRAME_IMAGE,
         .name = "IMAGE",
         .from = STORE,
         .to = RELAY,
         .needs = {STORE_TAG_N, STORE_TAG_BYTES},
         .about = "a piece of a tenant, of the kind N"},
        {.type = STORE_FRAME_IMAGE_END,
         .name = "IMAGE_END",
         .from = STORE,
         .to = RELAY,
         .needs = {STORE_TAG_TENANT, STORE_TAG_CODE},
         .about = "that was all of the tenant; CODE 1: there is none"},
        {.type = STORE_FRAME_SYNC,
         .name = "SYNC",
         .from = STORE,
         .to = RELAY,
         .needs = {STORE_TAG_N},
         .about = "all that was written until now was sent; the first: all tenants were"},
        {.type = STORE_FRAME_SYNCED,
         .name = "SYNCED",
         .from = RELAY,
         .to = STORE,
         .needs = {STORE_TAG_N},
         .about = "the relay goes by all before that SYNC"},
        {.type = STORE_FRAME_STATE,
         .name = "STATE",
         .from = STORE,
         .to = RELAY,
         .needs = {STORE_TAG_CODE, STORE_TAG_N},
         .may = {TAG_WHY},
         .about = "whether anything can be written (CODE 1 or 0), why not, and how many entities wait for that"},
};

static const struct frame_tag_rule tags[] = {
        CONTROL_TAG_ROWS,
        {STORE_TAG_OP, FIELD_NUMBER, 0, "OP", "enum store_op"},
        {STORE_TAG_CALL, FIELD_NUMBER, 0, "CALL", "the call's number"},
        {STORE_TAG_TENANT, FIELD_TEXT, TENANT_MAX, "TENANT", "its name"},
        {STORE_TAG_ID, FIELD_TEXT, ID_MAX, "ID", "of a connector or sign-in"},
        {STORE_TAG_WORD, FIELD_TEXT, 600, "WORD", "as the operation has it"},
        {STORE_TAG_BYTES, FIELD_BYTES, 0, "BYTES", "a struct, several, or a part of a text"},
        {STORE_TAG_AT, FIELD_NUMBER, 0, "AT", "s since 1970"},
        {STORE_TAG_N, FIELD_NUMBER, 0, "N", "a number, as the frame has it"},
        {STORE_TAG_HASH, FIELD_BYTES, STORE_HASH_LEN, "HASH", "SHA-256"},
        {STORE_TAG_JWK, FIELD_TEXT, 511, "JWK", "a public key"},
        {STORE_TAG_PROOF, FIELD_TEXT, 4095, "PROOF", "a connector's announcement"},
        {STORE_TAG_CODE, FIELD_NUMBER, 0, "CODE", "a result"},
};

static const char *const parts[STORE_PARTS_] = {"relay", "store"};

const struct frame_table store_frames = {.frames = frames,
                                         .n_frames = sizeof(frames) / sizeof(frames[0]),
                                         .tags = tags,
                                         .n_tags = sizeof(tags) / sizeof(tags[0]),
                                         .parts = parts,
                                         .n_parts = STORE_PARTS_};

/* ---- rows ---- */

static bool take(const struct msg_in *m, void *row, size_t size)
{
        size_t n;
        const uint8_t *bytes = msg_get_bytes(m, STORE_TAG_BYTES, &n);

        if (!bytes || n != size)
                return false;
        memcpy(row, bytes, size);
        return true;
}

#define END(text) (text)[sizeof(text) - 1] = '\0'

bool store_frames_tenant(const struct msg_in *m, struct store_tenant *ret_row)
{
        if (!take(m, ret_row, sizeof(*ret_row)))
                return false;
        END(ret_row->name);
        END(ret_row->pin);
        return true;
}

bool store_frames_secret(const struct msg_in *m, struct store_secret *ret_row)
{
        if (!take(m, ret_row, sizeof(*ret_row)))
                return false;
        ret_row->kind = store_secret_kind((int64_t)ret_row->kind);
        return true;
}

static void end_connector(struct store_connector *c)
{
        END(c->id);
        END(c->name);
        END(c->kid);
        c->jwk = c->proof = NULL;
}

bool store_frames_connector(const struct msg_in *m, struct store_connector *ret_row)
{
        if (!take(m, ret_row, sizeof(*ret_row)))
                return false;
        end_connector(ret_row);
        return true;
}

bool store_frames_member(const struct msg_in *m, struct store_member *ret_row)
{
        if (!take(m, ret_row, sizeof(*ret_row)))
                return false;
        end_connector(&ret_row->connector);
        return true;
}

bool store_frames_serial(const struct msg_in *m, struct store_serial *ret_row)
{
        if (!take(m, ret_row, sizeof(*ret_row)))
                return false;
        END(ret_row->text);
        return true;
}

bool store_frames_event(const struct msg_in *m, struct store_event *ret_row)
{
        if (!take(m, ret_row, sizeof(*ret_row)))
                return false;
        END(ret_row->name);
        END(ret_row->id);
        END(ret_row->text);
        return true;
}

static void end_sign_in(struct store_sign_in *row)
{
        END(row->id);
        END(row->connector);
        END(row->state);
        END(row->problem);
        END(row->reasons);
}

bool store_frames_sign_in(const struct msg_in *m, struct store_sign_in *ret_row)
{
        if (!take(m, ret_row, sizeof(*ret_row)))
                return false;
        end_sign_in(ret_row);
        return true;
}

bool store_frames_rows(const struct msg_in *m, struct store_row rows[STORE_ROWS_A_FRAME], size_t *ret_n)
{
        size_t n;
        const uint8_t *bytes = msg_get_bytes(m, STORE_TAG_BYTES, &n);

        if (!bytes || n % sizeof(rows[0]) || n / sizeof(rows[0]) > STORE_ROWS_A_FRAME)
                return false;
        memcpy(rows, bytes, n);
        *ret_n = n / sizeof(rows[0]);
        for (size_t i = 0; i < *ret_n; i++) {
                END(rows[i].tenant);
                end_sign_in(&rows[i].sign_in);
        }
        return true;
}
