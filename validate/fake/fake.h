/*
 * A method whose DCs are a function of the test: what each does with each request, and how long it takes, on whatever
 * clock the loop has. It keeps the promises of method_ops, and of deadlines what both real methods do. For tests alone.
 */
#pragma once

#include "validate/types/method.h"

#define FAKE_NEVER UINT32_MAX
#define FAKE_STUCK (UINT32_MAX - 1)

enum fake_step {
        FAKE_CONNECT = 0, /* an attempt begins: the DC is reached, and will be ready for the password */
        FAKE_PASSWORD,    /* it has the password now */
        FAKE_PROBE,
        FAKE_LOOK_UP,
};

struct fake_question {
        enum fake_step step;
        enum method method;
        const struct attempt *attempt;        /* valid while the function runs */
        const struct method_look_up *look_up; /* of FAKE_LOOK_UP; else NULL */
};

/* Starts zeroed but for both reasons, which are REASON_OK. */
struct fake_answer {
        uint32_t ms; /* until it comes; FAKE_NEVER: the DC is silent; FAKE_STUCK: and the run breaks its promise to end
                      */
        /* Its reason ends an attempt at FAKE_CONNECT, unless it is REASON_OK: then the password is on its way. */
        struct outcome outcome;
        struct method_found found; /* of FAKE_LOOK_UP */
        const char *salt;          /* of FAKE_CONNECT: what the DC says whose account it is, or NULL; not copied */
};
/* Fills in what the DC at attempt->host answers. It may start and cancel nothing. */
typedef void fake_script_fn(void *arg, const struct fake_question *question, struct fake_answer *ret_answer);

struct fake;
/* 0 or -ENOMEM. */
int fake_new(struct fake **ret_fake, struct loop *loop, fake_script_fn *script, void *arg);
/* After all that used its methods. NULL-safe. */
struct fake *fake_free(struct fake *fake);
/* It as this method. The fake is the owner: freeing the method does nothing. */
struct method_instance *fake_method(struct fake *fake, enum method method);
/* How many runs are under way. */
size_t fake_runs(const struct fake *fake);
