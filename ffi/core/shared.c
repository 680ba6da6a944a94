/* Memory that two processes map: an anonymous file, known by its descriptor alone.
 *
 * No name in a file system, so nothing is left behind by a crash, and no reader's exit can remove what others use. The file is
 * sealed at its size: a process that shrank it could kill the others with SIGBUS.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "checks.h"

#define SHARED_SIZE_MAX ((size_t)1 << 40)

qrt_status qrt_shared_create(void **address_out, int32_t *descriptor_out, size_t size)
{
    *address_out = NULL;
    *descriptor_out = -1;
    if (size == 0 || size > SHARED_SIZE_MAX) {
        return QRT_ERR_ARGUMENT;
    }
    int descriptor = memfd_create("qrt", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0) {
        return QRT_ERR_MEMORY;
    }
    if (ftruncate(descriptor, (off_t)size) != 0 ||
        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0 ||
        qrt_shared_map(address_out, descriptor, size) != QRT_OK) {
        (void)close(descriptor);
        return QRT_ERR_MEMORY;
    }
    *descriptor_out = descriptor;
    return QRT_OK;
}

qrt_status qrt_shared_map(void **address_out, int32_t descriptor, size_t size)
{
    *address_out = NULL;
    struct stat file;
    if (fstat(descriptor, &file) != 0 || size == 0 || size > SHARED_SIZE_MAX || file.st_size != (off_t)size) {
        return QRT_ERR_ARGUMENT;
    }
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (address == MAP_FAILED) {
        return QRT_ERR_MEMORY;
    }
    *address_out = address;
    return QRT_OK;
}

qrt_status qrt_shared_unmap(void *address, size_t size)
{
    return munmap(address, size) == 0 ? QRT_OK : QRT_ERR_ARGUMENT;
}
