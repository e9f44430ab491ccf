/* RMS and peak of each axis of an accelerometer about its mean, for each block or for windows of a set length. */
#include "wayside.h"

#define MOST_AXES 48
#define NAME_BYTES 128
#define MOST_WINDOWS 128 /* of one block, all axes together */
#define NS_PER_S 1000000000

/* An open window; mean and squares after Welford, Technometrics 4 (1962) 419: no readings are kept. */
typedef struct {
    int64_t window, last_ns;
    double mean, squares, low, high;
    uint32_t count, absent, quality, name_bytes, unit_bytes;
    int32_t rms, peak; /* numbers of its series in the block that goes out, or -1 */
    char name[NAME_BYTES], unit[32];
} axis;

static axis axes[MOST_AXES];
static int rebooted;
static struct { uint32_t version, count; int64_t window_ns; } kept_head = {1, 0, 0};

WS_EXPORT(wayside_configure) int32_t wayside_configure(const char *at, uint32_t bytes)
{
    ws_text rest = {at, bytes}, key, value;
    double window_s = 0;
    while (ws_setting(&rest, &key, &value)) {
        if (ws_same(key, WS_TEXT("wayside.rebooted"))) rebooted = ws_same(value, WS_TEXT("true"));
        if (ws_of_host(key)) continue;
        if (!ws_same(key, WS_TEXT("window_s"))) {
            ws_log(WS_ERROR, "the only setting is window_s");
            return 1;
        }
        if (!ws_number(value, &window_s) || window_s < 0 || window_s > 86400) {
            ws_log(WS_ERROR, "window_s must be a number of seconds up to 86400, or 0: a window for each block");
            return 2;
        }
    }
    kept_head.window_ns = (int64_t)(window_s * NS_PER_S);
    return 0;
}

WS_EXPORT(wayside_save) int64_t wayside_save(void)
{
    uint32_t bytes = kept_head.count * sizeof(axis);
    if (!kept_head.window_ns || !bytes) return WS_NOTHING;
    char *at = ws_take(sizeof kept_head + bytes);
    if (!at) return -1;
    ws_copy(at, &kept_head, sizeof kept_head);
    ws_copy(at + sizeof kept_head, axes, bytes);
    return ws_place(at, sizeof kept_head + bytes);
}

WS_EXPORT(wayside_restore) int32_t wayside_restore(const char *at, uint32_t bytes)
{
    int64_t window_ns = kept_head.window_ns;
    if (bytes < sizeof kept_head) return 1;
    ws_copy(&kept_head, at, sizeof kept_head);
    if (kept_head.version != 1 || kept_head.count > MOST_AXES) return 2;
    if (bytes != sizeof kept_head + kept_head.count * sizeof(axis)) return 3;
    ws_copy(axes, at + sizeof kept_head, bytes - sizeof kept_head);
    for (uint32_t i = 0; i < kept_head.count; i++)
        if (axes[i].name_bytes > NAME_BYTES || axes[i].unit_bytes > 32) return 4;
    if (kept_head.window_ns != window_ns || rebooted) {
        ws_log(WS_INFO, "another boot, or another length of windows: they begin anew");
        kept_head.count = 0;
        kept_head.window_ns = window_ns;
    }
    return 0;
}

static axis *axis_of(ws_text name, ws_text unit)
{
    for (uint32_t i = 0; i < kept_head.count; i++)
        if (ws_same(name, (ws_text){axes[i].name, axes[i].name_bytes})) return axes + i;
    if (kept_head.count == MOST_AXES || name.bytes > NAME_BYTES || unit.bytes > 32) return 0;
    axis *new = axes + kept_head.count++;
    *new = (axis){.name_bytes = name.bytes, .unit_bytes = unit.bytes};
    ws_copy(new->name, name.at, name.bytes);
    ws_copy(new->unit, unit.at, unit.bytes);
    return new;
}

static void close_window(ws_out *out, axis *a)
{
    ws_text name = {a->name, a->name_bytes}, unit = {a->unit, a->unit_bytes};
    uint32_t quality = a->absent ? WS_PARTIAL : a->quality;
    double up = a->high - a->mean, down = a->mean - a->low;
    if (!a->count && !a->absent) return;
    /* about the mean of itself one reading says nothing */
    if (a->count < 2) quality = WS_INVALID;
    double rms = a->count ? __builtin_sqrt(a->squares / a->count) : 0;
    if (a->rms < 0) {
        a->rms = ws_add_series(out, name, WS_TEXT(".rms"), unit);
        a->peak = ws_add_series(out, name, WS_TEXT(".peak"), unit);
    }
    ws_add(out, a->rms, a->last_ns, rms, quality);
    ws_add(out, a->peak, a->last_ns, up > down ? up : down, quality);
    a->count = a->absent = a->quality = 0;
    a->mean = a->squares = 0;
}

static void take(axis *a, const ws_reading *r)
{
    a->last_ns = r->time_ns;
    if (r->quality >= WS_FIRST_ABSENT) {
        a->absent++;
        return;
    }
    double before = r->value - a->mean;
    a->mean += before / ++a->count;
    a->squares += before * (r->value - a->mean);
    if (a->count == 1 || r->value < a->low) a->low = r->value;
    if (a->count == 1 || r->value > a->high) a->high = r->value;
    if (r->quality > a->quality) a->quality = r->quality;
}

static int64_t window_of(int64_t time_ns)
{
    int64_t length = kept_head.window_ns, rest;
    if (!length) return 0;
    rest = time_ns % length;
    return (time_ns - rest) / length - (rest < 0);
}

static int64_t refused(int64_t code)
{
    ws_log(WS_ERROR, "no room: at most 48 axes, and 128 windows in a block");
    return code;
}

WS_EXPORT(wayside_process) int64_t wayside_process(const ws_block *in, uint32_t bytes)
{
    ws_out out;
    (void)bytes;
    if (!ws_begin(&out, 2 * MOST_AXES, 2 * MOST_WINDOWS, 2 * MOST_AXES * (NAME_BYTES + 40))) return refused(-1);
    axis **found = ws_take(in->series * sizeof *found);
    if (!found) return refused(-1);
    for (uint32_t i = 0; i < in->series; i++)
        if (!(found[i] = axis_of(ws_name(in, i), ws_unit(in, i)))) return refused(-2);
    for (uint32_t i = 0; i < kept_head.count; i++) axes[i].rms = axes[i].peak = -1;
    const ws_reading *r = ws_readings_of(in);
    for (uint32_t i = 0; i < in->readings; i++, r++) {
        if (r->series >= in->series) continue;
        axis *a = found[r->series];
        int64_t window = window_of(r->time_ns);
        if (window != a->window) {
            if (out.head->readings + 2 > 2 * MOST_WINDOWS) return refused(-3);
            close_window(&out, a);
            a->window = window;
        }
        take(a, r);
    }
    if (!kept_head.window_ns)
        for (uint32_t i = 0; i < in->series; i++) close_window(&out, found[i]);
    return ws_end(&out);
}
