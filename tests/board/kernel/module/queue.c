// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Frames between the buses and the program behind /dev/vboard. */
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vboard.h"

#define VB_MAX (1 << 16)

static int timeout_ms = 2000;
module_param(timeout_ms, int, 0644);
MODULE_PARM_DESC(timeout_ms, "how long an adapter waits before it gives a transaction up");

static LIST_HEAD(outgoing);	/* waiting to be read */
static LIST_HEAD(asked);	/* read, waiting for the answer */
static DEFINE_SPINLOCK(lock);
static DECLARE_WAIT_QUEUE_HEAD(readable);
static bool is_open;
static u32 last_id;

void vb_free(struct vb_item *it)
{
	kfree(it->rx);
	kfree(it->req);
	kfree(it);
}

struct vb_item *vb_new(enum vb_kind kind, u16 count, u32 len, gfp_t gfp)
{
	struct vb_item *it = kzalloc(sizeof(*it), gfp);

	if (!it)
		return NULL;
	it->req = kzalloc(sizeof(*it->req) + len, gfp);
	if (!it->req) {
		kfree(it);
		return NULL;
	}
	init_completion(&it->done);
	it->req->kind = kind;
	it->req->count = count;
	it->req->len = len;
	return it;
}

static int enqueue(struct vb_item *it)
{
	unsigned long flags;
	int ret = 0;

	spin_lock_irqsave(&lock, flags);
	if (is_open) {
		if (!++last_id)
			last_id = 1;
		it->req->id = last_id;
		list_add_tail(&it->node, &outgoing);
	} else {
		ret = -ENXIO;
	}
	spin_unlock_irqrestore(&lock, flags);
	if (!ret)
		wake_up_interruptible(&readable);
	return ret;
}

int vb_post(struct vb_item *it)
{
	int ret;

	it->oneway = true;
	ret = enqueue(it);
	if (ret)
		vb_free(it);
	return ret;
}

int vb_call(struct vb_item *it)
{
	unsigned long flags;
	int ret = enqueue(it);

	if (ret)
		return ret;
	if (!wait_for_completion_timeout(&it->done, msecs_to_jiffies(timeout_ms))) {
		spin_lock_irqsave(&lock, flags);
		if (!completion_done(&it->done)) {
			list_del(&it->node);
			it->status = -ETIMEDOUT;
		}
		spin_unlock_irqrestore(&lock, flags);
	}
	return it->status;
}

static int door_open(struct inode *inode, struct file *file)
{
	bool busy;

	spin_lock_irq(&lock);
	busy = is_open;
	is_open = true;
	spin_unlock_irq(&lock);
	return busy ? -EBUSY : stream_open(inode, file);
}

static int door_release(struct inode *inode, struct file *file)
{
	struct vb_item *it, *next;
	LIST_HEAD(dropped);

	spin_lock_irq(&lock);
	is_open = false;
	list_splice_init(&asked, &outgoing);
	list_for_each_entry_safe(it, next, &outgoing, node) {
		list_del_init(&it->node);
		if (it->oneway) {
			list_add(&it->node, &dropped);
		} else {
			it->status = -ENXIO;	/* unplugged in the middle */
			complete(&it->done);
		}
	}
	spin_unlock_irq(&lock);
	list_for_each_entry_safe(it, next, &dropped, node)
		vb_free(it);
	vb_gpio_release_all();
	return 0;
}

/* Moves the oldest frame into buf; its length, 0 when there is none. */
static ssize_t take(void *buf, size_t room)
{
	struct vb_item *it;
	ssize_t len = 0;
	bool done = false;

	spin_lock_irq(&lock);
	it = list_first_entry_or_null(&outgoing, struct vb_item, node);
	if (it) {
		len = sizeof(*it->req) + it->req->len;
		if (len > room) {
			len = -EMSGSIZE;
		} else {
			memcpy(buf, it->req, len);
			done = it->oneway;
			if (done)
				list_del_init(&it->node);
			else
				list_move_tail(&it->node, &asked);
		}
	}
	spin_unlock_irq(&lock);
	if (done)
		vb_free(it);
	return len;
}

static ssize_t door_read(struct file *file, char __user *buf, size_t room, loff_t *pos)
{
	void *copy;
	ssize_t len;

	room = min_t(size_t, room, VB_MAX);
	copy = kmalloc(room, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	while (!(len = take(copy, room))) {
		if (file->f_flags & O_NONBLOCK)
			len = -EAGAIN;
		else
			len = wait_event_interruptible(readable, !list_empty(&outgoing));
		if (len)
			break;
	}
	if (len > 0 && copy_to_user(buf, copy, len))
		len = -EFAULT;
	kfree(copy);
	return len;
}

static int answer(const struct vb_rsp *rsp, const u8 *payload)
{
	u8 *rx = rsp->len ? kmemdup(payload, rsp->len, GFP_KERNEL) : NULL;
	struct vb_item *it;
	int ret = -ESTALE;	/* whoever asked gave up waiting */

	if (rsp->len && !rx)
		return -ENOMEM;
	spin_lock_irq(&lock);
	list_for_each_entry(it, &asked, node)
		if (it->req->id == rsp->id) {
			list_del_init(&it->node);
			it->rx = rx;
			it->rxlen = rsp->len;
			it->status = rsp->status;
			rx = NULL;
			ret = 0;
			complete(&it->done);
			break;
		}
	spin_unlock_irq(&lock);
	kfree(rx);
	return ret;
}

static ssize_t door_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	struct vb_rsp *rsp;
	const u8 *payload;
	int ret;

	if (len < sizeof(*rsp) || len > VB_MAX)
		return -EINVAL;
	rsp = memdup_user(buf, len);
	if (IS_ERR(rsp))
		return PTR_ERR(rsp);
	payload = (const u8 *)(rsp + 1);
	if (rsp->len != len - sizeof(*rsp))
		ret = -EINVAL;
	else if (rsp->id)
		ret = answer(rsp, payload);
	else
		ret = vb_gpio_command(payload, rsp->len);
	kfree(rsp);
	return ret ? ret : len;
}

static __poll_t door_poll(struct file *file, poll_table *wait)
{
	poll_wait(file, &readable, wait);
	return EPOLLOUT | (list_empty(&outgoing) ? 0 : EPOLLIN);
}

static const struct file_operations door_fops = {
	.owner = THIS_MODULE, .open = door_open, .release = door_release,
	.read = door_read, .write = door_write, .poll = door_poll,
};
static struct miscdevice door = { .minor = MISC_DYNAMIC_MINOR, .name = "vboard", .fops = &door_fops };

static void close_door(void *unused) { misc_deregister(&door); }

int vb_open_door(struct platform_device *pd)
{
	int ret = misc_register(&door);

	return ret ? ret : devm_add_action_or_reset(&pd->dev, close_door, NULL);
}
