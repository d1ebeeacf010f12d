/* A simulated libnvidia-ml.so.1: the part of NVML that wan-tui calls, for GPUs described in a text file.
 *
 * The file is named by SIMNVML_SCENARIO and read again whenever it changes (replace it atomically: write, then rename).
 * One "key = value" per line, in a section [driver] and one section [gpu N] per GPU, N counting from 0:
 *
 *   [driver]
 *   driver_version = 550.54.15
 *   nvml_version = 12.550.54.15
 *   cuda_version = 12040
 *   latency_milliseconds = 50                  how long every call takes
 *   [gpu 0]
 *   name = NVIDIA GeForce RTX 4090
 *   uuid = GPU-00000000-0000-0000-0000-000000000000
 *   memory_total_bytes = 25757220864
 *   compute_process = 4711 1073741824          pid and bytes ("-": not available); one line per process
 *   ...                                        the other keys: see the functions at the end of this file
 *
 *   xid = 79                                   an event of that GPU; one line per event, a new line is a new event
 *   [mig 0 1]                                  slice 1 of GPU 0: uuid, name, memory_*_bytes, *_instance_id
 *
 * A key that is not there is something the device does not support. In both sections:
 *
 *   error.<function> = <nvmlReturn_t>          that function fails so; "error.* = 15" is a lost GPU
 *   hang = <function>                          that function does not return while the scenario says this; "*" is any
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    TIMEOUT = 10, FIELD_MEMORY_TEMPERATURE = 82, FIELD_RECOVERY_ACTION = 230, XID_EVENT = 8,
    FIELD_NVLINK_TRANSMIT = 138, FIELD_NVLINK_RECEIVE = 139, FIELD_PCIE_TRANSMIT = 197, FIELD_PCIE_RECEIVE = 198,
    UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3, /* types of a field's value */
    DRIVER = -1, SLICE = 1000, SLICES = 7 /* slice M of GPU N is section SLICE * (M + 1) + N, and so is its handle */
};
typedef unsigned int uint;
typedef unsigned long long ulong64;
typedef void *Device; /* index + 1, so that no device is NULL */
typedef struct { uint version, sensor; int celsius; } Temperature;
typedef struct { char bus_id_legacy[16]; uint domain, bus, device, id, subsystem; char bus_id[32]; } PciInfo;
typedef struct { ulong64 total, free, used; } Memory;
typedef struct { uint version; ulong64 total, reserved, free, used; } MemoryV2;
typedef struct { uint gpu, memory; } Utilization;
typedef struct { uint field, scope; long long timestamp, latency; uint type, error; ulong64 value; } FieldValue;
typedef struct { Device device; ulong64 type, data; uint gpu_instance, compute_instance; } Event;
typedef struct { uint pid; ulong64 used_bytes; uint gpu_instance, compute_instance; } Process;

/* ---- the scenario --------------------------------------------------------------------------------------------- */

typedef struct { char key[80], value[128]; } Entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
typedef struct { int section, begin, end; } Range; /* of entries: a call looks at those of its own section alone */

static Entry *entries;
static Range *ranges;
static int entry_count, range_count, gpu_count, initialized;
static struct stat read_state;

/* With the lock held. A missing file is a driver without GPUs and without versions. */
static void refresh(void) {
    const char *path = getenv("SIMNVML_SCENARIO");
    struct stat now;
    if (path == NULL || stat(path, &now) != 0) memset(&now, 0, sizeof now);
    if (now.st_ino == read_state.st_ino && now.st_size == read_state.st_size
        && now.st_mtim.tv_sec == read_state.st_mtim.tv_sec && now.st_mtim.tv_nsec == read_state.st_mtim.tv_nsec) return;
    read_state = now;
    entry_count = range_count = gpu_count = 0;
    FILE *file = path == NULL ? NULL : fopen(path, "r");
    if (file == NULL) return;
    char line[256];
    int section = DRIVER, slice;
    while (fgets(line, sizeof line, file) != NULL) {
        Entry entry;
        if (strncmp(line, "[driver]", 8) == 0) {
            section = DRIVER;
        } else if (sscanf(line, "[mig %d %d]", &section, &slice) == 2) {
            section += SLICE * (slice + 1);
        } else if (sscanf(line, "[gpu %d]", &section) == 1) {
            if (section >= gpu_count) gpu_count = section + 1;
        } else if (sscanf(line, " %79[^ =] = %127[^\n]", entry.key, entry.value) == 2) {
            if (range_count == 0 || ranges[range_count - 1].section != section) {
                ranges = realloc(ranges, (size_t)(range_count + 1) * sizeof *ranges);
                ranges[range_count++] = (Range){.section = section, .begin = entry_count};
            }
            ranges[range_count - 1].end = entry_count + 1;
            entries = realloc(entries, (size_t)(entry_count + 1) * sizeof entry);
            entries[entry_count++] = entry;
        }
    }
    fclose(file);
}

/* Copies the value of the n-th entry of that key; 0 when there is none. */
static int lookup_nth(int section, const char *key, int n, char value[128]) {
    int found = 0;
    pthread_mutex_lock(&lock);
    refresh();
    for (int r = 0; r < range_count && !found; r++)
        for (int i = ranges[r].begin; ranges[r].section == section && i < ranges[r].end && !found; i++)
            if (strcmp(entries[i].key, key) == 0 && n-- == 0) {
                memcpy(value, entries[i].value, sizeof entries[i].value);
                found = 1;
            }
    pthread_mutex_unlock(&lock);
    return found;
}

static int gpus(void) {
    pthread_mutex_lock(&lock);
    refresh();
    int count = gpu_count;
    pthread_mutex_unlock(&lock);
    return count;
}

static int lookup(int section, const char *key, char value[128]) { return lookup_nth(section, key, 0, value); }

/* What every call does first: hang and fail as the scenario says. */
static int enter(int section, const char *function) {
    char key[128], value[128];
    if (lookup(DRIVER, "latency_milliseconds", value)) {
        long milliseconds = atol(value);
        struct timespec wait = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000 * 1000};
        if (milliseconds > 0) nanosleep(&wait, NULL);
    }
    while (lookup(section, "hang", value) && (strcmp(value, function) == 0 || strcmp(value, "*") == 0))
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    snprintf(key, sizeof key, "error.%s", function);
    if (lookup(section, key, value) || lookup(section, "error.*", value)) {
        if (atoi(value) == UNINITIALIZED) initialized = 0; /* and so it stays until the next nvmlInit */
        return atoi(value);
    }
    return initialized || strcmp(function, "nvmlInitWithFlags") == 0 ? SUCCESS : UNINITIALIZED;
}

static int index_of(Device device) { return (int)((long)device - 1); }

#define ENTER(section) do { int _error = enter(section, __func__); if (_error) return _error; } while (0)

static int number(int section, const char *key, ulong64 *out) {
    char value[128];
    if (!lookup(section, key, value)) return NOT_SUPPORTED;
    *out = strtoull(value, NULL, 10);
    return SUCCESS;
}

static int number32(int section, const char *key, uint *out) {
    ulong64 value;
    int error = number(section, key, &value);
    if (!error) *out = (uint)value;
    return error;
}

static int text(int section, const char *key, char *out, uint size) {
    char value[128];
    if (!lookup(section, key, value)) return NOT_SUPPORTED;
    snprintf(out, size, "%s", value);
    return SUCCESS;
}

/* ---- library and driver --------------------------------------------------------------------------------------- */

int nvmlInitWithFlags(uint flags) {
    (void)flags;
    ENTER(DRIVER);
    initialized = 1;
    return SUCCESS;
}

int nvmlShutdown(void) {
    ENTER(DRIVER);
    initialized = 0;
    return SUCCESS;
}

const char *nvmlErrorString(int error) {
    (void)error;
    return "simulated error";
}

int nvmlSystemGetDriverVersion(char *out, uint size) {
    ENTER(DRIVER);
    return text(DRIVER, "driver_version", out, size);
}

int nvmlSystemGetNVMLVersion(char *out, uint size) {
    ENTER(DRIVER);
    return text(DRIVER, "nvml_version", out, size);
}

int nvmlSystemGetCudaDriverVersion_v2(int *out) {
    ENTER(DRIVER);
    return number32(DRIVER, "cuda_version", (uint *)out);
}

int nvmlSystemGetProcessName(uint pid, char *out, uint size) { /* process_name.<pid> = /path/of/program */
    ENTER(DRIVER);
    char key[32];
    snprintf(key, sizeof key, "process_name.%u", pid);
    return text(DRIVER, key, out, size) ? NOT_FOUND : SUCCESS;
}

int nvmlDeviceGetCount_v2(uint *out) {
    ENTER(DRIVER);
    *out = (uint)gpus();
    return SUCCESS;
}

/* ---- devices -------------------------------------------------------------------------------------------------- */

int nvmlDeviceGetHandleByIndex_v2(uint index, Device *out) {
    ENTER((int)index);
    if ((int)index >= gpus()) return INVALID_ARGUMENT;
    *out = (Device)((long)index + 1);
    return SUCCESS;
}

#define TEXT(function, key) \
    int function(Device device, char *out, uint size) { \
        ENTER(index_of(device)); \
        return text(index_of(device), key, out, size); \
    }
#define NUMBER(function, key, type, read) \
    int function(Device device, type *out) { \
        ENTER(index_of(device)); \
        return read(index_of(device), key, out); \
    }
#define CHOICE(function, key0, choice0, key1) /* a number that a second argument chooses */ \
    int function(Device device, uint choice, uint *out) { \
        ENTER(index_of(device)); \
        return number32(index_of(device), choice == choice0 ? key0 : key1, out); \
    }

TEXT(nvmlDeviceGetName, "name")
TEXT(nvmlDeviceGetUUID, "uuid")
NUMBER(nvmlDeviceGetPowerUsage, "power_milliwatts", uint, number32)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, "power_limit_milliwatts", uint, number32)
NUMBER(nvmlDeviceGetTotalEnergyConsumption, "energy_millijoules", ulong64, number)
NUMBER(nvmlDeviceGetFanSpeed, "fan_speed_percent", uint, number32)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_link_generation", uint, number32)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_link_width", uint, number32)
NUMBER(nvmlDeviceGetCurrentClocksEventReasons, "throttle_mask", ulong64, number)
NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, "throttle_mask", ulong64, number)
CHOICE(nvmlDeviceGetTemperature, "temperature_celsius", 0, "temperature_max_celsius")
CHOICE(nvmlDeviceGetTemperatureThreshold, "temperature_shutdown_celsius", 0, "temperature_slowdown_celsius")
CHOICE(nvmlDeviceGetClockInfo, "sm_clock_megahertz", 1, "memory_clock_megahertz")
CHOICE(nvmlDeviceGetMaxClockInfo, "sm_clock_max_megahertz", 1, "memory_clock_max_megahertz")

int nvmlDeviceGetTemperatureV(Device device, Temperature *out) {
    ENTER(index_of(device));
    return number32(index_of(device), "temperature_celsius", (uint *)&out->celsius);
}

int nvmlDeviceGetPciInfo_v3(Device device, PciInfo *out) {
    ENTER(index_of(device));
    memset(out, 0, sizeof *out);
    return text(index_of(device), "pci_bus_id", out->bus_id, sizeof out->bus_id);
}

int nvmlDeviceGetCudaComputeCapability(Device device, int *major, int *minor) {
    ENTER(index_of(device));
    char value[128];
    if (!lookup(index_of(device), "compute_capability", value)) return NOT_SUPPORTED;
    return sscanf(value, "%d.%d", major, minor) == 2 ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMigMode(Device device, uint *current, uint *pending) {
    ENTER(index_of(device));
    int error = number32(index_of(device), "mig_mode", current);
    if (!error) *pending = *current;
    return error;
}

int nvmlDeviceGetMaxMigDeviceCount(Device device, uint *out) {
    ENTER(index_of(device));
    *out = SLICES;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device device, uint slice, Device *out) {
    ENTER(index_of(device));
    int section = index_of(device) + SLICE * ((int)slice + 1);
    char value[128];
    if (!lookup(section, "uuid", value)) return NOT_FOUND;
    *out = (Device)((long)section + 1);
    return SUCCESS;
}

NUMBER(nvmlDeviceGetGpuInstanceId, "gpu_instance_id", uint, number32)
NUMBER(nvmlDeviceGetComputeInstanceId, "compute_instance_id", uint, number32)

/* ---- events: an "xid" line that was not told yet -------------------------------------------------------------- */

static int told[SLICE];

int nvmlEventSetCreate(void **out) {
    ENTER(DRIVER);
    *out = told;
    return SUCCESS;
}

int nvmlEventSetFree(void *set) {
    (void)set;
    ENTER(DRIVER);
    return SUCCESS;
}

int nvmlDeviceRegisterEvents(Device device, ulong64 types, void *set) {
    (void)types, (void)set;
    ENTER(index_of(device));
    return SUCCESS;
}

int nvmlEventSetWait_v2(void *set, Event *out, uint milliseconds) {
    (void)set, (void)milliseconds;
    ENTER(DRIVER);
    char value[128];
    for (int index = 0; index < gpus(); index++) {
        if (!lookup_nth(index, "xid", told[index], value)) continue;
        told[index]++;
        *out = (Event){.device = (Device)((long)index + 1), .type = XID_EVENT, .data = strtoull(value, NULL, 10)};
        return SUCCESS;
    }
    return TIMEOUT;
}

/* ---- memory, rates, processes --------------------------------------------------------------------------------- */

static int memory(Device device, ulong64 *total, ulong64 *reserved, ulong64 *used, ulong64 *free) {
    int index = index_of(device);
    if (number(index, "memory_total_bytes", total) || number(index, "memory_used_bytes", used)) return NOT_SUPPORTED;
    if (number(index, "memory_reserved_bytes", reserved)) *reserved = 0;
    *free = *total - *used - *reserved;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2 *out) {
    ENTER(index_of(device));
    return memory(device, &out->total, &out->reserved, &out->used, &out->free);
}

int nvmlDeviceGetMemoryInfo(Device device, Memory *out) { /* the older form counts reserved memory as used */
    ENTER(index_of(device));
    ulong64 reserved;
    int error = memory(device, &out->total, &reserved, &out->used, &out->free);
    if (!error) out->used += reserved;
    return error;
}

int nvmlDeviceGetUtilizationRates(Device device, Utilization *out) {
    ENTER(index_of(device));
    int index = index_of(device);
    return number32(index, "utilization_percent", &out->gpu)
        || number32(index, "memory_activity_percent", &out->memory) ? NOT_SUPPORTED : SUCCESS;
}

static const char *key_of(const FieldValue *value) {
    int whole = value->scope == UINT_MAX; /* all links of the GPU together */
    switch (value->field) {
    case FIELD_MEMORY_TEMPERATURE: return "memory_temperature_celsius";
    case FIELD_RECOVERY_ACTION: return "recovery_action";
    case FIELD_NVLINK_TRANSMIT: return whole ? "nvlink_transmit_kibibytes" : "no such link";
    case FIELD_NVLINK_RECEIVE: return whole ? "nvlink_receive_kibibytes" : "no such link";
    case FIELD_PCIE_TRANSMIT: return "pcie_transmit_bytes";
    case FIELD_PCIE_RECEIVE: return "pcie_receive_bytes";
    default: return "no such field";
    }
}

int nvmlDeviceGetFieldValues(Device device, int count, FieldValue *values) {
    ENTER(index_of(device));
    for (int i = 0; i < count; i++) {
        int pcie = values[i].field == FIELD_PCIE_TRANSMIT || values[i].field == FIELD_PCIE_RECEIVE;
        ulong64 narrow = 0;
        number(index_of(device), "pcie_counters_of_32_bits", &narrow);
        values[i].type = pcie && narrow ? UNSIGNED_INT : UNSIGNED_LONG_LONG;
        values[i].error = (uint)number(index_of(device), key_of(&values[i]), &values[i].value);
    }
    return SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(Device device, uint uncorrected, uint counter, ulong64 *out) {
    (void)counter;
    ENTER(index_of(device));
    return number(index_of(device), uncorrected ? "ecc_uncorrected_errors" : "ecc_corrected_errors", out);
}

int nvmlDeviceGetRemappedRows(Device device, uint *corrected, uint *uncorrected, uint *pending, uint *failure) {
    ENTER(index_of(device));
    *corrected = *uncorrected = 0;
    return number32(index_of(device), "remapped_rows_pending", pending)
        || number32(index_of(device), "remapped_rows_failure", failure) ? NOT_SUPPORTED : SUCCESS;
}

static int processes(Device device, const char *key, uint *count, Process *out) {
    char value[128], bytes[32];
    uint room = *count;
    for (*count = 0; lookup_nth(index_of(device), key, (int)*count, value); ++*count) {
        if (*count >= room || out == NULL) continue;
        Process process = {.gpu_instance = UINT_MAX, .compute_instance = UINT_MAX};
        if (sscanf(value, "%u %31s", &process.pid, bytes) != 2) return INVALID_ARGUMENT;
        process.used_bytes = bytes[0] == '-' ? ULLONG_MAX : strtoull(bytes, NULL, 10);
        out[*count] = process;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, uint *count, Process *out) {
    ENTER(index_of(device));
    return processes(device, "compute_process", count, out);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, uint *count, Process *out) {
    ENTER(index_of(device));
    return processes(device, "graphics_process", count, out);
}
