/* SPDX-License-Identifier: MIT
 *
 * The smallest guest that shows whether it is alive and still itself: once a second it prints its name, an identity
 * that it made up when it started, and a counter. It suspends when the toolstack asks, and so can be migrated.
 *
 * Compiled with -m32 it is a PVH guest, with -m64 a PV guest. Nothing but Xen's public interface is under it:
 * xen/include/public/{sched,event_channel,hvm/params,memory,io/console,io/xs_wire}.h.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

enum { MEMORY_OP = 12, UPDATE_VA_MAPPING = 14, SCHED_OP = 29, EVENT_CHANNEL_OP = 32, HVM_OP = 34 };
enum { SCHED_SHUTDOWN = 2, SCHED_POLL = 3, EVENT_CHANNEL_SEND = 4 };
enum { POWEROFF = 0, SUSPEND = 2 };
enum { XS_READ = 2, XS_WRITE = 11, XS_ERROR = 16 };

#define PAGE __attribute__((aligned(4096)))
#define barrier() __asm__ volatile("" ::: "memory")
#define NOTE(type, value) \
    ".pushsection .note.Xen, \"a\", @note; .balign 4; .long 4, 2f - 1f, " #type "; .asciz \"Xen\"; " \
    "1: " value "; 2: .balign 4; .popsection\n"

u8 hypercall_page[4096] PAGE;
static u8 shared_page[4096] PAGE;
u8 stack[8192] PAGE;

struct console { u8 in[1024], out[2048]; u32 in_cons, in_prod, out_cons, out_prod; };
struct store { u8 req[1024], rsp[1024]; u32 req_cons, req_prod, rsp_cons, rsp_prod; };
struct message { u32 type, id, transaction, length; };
struct time { u32 version, pad; u64 tsc, nanoseconds; u32 multiplier; signed char shift; };

static volatile struct console *console;
static volatile struct store *store;
static volatile struct time *const clock = (void *)(shared_page + 32); /* of the first vcpu, in both layouts */
static u32 console_port, store_port;

#ifdef __x86_64__
__asm__(NOTE(1, ".quad start") NOTE(2, ".quad hypercall_page") NOTE(3, ".quad 0") NOTE(4, ".quad 0")
        NOTE(5, ".asciz \"xen-3.0\"") NOTE(6, ".asciz \"counter\"") NOTE(8, ".asciz \"generic\"")
        ".globl start; start: lea stack + 8192(%rip), %rsp; mov %rsi, %rdi; call run\n");

static word hypercall(word number, word a, word b, word c)
{
    word result, entry = (word)hypercall_page + number * 32;
    __asm__ volatile("call *%4" : "=a"(result), "+D"(a), "+S"(b), "+d"(c) : "r"(entry)
                     : "memory", "rcx", "r8", "r9", "r10", "r11");
    return result;
}

/* xen/include/public/xen.h, as a 64-bit guest gets it. */
struct start_info {
    char magic[32];
    word pages, shared_info;
    u32 flags;
    word store_frame;
    u32 store_port;
    word console_frame;
    u32 console_port;
    word page_tables, page_table_pages;
    word *frames; /* which frame of the machine each of the guest's pages is in */
};

static word frame_list[512] PAGE, frame_list_list[512] PAGE;

static void connect(struct start_info *info)
{
    /* The domain builder lays these pages out one behind the other (tools/libs/guest/xg_dom_x86.c). */
    store = (void *)((u8 *)info + 4096);
    console = (void *)((u8 *)info + 8192);
    store_port = info->store_port;
    console_port = info->console_port;
    hypercall(UPDATE_VA_MAPPING, (word)shared_page, info->shared_info | 7, 2);
    /* What a toolstack that saves the guest looks for (struct arch_shared_info): without it, it gives up at once. */
    for (word page = 0; page < (info->pages + 511) / 512; page++)
        frame_list[page] = info->frames[((word)info->frames >> 12) + page];
    frame_list_list[0] = info->frames[(word)frame_list >> 12];
    ((word *)(shared_page + 3088))[0] = info->pages;
    ((word *)(shared_page + 3088))[1] = info->frames[(word)frame_list_list >> 12];
}
#else
__asm__(NOTE(18, ".long start")
        ".globl start; start: mov $stack + 8192, %esp; push %ebx; call run\n");

static word hypercall(word number, word a, word b, word c)
{
    word result, entry = (word)hypercall_page + number * 32;
    __asm__ volatile("call *%4" : "=a"(result), "+b"(a), "+c"(b), "+d"(c) : "S"(entry) : "memory");
    return result;
}

struct start_info;

static u64 parameter(u32 index)
{
    struct { u16 domain, pad; u32 index; u64 value; } request = { 0x7ff0, 0, index, 0 };
    hypercall(HVM_OP, 1, (word)&request, 0);
    return request.value;
}

static void connect(struct start_info *info)
{
    struct { u16 domain, size; u32 space; word index, frame; } map = { 0x7ff0, 0, 0, 0, (word)shared_page >> 12 };
    u32 a = 0x40000002, b, c = 0, d;
    (void)info;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    __asm__ volatile("wrmsr" :: "c"(b), "a"(hypercall_page), "d"(0) : "memory");
    hypercall(MEMORY_OP, 7, (word)&map, 0);
    store = (void *)(word)(parameter(1) << 12);
    store_port = parameter(2);
    console = (void *)(word)(parameter(17) << 12);
    console_port = parameter(18);
}
#endif

static u64 ticks(void)
{
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

/* Nanoseconds since Xen started. */
static u64 now(void)
{
    u32 version;
    u64 result, passed;
    do {
        version = clock->version;
        barrier();
        passed = ticks() - clock->tsc;
        passed = clock->shift < 0 ? passed >> -clock->shift : passed << clock->shift;
        result = clock->nanoseconds + ((u64)(u32)passed * clock->multiplier >> 32)
                 + (passed >> 32) * clock->multiplier;
        barrier();
    } while ((version & 1) || version != clock->version);
    return result;
}

static void sleep(u32 milliseconds)
{
    struct { u32 *ports; u32 number; u64 until; } poll = { 0, 0, now() + (u64)milliseconds * 1000000 };
    hypercall(SCHED_OP, SCHED_POLL, (word)&poll, 0);
}

static void notify(u32 port)
{
    hypercall(EVENT_CHANNEL_OP, EVENT_CHANNEL_SEND, (word)&port, 0);
}

static void print(const char *text)
{
    for (; *text; text++) {
        while (console->out_prod - console->out_cons == sizeof(console->out))
            sleep(10);
        console->out[console->out_prod % sizeof(console->out)] = *text;
        barrier();
        console->out_prod++;
    }
    notify(console_port);
}

static void send(const void *data, u32 length)
{
    const u8 *bytes = data;
    for (; length; length--, bytes++) {
        while (store->req_prod - store->req_cons == sizeof(store->req)) {
            notify(store_port);
            sleep(5);
        }
        store->req[store->req_prod % sizeof(store->req)] = *bytes;
        barrier();
        store->req_prod++;
    }
}

static u8 receive(void)
{
    u8 byte;
    while (store->rsp_prod == store->rsp_cons) {
        notify(store_port);
        sleep(5);
    }
    barrier();
    byte = store->rsp[store->rsp_cons % sizeof(store->rsp)];
    barrier();
    store->rsp_cons++;
    return byte;
}

static u32 length_of(const char *text)
{
    u32 length = 0;
    while (text[length])
        length++;
    return length;
}

/* Ask xenstore; the answer, cut to fit, or an empty string for an error. */
static void ask(u32 type, const char *path, const char *value, char *answer, u32 size)
{
    u32 path_length = length_of(path) + 1, i, value_length = length_of(value);
    struct message message = { type, 0, 0, path_length + value_length };
    send(&message, sizeof(message));
    send(path, path_length);
    send(value, value_length);
    notify(store_port);
    for (i = 0; i < sizeof(message); i++)
        ((u8 *)&message)[i] = receive();
    for (i = 0; i < message.length; i++) {
        u8 byte = receive();
        if (i < size - 1)
            answer[i] = byte;
    }
    answer[message.type == XS_ERROR ? 0 : message.length < size - 1 ? message.length : size - 1] = 0;
    notify(store_port);
}

static void number(u64 value, u32 base, u32 width, char *text)
{
    char digits[24];
    u32 count = 0;
    do {
        /* Without the compiler's library, a 32-bit program divides 64 bits one by one. */
        u64 quotient = 0, rest = 0;
        for (int bit = 63; bit >= 0; bit--) {
            rest = rest << 1 | (value >> bit & 1);
            if (rest >= base) {
                rest -= base;
                quotient |= 1ull << bit;
            }
        }
        digits[count++] = "0123456789abcdef"[rest];
        value = quotient;
    } while (value || count < width);
    while (count)
        *text++ = digits[--count];
    *text = 0;
}

void run(struct start_info *info)
{
    char name[64], identity[24], count[24], wish[16], ignored[16];
    u64 counter = 0;
    connect(info);
    ask(XS_READ, "name", "", name, sizeof(name));
    number(ticks() ^ now() << 20, 16, 16, identity);
    for (;;) {
        number(++counter, 10, 1, count);
        print(name);
        print(" ");
        print(identity);
        print(" ");
        print(count);
        print("\r\n");
        for (int part = 0; part < 4; part++) {
            sleep(250);
            ask(XS_READ, "control/shutdown", "", wish, sizeof(wish));
            if (wish[0]) {
                u32 reason = wish[0] == 's' ? SUSPEND : POWEROFF;
                ask(XS_WRITE, "control/shutdown", "", ignored, sizeof(ignored));
                hypercall(SCHED_OP, SCHED_SHUTDOWN, (word)&reason, 0);
                connect(info);
            }
        }
    }
}
