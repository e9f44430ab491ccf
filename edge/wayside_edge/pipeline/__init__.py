"""Pure parts between a reading and a batch: schedule, stamp, gather, close."""
