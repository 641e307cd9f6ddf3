// The kernel's side of an NVIDIA card that is not there: an RTX 3060 (GA106, Ampere) as the kernel
// driver nouveau would show it. Loaded before Mesa's driver for such cards, NVK, it takes the place
// of libdrm, through which that driver asks the kernel. Buffers are pages of /dev/zero, each mapping
// its own; what is submitted is dropped and counts as done. Only the compiler's work is real.
#include <errno.h>
#include <stdint.h>
#include <string.h>

enum { CHIP = 0x176, DEVICE = 0x2503, VENDOR = 0x10de };
static const uint64_t memory = 12ull << 30;

// The structs of libdrm's xf86drm.h.
struct pci_bus { uint16_t domain; uint8_t bus, device, function; };
struct pci_device { uint16_t vendor, device, subvendor, subdevice; uint8_t revision; };
struct device { char **nodes; int available, bus; struct pci_bus *at; struct pci_device *is; };
struct version { int major, minor, patch, name_length; char *name; int date_length; char *date; int text_length; char *text; };

// Nodes are: primary, control, render. The one there is can be opened and mapped.
static char *nodes[] = {"", "", "/dev/zero"};
static struct pci_bus at = {.bus = 1};
static struct pci_device is = {VENDOR, DEVICE, VENDOR, 0, 0xa1};
static struct device card = {nodes, 1 << 2, 0, &at, &is};
static struct version version = {1, 4, 0, 7, "nouveau", 0, "", 0, ""};

int drmGetDevices2(uint32_t flags, struct device **list, int most) {
	if (list && most > 0) list[0] = &card;
	return 1;
}
int drmGetDeviceFromDevId(uint64_t id, uint32_t flags, struct device **d) {
	*d = &card;
	return 0;
}
void drmFreeDevices(struct device **list, int n) {}
void drmFreeDevice(struct device **d) {}
struct version *drmGetVersion(int fd) { return &version; }
void drmFreeVersion(struct version *v) {}
int drmGetCap(int fd, uint64_t what, uint64_t *value) {
	*value = 1;
	return 0;
}

// The structs of the kernel's nouveau_drm.h, nvif/ioctl.h and nvif/cl0080.h that are answered.
struct parameter { uint64_t name, value; };
struct channel { uint32_t unused[2]; int32_t channel; };
struct buffer { uint32_t handle, domain; uint64_t size, offset, map; };
struct call { uint8_t version, type, unused[6]; uint64_t token, object; };
struct classes { struct call call; uint8_t version, count, unused[6]; struct { int32_t class; int16_t least, most; } list[]; };
struct about {
	struct call call;
	uint8_t version, method, unused[6];
	struct { uint8_t version, platform; uint16_t chip; uint8_t revision, family, unused[2]; uint64_t memory, for_user; char chip_name[16], name[64]; } is;
};

static int parameter(struct parameter *p) {
	switch (p->name) {
	case 3: p->value = VENDOR; return 0;
	case 4: p->value = DEVICE; return 0;
	case 11: p->value = CHIP; return 0;
	case 13: p->value = 3 | 14 << 8; return 0; // clusters, and pairs of processors
	case 14: p->value = 1; return 0; // nanoseconds
	case 17: p->value = 64; return 0; // buffers of commands at once
	case 18: p->value = memory; return 0; // that the host maps
	case 19: p->value = 1 << 20; return 0; // memory in use
	}
	return -EINVAL;
}

// Objects: the classes of engines that there are, and what device it is.
static int object(struct call *call) {
	if (call->type == 1) {
		// channel, copy, 2D, 3D, memory to memory, compute
		static const int32_t list[] = {0xc56f, 0xc7b5, 0x902d, 0xc797, 0xa140, 0xc7c0};
		struct classes *c = (struct classes *)call;
		uint8_t most = c->count;
		memset(c->list, 0, most * sizeof *c->list);
		for (c->count = 0; c->count < most && c->count < sizeof list / sizeof *list; c->count++) c->list[c->count].class = list[c->count];
	} else if (call->type == 4) {
		struct about *a = (struct about *)call;
		a->is.platform = 3; // PCI express
		a->is.chip = CHIP;
		a->is.memory = a->is.for_user = memory;
		strcpy(a->is.chip_name, "GA106");
		strcpy(a->is.name, "GA106");
	}
	return 0;
}

static int command(unsigned long number, void *data) {
	static uint32_t buffers;
	switch (number) {
	case 0x00: return parameter(data);
	case 0x02: ((struct channel *)data)->channel = 1; return 0;
	case 0x07: return object(data);
	case 0x40: // a buffer
		((struct buffer *)data)->handle = __atomic_add_fetch(&buffers, 1, __ATOMIC_RELAXED);
		((struct buffer *)data)->map = 0;
		return 0;
	case 0x03: case 0x10: case 0x11: case 0x12: case 0x41: case 0x42: return 0; // addresses, submissions, waiting
	}
	return -EINVAL;
}
int drmCommandRead(int fd, unsigned long number, void *data, unsigned long size) { return command(number, data); }
int drmCommandWrite(int fd, unsigned long number, void *data, unsigned long size) { return command(number, data); }
int drmCommandWriteRead(int fd, unsigned long number, void *data, unsigned long size) { return command(number, data); }
int drmIoctl(int fd, unsigned long number, void *data) {
	errno = EINVAL;
	return -1;
}
int drmCloseBufferHandle(int fd, uint32_t handle) { return 0; }

// Whatever is waited for has happened.
int drmSyncobjCreate(int fd, uint32_t flags, uint32_t *handle) {
	static uint32_t all;
	*handle = __atomic_add_fetch(&all, 1, __ATOMIC_RELAXED);
	return 0;
}
int drmSyncobjDestroy(int fd, uint32_t handle) { return 0; }
int drmSyncobjReset(int fd, const uint32_t *handles, uint32_t n) { return 0; }
int drmSyncobjSignal(int fd, const uint32_t *handles, uint32_t n) { return 0; }
int drmSyncobjTimelineSignal(int fd, const uint32_t *handles, uint64_t *points, uint32_t n) { return 0; }
int drmSyncobjTransfer(int fd, uint32_t to, uint64_t to_point, uint32_t from, uint64_t from_point, uint32_t flags) { return 0; }
int drmSyncobjWait(int fd, uint32_t *handles, unsigned n, int64_t until, unsigned flags, uint32_t *first) {
	if (first) *first = 0;
	return 0;
}
int drmSyncobjTimelineWait(int fd, uint32_t *handles, uint64_t *points, unsigned n, int64_t until, unsigned flags, uint32_t *first) {
	if (first) *first = 0;
	return 0;
}
int drmSyncobjQuery2(int fd, uint32_t *handles, uint64_t *points, uint32_t n, uint32_t flags) {
	for (uint32_t i = 0; i < n; i++) points[i] = 1ull << 62;
	return 0;
}
