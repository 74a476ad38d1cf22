/*
 * A strict reader of the few bytes of DER that carry an NTSTATUS.
 *
 * Invariant: nothing outside [bytes, bytes + n) is read, and every element is looked at once, so the work is
 * bounded by the input. Indefinite, over-long and non-minimal lengths are malformed. What the status means is
 * not decided here (outcome-map.c).
 */
#include "validate/types/edata.h"

#define TAG_SEQUENCE 0x30
#define TAG_INTEGER 0x02
#define TAG_OCTETS 0x04
#define TAG_CONTEXT_1 0xa1
#define TAG_CONTEXT_2 0xa2

#define EXT_ERROR_TYPE 3 /* KERB_ERR_TYPE_EXTENDED, and the padata type that carries it */
#define EXT_ERROR_SIZE 12
#define SEVERITY_ERROR 0xc0000000U /* the top two bits of every failing NTSTATUS */

struct der {
        const uint8_t *at;
        size_t left;
};

/* Takes the length octets of an element; false unless minimal, definite and within what is left. */
static bool take_length(struct der *d, size_t *ret_n)
{
        size_t n, octets;

        if (d->left == 0)
                return false;
        n = *d->at++;
        d->left--;
        if (n >= 0x80) {
                octets = n & 0x7f;
                if (octets == 0 || octets > 3 || octets > d->left || d->at[0] == 0)
                        return false;
                n = 0;
                for (size_t i = 0; i < octets; i++)
                        n = n << 8 | d->at[i];
                d->at += octets;
                d->left -= octets;
                if (n < 0x80)
                        return false;
        }
        if (n > d->left)
                return false;
        *ret_n = n;
        return true;
}

/* Takes one element of this tag; its contents become *ret_inner. */
static bool take(struct der *d, uint8_t tag, struct der *ret_inner)
{
        struct der rest = *d;
        size_t n;

        if (rest.left < 2 || *rest.at != tag)
                return false;
        rest.at++;
        rest.left--;
        if (!take_length(&rest, &n))
                return false;
        ret_inner->at = rest.at;
        ret_inner->left = n;
        d->at = rest.at + n;
        d->left = rest.left - n;
        return true;
}

/* Takes { [1] INTEGER, [2] OCTET STRING }, which PA-DATA and KERB-ERROR-DATA share; is_ext: the integer is 3.
 */
static bool take_typed(struct der *d, bool *ret_is_ext, struct der *ret_value)
{
        struct der outer, inner;

        if (!take(d, TAG_CONTEXT_1, &outer) || !take(&outer, TAG_INTEGER, &inner) || outer.left != 0)
                return false;
        if (inner.left == 0 || inner.left > 4)
                return false;
        *ret_is_ext = inner.left == 1 && inner.at[0] == EXT_ERROR_TYPE;
        return take(d, TAG_CONTEXT_2, &outer) && take(&outer, TAG_OCTETS, ret_value) && outer.left == 0 && d->left == 0;
}

/* status, reserved, flags: three little-endian words. Only a failure's status counts, so that no salt is
 * taken for one. */
static bool ext_error(const struct der *value, uint32_t *ret_status)
{
        uint32_t status;

        if (value->left != EXT_ERROR_SIZE)
                return false;
        status = (uint32_t)value->at[0] | (uint32_t)value->at[1] << 8 | (uint32_t)value->at[2] << 16 |
                 (uint32_t)value->at[3] << 24;
        if ((status & SEVERITY_ERROR) != SEVERITY_ERROR)
                return false;
        *ret_status = status;
        return true;
}

/* METHOD-DATA: a sequence of typed elements; all must be well formed. */
static bool in_method_data(struct der list, uint32_t *ret_status)
{
        bool found = false;

        while (list.left > 0) {
                struct der element, value;
                bool is_ext;

                if (!take(&list, TAG_SEQUENCE, &element) || !take_typed(&element, &is_ext, &value))
                        return false;
                if (is_ext && !found)
                        found = ext_error(&value, ret_status);
        }
        return found;
}

bool edata_silent(const uint8_t *bytes, size_t n)
{
        struct der all = {bytes, n}, list, element, value;
        bool is_ext;

        if (n == 0)
                return true;
        if (!take(&all, TAG_SEQUENCE, &list) || all.left != 0)
                return false;
        while (list.left > 0)
                if (!take(&list, TAG_SEQUENCE, &element) || !take_typed(&element, &is_ext, &value) || is_ext)
                        return false;
        return true;
}

bool edata_ntstatus(const uint8_t *bytes, size_t n, uint32_t *ret_status)
{
        struct der all = {bytes, n}, inner, value;
        uint32_t status = 0;
        bool is_ext;

        if (!bytes)
                return false;
        if (ext_error(&all, &status)) {
                *ret_status = status;
                return true;
        }
        if (!take(&all, TAG_SEQUENCE, &inner) || all.left != 0 || inner.left == 0)
                return false;
        if (inner.at[0] == TAG_SEQUENCE) {
                if (!in_method_data(inner, &status))
                        return false;
        } else if (!take_typed(&inner, &is_ext, &value) || !is_ext || !ext_error(&value, &status)) {
                return false;
        }
        *ret_status = status;
        return true;
}
