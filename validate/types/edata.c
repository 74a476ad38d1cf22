/*
 * A strict reader of the few bytes of DER that carry an NTSTATUS.
 *
 * Invariant: nothing outside [bytes, bytes + n) is read, and every element is looked at once, so the work is
 * bounded by the input. Indefinite, over-long and non-minimal lengths are malformed. What the status means is
 * not decided here (outcome-map.c).
 */
#include "validate/types/edata.h"

#include "base/core/bytes.h"
#include "certs/codec/der.h"

#define EXT_ERROR_TYPE 3 /* KERB_ERR_TYPE_EXTENDED, and the padata type that carries it */
#define EXT_ERROR_SIZE 12
#define SEVERITY_ERROR 0xc0000000U /* the top two bits of every failing NTSTATUS */

/* Takes { [1] INTEGER, [2] OCTET STRING }, which PA-DATA and KERB-ERROR-DATA share; is_ext: the integer is 3.
 */
static bool take_typed(struct der *d, bool *ret_is_ext, struct der *ret_value)
{
        int32_t type;

        if (!der_take_int(d, DER_CONTEXT(1), &type) ||
            !der_take_wrapped(d, DER_CONTEXT(2), DER_OCTET_STRING, ret_value) || d->n != 0)
                return false;
        *ret_is_ext = type == EXT_ERROR_TYPE;
        return true;
}

/* status, reserved, flags: three little-endian words. Only a failure's status counts, so that no salt is
 * taken for one. */
static bool ext_error(const struct der *value, uint32_t *ret_status)
{
        uint32_t status;

        if (value->n != EXT_ERROR_SIZE)
                return false;
        status = bytes_le32(value->p);
        if ((status & SEVERITY_ERROR) != SEVERITY_ERROR)
                return false;
        *ret_status = status;
        return true;
}

/* METHOD-DATA: a sequence of typed elements; all must be well formed. */
static bool in_method_data(struct der list, uint32_t *ret_status)
{
        bool found = false;

        while (list.n > 0) {
                struct der element, value;
                bool is_ext;

                if (!der_take(&list, DER_SEQUENCE, &element) || !take_typed(&element, &is_ext, &value))
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
        if (!der_take(&all, DER_SEQUENCE, &list) || all.n != 0)
                return false;
        while (list.n > 0)
                if (!der_take(&list, DER_SEQUENCE, &element) || !take_typed(&element, &is_ext, &value) || is_ext)
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
        if (!der_take(&all, DER_SEQUENCE, &inner) || all.n != 0 || inner.n == 0)
                return false;
        if (der_at(&inner, DER_SEQUENCE)) {
                if (!in_method_data(inner, &status))
                        return false;
        } else if (!take_typed(&inner, &is_ext, &value) || !is_ext || !ext_error(&value, &status)) {
                return false;
        }
        *ret_status = status;
        return true;
}
