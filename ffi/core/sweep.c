/* Sweeps: what each slot is worth in a shot, as a pure function of the shot's index and the epoch in force. No state, no float.
 *
 * A shot has a point of the grid, a point has an index k on each axis (the last axis fastest), a slot follows one axis, or it is a
 * value of the epoch. The affine rule is an exact fraction, rounded once: |start*(n-1-k) + stop*k| <= 2^63 * 2^40 fits in 128 bits,
 * so that every point is what integers of any size would give, the first exactly `start` and the last exactly `stop`.
 */
#include "checks.h"

#define POINTS_MAX ((int64_t)1 << 40)
#define TABLE_COUNT_MAX (1u << 28)

static bool slot_is_valid(const qrt_sweep *s, const qrt_slot *slot)
{
    if (slot->rule == QRT_RULE_EPOCH) {
        return slot->axis == 0 && slot->stop == 0 && slot->start >= 0 && slot->start < QRT_EPOCH_VALUES_MAX;
    }
    if (slot->axis >= s->axis_count || slot->rule > QRT_RULE_EPOCH) {
        return false;
    }
    int64_t points = s->points[slot->axis];
    return slot->rule == QRT_RULE_AFFINE ||
           (slot->stop == 0 && slot->start >= 0 && points <= s->table_count && slot->start <= s->table_count - points);
}

qrt_status qrt_sweep_check(const qrt_sweep *s)
{
    if (s->axis_count > QRT_AXES_MAX || s->slot_count > QRT_SLOTS_MAX || s->table_count > TABLE_COUNT_MAX ||
        s->order > QRT_ORDER_SHOT || (s->slots == NULL && s->slot_count > 0) || (s->table == NULL && s->table_count > 0) ||
        (s->shots_per_point < 1 && s->axis_count > 0)) {
        return QRT_ERR_ARGUMENT;
    }
    int64_t left = POINTS_MAX;
    for (uint32_t axis = 0; axis < s->axis_count; axis++) {
        if (s->points[axis] < 1 || s->points[axis] > left) {
            return QRT_ERR_ARGUMENT;
        }
        left /= s->points[axis];
    }
    for (uint32_t slot = 0; slot < s->slot_count; slot++) {
        if (!slot_is_valid(s, &s->slots[slot])) {
            return QRT_ERR_ARGUMENT;
        }
    }
    return QRT_OK;
}

int64_t qrt_sweep_point(const qrt_sweep *s, int64_t shot)
{
    int64_t points = 1;
    for (uint32_t axis = 0; axis < s->axis_count; axis++) {
        points *= s->points[axis];
    }
    if (points == 1) {
        return 0;
    }
    return (s->order == QRT_ORDER_POINT ? shot / s->shots_per_point : shot) % points;
}

static int64_t affine(int64_t start, int64_t stop, int64_t k, int64_t count)
{
    if (count == 1) {
        return start;
    }
    __int128 steps = count - 1;
    __int128 sum = start * (steps - k) + (__int128)stop * k;
    __int128 down = sum / steps - (sum % steps < 0); /* rounded down, not towards zero */
    __int128 twice = 2 * (sum - down * steps);       /* of the remainder, 0 <= remainder < steps */
    return (int64_t)(down + (twice > steps || (twice == steps && down % 2 != 0)));
}

uint32_t qrt_sweep_value_count(const qrt_sweep *s)
{
    uint32_t count = 0;
    for (uint32_t j = 0; j < s->slot_count; j++) {
        const qrt_slot *slot = &s->slots[j];
        count = slot->rule == QRT_RULE_EPOCH && slot->start >= count ? (uint32_t)slot->start + 1 : count;
    }
    return count;
}

void qrt_sweep_slots_at(int64_t *slots_out, const qrt_sweep *s, const int64_t *epoch_values, int64_t point)
{
    int64_t at[QRT_AXES_MAX] = {0};
    for (uint32_t axis = s->axis_count; axis-- > 0; point /= s->points[axis]) {
        at[axis] = point % s->points[axis];
    }
    for (uint32_t j = 0; j < s->slot_count; j++) {
        const qrt_slot *slot = &s->slots[j];
        if (slot->rule == QRT_RULE_EPOCH) {
            slots_out[j] = epoch_values[slot->start];
            continue;
        }
        int64_t k = at[slot->axis];
        slots_out[j] = slot->rule == QRT_RULE_TABLE ? s->table[slot->start + k]
                                                    : affine(slot->start, slot->stop, k, s->points[slot->axis]);
    }
}

void qrt_sweep_slots(int64_t *slots_out, const qrt_sweep *sweep, const int64_t *epoch_values, int64_t shot)
{
    qrt_sweep_slots_at(slots_out, sweep, epoch_values, qrt_sweep_point(sweep, shot));
}
