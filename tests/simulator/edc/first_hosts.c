/* A decision component of Batsim 5 as a shared library, for the tests: every job runs on the first hosts.
 *
 * It looks into the JSON no further than it must. The init string "fail" makes it fail, "binary" ask for flatbuffers.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static const char HELLO[] =
    "{\"now\":0.0,\"events\":[{\"timestamp\":0.0,\"event_type\":\"EDCHelloEvent\",\"event\":{"
    "\"batprotocol_version\":\"1.0.0\",\"decision_component_name\":\"first_hosts\","
    "\"decision_component_version\":\"1\",\"decision_component_commit\":\"\",\"requested_simulation_features\":{}}}]}";

static char reply[1 << 16];
static int calls;

EXPORT uint8_t batsim_edc_init(
    const uint8_t *data, uint32_t size, uint32_t *flags, uint8_t **answer, uint32_t *answer_size)
{
    if (size == 4 && memcmp(data, "fail", 4) == 0)
        return 7;
    *flags = size == 6 && memcmp(data, "binary", 6) == 0 ? 1 : 2;
    *answer = (uint8_t *)HELLO;
    *answer_size = sizeof HELLO; /* with its NUL */
    return 0;
}

EXPORT uint8_t batsim_edc_take_decisions(const uint8_t *data, uint32_t size, uint8_t **answer, uint32_t *answer_size)
{
    const char *at = (const char *)data;
    char now[64], job[64];
    int hosts, used, first = 1;

    if (size == 0 || data[size - 1] != 0) /* a text ends in a NUL, which counts */
        return 1;
    calls++;
    sscanf(at, "{\"now\":%63[^,]", now);
    used = snprintf(reply, sizeof reply, "{\"now\":%s,\"events\":[", now);
    while ((at = strstr(at, "\"JobSubmittedEvent\"")) != NULL) {
        sscanf(strstr(at, "\"job_id\":\""), "\"job_id\":\"%63[^\"]", job);
        sscanf(strstr(at, "\"resource_request\":"), "\"resource_request\":%d", &hosts);
        used += snprintf(reply + used, sizeof reply - used,
            "%s{\"timestamp\":%s,\"event_type\":\"ExecuteJobEvent\",\"event\":{\"job_id\":\"%s\",\"allocation\":{"
            "\"host_allocation\":\"0-%d\",\"executor_placement_type\":"
            "\"PredefinedExecutorPlacementStrategyWrapper\",\"executor_placement\":{}}}}",
            first ? "" : ",", now, job, hosts - 1);
        first = 0;
        at++;
    }
    used += snprintf(reply + used, sizeof reply - used, "]}");
    *answer = (uint8_t *)reply;
    *answer_size = used;
    return 0;
}

EXPORT uint8_t batsim_edc_deinit(void)
{
    fprintf(stderr, "first_hosts: %d calls\n", calls);
    return 0;
}
