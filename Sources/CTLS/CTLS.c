#define _GNU_SOURCE
#include "CTLS.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HEADER_BYTES = 5 };

// --- Memory for records ---

enum { FREE_BLOCKS_MAX = 64, RECORD_BYTES_MIN = 8 * 1024 };

static _Thread_local void *free_blocks[FREE_BLOCKS_MAX];
static _Thread_local int free_count;
// The block that OpenSSL asked for last, which it is about to encrypt into.
static _Thread_local uint8_t *newest_block;
// The block of a record that is being taken over, and whether OpenSSL has freed it.
static _Thread_local void *kept_block;
static _Thread_local int kept_is_free;

void *rw_record_alloc(void) {
  return free_count > 0 ? free_blocks[--free_count] : malloc(RW_RECORD_BYTES);
}

void rw_record_free(void *block) {
  if (free_count < FREE_BLOCKS_MAX) {
    free_blocks[free_count++] = block;
  } else {
    free(block);
  }
}

// All blocks have one size, which malloc knows; nothing smaller is ever taken for one.
static int is_block(void *pointer) {
  size_t usable = malloc_usable_size(pointer);
  return usable >= RW_RECORD_BYTES && usable < RW_RECORD_BYTES + 32;
}

static void *allocate(size_t count, const char *file, int line) {
  (void)file;
  (void)line;
  if (count == 0) return NULL;
  if (count < RECORD_BYTES_MIN || count > RW_RECORD_BYTES) return malloc(count);
  return newest_block = rw_record_alloc();
}

static void release(void *pointer, const char *file, int line) {
  (void)file;
  (void)line;
  if (pointer == NULL) return;
  if (pointer == kept_block) {
    kept_is_free = 1;
  } else if (is_block(pointer)) {
    rw_record_free(pointer);
  } else {
    free(pointer);
  }
}

static void *reallocate(void *pointer, size_t count, const char *file, int line) {
  if (pointer == NULL) return allocate(count, file, line);
  if (count == 0) {
    release(pointer, file, line);
    return NULL;
  }
  return realloc(pointer, count);
}

// OpenSSL takes other functions only before its first allocation.
__attribute__((constructor)) static void use_record_memory(void) {
  CRYPTO_set_mem_functions(allocate, reallocate, release);
}

void *rw_tls_take(struct rw_tls_io *io) {
  void *block = kept_block;
  int is_ours = kept_is_free;
  kept_block = NULL;
  kept_is_free = 0;
  return is_ours && io->taken_count > 0 ? block : NULL;
}

static int can_take(const struct rw_tls_io *io, const char *bytes, int count) {
  const uint8_t *start = (const uint8_t *)bytes;
  return io->take_above > 0 && io->taken_count == 0 && (size_t)count > io->take_above && newest_block != NULL &&
         start >= newest_block && start + count <= newest_block + RW_RECORD_BYTES;
}

// --- Records in and out ---

// Follows the records of one direction as they pass. Answers how many of data's type begin in `bytes`.
static uint32_t follow(struct rw_tls_position *position, const uint8_t *bytes, size_t count) {
  uint32_t data_records = 0;
  while (count > 0) {
    size_t step;
    if (position->body_left > 0) {
      step = count < position->body_left ? count : position->body_left;
      position->body_left -= (uint32_t)step;
    } else {
      step = (size_t)(HEADER_BYTES - position->header_have);
      if (step > count) step = count;
      memcpy(position->header + position->header_have, bytes, step);
      position->header_have = (uint8_t)(position->header_have + step);
      if (position->header_have == HEADER_BYTES) {
        position->body_left = (uint32_t)position->header[3] << 8 | position->header[4];
        position->header_have = 0;
        if (position->header[0] == RW_RECORD_DATA) data_records++;
      }
    }
    bytes += step;
    count -= step;
  }
  return data_records;
}

static int io_read(BIO *bio, char *bytes, int wanted) {
  struct rw_tls_io *io = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (io->in_left == 0 || wanted <= 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t count = (size_t)wanted < io->in_left ? (size_t)wanted : io->in_left;
  memcpy(bytes, io->in, count);
  follow(&io->read, io->in, count);
  io->in += count;
  io->in_left -= count;
  return (int)count;
}

static int io_write(BIO *bio, const char *bytes, int wanted) {
  struct rw_tls_io *io = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (can_take(io, bytes, wanted)) {
    kept_block = newest_block;
    io->taken = (uint8_t *)(uintptr_t)bytes;
    io->taken_count = (size_t)wanted;
    return wanted;
  }
  if (io->out_left == 0 || wanted <= 0) {
    BIO_set_retry_write(bio);
    return -1;
  }
  size_t count = (size_t)wanted < io->out_left ? (size_t)wanted : io->out_left;
  memcpy(io->out, bytes, count);
  io->written_data_records += follow(&io->written, io->out, count);
  io->out += count;
  io->out_left -= count;
  return (int)count;
}

static long io_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  // Everything written is with its reader at once. Nothing else is asked of a memory BIO.
  return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

static BIO_METHOD *io_method(void) {
  static BIO_METHOD *method;
  BIO_METHOD *known = __atomic_load_n(&method, __ATOMIC_ACQUIRE);
  if (known != NULL) return known;
  BIO_METHOD *made = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "lease");
  if (made == NULL) return NULL;
  BIO_meth_set_read(made, io_read);
  BIO_meth_set_write(made, io_write);
  BIO_meth_set_ctrl(made, io_control);
  if (__atomic_compare_exchange_n(&method, &known, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return made;
  BIO_meth_free(made);
  return known;
}

BIO *rw_tls_bio_new(struct rw_tls_io *io) {
  BIO_METHOD *method = io_method();
  BIO *bio = method == NULL ? NULL : BIO_new(method);
  if (bio == NULL) return NULL;
  BIO_set_data(bio, io);
  BIO_set_init(bio, 1);
  return bio;
}

int rw_tls_ticket_ciphers(EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, const uint8_t *aes_key, const uint8_t *iv,
                          const uint8_t *mac_key, int encrypts) {
  if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, aes_key, iv, encrypts) != 1) return 0;
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)mac_key, 32),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

int rw_tls_seconds(const ASN1_TIME *time, int64_t *seconds) {
  struct tm parts;
  if (ASN1_TIME_to_tm(time, &parts) != 1) return -1;
  *seconds = (int64_t)timegm(&parts);
  return 0;
}
