/* Gives each reading multiplied by a factor, under the same name. Build: wayside-fw module build . */
#include "wayside.h"

static double factor = 2;

WS_EXPORT(wayside_configure) int32_t wayside_configure(const char *at, uint32_t bytes)
{
    ws_text rest = {at, bytes}, key, value;
    while (ws_setting(&rest, &key, &value)) {
        if (ws_of_host(key)) continue;
        if (!ws_same(key, WS_TEXT("factor")) || !ws_number(value, &factor)) {
            ws_log(WS_ERROR, "the only setting is factor, a number");
            return 1;
        }
    }
    return 0;
}

WS_EXPORT(wayside_process) int64_t wayside_process(const ws_block *in, uint32_t bytes)
{
    ws_out out;
    const ws_reading *r = ws_readings_of(in);
    (void)bytes;
    if (!ws_begin(&out, in->series, in->readings, in->text_bytes)) return -1;
    for (uint32_t i = 0; i < in->series; i++) ws_add_series(&out, ws_name(in, i), WS_TEXT(""), ws_unit(in, i));
    for (uint32_t i = 0; i < in->readings; i++, r++)
        ws_add(&out, (int32_t)r->series, r->time_ns, r->value * factor, r->quality);
    return ws_end(&out);
}
