/* The mailbox: what the port's functions put into the requests, and every answer that is not the one asked for: late, twice, never, for
 * no request. Then a pump on a thread of its own, for the sanitizers.
 */
#include <pthread.h>
#include "test_core.h"

#define SAMPLES 10
#define REQUESTS 64
#define ANSWERS 4
#define SHOTS 3000
#define FAR_NS 60000000000

typedef struct {
    qrt_port port;
    qrt_mailbox *mailbox;
    qrt_ring *requests;
    qrt_ring *answers;
} bench;

static bench open_bench(int64_t deadline_ns)
{
    bench b = {.mailbox = lend(qrt_mailbox_size()), .requests = lend_ring(sizeof(qrt_request), REQUESTS),
               .answers = lend_ring(qrt_answer_size(SAMPLES), ANSWERS)};
    const qrt_mailbox_config config = {.requests = b.requests, .answers = b.answers, .deadline_ns = deadline_ns,
                                       .feedback_latency_ticks = 5000, .granularity_ticks = 2, .sample_ticks = 2,
                                       .line_count = 3, .channel_count = 1, .capture_samples_max = SAMPLES,
                                       .outstanding_max = 16};
    CHECK(qrt_mailbox_init(b.mailbox, qrt_mailbox_size(), &config, &b.port) == QRT_OK);
    return b;
}

static void answer(const bench *b, int64_t ticket, uint32_t sample_count, int16_t level)
{
    qrt_answer *slot = qrt_ring_claim(b->answers);
    CHECK(slot != NULL);
    *slot = (qrt_answer){.ticket = ticket, .sample_count = sample_count};
    int16_t *samples = (int16_t *)(slot + 1);
    for (uint32_t k = 0; k < sample_count; k++) {
        samples[k] = (int16_t)(level + (int16_t)k);
    }
    qrt_ring_publish(b->answers);
}

static qrt_request take(const bench *b)
{
    void *first = NULL;
    CHECK(qrt_ring_peek(b->requests, 0, &first) > 0);
    qrt_request request = *(const qrt_request *)first;
    qrt_ring_release(b->requests, 0, 1);
    return request;
}

static qrt_mailbox_report read_report(const bench *b)
{
    qrt_mailbox_report report;
    qrt_mailbox_read(b->mailbox, &report);
    return report;
}

static void begin(const bench *b, int64_t shot, uint16_t slots)
{
    CHECK(b->port.begin_shot(b->port.self, shot, shot * 1000) == QRT_OK);
    for (uint16_t slot = 0; slot < slots; slot++) {
        const qrt_capture capture = {.tick = shot * 1000 + 10, .sample_count = SAMPLES, .slot = slot};
        CHECK(b->port.capture_begin(b->port.self, &capture) == QRT_OK);
    }
}

static qrt_status fetch(const bench *b, uint16_t slot, const int16_t **samples)
{
    return b->port.capture_end(b->port.self, slot, samples);
}

static void test_requests_say_what_was_asked(void)
{
    bench b = open_bench(FAR_NS);
    const int16_t *samples = NULL;
    CHECK(b.port.begin_shot(b.port.self, 7, 7000) == QRT_OK);
    const qrt_play p = {.tick = 7004, .frequency = -5, .phase = 1ull << 63, .amplitude = -65536, .line = 2, .segment = 9};
    CHECK(b.port.play(b.port.self, &p) == QRT_OK);
    const qrt_capture c = {.tick = 7006, .sample_count = SAMPLES, .channel = 0, .slot = 3};
    CHECK(b.port.capture_begin(b.port.self, &c) == QRT_OK);
    CHECK(fetch(&b, 3, &samples) == QRT_NOT_READY);
    CHECK(fetch(&b, 3, &samples) == QRT_NOT_READY); /* asked once */
    CHECK(b.port.safe(b.port.self) == QRT_OK);
    qrt_request r = take(&b);
    CHECK(r.kind == QRT_REQUEST_SHOT && r.shot == 7 && r.start_tick == 7000 && r.tick == 0);
    r = take(&b);
    CHECK(r.kind == QRT_REQUEST_PLAY && r.tick == 4 && r.frequency == -5 && r.phase == 1ull << 63);
    CHECK(r.amplitude == -65536 && r.line == 2 && r.item == 9 && r.shot == 7 && r.start_tick == 7000);
    r = take(&b);
    CHECK(r.kind == QRT_REQUEST_CAPTURE && r.ticket == 0 && r.tick == 6 && r.item == SAMPLES && r.capture == 0);
    r = take(&b);
    CHECK(r.kind == QRT_REQUEST_FETCH && r.ticket == 0 && r.tick == 6 && r.item == SAMPLES);
    CHECK(take(&b).kind == QRT_REQUEST_SAFE);
    CHECK(qrt_ring_published(b.requests) == 5 && read_report(&b).request_count == 5);
    CHECK(b.port.feedback_latency_ticks == 5000 && b.port.granularity_ticks == 2 && b.port.line_count == 3);
}

static void test_answers_are_told_by_their_ticket(void)
{
    bench b = open_bench(FAR_NS);
    const int16_t *samples = NULL;
    begin(&b, 0, 2);
    CHECK(fetch(&b, 1, &samples) == QRT_NOT_READY);
    answer(&b, 1, SAMPLES, 40);
    CHECK(fetch(&b, 1, &samples) == QRT_OK && samples[0] == 40 && samples[SAMPLES - 1] == 49);
    answer(&b, 1, SAMPLES, 41); /* twice */
    answer(&b, 0, SAMPLES, 42); /* before it was asked for */
    answer(&b, 2, SAMPLES, 43); /* of a capture that nobody has announced */
    CHECK(fetch(&b, 0, &samples) == QRT_NOT_READY);
    answer(&b, -1, SAMPLES, 44);
    answer(&b, 0, SAMPLES, 50);
    CHECK(fetch(&b, 0, &samples) == QRT_OK && samples[0] == 50);
    CHECK(fetch(&b, 0, &samples) == QRT_ERR_CHANNEL);
    begin(&b, 1, 1);
    CHECK(fetch(&b, 0, &samples) == QRT_NOT_READY);
    answer(&b, 0, SAMPLES, 51); /* twice: of the shot before */
    answer(&b, 2, SAMPLES, 60);
    CHECK(fetch(&b, 0, &samples) == QRT_OK && samples[0] == 60);
    qrt_mailbox_report report = read_report(&b);
    CHECK(report.answer_count == 3 && report.twice_count == 2 && report.unasked_count == 3 && report.late_count == 0);
    CHECK(report.failure == QRT_MAILBOX_WORKS && report.shot == -1 && report.capture == -1);
}

static qrt_status fetch_until_told(const bench *b, uint16_t slot, const int16_t **samples)
{
    qrt_status status;
    do {
        status = fetch(b, slot, samples);
    } while (status == QRT_NOT_READY);
    return status;
}

/* The shot is too late, and each of its captures; the mailbox goes on with the next one, and takes nothing old for its answers. */
static void test_never_and_late(void)
{
    bench b = open_bench(1000000);
    const int16_t *samples = NULL;
    int64_t late_ns = -1;
    begin(&b, 5, 3);
    int64_t from_ns = qrt_clock_now_ns();
    CHECK(fetch_until_told(&b, 1, &samples) == QRT_ERR_TOO_LATE && qrt_clock_now_ns() - from_ns >= 1000000);
    answer(&b, 1, SAMPLES, 1);
    from_ns = qrt_clock_now_ns();
    CHECK(fetch(&b, 0, &samples) == QRT_ERR_TOO_LATE); /* of a shot that is given up, at once, and it is not asked for */
    CHECK(b.port.erase_shot(b.port.self, &late_ns) == QRT_OK && late_ns > 0);
    begin(&b, 6, 1);
    CHECK(fetch(&b, 0, &samples) == QRT_NOT_READY); /* ticket 3 */
    answer(&b, 1, SAMPLES, 2); /* late, and twice */
    answer(&b, 0, SAMPLES, 3); /* late, all three of the shot */
    answer(&b, 2, SAMPLES, 4);
    CHECK(fetch(&b, 0, &samples) == QRT_NOT_READY);
    answer(&b, 3, SAMPLES, 50);
    CHECK(fetch(&b, 0, &samples) == QRT_OK && samples[0] == 50);
    CHECK(b.port.safe(b.port.self) == QRT_OK);
    qrt_mailbox_report report = read_report(&b);
    CHECK(report.failure == QRT_MAILBOX_NO_ANSWER && report.shot == 5 && report.capture == 1);
    CHECK(report.late_count == 3 && report.twice_count == 1 && report.answer_count == 1 && report.unasked_count == 0);
    const uint16_t kinds[] = {QRT_REQUEST_SHOT, QRT_REQUEST_CAPTURE, QRT_REQUEST_CAPTURE, QRT_REQUEST_CAPTURE, QRT_REQUEST_FETCH,
                              QRT_REQUEST_ERASE, QRT_REQUEST_SHOT, QRT_REQUEST_CAPTURE, QRT_REQUEST_FETCH, QRT_REQUEST_SAFE};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        CHECK(take(&b).kind == kinds[k]);
    }
}

/* As many shots in a row as a kernel lets pass, with as many captures as there may be: each late answer is told from a second one. */
static void test_many_late(void)
{
    bench b = open_bench(1);
    const int16_t *samples = NULL;
    int64_t late_ns = 0;
    for (int64_t shot = 0; shot < QRT_ERASED_MAX; shot++) {
        begin(&b, shot, 16);
        CHECK(fetch_until_told(&b, 0, &samples) == QRT_ERR_TOO_LATE);
        CHECK(b.port.erase_shot(b.port.self, &late_ns) == QRT_OK);
        qrt_ring_release(b.requests, 0, 1 + 16 + 2);
    }
    for (int64_t ticket = 0; ticket < QRT_ERASED_MAX * 16; ticket++) {
        answer(&b, ticket, SAMPLES, 0);
        CHECK(read_report(&b).late_count == ticket + 1);
    }
    answer(&b, 7, SAMPLES, 0);
    qrt_mailbox_report report = read_report(&b);
    CHECK(report.twice_count == 1 && report.late_count == QRT_ERASED_MAX * 16 && report.unasked_count == 0);
}

static void test_other_failures(void)
{
    const int16_t *samples = NULL;
    bench b = open_bench(FAR_NS);
    begin(&b, 0, 1);
    CHECK(fetch(&b, 0, &samples) == QRT_NOT_READY);
    answer(&b, 0, SAMPLES - 1, 1);
    CHECK(fetch(&b, 0, &samples) == QRT_ERR_PORT && read_report(&b).failure == QRT_MAILBOX_LENGTH);

    b = open_bench(FAR_NS);
    begin(&b, 0, 2);
    CHECK(fetch(&b, 0, &samples) == QRT_NOT_READY);
    answer(&b, 0, SAMPLES, 7);
    qrt_ring_close(b.answers); /* with an answer still in it */
    CHECK(fetch(&b, 0, &samples) == QRT_OK && samples[0] == 7);
    CHECK(fetch(&b, 1, &samples) == QRT_ERR_PORT && read_report(&b).failure == QRT_MAILBOX_ENDED);

    b = open_bench(FAR_NS);
    qrt_status status = QRT_OK;
    int64_t shots = 0;
    while (status == QRT_OK) {
        status = b.port.begin_shot(b.port.self, shots, shots * 10);
        shots += status == QRT_OK;
    }
    CHECK(shots == REQUESTS && status == QRT_ERR_PORT && read_report(&b).failure == QRT_MAILBOX_FULL);
    CHECK(b.port.safe(b.port.self) == QRT_ERR_PORT);

    b = open_bench(FAR_NS);
    begin(&b, 0, 1);
    CHECK(b.port.capture_begin(b.port.self, &(qrt_capture){.tick = 10, .sample_count = 1, .slot = 0}) == QRT_ERR_CHANNEL);
    CHECK(b.port.capture_begin(b.port.self, &(qrt_capture){.tick = 10, .sample_count = 1, .slot = 16}) == QRT_ERR_CHANNEL);
    CHECK(b.port.capture_begin(b.port.self, &(qrt_capture){.tick = 10, .sample_count = SAMPLES + 1, .slot = 1}) ==
          QRT_ERR_CAPTURE_LENGTH);
    CHECK(b.port.begin_shot(b.port.self, -1, 0) == QRT_ERR_ARGUMENT);
    CHECK(fetch(&b, 16, &samples) == QRT_ERR_CHANNEL && fetch(&b, 1, &samples) == QRT_ERR_CHANNEL);
}

static void test_what_cannot_be_made(void)
{
    bench b = open_bench(FAR_NS);
    qrt_mailbox_config config = {.requests = b.requests, .answers = b.answers, .deadline_ns = 1, .capture_samples_max = SAMPLES};
    CHECK(qrt_mailbox_init(b.mailbox, qrt_mailbox_size() - 1, &config, &b.port) == QRT_ERR_MEMORY);
    config.deadline_ns = 0;
    CHECK(qrt_mailbox_init(b.mailbox, qrt_mailbox_size(), &config, &b.port) == QRT_ERR_ARGUMENT);
    config.deadline_ns = 1;
    config.capture_samples_max = SAMPLES + 4;
    CHECK(qrt_mailbox_init(b.mailbox, qrt_mailbox_size(), &config, &b.port) == QRT_ERR_ARGUMENT);
    config.capture_samples_max = SAMPLES;
    config.requests = b.answers;
    CHECK(qrt_mailbox_init(b.mailbox, qrt_mailbox_size(), &config, &b.port) == QRT_ERR_ARGUMENT);
    CHECK(qrt_answer_size(10) == 16 + 24 && qrt_answer_size(12) == 16 + 24 && qrt_answer_size(1) == 24);
}

static void *pump(void *argument)
{
    const bench *b = argument;
    for (;;) {
        if (qrt_ring_wait(b->requests, 0, 1, 1000000) == 0) {
            continue;
        }
        qrt_request request = take(b);
        if (request.kind == QRT_REQUEST_SAFE) {
            return NULL;
        }
        if (request.kind == QRT_REQUEST_FETCH) {
            answer(b, request.ticket, request.item, (int16_t)(request.shot % 1000));
            if (request.ticket % 3 == 0) {
                answer(b, request.ticket, request.item, -1); /* and once more */
            }
        }
    }
}

static void test_with_a_pump(void)
{
    bench b = open_bench(FAR_NS);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, pump, &b) == 0);
    for (int64_t shot = 0; shot < SHOTS; shot++) {
        begin(&b, shot, 1);
        const int16_t *samples = NULL;
        qrt_status status;
        while ((status = fetch(&b, 0, &samples)) == QRT_NOT_READY) {
        }
        CHECK(status == QRT_OK && samples[0] == shot % 1000 && samples[SAMPLES - 1] == shot % 1000 + SAMPLES - 1);
    }
    CHECK(b.port.safe(b.port.self) == QRT_OK);
    CHECK(pthread_join(thread, NULL) == 0);
    qrt_mailbox_report report = read_report(&b);
    CHECK(report.answer_count == SHOTS && report.twice_count == SHOTS / 3 && report.unasked_count == 0);
    CHECK(report.request_count == 3 * SHOTS + 1);
}

int main(void)
{
    test_requests_say_what_was_asked();
    test_answers_are_told_by_their_ticket();
    test_never_and_late();
    test_many_late();
    test_other_failures();
    test_what_cannot_be_made();
    test_with_a_pump();
    take_back();
    return 0;
}
