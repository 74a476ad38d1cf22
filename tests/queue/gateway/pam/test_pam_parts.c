/*
 * What of pam_postern needs no libpam: reading the gateway's answers, writing questions, whose accounts are whose.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/core/buffer.h"
#include "queue/gateway/pam/pam.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define ACCEPTED                                                                                                       \
        "{\"id\":\"0123456789ABCDEF\",\"verdict\":\"accepted\",\"class\":\"none\",\"reason\":\"ok\","                  \
        "\"password_proved\":true,\"may_have_counted\":\"0\",\"user\":{\"domain\":\"corp.example\",\"id\":\"S-1-5-21-" \
        "1\","                                                                                                         \
        "\"name\":\"a\"},\"new\":[1]}"

/* The answer with this head and body, whose length is said rightly. */
static char *answer(const char *head, const char *body)
{
        char *text = NULL;

        assert_true(asprintf(&text, "%sContent-Length: %zu\r\n\r\n%s", head, strlen(body), body) > 0);
        return text;
}

static int read_text(const char *text, struct pam_answer *ret_answer, struct error *err)
{
        *err = (struct error){""};
        return pam_answer_read(ret_answer, text, strlen(text), err);
}

static void accepted(void **state)
{
        char *text = answer(OK "Date: x\r\ncache-control: no-store\r\n", ACCEPTED);
        struct pam_answer a;
        struct error err;

        (void)state;
        for (size_t n = 0; n < strlen(text); n++)
                assert_int_equal(pam_answer_read(&a, text, n, &err), 1); /* not whole yet */
        assert_int_equal(read_text(text, &a, &err), 0);
        assert_int_equal(a.verdict, PAM_ACCEPTED);
        assert_string_equal(a.user_id, "S-1-5-21-1");
        assert_string_equal(a.user_domain, "corp.example");
        assert_true(a.password_proved);
        free(text);
}

/* Whatever says nothing that is known is unavailable: neither accepted nor a wrong password. */
static void verdicts(void **state)
{
        static const struct {
                const char *verdict, *class;
                enum pam_verdict got;
                enum pam_class of;
        } cases[] = {
                {"refused", "credentials", PAM_REFUSED, PAM_CREDENTIALS},
                {"refused", "policy", PAM_REFUSED, PAM_POLICY},
                {"refused", "infrastructure", PAM_UNAVAILABLE, PAM_INFRASTRUCTURE},
                {"refused", "else", PAM_UNAVAILABLE, PAM_INFRASTRUCTURE},
                {"unavailable", "infrastructure", PAM_UNAVAILABLE, PAM_INFRASTRUCTURE},
                {"unavailable", "credentials", PAM_UNAVAILABLE, PAM_CREDENTIALS},
                {"Accepted", "none", PAM_UNAVAILABLE, PAM_INFRASTRUCTURE},
                {"", "", PAM_UNAVAILABLE, PAM_INFRASTRUCTURE},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                char body[256], *text;
                struct pam_answer a;
                struct error err;

                snprintf(body, sizeof body, "{\"id\":\"0123456789ABCDEF\",\"verdict\":\"%s\",\"class\":\"%s\"}",
                         cases[i].verdict, cases[i].class);
                text = answer(OK, body);
                assert_int_equal(read_text(text, &a, &err), 0);
                assert_int_equal(a.verdict, cases[i].got);
                assert_int_equal(a.class, cases[i].of);
                assert_false(a.password_proved);
                free(text);
        }
}

static void refused_answers(void **state)
{
        static const struct {
                const char *head, *body, *says;
                int code;
        } cases[] = {
                {"HTTP/1.0 200 OK\r\n", ACCEPTED, "HTTP/1.1", -EBADMSG},
                {"HTTP/1.1 2xx OK\r\n", ACCEPTED, "head", -EBADMSG},
                {"HTTP/1.1 099 OK\r\n", ACCEPTED, "head", -EBADMSG},
                {OK "Content-Length: 3\r\n", ACCEPTED, "head", -EBADMSG},
                {OK "transfer-encoding: chunked\r\n", ACCEPTED, "head", -EBADMSG},
                {OK, "{\"id\":\"0123456789ABCDEF\",\"verdict\":\"accepted\"}", "user", -EBADMSG},
                {OK, "{\"verdict\":\"refused\"}", "id", -EBADMSG},
                {OK, "{\"id\":\"x\",\"id\":\"y\",\"verdict\":\"refused\"}", "", -EBADMSG},
                {OK, "[]", "", -EBADMSG},
                {OK, "", "", -EBADMSG},
                {"HTTP/1.1 503 x\r\n", "{\"title\":\"Busy\",\"detail\":\"too many\"}", "503 Busy: too many", -EBUSY},
                {"HTTP/1.1 500 x\r\n", "<html>", "500", -EBUSY},
                {"HTTP/1.1 204 x\r\n", "", "204", -EBUSY},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                char *text = answer(cases[i].head, cases[i].body);
                struct pam_answer a = {PAM_UNAVAILABLE};
                struct error err;

                if (read_text(text, &a, &err) != cases[i].code || !strstr(err.text, cases[i].says))
                        fail_msg("%s: %s", text, err.text);
                assert_int_equal(a.verdict, PAM_UNAVAILABLE);
                free(text);
        }
}

static void lengths(void **state)
{
        char *text = malloc(PAM_ANSWER_MAX + 1);
        struct pam_answer a;
        struct error err;

        (void)state;
        memset(text, 'a', PAM_ANSWER_MAX);
        text[PAM_ANSWER_MAX] = '\0';
        assert_int_equal(pam_answer_read(&a, text, PAM_ANSWER_MAX - 1, &err), 1);
        assert_int_equal(pam_answer_read(&a, text, PAM_ANSWER_MAX, &err), -EBADMSG);
        assert_int_equal(read_text(OK "Content-Length: 32769\r\n\r\n", &a, &err), -EBADMSG);
        assert_int_equal(read_text(OK "Content-Length: -1\r\n\r\n", &a, &err), -EBADMSG);
        assert_int_equal(read_text(OK "Content-Length:\r\n\r\n", &a, &err), -EBADMSG);
        assert_int_equal(read_text(OK "\r\n", &a, &err), -EBADMSG);
        free(text);
}

static void questions(void **state)
{
        const struct pam_question q = {
                .user = "a\"b", .password = "p\\\xc3\xa4", .client_ip = "192.0.2.1", .client_app = "pam/sshd"};
        struct pam_question change = q, wrong = q;
        struct buffer out = BUFFER(32768);

        (void)state;
        change.new_password = "n";
        wrong.password = "\xff";
        assert_int_equal(pam_question_write(&q, &out), 0);
        assert_non_null(strstr(out.data, "POST /v1/sign-in HTTP/1.1\r\n"));
        assert_non_null(strstr(
                out.data, "{\"username\":\"a\\\"b\",\"password\":\"p\\\\\xc3\xa4\",\"client\":{\"ip\":\"192.0.2.1\","
                          "\"app\":\"pam/sshd\"}}"));
        buffer_clear(&out);
        assert_int_equal(pam_question_write(&change, &out), 0);
        assert_non_null(strstr(out.data, "POST /v1/change-password "));
        assert_non_null(strstr(out.data, "\"new_password\":\"n\""));
        buffer_clear(&out);
        assert_true(pam_question_write(&wrong, &out) < 0);
        buffer_free(&out);
}

static void accounts(void **state)
{
        struct pam_account account;
        struct error err = {""};

        (void)state;
        assert_true(pam_shadow_is_empty_account("!"));
        assert_true(pam_shadow_is_empty_account("*"));
        assert_true(pam_shadow_is_empty_account("!*"));
        assert_false(pam_shadow_is_empty_account("")); /* in without any password */
        assert_false(pam_shadow_is_empty_account("$6$salt$hash"));
        assert_false(pam_shadow_is_empty_account("!$6$salt$hash")); /* locked, and its owner's again when unlocked */
        assert_false(pam_shadow_is_empty_account("x"));
        assert_int_equal(pam_account_judge(&account, "root", 1000, &err), -EPERM);
        assert_int_equal(pam_account_judge(&account, "no-such-user-here", 1000, &err), -ENOENT);
}

static void pins(void **state)
{
        char dir[] = "/tmp/postern-pins-XXXXXX", path[64];
        const struct pam_account account = {true, 1001}, again = {true, 1002};
        struct error err = {""};
        struct stat st;

        (void)state;
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof path, "%s/alice", dir);
        assert_int_equal(pam_pin_check(dir, "alice", &account, "corp.example", "S-1", &err), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(pam_pin_check(dir, "alice", &account, "corp.example", "S-1", &err), 0);
        assert_int_equal(pam_pin_check(dir, "alice", &account, "corp.example", "S-2", &err), -EKEYREJECTED);
        assert_non_null(strstr(err.text, "S-1"));
        assert_non_null(strstr(err.text, "S-2"));
        assert_non_null(strstr(err.text, path));
        assert_int_equal(pam_pin_check(dir, "alice", &account, "else.example", "S-1", &err), -EKEYREJECTED);
        assert_int_equal(pam_pin_check(dir, "alice", &again, "corp.example", "S-1", &err), -EKEYREJECTED);
        assert_int_equal(pam_pin_check(dir, "bob", &account, "corp.example", "S-1", &err), 0);
        assert_int_equal(pam_pin_check(dir, "../bob", &account, "corp.example", "S-1", &err), -EINVAL);
        assert_int_equal(pam_pin_check(dir, ".bob", &account, "corp.example", "S-1", &err), -EINVAL);
        assert_int_equal(truncate(path, 0), 0); /* an empty one says nothing, and is none */
        assert_int_equal(pam_pin_check(dir, "alice", &account, "corp.example", "S-1", &err), -EBADMSG);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("bob", path), 0);
        assert_true(pam_pin_check(dir, "alice", &account, "corp.example", "S-1", &err) < 0);
        assert_int_equal(chmod(dir, 0777), 0);
        assert_int_equal(pam_pin_check(dir, "bob", &account, "corp.example", "S-1", &err), -EPERM);
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof path, "%s/bob", dir);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(dir), 0);
        assert_int_equal(pam_pin_check(dir, "bob", &account, "corp.example", "S-1", &err), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepted), cmocka_unit_test(verdicts),  cmocka_unit_test(refused_answers),
                cmocka_unit_test(lengths),  cmocka_unit_test(questions), cmocka_unit_test(accounts),
                cmocka_unit_test(pins),
        };
        return cmocka_run_group_tests_name("gateway/pam", tests, NULL, NULL);
}
