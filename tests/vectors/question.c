/*
 * A person's question to a connector and its answer (PROTOCOL.md, section 21), step by step, with the roster that names
 * the person. Texts are written here as the protocol has them, not by the project's encoders.
 */
#include "certs/jose/jose.h"
#include "tests/vectors/documents.h"
#include "tests/vectors/world.h"

#define FRIDA "pers-frida-5KQ8ZD3N"
#define QUESTION_ID "qst-7M2P9T4W6Y8B1D3F"
#define BY_TIME_ID "qst-5H8K1R3V6X9B2D4G"
#define BODY "{\\\"ok\\\":true,\\\"found_by\\\":\\\"user\\\",\\\"records\\\":[]}"

json_t *make_question_document(void)
{
        const struct world *w = world();
        const struct key *frida = fixed_key("frida"), *berlin = fixed_key("berlin-1");
        struct make_sealed in = {.protected = w->protected,
                                 .salt = "question",
                                 .plain_len = PADDED_SMALL,
                                 .n = 1,
                                 .to = {{"berlin-1-enc", "ephemeral 1", NULL}}};
        const char *person = pool_text("\"people\":[{\"id\":\"" FRIDA
                                       "\",\"kid\":\"%s\",\"jwk\":%s,\"name\":\"frida\",\"role\":\"helpdesk\","
                                       "\"domains\":[\"corp.example\"],\"exp\":%d}],\"removed\"",
                                       key_kid(frida), jwk_text(frida), WORLD_NOW + 30 * 86400);
        const char *roster =
                text_replaced(text_replaced(w->roster_payload, "\"v\":2", "\"v\":3"), "\"removed\"", person);
        const char *question_header = jws_header(JOSE_TYP_QUESTION, "frida");
        const char *answer_header = jws_header(JOSE_TYP_ANSWER, "berlin-1");
        uint8_t rk[32];

        fixed_bytes("rk question", rk, sizeof(rk));
        const char *claims =
                pool_text("{\"v\":1,\"iss\":\"" FRIDA "\",\"aud\":\"" TENANT "\",\"jti\":\"" QUESTION_ID
                          "\",\"iat\":%d,\"exp\":%d,\"to\":\"%s\",\"rk\":\"%s\",\"op\":\"explain\",\"what\":"
                          "\"" USERNAME "\"}",
                          WORLD_NOW, WORLD_NOW + 60, key_kid(berlin), text_b64u(rk, sizeof(rk)));
        const char *jws = make_jws(frida, question_header, claims), *req = request_hash_of(jws);
        in.plain = make_padded(jws, PADDED_SMALL);
        const char *by_time = pool_text(
                "{\"v\":1,\"iss\":\"" FRIDA "\",\"aud\":\"" TENANT "\",\"jti\":\"" BY_TIME_ID
                "\",\"iat\":%d,\"exp\":%d,\"to\":\"%s\",\"rk\":\"%s\",\"op\":\"log\",\"since\":%d,"
                "\"until\":%d}",
                WORLD_NOW, WORLD_NOW + 60, key_kid(berlin), text_b64u(rk, sizeof(rk)), WORLD_NOW - 1800, WORLD_NOW);
        const char *answered =
                pool_text("{\"v\":1,\"iss\":\"" BERLIN_1 "\",\"aud\":\"" FRIDA "\",\"tenant\":\"" TENANT
                          "\",\"jti\":\"" QUESTION_ID
                          "\",\"req\":\"%s\",\"iat\":%d,\"exp\":%d,\"state\":\"ok\",\"body\":\"" BODY "\"}",
                          req, WORLD_NOW + 1, WORLD_NOW + 31);
        const char *answer_jws = make_jws(berlin, answer_header, answered);
        const char *jwe = make_jwe_dir(
                rk, "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"typ\":\"" JOSE_TYP_ANSWER_JWE "\",\"cty\":\"JWT\"}",
                "answer", make_padded(answer_jws, PADDED_LARGE), PADDED_LARGE);

        return json_pack(
                "{s:s, s:s, s:{s:{s:s, s:s, s:I, s:i}, s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s}, "
                "s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:i}}",
                "about",
                "A person's question to the first connector, its answer, and the roster that names the person.", "rk",
                text_b64u(rk, sizeof(rk)), "roster", "with", "pin", key_pin(fixed_key("tenant")), "tenant", TENANT,
                "now", (json_int_t)WORLD_NOW, "min_seq", MIN_SEQ, "header", w->roster_header, "payload", roster, "jws",
                make_jws(fixed_key("tenant"), w->roster_header, roster), "question", "id", QUESTION_ID, "header",
                question_header, "claims", claims, "jws", jws, "req", req, "open_with", "berlin-1-enc", "sealed",
                make_sealed(&in), "by_time", "claims", by_time, "jws", make_jws(frida, question_header, by_time),
                "answer", "header", answer_header, "claims", answered, "jws", answer_jws, "jwe", jwe, "padded_length",
                PADDED_LARGE);
}
