/*
 * A program that shows what its user reads in the words of a catalogue: words FOLDER USER CATALOGUE.
 */
#include <postern.h>
#include <stdio.h>

int main(int argc, char **argv)
{
        struct postern *p = argc == 4 ? postern_new() : NULL;
        struct postern_request request = {.size = POSTERN_REQUEST};
        struct postern_answer *answer = NULL;

        if (!p || postern_set(p, "folder", argv[1]) < 0 || postern_set(p, "helpdesk", "die IT (4711)") < 0 ||
            postern_set(p, "words", argv[3]) < 0) {
                puts(postern_error(p));
                postern_free(p);
                return 2;
        }
        request.user = argv[2];
        request.password = "sandbox";
        if (postern_sign_in(p, &request, &answer) == 0)
                puts(postern_get(answer, "text"));
        const int code = answer ? 0 : 1;
        postern_answer_free(answer);
        postern_free(p);
        return code;
}
