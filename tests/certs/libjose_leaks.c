/*
 * For programs that call libjose: what it keeps to itself (libjose 14, Debian 13) is not ours to free. Everything else
 * that is lost still fails the test. Read by LeakSanitizer and AddressSanitizer; without them nobody calls these.
 */
const char *__lsan_default_suppressions(void);
const char *__asan_default_options(void);

const char *__lsan_default_suppressions(void)
{
        return "leak:libjose\n";
}

/* So that the library is seen behind jansson, which has no frame pointers. */
const char *__asan_default_options(void)
{
        return "fast_unwind_on_malloc=0";
}
