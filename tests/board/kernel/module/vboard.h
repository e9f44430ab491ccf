/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * vboard: one I2C adapter, one SPI controller with spidev chip selects and one
 * 32-line GPIO chip whose other side is a user program that holds /dev/vboard
 * open. Every bus transaction is a frame that the program read()s, and it
 * answers with a frame that it write()s. Integers are those of the machine.
 *
 *   kernel -> program: struct vb_req + payload, one frame per read
 *   program -> kernel: struct vb_rsp + payload, one frame per write
 *
 * An answer without an id is a command. payload: enum vb_command, line, level.
 */
#ifndef VBOARD_H
#define VBOARD_H

#include <linux/completion.h>
#include <linux/platform_device.h>
#include <linux/types.h>

#define VB_LINES 32

enum vb_kind { VB_I2C = 1, VB_SPI = 2, VB_GPIO = 3 };
enum vb_command { VB_DRIVE = 1, VB_RELEASE = 2 };

struct vb_req { u32 id; u8 kind; u8 bus; u16 count; u32 len; } __packed;
struct vb_rsp { u32 id; s32 status; u32 len; } __packed;
struct vb_i2c_head { u16 addr, flags, len, pad; } __packed;
struct vb_spi_head { u32 len, speed_hz; u8 mode, bits, cs_change, pad; } __packed;
struct vb_gpio_state { u8 line, level, is_output, pulled_up; } __packed;

struct vb_item {
	struct list_head node;
	struct completion done;
	struct vb_req *req;	/* header and payload */
	u8 *rx;			/* payload of the answer */
	u32 rxlen;
	s32 status;
	bool oneway;
};

/* queue.c: the frames and /dev/vboard */
struct vb_item *vb_new(enum vb_kind kind, u16 count, u32 len, gfp_t gfp);
void vb_free(struct vb_item *it);
int vb_post(struct vb_item *it);	/* no answer wanted; frees it */
int vb_call(struct vb_item *it);	/* waits for the answer; the caller frees it */
int vb_open_door(struct platform_device *pd);

static inline u8 *vb_payload(struct vb_item *it) { return (u8 *)(it->req + 1); }

/* i2c.c, spi.c, gpio.c */
int vb_i2c_add(struct platform_device *pd);
int vb_spi_add(struct platform_device *pd);
int vb_gpio_add(struct platform_device *pd);
int vb_gpio_command(const u8 *payload, size_t len);
void vb_gpio_release_all(void);

#endif
