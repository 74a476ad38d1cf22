/*
 * For programs that call libjose: libjose 14 (Debian 13) forgets the protected header that it reads to look for "zip",
 * which is not ours to free. Everything else that is lost still fails the test. Read by LeakSanitizer and
 * AddressSanitizer; without them nobody calls these. The same for valgrind: tests/valgrind.supp.
 */
const char *__lsan_default_suppressions(void);
const char *__asan_default_options(void);

const char *__lsan_default_suppressions(void)
{
        return "leak:jose_b64_dec_load\n";
}

/* So that the library is seen behind jansson, which has no frame pointers. */
const char *__asan_default_options(void)
{
        return "fast_unwind_on_malloc=0";
}
