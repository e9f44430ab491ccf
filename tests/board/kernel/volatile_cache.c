/*
 * A volatile write cache for the disk of a User-Mode Linux machine, by LD_PRELOAD into its kernel.
 *
 * Sectors that the guest writes stay in this process until it asks for a flush, so SIGKILL does to them what a power
 * cut does to the cache of a card or a disk. Reads see them, as a disk's own cache would have it.
 *
 *   BOARD_DISK=path   the disk's image
 *   BOARD_EVICT=n     after a write, write n random sectors back early: reordered and torn writes
 *   BOARD_LIE=1       acknowledge flushes without writing, as some cards do
 *   BOARD_SEED=n      chooses the sectors
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

static ssize_t (*real_pread)(int, void *, size_t, off64_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fdatasync)(int);
static int (*real_execvp)(const char *, char *const[]);
static struct stat disk;
static uint64_t sectors, held;
static uint8_t *cached, *is_held;
static int evict, lie, disk_fd = -1;
static uint32_t state = 1;

static int number(const char *name, int otherwise)
{
	const char *text = getenv(name);

	return text ? atoi(text) : otherwise;
}

static void *memory(uint64_t bytes)
{
	void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (got == MAP_FAILED)
		abort();
	return got;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("BOARD_DISK");

	real_pread = dlsym(RTLD_NEXT, "pread64");
	real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
	real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	real_execvp = dlsym(RTLD_NEXT, "execvp");
	if (!path || stat(path, &disk))
		return;
	evict = number("BOARD_EVICT", 0);
	lie = number("BOARD_LIE", 0);
	state = number("BOARD_SEED", 1) | 1;
	sectors = disk.st_size / SECTOR;
	cached = memory(disk.st_size);
	is_held = memory(sectors);
}

static int is_disk(int fd)
{
	struct stat found;

	if (!sectors || fstat(fd, &found) || found.st_ino != disk.st_ino || found.st_dev != disk.st_dev)
		return 0;
	disk_fd = fd;
	return 1;
}

static void write_back(int fd, uint64_t sector)
{
	if (real_pwrite(fd, cached + sector * SECTOR, SECTOR, sector * SECTOR) != SECTOR)
		abort();
	is_held[sector] = 0;
	held--;
}

static void flush(int fd)
{
	for (uint64_t sector = 0; held && sector < sectors; sector++)
		if (is_held[sector])
			write_back(fd, sector);
}

static uint32_t next_random(void)	/* xorshift32: Marsaglia, Journal of Statistical Software 8 (14), 2003 */
{
	state ^= state << 13;
	state ^= state >> 17;
	return state ^= state << 5;
}

static void evict_one(int fd)
{
	uint64_t first = next_random() % sectors;

	for (uint64_t i = 0; i < sectors; i++)
		if (is_held[(first + i) % sectors]) {
			write_back(fd, (first + i) % sectors);
			return;
		}
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
	if (!is_disk(fd) || at % SECTOR || size % SECTOR)
		return real_pwrite(fd, data, size, at);
	memcpy(cached + at, data, size);
	for (uint64_t sector = at / SECTOR; sector < (at + size) / SECTOR; sector++)
		if (!is_held[sector]) {
			is_held[sector] = 1;
			held++;
		}
	for (int i = 0; i < evict && held; i++)
		evict_one(fd);
	return size;
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at)
{
	ssize_t got = real_pread(fd, data, size, at);

	if (got <= 0 || !held || !is_disk(fd))
		return got;
	for (int64_t sector = at / SECTOR; sector * SECTOR < at + got; sector++)
		if (is_held[sector]) {
			int64_t from = sector * SECTOR < at ? at : sector * SECTOR;
			int64_t to = (sector + 1) * SECTOR > at + got ? at + got : (sector + 1) * SECTOR;

			memcpy((char *)data + (from - at), cached + from, to - from);
		}
	return got;
}

int fdatasync(int fd)
{
	if (!is_disk(fd))
		return real_fdatasync(fd);
	if (!lie)
		flush(fd);
	return 0;
}

int execvp(const char *file, char *const arguments[])	/* a reset: the disk keeps its power */
{
	if (disk_fd >= 0)
		flush(disk_fd);
	return real_execvp(file, arguments);
}
