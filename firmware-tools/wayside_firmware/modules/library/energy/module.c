/* Energy in W.h from power in W, cumulative for each series. */
#include "wayside.h"

#define MOST_SERIES 64 /* of one stage; a board has a few */
#define NAME_BYTES 128 /* longest name of a series */
#define NS_PER_S 1e9

typedef struct {
    int64_t time_ns;
    double power_w, energy_wh;
    uint32_t name_bytes, known; /* known: whether time and power are those of a reading */
    char name[NAME_BYTES];
} meter;

static meter meters[MOST_SERIES];
static struct { uint32_t version, count; } kept_head = {1, 0};
static double max_gap_s = 60;
static int rebooted;
static uint32_t told;

WS_EXPORT(wayside_configure) int32_t wayside_configure(const char *at, uint32_t bytes)
{
    ws_text rest = {at, bytes}, key, value;
    while (ws_setting(&rest, &key, &value)) {
        if (ws_same(key, WS_TEXT("wayside.rebooted"))) rebooted = ws_same(value, WS_TEXT("true"));
        if (ws_of_host(key)) continue;
        if (!ws_same(key, WS_TEXT("max_gap_s"))) {
            ws_log(WS_ERROR, "the only setting is max_gap_s");
            return 1;
        }
        if (!ws_number(value, &max_gap_s) || max_gap_s <= 0) {
            ws_log(WS_ERROR, "max_gap_s must be a number of seconds above 0");
            return 2;
        }
    }
    return 0;
}

WS_EXPORT(wayside_save) int64_t wayside_save(void)
{
    uint32_t bytes = kept_head.count * sizeof(meter);
    if (!bytes) return WS_NOTHING;
    char *at = ws_take(sizeof kept_head + bytes);
    if (!at) return -1;
    ws_copy(at, &kept_head, sizeof kept_head);
    ws_copy(at + sizeof kept_head, meters, bytes);
    return ws_place(at, sizeof kept_head + bytes);
}

WS_EXPORT(wayside_restore) int32_t wayside_restore(const char *at, uint32_t bytes)
{
    if (bytes < sizeof kept_head) return 1;
    ws_copy(&kept_head, at, sizeof kept_head);
    if (kept_head.version != 1 || kept_head.count > MOST_SERIES) return 2;
    if (bytes != sizeof kept_head + kept_head.count * sizeof(meter)) return 3;
    ws_copy(meters, at + sizeof kept_head, bytes - sizeof kept_head);
    for (uint32_t i = 0; i < kept_head.count; i++) {
        if (meters[i].name_bytes > NAME_BYTES) return 4;
        /* times of another boot say nothing about now */
        if (rebooted) meters[i].known = 2;
    }
    return 0;
}

static meter *meter_of(ws_text name)
{
    for (uint32_t i = 0; i < kept_head.count; i++)
        if (ws_same(name, (ws_text){meters[i].name, meters[i].name_bytes})) return meters + i;
    if (kept_head.count == MOST_SERIES || name.bytes > NAME_BYTES) return 0;
    meter *new = meters + kept_head.count++;
    *new = (meter){.name_bytes = name.bytes};
    ws_copy(new->name, name.at, name.bytes);
    return new;
}

/* The quality of the energy after a reading with a value. */
static uint32_t advance(meter *m, const ws_reading *r)
{
    double gap_s = (double)(r->time_ns - m->time_ns) / NS_PER_S;
    int whole = m->known == 1 && gap_s >= 0 && gap_s <= max_gap_s, first = !m->known;
    if (whole) m->energy_wh += (m->power_w + r->value) / 2 * gap_s / 3600;
    m->time_ns = r->time_ns;
    m->power_w = r->value;
    m->known = 1;
    if (r->quality) return r->quality;
    return whole || first ? WS_GOOD : WS_PARTIAL;
}

static int64_t refused(int64_t code)
{
    ws_log(WS_ERROR, "no room: at most 64 series with names of at most 121 bytes");
    return code;
}

WS_EXPORT(wayside_process) int64_t wayside_process(const ws_block *in, uint32_t bytes)
{
    ws_out out;
    (void)bytes;
    if (!ws_begin(&out, in->series, in->readings, in->text_bytes + in->series * 16)) return refused(-1);
    int32_t *number = ws_take(in->series * sizeof *number);
    meter **found = ws_take(in->series * sizeof *found);
    if (!number || !found) return refused(-1);
    for (uint32_t i = 0; i < in->series; i++) {
        found[i] = 0;
        if (!ws_same(ws_unit(in, i), WS_TEXT("W"))) {
            if (!told++) ws_log(WS_WARNING, "a series that is not in W gives no energy");
            continue;
        }
        found[i] = meter_of(ws_name(in, i));
        if (!found[i]) return refused(-2);
        number[i] = ws_add_series(&out, ws_name(in, i), WS_TEXT(".energy"), WS_TEXT("W.h"));
    }
    const ws_reading *r = ws_readings_of(in);
    for (uint32_t i = 0; i < in->readings; i++, r++) {
        if (r->series >= in->series || !found[r->series]) continue;
        meter *m = found[r->series];
        uint32_t quality = r->quality < WS_FIRST_ABSENT ? advance(m, r) : r->quality;
        ws_add(&out, number[r->series], r->time_ns, m->energy_wh, quality);
    }
    return ws_end(&out);
}
