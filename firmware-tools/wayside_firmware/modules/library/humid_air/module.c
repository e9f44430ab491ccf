/* Dew point in Cel and absolute humidity in g/m3 from temperature in Cel and relative humidity in %.
 *
 * Saturation over water: Magnus, with the constants of WMO-No. 8, Guide to Instruments and Methods of Observation,
 * 2018 edition, volume I, annex 4.B: e = 6.112 hPa exp(17.62 t / (243.12 + t)), from -45 to 60 Cel.
 * Vapour as an ideal gas: 18.01528 g/mol (IUPAC), 8.314462618 J/(mol K) (CODATA 2018).
 */
#include "wayside.h"
#include "wayside_math.h"

#define MAGNUS_HPA 6.112
#define MAGNUS_A 17.62
#define MAGNUS_B 243.12
#define LOWEST_CEL -45.0
#define HIGHEST_CEL 60.0
#define ZERO_KELVIN 273.15
#define GRAM_KELVIN_PER_JOULE (18.01528 / 8.314462618)
#define MOST_PLACES 16
#define MOST_WAITING 256 /* of one place: a block may bring all its temperatures before the first humidity */
#define STEM_BYTES 128

enum { TEMPERATURE = 1, HUMIDITY = 2 };

typedef struct { int64_t time_ns; double value; uint32_t quality, kind; } half;

/* A place has a temperature and a humidity; the first of a pair waits here for the other of the same time. */
typedef struct {
    uint32_t stem_bytes, waiting;
    half halves[MOST_WAITING];
    char stem[STEM_BYTES];
} place;

static place places[MOST_PLACES];
static uint32_t count, told;

/* A name up to its last dot; the whole of it when there is none. */
static ws_text stem_of(ws_text name)
{
    for (uint32_t i = name.bytes; i > 0; i--)
        if (name.at[i - 1] == '.') return (ws_text){name.at, i - 1};
    return name;
}

static place *place_of(ws_text stem)
{
    for (uint32_t i = 0; i < count; i++)
        if (ws_same(stem, (ws_text){places[i].stem, places[i].stem_bytes})) return places + i;
    if (count == MOST_PLACES || stem.bytes > STEM_BYTES) return 0;
    place *new = places + count++;
    new->stem_bytes = stem.bytes;
    ws_copy(new->stem, stem.at, stem.bytes);
    return new;
}

static uint32_t worse(uint32_t one, uint32_t other) { return one > other ? one : other; }

typedef struct { ws_out out; int32_t dew[MOST_PLACES], absolute[MOST_PLACES]; uint32_t unpaired; } answer;

static void add_pair(answer *a, place *p, double cel, double percent, int64_t time_ns, uint32_t quality)
{
    uint32_t i = (uint32_t)(p - places);
    double dew = 0, absolute = 0;
    if (a->dew[i] < 0) {
        ws_text stem = {p->stem, p->stem_bytes};
        a->dew[i] = ws_add_series(&a->out, stem, WS_TEXT(".dew_point"), WS_TEXT("Cel"));
        a->absolute[i] = ws_add_series(&a->out, stem, WS_TEXT(".absolute_humidity"), WS_TEXT("g/m3"));
    }
    if (quality < WS_FIRST_ABSENT) {
        if (cel < LOWEST_CEL || cel > HIGHEST_CEL || percent <= 0 || percent > 100) quality = WS_OUT_OF_RANGE;
        else {
            double e_hpa = percent / 100 * MAGNUS_HPA * ws_exp(MAGNUS_A * cel / (MAGNUS_B + cel));
            double x = ws_log_e(e_hpa / MAGNUS_HPA);
            dew = MAGNUS_B * x / (MAGNUS_A - x);
            absolute = e_hpa * 100 * GRAM_KELVIN_PER_JOULE / (cel + ZERO_KELVIN);
        }
    }
    ws_add(&a->out, a->dew[i], time_ns, dew, quality);
    ws_add(&a->out, a->absolute[i], time_ns, absolute, quality);
}

/* Those that waited longer than what has just found its other half will find none: times of a series only grow. */
static void forget(answer *a, place *p, uint32_t paired)
{
    int64_t time_ns = p->halves[paired].time_ns;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->waiting; i++) {
        if (i == paired) continue;
        if (p->halves[i].time_ns > time_ns) p->halves[kept++] = p->halves[i];
        else a->unpaired++;
    }
    p->waiting = kept;
}

static void take(answer *a, place *p, half new)
{
    for (uint32_t i = 0; i < p->waiting; i++) {
        half old = p->halves[i];
        if (old.kind == new.kind || old.time_ns != new.time_ns) continue;
        double cel = new.kind == TEMPERATURE ? new.value : old.value;
        double percent = new.kind == HUMIDITY ? new.value : old.value;
        add_pair(a, p, cel, percent, new.time_ns, worse(new.quality, old.quality));
        forget(a, p, i);
        return;
    }
    if (p->waiting == MOST_WAITING) {
        a->unpaired++;
        ws_copy(p->halves, p->halves + 1, --p->waiting * sizeof(half));
    }
    p->halves[p->waiting++] = new;
}

static int64_t refused(int64_t code)
{
    ws_log(WS_ERROR, "no room: at most 16 places with names of at most 110 bytes");
    return code;
}

WS_EXPORT(wayside_process) int64_t wayside_process(const ws_block *in, uint32_t bytes)
{
    answer a;
    (void)bytes;
    for (uint32_t i = 0; i < MOST_PLACES; i++) a.dew[i] = a.absolute[i] = -1;
    a.unpaired = 0;
    /* a reading that waited since the block before may find its other half here; a name grows by 18 and a unit */
    if (!ws_begin(&a.out, 2 * in->series, 2 * in->readings, 2 * in->text_bytes + 64 * in->series)) return refused(-1);
    place **found = ws_take(in->series * sizeof *found);
    uint32_t *kind = ws_take(in->series * sizeof *kind);
    if (!found || !kind) return refused(-1);
    for (uint32_t i = 0; i < in->series; i++) {
        ws_text unit = ws_unit(in, i);
        kind[i] = ws_same(unit, WS_TEXT("Cel")) ? TEMPERATURE : ws_same(unit, WS_TEXT("%")) ? HUMIDITY : 0;
        if (!kind[i] && !(told & 1)) {
            told |= 1;
            ws_log(WS_WARNING, "a series that is neither in Cel nor in % is passed over");
        }
        if (kind[i] && !(found[i] = place_of(stem_of(ws_name(in, i))))) return refused(-2);
    }
    const ws_reading *r = ws_readings_of(in);
    for (uint32_t i = 0; i < in->readings; i++, r++) {
        uint32_t s = r->series;
        if (s < in->series && kind[s]) take(&a, found[s], (half){r->time_ns, r->value, r->quality, kind[s]});
    }
    if (a.unpaired && !(told & 2)) {
        told |= 2;
        ws_log(WS_WARNING, "a temperature or a humidity had no partner of the same sensor and time");
    }
    return ws_end(&a.out);
}
