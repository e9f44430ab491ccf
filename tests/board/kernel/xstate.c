/*
 * The floating point state of a process as the host has it, which on processors with AMX is four times longer than the
 * one that User-Mode Linux has room for; the host takes it whole or not at all. What does not fit is the tiles, which
 * no program may use that has not asked for them.
 */
#include <string.h>

#define WHOLE_FP 2048
#define KEPT_FP (FP_SIZE * sizeof(unsigned long))
/* In the header of the state, behind 512 bytes: the parts that it holds, of which those up to PKRU fit. */
#define FP_PARTS 64
#define FP_FITTING 0x3ffUL

static unsigned long whole_fp[WHOLE_FP];
static unsigned long whole_fp_bytes;

static void keep_fp(unsigned long *fp_regs)
{
	memcpy(fp_regs, whole_fp, KEPT_FP);
}

static unsigned long give_fp(const unsigned long *fp_regs)
{
	memcpy(whole_fp, fp_regs, KEPT_FP);
	if (whole_fp_bytes > KEPT_FP) {
		memset((char *)whole_fp + KEPT_FP, 0, whole_fp_bytes - KEPT_FP);
		whole_fp[FP_PARTS] &= FP_FITTING;
	}
	return whole_fp_bytes;
}
