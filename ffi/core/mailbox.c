/* The mailbox: a port whose hardware is served by somebody else, at his own pace, through two rings.
 *
 * The kernel's thread writes requests and reads answers, the pump's thread the other way round; nothing else is shared, so that the
 * rings' own memory order is all there is. A function puts one request and returns; only `capture_end` looks for an answer, and says
 * QRT_NOT_READY until it is there or its deadline, counted from the first question on CLOCK_MONOTONIC, is past.
 *
 * A capture has a ticket: how many were announced before it since the mailbox was made. So every answer can be told from every other,
 * whenever it comes: the one that is waited for is taken; one for a capture that was given up, since its deadline or that of another
 * one of its shot passed, is late; one for any other announced capture that is no longer open has come twice; all the rest nobody has
 * asked for. These three are counted and never used.
 *
 * A deadline that passes is no failure: the shot is too late, and the kernel decides what becomes of it. The pump answers in order, so
 * after an answer that was taken, none can come that is older: GIVEN_UP_MAX tickets are as many as can be waited for in vain.
 *
 * An answer that the kernel sees at its first look after the deadline is taken: it is the thread that looked late, not the pump.
 */
#include <string.h>
#include "checks.h"

#define READER 0
#define DEADLINE_NS_MAX (INT64_MAX / 4)
#define MARGIN_NS 1000000000 /* by which the kernel's patience is longer than the deadline, which is kept here */
#define NO_TICKET (-1)
#define GIVEN_UP_MAX (QRT_ERASED_MAX * QRT_OUTSTANDING_MAX)

typedef enum { SLOT_FREE = 0, SLOT_ANNOUNCED, SLOT_ASKED } slot_state;

typedef struct {
    slot_state state;
    uint32_t sample_count;
    uint32_t capture;
    uint16_t channel;
    int64_t ticket;
    int64_t tick;
    int64_t deadline_ns;
} open_capture;

struct qrt_mailbox {
    qrt_ring *requests;
    qrt_ring *answers;
    int64_t deadline_ns;
    int64_t shot;
    int64_t start_tick;
    int64_t tickets; /* given so far */
    int64_t given_up[GIVEN_UP_MAX]; /* tickets, or NO_TICKET; the oldest goes */
    uint32_t given_up_next;
    int64_t late_ns;   /* when the shot in hand was given up */
    bool is_given_up;  /* the shot in hand */
    bool has_failed;
    uint32_t capture_samples_max;
    uint32_t captures; /* announced in this shot */
    bool holds_answer; /* the samples handed out last are still in their slot */
    open_capture slots[QRT_OUTSTANDING_MAX];
    qrt_mailbox_report report;
};

static_assert(sizeof(qrt_request) == 64, "no hidden padding");
static_assert(sizeof(qrt_answer) == 16, "no hidden padding");
static_assert(sizeof(qrt_mailbox_report) == 64, "no hidden padding");

size_t qrt_mailbox_size(void)
{
    return sizeof(qrt_mailbox);
}

uint32_t qrt_answer_size(uint32_t capture_samples_max)
{
    return (uint32_t)sizeof(qrt_answer) + (capture_samples_max * 2 + 7) / 8 * 8;
}

static void note(qrt_mailbox *m, qrt_mailbox_failure failure, int64_t capture)
{
    m->report.failure = failure;
    m->report.shot = m->shot;
    m->report.capture = capture;
}

static qrt_status fail(qrt_mailbox *m, qrt_mailbox_failure failure, int64_t capture)
{
    note(m, failure, capture);
    m->has_failed = true;
    return QRT_ERR_PORT;
}

/* No answer to it is wanted any more. */
static void give_up(qrt_mailbox *m, open_capture *c)
{
    m->given_up[m->given_up_next++ % GIVEN_UP_MAX] = c->ticket;
    c->state = SLOT_FREE;
}

/* The samples handed out last are valid until any function is called: then the pump gets their slot back. */
static void give_back(qrt_mailbox *m)
{
    if (m->holds_answer) {
        qrt_ring_release(m->answers, READER, 1);
        m->holds_answer = false;
    }
}

static qrt_status put(qrt_mailbox *m, const qrt_request *request)
{
    qrt_request *slot = qrt_ring_claim(m->requests);
    if (slot == NULL) {
        return fail(m, QRT_MAILBOX_FULL, -1);
    }
    *slot = *request;
    slot->shot = m->shot;
    slot->start_tick = m->start_tick;
    qrt_ring_publish(m->requests);
    m->report.request_count++;
    return QRT_OK;
}

/* ---- Answers -------------------------------------------------------------------------------------------------- */

static const open_capture *open_of(const qrt_mailbox *m, int64_t ticket)
{
    for (uint32_t slot = 0; slot < QRT_OUTSTANDING_MAX; slot++) {
        if (m->slots[slot].state != SLOT_FREE && m->slots[slot].ticket == ticket) {
            return &m->slots[slot];
        }
    }
    return NULL;
}

/* Should it come again, it has come twice. */
static bool was_given_up(qrt_mailbox *m, int64_t ticket)
{
    for (uint32_t at = 0; at < GIVEN_UP_MAX; at++) {
        if (m->given_up[at] == ticket) {
            m->given_up[at] = NO_TICKET;
            return true;
        }
    }
    return false;
}

static void refuse(qrt_mailbox *m, int64_t ticket)
{
    if (ticket >= 0 && was_given_up(m, ticket)) {
        m->report.late_count++;
    } else if (ticket >= 0 && ticket < m->tickets && open_of(m, ticket) == NULL) {
        m->report.twice_count++;
    } else {
        m->report.unasked_count++;
    }
}

/* The first answer of the ring, all those before it refused that are not `wanted`; NULL where there is none. No capture wanted: all
 * are refused. */
static const qrt_answer *find(qrt_mailbox *m, const open_capture *wanted)
{
    for (;;) {
        void *first = NULL;
        if (qrt_ring_peek(m->answers, READER, &first) == 0) {
            return NULL;
        }
        const qrt_answer *answer = first;
        if (wanted != NULL && answer->ticket == wanted->ticket) {
            return answer;
        }
        refuse(m, answer->ticket);
        qrt_ring_release(m->answers, READER, 1);
    }
}

/* ---- The port's functions ------------------------------------------------------------------------------------- */

static qrt_status begin_shot(void *self, int64_t shot, int64_t tick)
{
    qrt_mailbox *m = self;
    give_back(m);
    if (m->has_failed) {
        return QRT_ERR_PORT;
    }
    if (shot < 0 || tick < 0) {
        return QRT_ERR_ARGUMENT;
    }
    m->shot = shot;
    m->start_tick = tick;
    m->captures = 0;
    m->is_given_up = false;
    return put(m, &(qrt_request){.kind = QRT_REQUEST_SHOT, .ticket = m->tickets});
}

static qrt_status play(void *self, const qrt_play *p)
{
    qrt_mailbox *m = self;
    give_back(m);
    if (m->has_failed) {
        return QRT_ERR_PORT;
    }
    return put(m, &(qrt_request){.kind = QRT_REQUEST_PLAY, .ticket = m->tickets, .tick = p->tick - m->start_tick,
                                 .frequency = p->frequency, .phase = p->phase, .amplitude = p->amplitude,
                                 .line = p->line, .item = p->segment});
}

static qrt_request about(const open_capture *c, uint16_t kind)
{
    return (qrt_request){.kind = kind, .ticket = c->ticket, .tick = c->tick, .line = c->channel,
                         .item = c->sample_count, .capture = c->capture};
}

static qrt_status capture_begin(void *self, const qrt_capture *c)
{
    qrt_mailbox *m = self;
    give_back(m);
    if (m->has_failed) {
        return QRT_ERR_PORT;
    }
    if (c->slot >= QRT_OUTSTANDING_MAX || m->slots[c->slot].state != SLOT_FREE) {
        return QRT_ERR_CHANNEL;
    }
    if (c->sample_count == 0 || c->sample_count > m->capture_samples_max) {
        return QRT_ERR_CAPTURE_LENGTH;
    }
    m->slots[c->slot] = (open_capture){.state = SLOT_ANNOUNCED, .sample_count = c->sample_count, .channel = c->channel,
                                       .capture = m->captures++, .ticket = m->tickets++, .tick = c->tick - m->start_tick};
    const qrt_request request = about(&m->slots[c->slot], QRT_REQUEST_CAPTURE);
    return put(m, &request);
}

static qrt_status ask(qrt_mailbox *m, open_capture *c)
{
    c->state = SLOT_ASKED;
    c->deadline_ns = qrt_clock_now_ns() + m->deadline_ns;
    const qrt_request request = about(c, QRT_REQUEST_FETCH);
    return put(m, &request);
}

static qrt_status capture_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    qrt_mailbox *m = self;
    give_back(m);
    if (m->has_failed) {
        return QRT_ERR_PORT;
    }
    if (slot >= QRT_OUTSTANDING_MAX || m->slots[slot].state == SLOT_FREE) {
        return QRT_ERR_CHANNEL;
    }
    open_capture *c = &m->slots[slot];
    if (m->is_given_up) {
        give_up(m, c);
        return QRT_ERR_TOO_LATE;
    }
    if (c->state == SLOT_ANNOUNCED) {
        (void)find(m, NULL); /* what is there already came before the question */
        qrt_status status = ask(m, c);
        if (status != QRT_OK) {
            return status;
        }
    }
    bool closed = qrt_ring_closed(m->answers) != 0; /* before the look: a close is seen with all that was published */
    int64_t now_ns = qrt_clock_now_ns();       /* likewise: what is there by now was not late */
    const qrt_answer *answer = find(m, c);
    if (answer != NULL && answer->sample_count == c->sample_count) {
        *samples_out = (const int16_t *)(answer + 1);
        m->holds_answer = true;
        m->report.answer_count++;
        c->state = SLOT_FREE;
        return QRT_OK;
    }
    if (answer != NULL) {
        qrt_ring_release(m->answers, READER, 1);
        c->state = SLOT_FREE;
        return fail(m, QRT_MAILBOX_LENGTH, c->capture);
    }
    if (closed) {
        return fail(m, QRT_MAILBOX_ENDED, c->capture);
    }
    if (now_ns <= c->deadline_ns) {
        return QRT_NOT_READY;
    }
    note(m, QRT_MAILBOX_NO_ANSWER, c->capture);
    m->late_ns = now_ns - c->deadline_ns;
    m->is_given_up = true;
    give_up(m, c);
    return QRT_ERR_TOO_LATE;
}

static qrt_status erase_shot(void *self, int64_t *late_ns_out)
{
    qrt_mailbox *m = self;
    give_back(m);
    if (m->has_failed) {
        return QRT_ERR_PORT;
    }
    for (uint32_t slot = 0; slot < QRT_OUTSTANDING_MAX; slot++) {
        if (m->slots[slot].state != SLOT_FREE) {
            give_up(m, &m->slots[slot]);
        }
    }
    *late_ns_out = m->late_ns;
    return put(m, &(qrt_request){.kind = QRT_REQUEST_ERASE, .ticket = m->tickets});
}

/* Asked for, not done: whoever started the kernel hears from the pump whether the hardware is safe. A failed port says so. */
static qrt_status safe(void *self)
{
    qrt_mailbox *m = self;
    give_back(m);
    bool failed = m->has_failed;
    qrt_request *slot = qrt_ring_claim(m->requests);
    if (slot == NULL) {
        return QRT_ERR_PORT;
    }
    *slot = (qrt_request){.kind = QRT_REQUEST_SAFE, .ticket = m->tickets, .shot = m->shot, .start_tick = m->start_tick};
    qrt_ring_publish(m->requests);
    m->report.request_count++;
    return failed ? QRT_ERR_PORT : QRT_OK;
}

/* ---- Making, reading ------------------------------------------------------------------------------------------ */

static bool ring_fits(const qrt_ring *ring, uint32_t slot_size)
{
    return ring != NULL && qrt_ring_check(ring, SIZE_MAX) == QRT_OK && qrt_ring_slot_size(ring) == slot_size;
}

qrt_status qrt_mailbox_init(qrt_mailbox *mailbox, size_t mailbox_size, const qrt_mailbox_config *c, qrt_port *port_out)
{
    if (mailbox_size < sizeof *mailbox) {
        return QRT_ERR_MEMORY;
    }
    if (!ring_fits(c->requests, sizeof(qrt_request)) || !ring_fits(c->answers, qrt_answer_size(c->capture_samples_max)) ||
        c->deadline_ns <= 0 || c->deadline_ns > DEADLINE_NS_MAX || c->plays_on > 1) {
        return QRT_ERR_ARGUMENT;
    }
    *mailbox = (qrt_mailbox){.requests = c->requests, .answers = c->answers, .deadline_ns = c->deadline_ns, .shot = -1,
                             .capture_samples_max = c->capture_samples_max,
                             .report = {.shot = -1, .capture = -1}};
    for (uint32_t at = 0; at < GIVEN_UP_MAX; at++) {
        mailbox->given_up[at] = NO_TICKET;
    }
    *port_out = (qrt_port){.abi = QRT_PORT_ABI, .size = sizeof *port_out, .self = mailbox,
                           .begin_shot = begin_shot, .play = play, .capture_begin = capture_begin,
                           .capture_end = capture_end, .safe = safe,
                           .feedback_latency_ticks = c->feedback_latency_ticks, .granularity_ticks = c->granularity_ticks,
                           .sample_ticks = c->sample_ticks, .line_count = c->line_count, .channel_count = c->channel_count,
                           .capture_samples_max = c->capture_samples_max, .outstanding_max = c->outstanding_max,
                           .answer_ns_max = c->deadline_ns + MARGIN_NS, .erase_shot = erase_shot, .plays_on = c->plays_on};
    return QRT_OK;
}

void qrt_mailbox_read(qrt_mailbox *m, qrt_mailbox_report *report_out)
{
    give_back(m);
    (void)find(m, NULL);
    *report_out = m->report;
}
