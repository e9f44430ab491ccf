// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The I2C adapter: a transaction goes out whole, from start to stop. */
#include <linux/i2c.h>
#include <linux/module.h>

#include "vboard.h"

static struct vb_item *pack(const struct i2c_msg *msgs, int count)
{
	struct vb_item *it;
	u32 len = 0;
	int i;
	u8 *p;

	for (i = 0; i < count; i++)
		len += sizeof(struct vb_i2c_head) + (msgs[i].flags & I2C_M_RD ? 0 : msgs[i].len);
	it = vb_new(VB_I2C, count, len, GFP_KERNEL);
	if (!it)
		return NULL;
	p = vb_payload(it);
	for (i = 0; i < count; i++) {
		struct vb_i2c_head head = { msgs[i].addr, msgs[i].flags, msgs[i].len, 0 };

		memcpy(p, &head, sizeof(head));
		p += sizeof(head);
		if (!(msgs[i].flags & I2C_M_RD)) {
			memcpy(p, msgs[i].buf, msgs[i].len);
			p += msgs[i].len;
		}
	}
	return it;
}

static int unpack(const struct vb_item *it, struct i2c_msg *msgs, int count)
{
	u32 at = 0;
	int i;

	for (i = 0; i < count; i++)
		if (msgs[i].flags & I2C_M_RD) {
			if (at + msgs[i].len > it->rxlen)
				return -EIO;
			memcpy(msgs[i].buf, it->rx + at, msgs[i].len);
			at += msgs[i].len;
		}
	return 0;
}

static int transfer(struct i2c_adapter *adapter, struct i2c_msg *msgs, int count)
{
	struct vb_item *it = pack(msgs, count);
	int ret;

	if (!it)
		return -ENOMEM;
	ret = vb_call(it);
	if (!ret)
		ret = unpack(it, msgs, count);
	vb_free(it);
	return ret ? ret : count;
}

static u32 functionality(struct i2c_adapter *adapter)
{
	return I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL;
}

static const struct i2c_algorithm algorithm = { .master_xfer = transfer, .functionality = functionality };
static struct i2c_adapter adapter = { .owner = THIS_MODULE, .name = "vboard-i2c", .algo = &algorithm };

int vb_i2c_add(struct platform_device *pd)
{
	adapter.dev.parent = &pd->dev;
	return devm_i2c_add_adapter(&pd->dev, &adapter);
}
