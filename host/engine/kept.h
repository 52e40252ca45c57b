/*
 * What lies in the executable's heap (heap.rs) lives as long as the process. So its reference counts are
 * neither read nor written, and none of it is given back: else each use of a function, a name or a
 * prototype would be a write to its page, which the kernel then copies; most of the heap, in every
 * process that comes of a start.
 *
 * Taken into quickjs.c by cc.
 */

/* Where the heap begins: BASE in heap.rs. */
#define TARE_KEPT_BASE ((uintptr_t)1 << 32)
/* Enough never to come near zero, or one, where an object is changed in place. */
#define TARE_LIVES (1 << 30)

/* Zero while the heap is made. */
size_t tare_kept_bytes;

static inline bool tare_is_kept(const void *p)
{
    return (uintptr_t)p - TARE_KEPT_BASE < tare_kept_bytes;
}

static inline int *tare_count(const void *p)
{
    static int lives;
    if (!tare_is_kept(p))
        return &js_rc(p)->ref_count;
    lives = TARE_LIVES;
    return &lives;
}

#define JS_REF_COUNT(p) (*tare_count(p))

/* Forgets the pieces that small blocks lie in: from here on they come from new ones. */
void tare_close(JSRuntime *rt)
{
    for (int i = 0; i < JS_ARENA_BLOCK_SIZE_COUNT; i++) {
        init_list_head(&rt->arena_state.arena_list[i]);
        init_list_head(&rt->arena_state.free_arena_list[i]);
    }
}

static void tare_free_new(JSRuntime *rt, void *ptr);

static void tare_free(JSRuntime *rt, void *ptr)
{
    if (!tare_is_kept(ptr))
        tare_free_new(rt, ptr);
}
