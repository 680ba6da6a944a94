/* Correlated qubits: the real Pauli tensor of a cluster,
 *
 *     R[mu, nu, ...] = < sigma_mu (x) sigma_nu (x) ... >,   sigma = 1, X, Y, Z,   R[0, 0, ...] = 1,
 *
 * which is their density matrix, rho = 2^-n sum R[mu, nu, ...] sigma_mu (x) sigma_nu (x) ... Four things happen to it:
 *
 *   a map of one qubit   v -> M v + s of a Bloch vector is the matrix (1 0; s M) on that qubit's index
 *   a coupler's tone     on two indices, see couple_vectors
 *   a level is found     R' = (R[.., 0, ..] +- R[.., Z, ..]) / (1 +- <Z>): the others, given level 0 or 1 (+ or -)
 *   nothing is left      where R = <sigma_mu> R_rest, a qubit has its own Bloch vector again
 *
 * A qubit in no cluster is a Bloch vector and costs what it always did. The places where both are treated alike take vectors and put
 * back their images.
 */
#include "plant.h"
#include <string.h>

static uint32_t size_of(const cluster *c) { return 1u << 2 * c->member_count; }

static uint32_t place_of(const cluster *c, uint32_t q)
{
    uint32_t place = 0;
    while (place < c->member_count && c->members[place] != q)
        place++;
    PLANT_ASSERT(place < c->member_count);
    return place;
}

static void share(plant_state *s, const cluster *c, uint32_t place)
{
    const double *r = &c->tensor[0];
    const uint32_t stride = 1u << 2 * place;
    s->qubits[c->members[place]].v = (bloch){r[stride], r[2 * stride], r[3 * stride]};
}

/* ---- Maps of one qubit ---------------------------------------------------------------------------------------------- */

void probe_vectors(bloch v[VECTORS_MAX])
{
    static const bloch PROBES[VECTORS_MAX] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    memcpy(v, PROBES, sizeof PROBES);
}

/* Index with the digit of `stride` left out -> index with that digit 0. */
static uint32_t insert_digit(uint32_t index, uint32_t stride) { return (index & (stride - 1)) + (index & ~(stride - 1)) * 4; }

void map_correlated(qrt_plant *plant, uint32_t q, const bloch v[VECTORS_MAX])
{
    cluster *c = &plant->state.clusters[plant->state.qubits[q].cluster - 1];
    const uint32_t place = place_of(c, q), stride = 1u << 2 * place;
    for (uint32_t rest = 0; rest < size_of(c) / 4; rest++) {
        double *r = &c->tensor[insert_digit(rest, stride)];
        const double one = r[0], x = r[stride], y = r[2 * stride], z = r[3 * stride];
        r[stride] = v[0].x * one + (v[1].x - v[0].x) * x + (v[2].x - v[0].x) * y + (v[3].x - v[0].x) * z;
        r[2 * stride] = v[0].y * one + (v[1].y - v[0].y) * x + (v[2].y - v[0].y) * y + (v[3].y - v[0].y) * z;
        r[3 * stride] = v[0].z * one + (v[1].z - v[0].z) * x + (v[2].z - v[0].z) * y + (v[3].z - v[0].z) * z;
    }
    share(&plant->state, c, place);
}

/* ---- Two qubits ----------------------------------------------------------------------------------------------------- */

/* The qubit's cluster; one of it alone in `scratch` where there is none. */
static const cluster *cluster_of(const plant_state *s, uint32_t q, cluster *scratch)
{
    const qubit *u = &s->qubits[q];
    if (u->cluster > 0)
        return &s->clusters[u->cluster - 1];
    scratch->member_count = 1;
    scratch->members[0] = q;
    const double r[4] = {1.0, u->v.x, u->v.y, u->v.z};
    memcpy(scratch->tensor, r, sizeof r);
    return scratch;
}

void correlate(qrt_plant *plant, uint32_t a, uint32_t b)
{
    plant_state *s = &plant->state;
    if (s->qubits[a].cluster > 0 && s->qubits[a].cluster == s->qubits[b].cluster)
        return;
    cluster alone[2], joined = {0};
    const cluster *low = cluster_of(s, a, &alone[0]), *high = cluster_of(s, b, &alone[1]);
    PLANT_ASSERT(low->member_count + high->member_count <= QRT_PLANT_QUBITS_MAX);
    joined.member_count = low->member_count + high->member_count;
    memcpy(joined.members, low->members, low->member_count * sizeof *low->members);
    memcpy(joined.members + low->member_count, high->members, high->member_count * sizeof *high->members);
    for (uint32_t j = 0; j < size_of(high); j++)
        for (uint32_t i = 0; i < size_of(low); i++)
            joined.tensor[j * size_of(low) + i] = high->tensor[j] * low->tensor[i];
    for (int k = 0; k < 2; k++) {
        const uint32_t old = s->qubits[k ? b : a].cluster;
        if (old > 0)
            s->clusters[old - 1].member_count = 0;
    }
    uint32_t index = 0;
    while (index < CLUSTERS_MAX && s->clusters[index].member_count > 0)
        index++;
    PLANT_ASSERT(index < CLUSTERS_MAX); /* two clusters take two qubits each */
    s->clusters[index] = joined;
    for (uint32_t place = 0; place < joined.member_count; place++)
        s->qubits[joined.members[place]].cluster = index + 1;
}

static cplx combine(cplx p, cplx u, cplx q, cplx w) { return c_add(c_mul(p, u), c_mul(q, w)); }

/* r[i][j] = <sigma_i (x) sigma_j>, in place. With m = x + iy of either qubit, what the tone and free evolution do mixes only
 *     (1, Z) (x) (1, Z)     which relaxes;     m (x) (1, Z), twice     by 2x2 matrices;     m (x) m and m (x) conj m     by a factor. */
static void couple_block(double *r[4][4], const pair_map *map, const cplx m[2], const double decay[2], const double gain[2], cplx zz)
{
    const double za = *r[3][0], zb = *r[0][3], one = *r[0][0];
    *r[3][3] = decay[0] * decay[1] * *r[3][3] + decay[0] * gain[1] * za + gain[0] * decay[1] * zb + gain[0] * gain[1] * one;
    *r[3][0] = decay[0] * za + gain[0] * one;
    *r[0][3] = decay[1] * zb + gain[1] * one;
    for (int k = 0; k < 2; k++) {
        double *x[2] = {r[1][0], k ? r[3][1] : r[1][3]}, *y[2] = {r[2][0], k ? r[3][2] : r[2][3]};
        if (k == 1) {
            x[0] = r[0][1];
            y[0] = r[0][2];
        }
        const cplx u = c_mul(m[k], (cplx){*x[0], *y[0]}), w = c_mul(m[k], (cplx){*x[1], *y[1]});
        for (int i = 0; i < 2; i++) {
            const cplx sum = combine(map->other[k][i][0], u, map->other[k][i][1], w);
            *x[i] = sum.re;
            *y[i] = sum.im;
        }
    }
    const cplx both = c_mul(c_mul(m[0], m[1]), zz), difference = c_mul(m[0], c_conj(m[1]));
    const cplx s = c_mul(both, (cplx){*r[1][1] - *r[2][2], *r[1][2] + *r[2][1]});
    const cplx d = c_mul(difference, (cplx){*r[1][1] + *r[2][2], *r[2][1] - *r[1][2]});
    *r[1][1] = 0.5 * (s.re + d.re);
    *r[2][2] = 0.5 * (d.re - s.re);
    *r[1][2] = 0.5 * (s.im - d.im);
    *r[2][1] = 0.5 * (s.im + d.im);
}

void couple_vectors(qrt_plant *plant, const uint32_t pair[2], const pair_map *map, bloch free[2][VECTORS_MAX])
{
    const qubit *a = &plant->state.qubits[pair[0]];
    PLANT_ASSERT(a->cluster > 0 && a->cluster == plant->state.qubits[pair[1]].cluster);
    cluster *c = &plant->state.clusters[a->cluster - 1];
    uint32_t place[2], stride[2];
    cplx m[2];
    double decay[2], gain[2];
    for (int k = 0; k < 2; k++) {
        place[k] = place_of(c, pair[k]);
        stride[k] = 1u << 2 * place[k];
        m[k] = (cplx){free[k][1].x - free[k][0].x, free[k][1].y - free[k][0].y};
        decay[k] = free[k][3].z - free[k][0].z;
        gain[k] = free[k][0].z;
    }
    const cplx zz = turn_exp(map->zz);
    const uint32_t low = stride[0] < stride[1] ? stride[0] : stride[1], high = stride[0] + stride[1] - low;
    for (uint32_t rest = 0; rest < size_of(c) / 16; rest++) {
        double *base = &c->tensor[insert_digit(insert_digit(rest, low), high)], *r[4][4];
        for (uint32_t i = 0; i < 4; i++)
            for (uint32_t j = 0; j < 4; j++)
                r[i][j] = base + i * stride[0] + j * stride[1];
        couple_block(r, map, m, decay, gain, zz);
    }
    share(&plant->state, c, place[0]);
    share(&plant->state, c, place[1]);
}

/* ---- Out of a cluster ----------------------------------------------------------------------------------------------- */

/* Leaves the others with one R[.., 0, ..] + z R[.., Z, ..]; the last one left is alone. */
static void drop(plant_state *s, uint32_t q, double one, double z)
{
    cluster *c = &s->clusters[s->qubits[q].cluster - 1];
    const uint32_t place = place_of(c, q), stride = 1u << 2 * place;
    for (uint32_t rest = 0; rest < size_of(c) / 4; rest++) { /* never writes what it has still to read */
        const double *r = &c->tensor[insert_digit(rest, stride)];
        c->tensor[rest] = one * r[0] + z * r[3 * stride];
    }
    c->tensor[0] = 1.0;
    c->member_count--;
    for (uint32_t k = place; k < c->member_count; k++)
        c->members[k] = c->members[k + 1];
    s->qubits[q].cluster = 0;
    for (uint32_t k = 0; k < c->member_count; k++)
        share(s, c, k);
    if (c->member_count == 1) {
        s->qubits[c->members[0]].cluster = 0;
        c->member_count = 0;
    }
}

void condition(qrt_plant *plant, uint32_t q, int32_t level)
{
    plant_state *s = &plant->state;
    const qubit *u = &s->qubits[q];
    if (u->cluster == 0)
        return;
    const cluster before = s->clusters[u->cluster - 1];
    const double sign = level ? -1.0 : 1.0, norm = 1.0 + sign * u->v.z;
    drop(s, q, 1.0 / norm, sign / norm);
    separate(plant);
    for (uint32_t k = 0; k < before.member_count; k++) { /* whose mean field is another from here on */
        const uint32_t other = before.members[k];
        if (other != q && s->qubits[other].at == u->at)
            (void)anchor(plant, other, u->at, EACH);
    }
}

/* Whether R[.., mu, ..] = <sigma_mu> R[.., 0, ..] for one qubit. */
static int is_uncorrelated(const cluster *c, uint32_t place)
{
    const uint32_t stride = 1u << 2 * place;
    for (uint32_t rest = 1; rest < size_of(c) / 4; rest++) {
        const double *r = &c->tensor[insert_digit(rest, stride)];
        for (uint32_t i = 1; i < 4; i++) {
            const double left = r[i * stride] - c->tensor[i * stride] * r[0];
            if (left > UNCORRELATED || left < -UNCORRELATED)
                return 0;
        }
    }
    return 1;
}

void separate(qrt_plant *plant)
{
    plant_state *s = &plant->state;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        if (s->qubits[q].cluster == 0)
            continue;
        const cluster *c = &s->clusters[s->qubits[q].cluster - 1];
        if (is_uncorrelated(c, place_of(c, q)))
            drop(s, q, 1.0, 0.0);
    }
}

/* ---- What truth and tests ask --------------------------------------------------------------------------------------- */

/* < product over q of sigma_mu_q >, word = sum over q of mu_q 4^q. */
static double mean_of(const qrt_plant *plant, uint32_t word)
{
    const plant_state *s = &plant->state;
    uint32_t inside[CLUSTERS_MAX] = {0};
    double product = 1.0;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        const qubit *u = &s->qubits[q];
        const uint32_t digit = word >> 2 * q & 3;
        if (u->cluster > 0)
            inside[u->cluster - 1] += digit << 2 * place_of(&s->clusters[u->cluster - 1], q);
        else {
            const bloch v = u->is_definite ? (bloch){0.0, 0.0, 1.0 - 2.0 * u->level} : u->v;
            const double components[4] = {1.0, v.x, v.y, v.z};
            product *= components[digit];
        }
    }
    for (uint32_t k = 0; k < CLUSTERS_MAX; k++)
        if (s->clusters[k].member_count > 0)
            product *= s->clusters[k].tensor[inside[k]];
    return product;
}

double mean_of_z(const qrt_plant *plant, uint32_t qubits)
{
    uint32_t word = 0;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++)
        word |= (qubits >> q & 1) * 3u << 2 * q;
    return mean_of(plant, word);
}

void read_joint(const qrt_plant *plant, double *joint_out)
{
    for (uint32_t word = 0; word < 1u << 2 * plant->config.qubit_count; word++)
        joint_out[word] = mean_of(plant, word);
}
