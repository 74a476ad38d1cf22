/*
 * What a user is told, in a language and a customer's own words: a catalogue of sentences in a file, over the English
 * ones of the table of reasons.
 *
 * A catalogue is lines "KEY = SENTENCE", UTF-8, # begins a comment. A key is the id of a reason; reasons that share a
 * sentence in the table are told under the first one's (words_key). Two more keys: "language" (a tag, like de) and
 * "helpdesk" (whom to contact, as it stands in the sentences). In a sentence {helpdesk}, {id} (the reference of the
 * sign-in) and {until} (a time of day) are replaced; [A|B] reads A where all that A holds is known, else B, which may
 * be left out with its bar.
 */
#pragma once

#include "base/core/buffer.h"
#include "base/core/error.h"
#include "validate/types/outcome.h"

struct words;

/* Reads a catalogue. Keys that it leaves out stay English. -EBADMSG with file:line and the reason: an unknown key, a
 * placeholder that there is not, a sentence that is too long; else as file_read. */
int words_load(struct words **ret_words, const char *path, struct error *err);
struct words *words_free(struct words *words);

/* What a sentence may tell besides. */
struct words_facts {
        const char *id;       /* of the sign-in, or NULL */
        const char *helpdesk; /* instead of the catalogue's, or NULL */
        int64_t until;        /* s since the epoch, shown as a time of day by this process's TZ; 0: not known */
};
/* The user's sentence; as reason_user_text, it never tells the state of an account unless the password was proved.
 * words NULL: English. Appends to out. */
int words_user(const struct words *words, enum reason reason, bool password_proved, const struct words_facts *facts,
               struct buffer *out);
/* The reason under whose id that sentence stands in a catalogue. */
enum reason words_key(enum reason reason, bool password_proved);
/* Appends the sentence that stands under this reason where there is no catalogue, with its placeholders. -ENOENT: none
 * does, words_key says which has it. */
int words_english(enum reason key, struct buffer *out);
/* "en", or what the catalogue says. */
const char *words_language(const struct words *words);
