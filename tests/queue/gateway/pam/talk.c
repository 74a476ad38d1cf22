/*
 * An application of PAM: starts a service of a folder of its own, does what it is told with one handle, and answers
 * prompts in order. It prints what the user sees and what each step came to, a line each.
 *
 * usage: talk FOLDER SERVICE USER RHOST [auth|acct|setcred|change|expired]... -- [ANSWER]...
 */
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char **answers;

static int converse(int n, const struct pam_message **messages, struct pam_response **ret, void *arg)
{
        static const char *const kinds[] = {[PAM_PROMPT_ECHO_OFF] = "hidden",
                                            [PAM_PROMPT_ECHO_ON] = "prompt",
                                            [PAM_ERROR_MSG] = "error",
                                            [PAM_TEXT_INFO] = "info"};
        struct pam_response *r = calloc((size_t)n, sizeof *r);

        (void)arg;
        if (!r)
                return PAM_BUF_ERR;
        for (int i = 0; i < n; i++) {
                const int style = messages[i]->msg_style;

                printf("%s %s\n", kinds[style], messages[i]->msg);
                if (style != PAM_PROMPT_ECHO_OFF && style != PAM_PROMPT_ECHO_ON)
                        continue;
                if (!*answers)
                        exit(3);
                r[i].resp = strdup(*answers++);
        }
        *ret = r;
        return PAM_SUCCESS;
}

static int step(pam_handle_t *pamh, const char *word)
{
        if (strcmp(word, "auth") == 0)
                return pam_authenticate(pamh, 0);
        if (strcmp(word, "acct") == 0)
                return pam_acct_mgmt(pamh, 0);
        if (strcmp(word, "setcred") == 0)
                return pam_setcred(pamh, PAM_ESTABLISH_CRED);
        return pam_chauthtok(pamh, strcmp(word, "expired") == 0 ? PAM_CHANGE_EXPIRED_AUTHTOK : 0);
}

int main(int argc, char **argv)
{
        const struct pam_conv conv = {converse, NULL};
        pam_handle_t *pamh = NULL;
        int i, r;

        for (i = 5; i < argc && strcmp(argv[i], "--") != 0; i++)
                ;
        if (i >= argc)
                return 2;
        answers = argv + i + 1;
        r = pam_start_confdir(argv[2], argv[3], &conv, argv[1], &pamh);
        if (r != PAM_SUCCESS || pam_set_item(pamh, PAM_RHOST, argv[4]) != PAM_SUCCESS)
                return 2;
        for (char **word = argv + 5; strcmp(*word, "--") != 0; word++) {
                r = step(pamh, *word);
                printf("%s = %d\n", *word, r);
        }
        (void)pam_end(pamh, r);
        return 0;
}
