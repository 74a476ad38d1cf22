/*
 * The table by id, against a plain list: the same objects are found, each once, while it grows and shrinks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/table.h"

#define OBJECTS 3000

struct object {
        int number;
        struct table_node node;
        char id[16];
        const char *within;
        bool in, seen;
};

static struct object objects[OBJECTS];

static struct object *find(struct table *t, const char *id, const char *within)
{
        return table_object(table_find(t, id, within), struct object, node);
}

static void check_all(struct table *t)
{
        size_t n = 0;

        for (size_t i = 0; i < OBJECTS; i++) {
                objects[i].seen = false;
                n += objects[i].in;
                assert_ptr_equal(find(t, objects[i].id, objects[i].within), objects[i].in ? &objects[i] : NULL);
        }
        assert_int_equal(t->n, n);
        for (struct table_node *node = NULL; (node = table_next(t, node));) {
                struct object *o = table_object(node, struct object, node);

                assert_true(o->in && !o->seen);
                o->seen = true;
                n--;
        }
        assert_int_equal(n, 0);
}

/* Random additions and removals; the seed is fixed. */
static void test_against_a_list(void **state)
{
        static const char *const tenants[] = {"north", "south"};
        struct table t = {0};

        (void)state;
        srandom(7);
        assert_null(table_find(&t, "x", NULL));
        assert_null(table_next(&t, NULL));
        for (int i = 0; i < OBJECTS; i++) {
                objects[i] = (struct object){.number = i, .within = tenants[i % 2]};
                (void)snprintf(objects[i].id, sizeof(objects[i].id), "id-%d", i / 2); /* one id in two tenants */
        }
        for (int step = 0; step < 40000; step++) {
                /* first it fills, then it empties */
                struct object *o = &objects[random() % OBJECTS];
                const bool add = random() % 4 < (step < 20000 ? 3 : 1);

                if (add && !o->in)
                        table_add(&t, &o->node, o->id, o->within);
                else if (!add)
                        table_remove(&o->node); /* also one that is not in it */
                o->in = add;
                if (step % 4000 == 3999)
                        check_all(&t);
        }
        assert_true(t.n_buckets > TABLE_START);
        for (struct table_node *node; (node = table_next(&t, NULL));) {
                table_object(node, struct object, node)->in = false;
                table_remove(node);
        }
        check_all(&t);
        table_clear(&t);
        assert_null(table_find(&t, "id-1", NULL));
}

/* Where it can't tell by length which is which: "a" within "bc" is not "c" within "ab". */
static void test_within(void **state)
{
        struct object a = {.number = 1}, b = {.number = 2};
        struct table t = {0};

        (void)state;
        table_add(&t, &a.node, "a", "bc");
        table_add(&t, &b.node, "ca", "b");
        assert_ptr_equal(find(&t, "a", "bc"), &a);
        assert_ptr_equal(find(&t, "ca", "b"), &b);
        assert_null(find(&t, "a", "b"));
        table_remove(&a.node);
        assert_null(find(&t, "a", "bc"));
        assert_ptr_equal(find(&t, "ca", "b"), &b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_a_list), cmocka_unit_test(test_within)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
