/*
 * Holds a frame against its row of a table.
 *
 * Pure. It knows what a frame may consist of and who may speak, not what the values mean; that is the reader's.
 */
#include "base/ipc/frames.h"

#include <errno.h>
#include <string.h>

#include "base/core/text.h"

const struct frame_rule *frame_rule_of(const struct frame_table *t, uint8_t type)
{
        for (size_t i = 0; i < t->n_frames; i++)
                if (t->frames[i].type == type)
                        return &t->frames[i];
        return NULL;
}

/* Rows stand in the order of the tags, mostly without gaps: a tag's own place is looked at first. */
static const struct frame_tag_rule *tag_rule(const struct frame_table *t, uint8_t tag)
{
        const size_t guess = t->n_tags ? (size_t)tag - t->tags[0].tag : 0;

        if (guess < t->n_tags && t->tags[guess].tag == tag)
                return &t->tags[guess];
        for (size_t i = 0; i < t->n_tags; i++)
                if (t->tags[i].tag == tag)
                        return &t->tags[i];
        return NULL;
}

static const char *tag_name(const struct frame_table *t, uint8_t tag)
{
        const struct frame_tag_rule *rule = tag_rule(t, tag);

        return rule ? rule->name : "?";
}

static bool listed(const uint8_t list[FRAME_TAGS_MAX], uint8_t tag)
{
        for (size_t i = 0; i < FRAME_TAGS_MAX && list[i]; i++)
                if (list[i] == tag)
                        return true;
        return false;
}

static int check_field(const struct frame_table *t, const struct frame_rule *rule, const struct msg_field *f,
                       struct error *err)
{
        const struct frame_tag_rule *tag = tag_rule(t, f->tag);

        if (!tag || (!listed(rule->needs, f->tag) && !listed(rule->may, f->tag)))
                return error_fail(err, -EBADMSG, "a frame %s has no tag %s (%u)", rule->name, tag_name(t, f->tag),
                                  f->tag);
        if (tag->max && f->len > tag->max)
                return error_fail(err, -EBADMSG, "%s of frame %s has %u bytes; at most %u", tag->name, rule->name,
                                  f->len, tag->max);
        if (tag->kind == FIELD_NUMBER && f->len != 8)
                return error_fail(err, -EBADMSG, "%s of frame %s is not a number", tag->name, rule->name);
        if (tag->kind == FIELD_TEXT && f->len > 0 &&
            (memchr(f->bytes, 0, f->len) || !utf8_valid((const char *)f->bytes, f->len)))
                return error_fail(err, -EBADMSG, "%s of frame %s is not text", tag->name, rule->name);
        return 0;
}

int frame_check(const struct frame_table *t, const struct msg_in *m, bool has_fd, unsigned from, unsigned to,
                struct error *err)
{
        const struct frame_rule *rule = frame_rule_of(t, m->type);

        if (!rule)
                return error_fail(err, -EPERM, "there is no frame %u", m->type);
        if (from >= t->n_parts || to >= t->n_parts || !(rule->from >> from & 1) || !(rule->to >> to & 1))
                return error_fail(err, -EPERM, "a frame %s does not go from %s to %s", rule->name,
                                  from < t->n_parts ? t->parts[from] : "?", to < t->n_parts ? t->parts[to] : "?");
        if (has_fd != (rule->fd == FRAME_FD_NEEDED))
                return error_fail(err, -EBADMSG, "a frame %s came with%s descriptor", rule->name,
                                  has_fd ? " a" : "out");
        for (size_t i = 0; i < m->n; i++)
                if (check_field(t, rule, &m->fields[i], err) < 0)
                        return -EBADMSG;
        for (size_t i = 0; i < FRAME_TAGS_MAX && rule->needs[i]; i++)
                if (!msg_has(m, rule->needs[i]))
                        return error_fail(err, -EBADMSG, "a frame %s came without %s", rule->name,
                                          tag_name(t, rule->needs[i]));
        return 0;
}

/* ---- the table itself ---- */

int frame_table_check(const struct frame_table *t, struct error *err)
{
        const unsigned all = (1u << t->n_parts) - 1;

        for (size_t i = 0; i < t->n_tags; i++)
                if (tag_rule(t, t->tags[i].tag) != &t->tags[i] || t->tags[i].tag == 0 || !t->tags[i].name)
                        return error_fail(err, -EINVAL, "tag %u has two rows, or no name", t->tags[i].tag);
        for (const struct frame_rule *rule = t->frames; rule < t->frames + t->n_frames; rule++) {
                if (frame_rule_of(t, rule->type) != rule || rule->type == 0 || !rule->name || !rule->about)
                        return error_fail(err, -EINVAL, "frame %u has two rows, or no name or meaning", rule->type);
                if (!rule->from || !rule->to || (rule->from | rule->to) & ~all)
                        return error_fail(err, -EINVAL, "nobody sends or receives frame %s", rule->name);
                for (size_t i = 0; i < FRAME_TAGS_MAX; i++) {
                        if (rule->needs[i] && (!tag_rule(t, rule->needs[i]) || listed(rule->may, rule->needs[i])))
                                return error_fail(err, -EINVAL, "frame %s: tag %u", rule->name, rule->needs[i]);
                        if (rule->may[i] && !tag_rule(t, rule->may[i]))
                                return error_fail(err, -EINVAL, "frame %s: tag %u", rule->name, rule->may[i]);
                }
        }
        return 0;
}

static int append_parts(const struct frame_table *t, unsigned set, struct buffer *out)
{
        const char *comma = "";
        int r = 0;

        for (unsigned p = 0; r == 0 && p < t->n_parts; p++)
                if (set >> p & 1) {
                        r = buffer_printf(out, "%s%s", comma, t->parts[p]);
                        comma = ", ";
                }
        return r;
}

static int append_tags(const struct frame_table *t, const uint8_t list[FRAME_TAGS_MAX], const char *mark,
                       struct buffer *out)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < FRAME_TAGS_MAX && list[i]; i++)
                r = buffer_printf(out, " %s%s", tag_name(t, list[i]), mark);
        return r;
}

int frame_table_document(const struct frame_table *t, struct buffer *out)
{
        static const char *const kinds[] = {"text", "number", "bytes"};
        int r = buffer_printf(out,
                              "| frame | from | to | tags (? may be absent) | what it says |\n|---|---|---|---|---|\n");

        for (size_t i = 0; r == 0 && i < t->n_frames; i++) {
                const struct frame_rule *f = &t->frames[i];

                r = buffer_printf(out, "| %u %s | ", f->type, f->name);
                r = r == 0 ? append_parts(t, f->from, out) : r;
                r = r == 0 ? buffer_printf(out, " | ") : r;
                r = r == 0 ? append_parts(t, f->to, out) : r;
                r = r == 0 ? buffer_printf(out, " |%s", f->fd ? " a descriptor" : "") : r;
                r = r == 0 ? append_tags(t, f->needs, "", out) : r;
                r = r == 0 ? append_tags(t, f->may, "?", out) : r;
                r = r == 0 ? buffer_printf(out, " | %s |\n", f->about) : r;
        }
        r = r == 0 ? buffer_printf(out, "\n| tag | kind | at most, bytes | what it holds |\n|---|---|---|---|\n") : r;
        for (size_t i = 0; r == 0 && i < t->n_tags; i++) {
                const struct frame_tag_rule *tag = &t->tags[i];

                r = buffer_printf(out, "| %u %s | %s | ", tag->tag, tag->name, kinds[tag->kind]);
                r = r == 0 && tag->max ? buffer_printf(out, "%u", tag->max) : r;
                r = r == 0 ? buffer_printf(out, " | %s |\n", tag->about ? tag->about : "") : r;
        }
        return r;
}
