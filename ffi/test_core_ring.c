/* The ring under three threads: every slot arrives once, in order and whole, at both readers. Then detach, wrap, misuse.
 *
 * Under the thread sanitizer this also proves the memory order: built with -DQRT_TEST_WEAK_RING the sanitizer must report a race
 * (tests/test_ring.py builds both).
 *
 * gcc $(python ffi/build.py FLAGS WARNINGS) -Werror -g -fsanitize=thread -Iffi [-DQRT_TEST_WEAK_RING] ffi/test_core_ring.c \
 *     ffi/core/[a-z]*.c -lm -o test && ./test
 */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include "test_core.h"

#define SLOT_COUNT 64
#define ITEM_COUNT 200000

typedef struct {
    uint64_t index;
    uint64_t payload[3];
} item;

typedef struct {
    qrt_ring *ring;
    uint32_t reader;
    uint64_t received;
} reading;

static uint64_t scrambled(uint64_t index, uint64_t word)
{
    return (index + word) * 0x9E3779B97F4A7C15u;
}

static void *write_all(void *argument)
{
    qrt_ring *ring = argument;
    for (uint64_t index = 0; index < ITEM_COUNT;) {
        item *slot = qrt_ring_claim(ring);
        if (slot == NULL) {
            (void)sched_yield();
            continue;
        }
        slot->index = index;
        for (uint64_t word = 0; word < 3; word++) {
            slot->payload[word] = scrambled(index, word);
        }
        qrt_ring_publish(ring);
        index++;
    }
    qrt_ring_close(ring);
    return NULL;
}

static void *read_all(void *argument)
{
    reading *r = argument;
    for (;;) {
        int32_t closed = qrt_ring_closed(r->ring);
        void *first;
        uint32_t count = qrt_ring_peek(r->ring, r->reader, &first);
        const item *items = first;
        for (uint32_t j = 0; j < count; j++) {
            CHECK(items[j].index == r->received + j);
            for (uint64_t word = 0; word < 3; word++) {
                CHECK(items[j].payload[word] == scrambled(items[j].index, word));
            }
        }
        r->received += count;
        qrt_ring_release(r->ring, r->reader, count);
        if (closed && count == 0) {
            return NULL;
        }
        if (count == 0) {
            (void)sched_yield();
        }
    }
}

static void test_threads(void)
{
    size_t size = qrt_ring_size(sizeof(item), SLOT_COUNT);
    qrt_ring *ring = lend(size);
    CHECK(qrt_ring_init(ring, size, sizeof(item), SLOT_COUNT, 2) == QRT_OK);
    reading readings[2] = {{ring, 0, 0}, {ring, 1, 0}};
    pthread_t threads[3];
    CHECK(pthread_create(&threads[0], NULL, write_all, ring) == 0);
    CHECK(pthread_create(&threads[1], NULL, read_all, &readings[0]) == 0);
    CHECK(pthread_create(&threads[2], NULL, read_all, &readings[1]) == 0);
    for (int thread = 0; thread < 3; thread++) {
        CHECK(pthread_join(threads[thread], NULL) == 0);
    }
    CHECK(readings[0].received == ITEM_COUNT && readings[1].received == ITEM_COUNT);
    CHECK(qrt_ring_published(ring) == ITEM_COUNT);
}

static void test_holding_and_wrap(void)
{
    size_t size = qrt_ring_size(8, 4);
    qrt_ring *ring = lend(size);
    CHECK(qrt_ring_init(ring, size, 8, 4, 2) == QRT_OK);
    void *first;
    for (int j = 0; j < 4; j++) {
        CHECK(qrt_ring_claim(ring) != NULL);
        qrt_ring_publish(ring);
    }
    CHECK(qrt_ring_claim(ring) == NULL);
    qrt_ring_release(ring, 0, 3);
    CHECK(qrt_ring_claim(ring) == NULL); /* reader 1 holds */
    CHECK(qrt_ring_wait(ring, 1, 100, 0) == 4 && qrt_ring_wait(ring, 0, 2, 1000) == 1);
    qrt_ring_detach(ring, 1);
    CHECK(qrt_ring_claim(ring) != NULL && qrt_ring_peek(ring, 1, &first) == 0);
    qrt_ring_publish(ring);
    qrt_ring_publish(ring);
    CHECK(qrt_ring_peek(ring, 0, &first) == 1 && qrt_ring_wait(ring, 0, 3, 0) == 3); /* one before the wrap, two after */
    qrt_ring_close(ring);
    CHECK(qrt_ring_wait(ring, 0, 4, INT64_MAX) == 3);
}

static void test_sizes(void)
{
    qrt_ring *ring = lend(4096);
    CHECK(qrt_ring_size(8, 3) == 0 && qrt_ring_size(12, 4) == 0 && qrt_ring_size(0, 4) == 0 && qrt_ring_size(8, 0) == 0);
    CHECK(qrt_ring_init(ring, 512 + 31, 8, 4, 1) == QRT_ERR_MEMORY);
    CHECK(qrt_ring_init(ring, 4096, 8, 4, 0) == QRT_ERR_ARGUMENT && qrt_ring_init(ring, 4096, 8, 4, 3) == QRT_ERR_ARGUMENT);
    CHECK(qrt_ring_check(ring, 4096) == QRT_ERR_ABI);
    CHECK(qrt_ring_init(ring, 4096, 8, 4, 1) == QRT_OK && qrt_ring_check(ring, 4096) == QRT_OK && qrt_ring_slot_size(ring) == 8);
    CHECK(qrt_ring_check(ring, 512 + 31) == QRT_ERR_ARGUMENT && qrt_ring_check(ring, 511) == QRT_ERR_ABI);
}

static void test_shared_memory(void)
{
    void *here;
    void *there;
    int32_t descriptor;
    CHECK(qrt_shared_create(&here, &descriptor, 8192) == QRT_OK);
    CHECK(qrt_shared_map(&there, descriptor, 4096) == QRT_ERR_ARGUMENT && there == NULL);
    CHECK(qrt_shared_map(&there, -1, 8192) == QRT_ERR_ARGUMENT);
    CHECK(qrt_shared_map(&there, descriptor, 8192) == QRT_OK && there != here);
    CHECK(qrt_ring_init(here, 8192, 8, 16, 1) == QRT_OK && qrt_ring_check(there, 8192) == QRT_OK);
    *(uint64_t *)qrt_ring_claim(here) = 42;
    qrt_ring_publish(here);
    void *first;
    CHECK(qrt_ring_peek(there, 0, &first) == 1 && *(uint64_t *)first == 42);
    CHECK(ftruncate(descriptor, 100) != 0); /* sealed */
    CHECK(qrt_shared_unmap(there, 8192) == QRT_OK && qrt_shared_unmap(here, 8192) == QRT_OK);
    CHECK(close(descriptor) == 0);
    CHECK(qrt_shared_create(&here, &descriptor, 0) == QRT_ERR_ARGUMENT && here == NULL && descriptor == -1);
}

int main(void)
{
    test_threads();
    test_holding_and_wrap();
    test_sizes();
    test_shared_memory();
    take_back();
    return 0;
}
