// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The device that the buses belong to. */
#include <linux/module.h>

#include "vboard.h"

static int probe(struct platform_device *pd)
{
	int ret = vb_gpio_add(pd);

	if (!ret)
		ret = vb_i2c_add(pd);
	if (!ret)
		ret = vb_spi_add(pd);
	return ret ? ret : vb_open_door(pd);
}

static struct platform_driver driver = { .driver = { .name = "vboard" }, .probe = probe };
static struct platform_device *device;

static int __init vb_init(void)
{
	int ret = platform_driver_register(&driver);

	if (ret)
		return ret;
	device = platform_device_register_simple("vboard", -1, NULL, 0);
	if (IS_ERR(device)) {
		platform_driver_unregister(&driver);
		return PTR_ERR(device);
	}
	return 0;
}

static void __exit vb_exit(void)
{
	platform_device_unregister(device);
	platform_driver_unregister(&driver);
}

module_init(vb_init);
module_exit(vb_exit);
MODULE_DESCRIPTION("virtual board: I2C, SPI and GPIO answered by a user program");
MODULE_LICENSE("Dual MIT/GPL");
