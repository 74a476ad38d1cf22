/*
 * Keys in PKCS#11 tokens, by p11-kit: it parses the URI (RFC 7512), knows the system's modules and loads them.
 *
 * Invariant: a PIN is offered once in the life of the process, and not at all when the token says that one
 * more wrong one would lock it. A URI must name exactly one token and in it one private key; with two nobody
 * could tell which signs. Mechanism CKM_ECDSA over a digest made outside.
 */
#include <errno.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/core/cleanup.h"
#include "connector/keyholder/token.h"

#define SLOTS_MAX 64
#define MAKE_ID_LEN 16

/* DER of the object identifier of P-256, as CKA_EC_PARAMS. */
static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

struct pkcs11 {
        P11KitUri *uri;
        CK_FUNCTION_LIST *module;
        CK_SLOT_ID slot;
        CK_TOKEN_INFO info;
        CK_SESSION_HANDLE session;
        CK_OBJECT_HANDLE key;
};

/* ---- errors ---- */

static const struct {
        CK_RV rv;
        int code;
        const char *text;
} failures[] = {
        {CKR_PIN_INCORRECT, -EACCES,
         "refuses the PIN. It was tried once and will not be tried again until the PIN file is changed"},
        {CKR_PIN_LEN_RANGE, -EACCES, "refuses the PIN: it is too short or too long"},
        {CKR_PIN_INVALID, -EACCES, "refuses the PIN: it holds a character that is not allowed"},
        {CKR_PIN_LOCKED, -EPERM, "is locked after too many wrong PINs; its security officer can unlock it"},
        {CKR_PIN_EXPIRED, -EPERM, "wants its PIN to be changed first"},
        {CKR_USER_PIN_NOT_INITIALIZED, -EPERM, "has no user PIN yet; set one with: pkcs11-tool --init-pin"},
        {CKR_DEVICE_REMOVED, -ENODEV, "was removed"},
        {CKR_TOKEN_NOT_PRESENT, -ENODEV, "was removed"},
        {CKR_TOKEN_NOT_RECOGNIZED, -ENODEV, "is not one that its module knows"},
        {CKR_TOKEN_WRITE_PROTECTED, -EPERM, "is write-protected, so no key can be made in it"},
        {CKR_MECHANISM_INVALID, -EBADMSG, "cannot do ECDSA on P-256"},
        {CKR_CURVE_NOT_SUPPORTED, -EBADMSG, "cannot do ECDSA on P-256"},
};

static int token_fail(const struct pkcs11 *p, CK_RV rv, const char *doing, struct error *err)
{
        int n = 32;

        while (n > 0 && (p->info.label[n - 1] == ' ' || p->info.label[n - 1] == '\0'))
                n--;
        for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
                if (failures[i].rv == rv)
                        return error_fail(err, failures[i].code, "the token \"%.*s\" %s", n,
                                          (const char *)p->info.label, failures[i].text);
        return error_fail(err, -EIO, "the token \"%.*s\" failed to %s: %s (CKR 0x%lx)", n, (const char *)p->info.label,
                          doing, p11_kit_strerror(rv), rv);
}

/* ---- the token ---- */

static int parse(struct pkcs11 *p, const char *text, struct error *err)
{
        int r;

        p->uri = p11_kit_uri_new();
        if (!p->uri)
                return error_fail(err, -ENOMEM, "out of memory");
        r = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, p->uri);
        if (r != P11_KIT_URI_OK)
                return error_fail(err, -EINVAL, "the PKCS#11 URI is malformed: %s", p11_kit_uri_message(r));
        if (p11_kit_uri_any_unrecognized(p->uri))
                return error_fail(err, -EINVAL, "the PKCS#11 URI holds an attribute that is not known");
        return 0;
}

static int load(const struct pkcs11 *p, CK_FUNCTION_LIST ***ret_modules, struct error *err)
{
        static CK_FUNCTION_LIST *one[2];
        const char *path = p11_kit_uri_get_module_path(p->uri);

        if (!path) {
                *ret_modules = p11_kit_modules_load_and_initialize(0);
                return *ret_modules ? 0
                                    : error_fail(err, -ENODEV, "p11-kit cannot load the system's modules: %s",
                                                 p11_kit_message() ? p11_kit_message() : "no reason given");
        }
        one[0] = p11_kit_module_load(path, P11_KIT_MODULE_CRITICAL);
        if (!one[0])
                return error_fail(err, -ENOENT,
                                  "the module %s cannot be loaded (%s); install the package of the token's "
                                  "vendor (softhsm2, opensc-pkcs11 ...) or mend module-path",
                                  path, p11_kit_message() ? p11_kit_message() : "no reason given");
        const CK_RV rv = p11_kit_module_initialize(one[0]);
        if (rv != CKR_OK)
                return error_fail(err, -ENODEV, "the module %s does not start: %s", path, p11_kit_strerror(rv));
        *ret_modules = one;
        return 0;
}

/* Takes note of the tokens of one module that the URI names; how many there were. */
static unsigned look_into(struct pkcs11 *p, CK_FUNCTION_LIST *module)
{
        CK_SLOT_ID slots[SLOTS_MAX];
        CK_ULONG n = SLOTS_MAX;
        CK_TOKEN_INFO info;
        unsigned found = 0;

        if (module->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
                return 0;
        for (CK_ULONG i = 0; i < n; i++) {
                if (module->C_GetTokenInfo(slots[i], &info) != CKR_OK || !(info.flags & CKF_TOKEN_INITIALIZED) ||
                    !p11_kit_uri_match_token_info(p->uri, &info))
                        continue;
                p->module = module;
                p->slot = slots[i];
                p->info = info;
                found++;
        }
        return found;
}

static int find_token(struct pkcs11 *p, struct error *err)
{
        CK_FUNCTION_LIST **modules = NULL;
        CK_INFO info;
        unsigned found = 0, seen = 0;
        int r = load(p, &modules, err);

        if (r < 0)
                return r;
        for (; modules && *modules; modules++) {
                if ((*modules)->C_GetInfo(&info) != CKR_OK || !p11_kit_uri_match_module_info(p->uri, &info))
                        continue;
                seen++;
                found += look_into(p, *modules);
        }
        if (found == 1)
                return 0;
        if (found > 1)
                return error_fail(err, -EINVAL,
                                  "the PKCS#11 URI names %u tokens; add token= or serial= (pkcs11-tool "
                                  "--list-token-slots shows them)",
                                  found);
        return error_fail(err, -ENODEV,
                          "no token that the PKCS#11 URI names is there (asked %u module%s); plug it in, or "
                          "compare with: p11tool --list-token-urls",
                          seen, seen == 1 ? "" : "s");
}

static int log_in(struct pkcs11 *p, const char *pin, struct error *err)
{
        char copy[PIN_MAX + 1];
        CK_RV rv;

        if (!(p->info.flags & CKF_LOGIN_REQUIRED))
                return 0;
        if (p->info.flags & CKF_USER_PIN_LOCKED)
                return token_fail(p, CKR_PIN_LOCKED, "log in", err);
        if (p->info.flags & CKF_USER_PIN_FINAL_TRY)
                return error_fail(err, -EPERM,
                                  "one more wrong PIN would lock the token, so none is tried; log in once by "
                                  "hand with: pkcs11-tool --login --list-objects");
        if (!pin && !(p->info.flags & CKF_PROTECTED_AUTHENTICATION_PATH))
                return error_fail(err, -EPERM,
                                  "the token wants a PIN: put it alone into a file of mode 600 and add "
                                  "?pin-source=file:/PATH to the URI");
        (void)snprintf(copy, sizeof(copy), "%s", pin ? pin : "");
        rv = p->module->C_Login(p->session, CKU_USER, pin ? (CK_UTF8CHAR *)copy : NULL, strlen(copy));
        explicit_bzero(copy, sizeof(copy));
        return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? 0 : token_fail(p, rv, "log in", err);
}

/* ---- its objects ---- */

/* The objects of a class with the label and id of the template: at most two are told apart. */
static CK_RV find(const struct pkcs11 *p, CK_OBJECT_CLASS class, const CK_ATTRIBUTE *by, size_t n_by,
                  CK_OBJECT_HANDLE found[2], CK_ULONG *ret_n)
{
        CK_ATTRIBUTE template[3] = {{CKA_CLASS, &class, sizeof(class)}};
        CK_ULONG n = 1;
        CK_RV rv;

        for (size_t i = 0; i < n_by && n < 3; i++)
                template[n++] = by[i];
        rv = p->module->C_FindObjectsInit(p->session, template, n);
        if (rv != CKR_OK)
                return rv;
        rv = p->module->C_FindObjects(p->session, found, 2, ret_n);
        (void)p->module->C_FindObjectsFinal(p->session);
        return rv;
}

static size_t named_by(const struct pkcs11 *p, CK_ATTRIBUTE by[2])
{
        static const CK_ATTRIBUTE_TYPE types[] = {CKA_LABEL, CKA_ID};
        size_t n = 0;

        for (size_t i = 0; i < 2; i++) {
                const CK_ATTRIBUTE *a = p11_kit_uri_get_attribute(p->uri, types[i]);

                if (a)
                        by[n++] = *a;
        }
        return n;
}

static int check_kind(const struct pkcs11 *p, struct error *err)
{
        CK_KEY_TYPE type = 0;
        CK_BBOOL signs = CK_FALSE, always = CK_FALSE;
        CK_BYTE params[32];
        CK_ATTRIBUTE kind[] = {{CKA_KEY_TYPE, &type, sizeof(type)}};
        CK_ATTRIBUTE curve[] = {{CKA_EC_PARAMS, params, sizeof(params)}};
        CK_ATTRIBUTE use[] = {{CKA_SIGN, &signs, sizeof(signs)}};
        CK_ATTRIBUTE again[] = {{CKA_ALWAYS_AUTHENTICATE, &always, sizeof(always)}};

        if (p->module->C_GetAttributeValue(p->session, p->key, kind, 1) != CKR_OK || type != CKK_EC)
                return error_fail(err, -EBADMSG, "the token's key is not of the kind EC; Postern uses P-256");
        if (p->module->C_GetAttributeValue(p->session, p->key, curve, 1) != CKR_OK ||
            curve[0].ulValueLen != sizeof(p256) || memcmp(params, p256, sizeof(p256)) != 0)
                return error_fail(err, -EBADMSG, "the token's key is on another curve; Postern uses P-256");
        if (p->module->C_GetAttributeValue(p->session, p->key, use, 1) != CKR_OK || !signs)
                return error_fail(err, -EBADMSG, "the token's key may not sign (CKA_SIGN)");
        if (p->module->C_GetAttributeValue(p->session, p->key, again, 1) == CKR_OK && always)
                return error_fail(err, -EBADMSG,
                                  "the token's key wants the PIN at each signature "
                                  "(CKA_ALWAYS_AUTHENTICATE), which a daemon cannot give");
        return 0;
}

/* CKA_EC_POINT is the DER of an OCTET STRING; some modules leave the wrapping out. */
static bool take_point(struct token *token, const CK_BYTE *bytes, CK_ULONG n)
{
        if (n == 2 + 1 + POINT_LEN && bytes[0] == 0x04 && bytes[1] == 1 + POINT_LEN) {
                bytes += 2;
                n -= 2;
        }
        if (n != 1 + POINT_LEN || bytes[0] != 0x04)
                return false;
        memcpy(token->point, bytes + 1, POINT_LEN);
        return true;
}

/* From the public key of the same id, else of the same label. */
static int read_point(const struct pkcs11 *p, struct token *token, struct error *err)
{
        CK_BYTE id[64], point[128];
        CK_ATTRIBUTE by_id[] = {{CKA_ID, id, sizeof(id)}}, by[2], value[] = {{CKA_EC_POINT, point, sizeof(point)}};
        CK_OBJECT_HANDLE found[2];
        CK_ULONG n = 0;

        if (p->module->C_GetAttributeValue(p->session, p->key, by_id, 1) == CKR_OK && by_id[0].ulValueLen > 0 &&
            by_id[0].ulValueLen <= sizeof(id))
                (void)find(p, CKO_PUBLIC_KEY, by_id, 1, found, &n);
        if (n == 0)
                (void)find(p, CKO_PUBLIC_KEY, by, named_by(p, by), found, &n);
        if (n == 1 && p->module->C_GetAttributeValue(p->session, found[0], value, 1) == CKR_OK &&
            take_point(token, point, value[0].ulValueLen))
                return 0;
        return error_fail(err, -ENOENT,
                          "the token holds no single public key beside the private key; write it there with: "
                          "pkcs11-tool --write-object PUBLIC.der --type pubkey --id ID");
}

static int find_key(struct pkcs11 *p, struct error *err)
{
        CK_ATTRIBUTE by[2];
        const size_t n_by = named_by(p, by);
        CK_OBJECT_HANDLE found[2];
        CK_ULONG n = 0;
        const CK_RV rv = find(p, CKO_PRIVATE_KEY, by, n_by, found, &n);

        if (rv != CKR_OK)
                return token_fail(p, rv, "look for the key", err);
        if (n > 1)
                return error_fail(err, -EINVAL,
                                  "the PKCS#11 URI names several private keys; add object= or id= "
                                  "(pkcs11-tool --list-objects shows them)");
        if (n == 0)
                return error_fail(err, -ENOENT,
                                  "the token holds no private key that the PKCS#11 URI names; compare "
                                  "object= and id= with: pkcs11-tool --login --list-objects");
        p->key = found[0];
        return 0;
}

static int make_key(struct pkcs11 *p, struct error *err)
{
        CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
        CK_BYTE fresh[MAKE_ID_LEN];
        const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(p->uri, CKA_LABEL),
                           *id = p11_kit_uri_get_attribute(p->uri, CKA_ID);
        CK_OBJECT_HANDLE found[2], public;
        CK_ATTRIBUTE by[2];
        CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
        CK_ULONG n = 0;

        if (!label)
                return error_fail(err, -EINVAL, "to make a key the PKCS#11 URI needs object=LABEL");
        if (RAND_bytes(fresh, sizeof(fresh)) != 1)
                return error_fail(err, -EIO, "OpenSSL cannot make random numbers");
        CK_RV rv = find(p, CKO_PRIVATE_KEY, by, named_by(p, by), found, &n);
        if (rv == CKR_OK && n > 0)
                return error_fail(err, -EEXIST, "the token holds a key of that name already");
        CK_ATTRIBUTE named_id = {CKA_ID, id ? id->pValue : fresh, id ? id->ulValueLen : sizeof(fresh)};
        CK_ATTRIBUTE public_key[] = {{CKA_TOKEN, &yes, sizeof(yes)},
                                     {CKA_VERIFY, &yes, sizeof(yes)},
                                     {CKA_EC_PARAMS, p256, sizeof(p256)},
                                     *label,
                                     named_id};
        CK_ATTRIBUTE private_key[] = {{CKA_TOKEN, &yes, sizeof(yes)},
                                      {CKA_PRIVATE, &yes, sizeof(yes)},
                                      {CKA_SENSITIVE, &yes, sizeof(yes)},
                                      {CKA_SIGN, &yes, sizeof(yes)},
                                      {CKA_EXTRACTABLE, &no, sizeof(no)},
                                      *label,
                                      named_id};
        if (rv == CKR_OK)
                rv = p->module->C_GenerateKeyPair(p->session, &mechanism, public_key, 5, private_key, 7, &public,
                                                  &p->key);
        return rv == CKR_OK ? 0 : token_fail(p, rv, "make a key", err);
}

/* ---- signing ---- */

static int sign(struct token *token, const uint8_t digest[DIGEST_LEN], uint8_t signature[SIGNATURE_LEN],
                struct error *err)
{
        const struct pkcs11 *p = token->state;
        CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
        CK_BYTE copy[DIGEST_LEN];
        CK_ULONG n = SIGNATURE_LEN;
        CK_RV rv = p->module->C_SignInit(p->session, &mechanism, p->key);

        memcpy(copy, digest, sizeof(copy));
        if (rv == CKR_OK)
                rv = p->module->C_Sign(p->session, copy, sizeof(copy), signature, &n);
        if (rv != CKR_OK)
                return token_fail(p, rv, "sign", err);
        return n == SIGNATURE_LEN ? 0 : error_fail(err, -EIO, "the token made a signature of %lu bytes", n);
}

int pkcs11_open(struct token *token, const struct token_request *request, struct buffer *name, struct error *err)
{
        static struct pkcs11 p;
        const CK_FLAGS flags = CKF_SERIAL_SESSION | (request->make ? CKF_RW_SESSION : 0);
        CK_RV rv = CKR_OK;
        int r = parse(&p, request->reference, err);

        if (r == 0)
                r = find_token(&p, err);
        if (r == 0)
                rv = p.module->C_OpenSession(p.slot, flags, NULL, NULL, &p.session);
        if (r == 0)
                r = rv == CKR_OK ? log_in(&p, request->pin, err) : token_fail(&p, rv, "open a session", err);
        if (r == 0)
                r = request->make ? make_key(&p, err) : find_key(&p, err);
        if (r == 0)
                r = check_kind(&p, err);
        if (r == 0)
                r = read_point(&p, token, err);
        if (r < 0)
                return r;
        token->sign = sign;
        token->state = &p;
        return buffer_append_str(name, request->reference);
}
