/* The interface between a module and the agent, version 1, for C: docs/reference/module-abi.md.
 *
 * Include it once, in the file that defines wayside_process. It exports wayside_abi, wayside_alloc and wayside_reset.
 * Memory is a stack that wayside_reset empties: what must outlive a block stands in static variables.
 */
#ifndef WAYSIDE_H
#define WAYSIDE_H

#include <stdint.h>

#define WS_EXPORT(name) __attribute__((export_name(#name)))
#define WS_IMPORT(name) __attribute__((import_module("wayside"), import_name(#name)))
#define WS_FIRST_ABSENT 64u /* from this quality on there is no value */
#define WS_NOTHING ((int64_t)0)

enum { WS_DEBUG = 10, WS_INFO = 20, WS_WARNING = 30, WS_ERROR = 40 };
enum {
    WS_GOOD = 0, WS_CLIPPED = 1, WS_UNSTABLE = 2, WS_STALE = 3, WS_OVERRUN = 4, WS_PARTIAL = 5,
    WS_OUT_OF_RANGE = 68, WS_INVALID = 72
};

/* The block, as it lies in memory. */
typedef struct { uint32_t version, series, readings, text_bytes; } ws_block;
typedef struct { uint32_t name_at, name_bytes, unit_at, unit_bytes; } ws_series;
typedef struct { int64_t time_ns; double value; uint32_t series, quality; } ws_reading;
typedef struct { const char *at; uint32_t bytes; } ws_text;

WS_IMPORT(log) void ws_log_text(int32_t level, const char *at, uint32_t bytes);
WS_IMPORT(event) void ws_event_text(const char *at, uint32_t bytes);

#define WS_TEXT(literal) ((ws_text){(literal), sizeof(literal) - 1})
#define ws_log(level, literal) ws_log_text((level), (literal), sizeof(literal) - 1)
#define ws_event(literal) ws_event_text((literal), sizeof(literal) - 1)

/* Memory. */

extern unsigned char __heap_base;
static uint32_t ws_top;

/* Room at a multiple of 8, until wayside_reset; 0 when there is none. */
static void *ws_take(uint32_t bytes)
{
    if (!ws_top) ws_top = ((uint32_t)&__heap_base + 7) & ~7u;
    uint64_t end = (uint64_t)ws_top + ((bytes + 7ull) & ~7ull);
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * 65536;
    if (end > 0x7FFFFFFF) return 0;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) / 65536) == (__SIZE_TYPE__)-1) return 0;
    void *at = (void *)ws_top;
    ws_top = (uint32_t)end;
    return at;
}

WS_EXPORT(wayside_abi) int32_t wayside_abi(void) { return 1; }
WS_EXPORT(wayside_alloc) void *wayside_alloc(uint32_t bytes) { return ws_take(bytes); }
WS_EXPORT(wayside_reset) void wayside_reset(void) { ws_top = 0; }

static void ws_copy(void *to, const void *from, uint32_t bytes) { __builtin_memmove(to, from, bytes); }

static int64_t ws_place(const void *at, uint32_t bytes) { return (int64_t)(((uint64_t)(uint32_t)at << 32) | bytes); }

/* Texts. */

static int ws_same(ws_text one, ws_text other)
{
    if (one.bytes != other.bytes) return 0;
    for (uint32_t i = 0; i < one.bytes; i++)
        if (one.at[i] != other.at[i]) return 0;
    return 1;
}

/* A decimal number, such as -12.5, to 15 digits; 0 when the text is none, else 1. */
static int ws_number(ws_text text, double *value)
{
    double whole = 0, scale = 1;
    uint32_t i = 0, digits = 0, point = 0;
    int negative = text.bytes && text.at[0] == '-';
    for (i = (uint32_t)negative; i < text.bytes; i++) {
        char sign = text.at[i];
        if (sign == '.' && !point) { point = 1; continue; }
        if (sign < '0' || sign > '9') return 0;
        whole = whole * 10 + (sign - '0');
        if (point) scale *= 10;
        digits++;
    }
    *value = (negative ? -whole : whole) / scale;
    return digits > 0 && digits < 300;
}

/* The next line `key=value` of settings; 0 at the end. Lines of the host, `wayside.…`, come too. */
static int ws_setting(ws_text *rest, ws_text *key, ws_text *value)
{
    uint32_t end = 0, equals;
    if (!rest->bytes) return 0;
    while (end < rest->bytes && rest->at[end] != '\n') end++;
    for (equals = 0; equals < end && rest->at[equals] != '='; equals++) {}
    *key = (ws_text){rest->at, equals};
    *value = (ws_text){rest->at + equals + 1, equals < end ? end - equals - 1 : 0};
    end += end < rest->bytes;
    *rest = (ws_text){rest->at + end, rest->bytes - end};
    return 1;
}

static int ws_of_host(ws_text key) { return key.bytes > 8 && ws_same((ws_text){key.at, 8}, WS_TEXT("wayside.")); }

/* The block that came in. The host checked nothing of it but that it made it. */

static ws_series *ws_series_of(const ws_block *block) { return (ws_series *)(block + 1); }
static ws_reading *ws_readings_of(const ws_block *block) { return (ws_reading *)(ws_series_of(block) + block->series); }
static const char *ws_texts_of(const ws_block *block) { return (const char *)(ws_readings_of(block) + block->readings); }

static ws_text ws_name(const ws_block *block, uint32_t series)
{
    const ws_series *found = ws_series_of(block) + series;
    return (ws_text){ws_texts_of(block) + found->name_at, found->name_bytes};
}

static ws_text ws_unit(const ws_block *block, uint32_t series)
{
    const ws_series *found = ws_series_of(block) + series;
    return (ws_text){ws_texts_of(block) + found->unit_at, found->unit_bytes};
}

/* The block that goes out. */

typedef struct {
    ws_block *head;
    ws_series *series;
    ws_reading *readings;
    char *text;
    uint32_t most_series, most_readings, most_text;
} ws_out;

/* Begin a block of at most so much; 0 when there is no room, else 1. */
static int ws_begin(ws_out *out, uint32_t series, uint32_t readings, uint32_t text_bytes)
{
    uint32_t rows = series * sizeof(ws_series) + readings * sizeof(ws_reading);
    out->head = ws_take(sizeof(ws_block) + rows + text_bytes);
    if (!out->head) return 0;
    *out->head = (ws_block){1, 0, 0, 0};
    out->series = (ws_series *)(out->head + 1);
    out->readings = (ws_reading *)(out->series + series);
    out->text = (char *)(out->readings + readings);
    out->most_series = series;
    out->most_readings = readings;
    out->most_text = text_bytes;
    return 1;
}

/* A new series, `name` with `ending` behind it; its number, or -1 when there is no room. */
static int32_t ws_add_series(ws_out *out, ws_text name, ws_text ending, ws_text unit)
{
    ws_block *head = out->head;
    uint32_t name_bytes = name.bytes + ending.bytes, at = head->text_bytes;
    if (head->series == out->most_series || name_bytes + unit.bytes > out->most_text - at) return -1;
    out->series[head->series] = (ws_series){at, name_bytes, at + name_bytes, unit.bytes};
    ws_copy(out->text + at, name.at, name.bytes);
    ws_copy(out->text + at + name.bytes, ending.at, ending.bytes);
    ws_copy(out->text + at + name_bytes, unit.at, unit.bytes);
    head->text_bytes += name_bytes + unit.bytes;
    return (int32_t)head->series++;
}

/* A reading of a series; without value its quality is 64 or more. 0 when there is no room, else 1. */
static int ws_add(ws_out *out, int32_t series, int64_t time_ns, double value, uint32_t quality)
{
    if (series < 0 || out->head->readings == out->most_readings) return 0;
    if (quality >= WS_FIRST_ABSENT) value = __builtin_nan("");
    out->readings[out->head->readings++] = (ws_reading){time_ns, value, (uint32_t)series, quality};
    return 1;
}

/* What wayside_process returns for it. */
static int64_t ws_end(ws_out *out)
{
    ws_block *head = out->head;
    if (!head->readings) return WS_NOTHING;
    char *at = (char *)(out->series + head->series);
    ws_copy(at, out->readings, head->readings * sizeof(ws_reading));
    at += head->readings * sizeof(ws_reading);
    ws_copy(at, out->text, head->text_bytes);
    return ws_place(head, (uint32_t)(at + head->text_bytes - (char *)head));
}

#endif
