// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The SPI controller: a message goes out whole, from chip select to chip select. */
#include <linux/module.h>
#include <linux/spi/spi.h>
#include <linux/version.h>

#include "vboard.h"

static int chip_selects = 2;
module_param(chip_selects, int, 0444);
MODULE_PARM_DESC(chip_selects, "number of /dev/spidev0.N");

static u8 chip_select(const struct spi_device *device)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	return spi_get_chipselect(device, 0);
#else
	return device->chip_select;
#endif
}

static struct vb_item *pack(struct spi_message *msg)
{
	struct spi_transfer *t;
	struct vb_item *it;
	u32 len = 0, count = 0;
	u8 *p;

	list_for_each_entry(t, &msg->transfers, transfer_list) {
		len += sizeof(struct vb_spi_head) + t->len;
		count++;
	}
	it = vb_new(VB_SPI, count, len, GFP_KERNEL);
	if (!it)
		return NULL;
	it->req->bus = chip_select(msg->spi);
	p = vb_payload(it);
	list_for_each_entry(t, &msg->transfers, transfer_list) {
		struct vb_spi_head head = {
			t->len, t->speed_hz, msg->spi->mode & 0xff, t->bits_per_word, t->cs_change, 0
		};

		memcpy(p, &head, sizeof(head));
		p += sizeof(head);
		if (t->tx_buf)
			memcpy(p, t->tx_buf, t->len);
		p += t->len;
		msg->actual_length += t->len;
	}
	return it;
}

/* What nobody answers reads as ones: MISO floats high, and the bus cannot tell. */
static void unpack(const struct vb_item *it, struct spi_message *msg)
{
	struct spi_transfer *t;
	u32 at = 0;

	list_for_each_entry(t, &msg->transfers, transfer_list) {
		if (t->rx_buf && at + t->len <= it->rxlen)
			memcpy(t->rx_buf, it->rx + at, t->len);
		else if (t->rx_buf)
			memset(t->rx_buf, 0xff, t->len);
		at += t->len;
	}
}

static int transfer(struct spi_controller *controller, struct spi_message *msg)
{
	struct vb_item *it = pack(msg);
	int ret = -ENOMEM;

	if (it) {
		ret = vb_call(it);
		if (ret == -ENXIO)
			ret = 0;
		if (!ret)
			unpack(it, msg);
		vb_free(it);
	}
	msg->status = ret;
	spi_finalize_current_message(controller);
	return ret;
}

int vb_spi_add(struct platform_device *pd)
{
	struct spi_controller *controller = devm_spi_alloc_master(&pd->dev, 0);
	int ret, i;

	if (!controller)
		return -ENOMEM;
	controller->bus_num = 0;
	controller->num_chipselect = chip_selects;
	controller->mode_bits = SPI_CPOL | SPI_CPHA | SPI_CS_HIGH | SPI_LSB_FIRST | SPI_3WIRE | SPI_NO_CS;
	controller->max_speed_hz = 125000000;
	controller->transfer_one_message = transfer;
	ret = devm_spi_register_controller(&pd->dev, controller);
	for (i = 0; !ret && i < chip_selects; i++) {
		/* spidev binds to names of real parts only; this is one of them */
		struct spi_board_info info = { .modalias = "bk4", .max_speed_hz = 10000000, .chip_select = i };

		if (!spi_new_device(controller, &info))
			ret = -ENODEV;
	}
	return ret;
}
