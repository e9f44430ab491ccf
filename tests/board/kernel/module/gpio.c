// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The GPIO chip: levels, pull-ups and edges, as the wires would have them. */
#include <linux/gpio/driver.h>
#include <linux/irq.h>
#include <linux/module.h>
#include <linux/pinctrl/pinconf-generic.h>
#include <linux/version.h>

#include "vboard.h"

static u32 out, is_output, in, driven, pulled_up, unmasked, rising, falling;
static DEFINE_SPINLOCK(lock);
static struct gpio_chip chip;

static u32 levels(void)
{
	u32 outside = (in & driven) | (pulled_up & ~driven);

	return (out & is_output) | (outside & ~is_output);
}

static void put(u32 *word, u32 bit, bool value) { *word = value ? *word | bit : *word & ~bit; }

static void set_out(u32 bit, bool level) { put(&out, bit, level); }
static void make_output(u32 bit, bool level) { put(&is_output, bit, true); put(&out, bit, level); }
static void make_input(u32 bit, bool unused) { put(&is_output, bit, false); }
static void set_pull(u32 bit, bool up) { put(&pulled_up, bit, up); }
static void drive(u32 bit, bool level) { put(&driven, bit, true); put(&in, bit, level); }
static void release(u32 bit, bool unused) { put(&driven, bit, false); }

static void change(void (*how)(u32 bit, bool value), int line, bool value)
{
	u32 bit = 1u << line, old, new;
	unsigned long flags;
	bool fire;

	spin_lock_irqsave(&lock, flags);
	old = levels();
	how(bit, value);
	new = levels();
	fire = ((old ^ new) & bit) && (unmasked & bit) && ((new & bit ? rising : falling) & bit);
	spin_unlock_irqrestore(&lock, flags);
	if (fire)
		generic_handle_irq_safe(irq_find_mapping(chip.irq.domain, line));
}

/* A change made on this side, which the program is told of. */
static void change_and_tell(void (*how)(u32 bit, bool value), int line, bool value)
{
	struct vb_gpio_state *state;
	struct vb_item *it;
	u32 bit = 1u << line;

	change(how, line, value);
	it = vb_new(VB_GPIO, 1, sizeof(*state), GFP_ATOMIC);
	if (!it)
		return;
	state = (struct vb_gpio_state *)vb_payload(it);
	state->line = line;
	state->level = !!(levels() & bit);
	state->is_output = !!(is_output & bit);
	state->pulled_up = !!(pulled_up & bit);
	vb_post(it);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
static int set(struct gpio_chip *c, unsigned int line, int value)
{
	change_and_tell(set_out, line, value);
	return 0;
}
#else
static void set(struct gpio_chip *c, unsigned int line, int value)
{
	change_and_tell(set_out, line, value);
}
#endif

static int get(struct gpio_chip *c, unsigned int line) { return !!(levels() & (1u << line)); }
static int get_direction(struct gpio_chip *c, unsigned int line) { return !(is_output & (1u << line)); }

static int direction_input(struct gpio_chip *c, unsigned int line)
{
	change_and_tell(make_input, line, 0);
	return 0;
}

static int direction_output(struct gpio_chip *c, unsigned int line, int value)
{
	change_and_tell(make_output, line, value);
	return 0;
}

static int set_config(struct gpio_chip *c, unsigned int line, unsigned long config)
{
	switch (pinconf_to_config_param(config)) {
	case PIN_CONFIG_BIAS_PULL_UP:
		change_and_tell(set_pull, line, true);
		return 0;
	case PIN_CONFIG_BIAS_PULL_DOWN:
	case PIN_CONFIG_BIAS_DISABLE:
		change_and_tell(set_pull, line, false);
		return 0;
	default:
		return -ENOTSUPP;
	}
}

static void irq_mask(struct irq_data *d)
{
	put(&unmasked, 1u << irqd_to_hwirq(d), false);
	gpiochip_disable_irq(&chip, irqd_to_hwirq(d));
}

static void irq_unmask(struct irq_data *d)
{
	gpiochip_enable_irq(&chip, irqd_to_hwirq(d));
	put(&unmasked, 1u << irqd_to_hwirq(d), true);
}

static int irq_set_type(struct irq_data *d, unsigned int type)
{
	u32 bit = 1u << irqd_to_hwirq(d);

	put(&rising, bit, type & IRQ_TYPE_EDGE_RISING);
	put(&falling, bit, type & IRQ_TYPE_EDGE_FALLING);
	return type & IRQ_TYPE_LEVEL_MASK ? -EINVAL : 0;
}

static const struct irq_chip irqchip = {
	.name = "vboard", .irq_mask = irq_mask, .irq_unmask = irq_unmask,
	.irq_set_type = irq_set_type, .flags = IRQCHIP_IMMUTABLE, GPIOCHIP_IRQ_RESOURCE_HELPERS,
};

int vb_gpio_command(const u8 *payload, size_t len)
{
	if (len < 3 || payload[1] >= VB_LINES)
		return -EINVAL;
	switch (payload[0]) {
	case VB_DRIVE:
		change(drive, payload[1], payload[2]);
		return 0;
	case VB_RELEASE:
		change(release, payload[1], 0);
		return 0;
	default:
		return -EINVAL;
	}
}

void vb_gpio_release_all(void)
{
	int line;

	for (line = 0; line < VB_LINES; line++)
		change(release, line, 0);
}

int vb_gpio_add(struct platform_device *pd)
{
	struct gpio_irq_chip *irq = &chip.irq;

	chip.label = "vboard";
	chip.parent = &pd->dev;
	chip.owner = THIS_MODULE;
	chip.base = -1;
	chip.ngpio = VB_LINES;
	chip.get = get;
	chip.set = set;
	chip.get_direction = get_direction;
	chip.direction_input = direction_input;
	chip.direction_output = direction_output;
	chip.set_config = set_config;
	gpio_irq_chip_set_chip(irq, &irqchip);
	irq->default_type = IRQ_TYPE_NONE;
	irq->handler = handle_simple_irq;
	return devm_gpiochip_add_data(&pd->dev, &chip, NULL);
}
