// The records of a TLS session whose handshake is over (RFC 8446 §5, RFC 5246 §6.2), for the AEADs that all clients
// have, without an SSL object: that takes 14 KB a connection as long as it lives, the keys of a session take 0.3.
#pragma once

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

enum {
  RW_RECORD_HEADER_BYTES = 5,
  /// RFC 8446 §5.1: the most plaintext of one record.
  RW_RECORD_PLAIN_MAX = 16 * 1024,
  /// What a record has beside its plaintext, its header not counted: a nonce, a type, a tag.
  RW_RECORD_OVERHEAD_MAX = 8 + 1 + 16,
  RW_SECRET_BYTES_MAX = 48,
};

/// Record types (RFC 8446 §B.1).
enum { RW_RECORD_ALERT = 21, RW_RECORD_HANDSHAKE = 22, RW_RECORD_DATA = 23 };

/// One direction of a session.
struct rw_tls_direction {
  /// Of the next record.
  uint64_t sequence;
  uint8_t key[32];
  uint8_t iv[12];
  /// The traffic secret that key and iv came from, for the next one (RFC 8446 §7.2). TLS 1.3 alone.
  uint8_t secret[RW_SECRET_BYTES_MAX];
};

/// How the records of a session are protected, in both directions.
struct rw_tls_protection {
  uint8_t cipher;
  uint8_t is_tls13;
  /// Of the hash that secrets are made with.
  uint8_t secret_bytes;
};


/// Whether records of `ssl`, whose handshake has just finished, can be protected here; fills `protection` then.
int rw_tls_can_take(const SSL *ssl, struct rw_tls_protection *protection);

/// Takes the secret out of a line of the key log with this label. 1, or 0 when it is another line.
int rw_tls_secret_of(const char *line, const char *label, struct rw_tls_direction *direction);
/// Keys of a direction of TLS 1.3 from the secret that it has. 1, or 0 without memory.
int rw_tls_use_own_secret(const struct rw_tls_protection *protection, struct rw_tls_direction *direction);
/// The keys that follow upon a KeyUpdate (RFC 8446 §7.2).
int rw_tls_next_secret(const struct rw_tls_protection *protection, struct rw_tls_direction *direction);
/// Keys of both directions of TLS 1.2. The first record of each was the Finished message.
int rw_tls_use_master(const SSL *ssl, const struct rw_tls_protection *protection, struct rw_tls_direction *from_client,
                      struct rw_tls_direction *from_server);

/// Prepares `context` for records of this direction. To be called whenever its keys change. 1, or 0.
int rw_tls_key_context(EVP_CIPHER_CTX *context, const struct rw_tls_protection *protection,
                       const struct rw_tls_direction *direction, int seals);

/// Writes a record of `count` bytes of plaintext to `record`, which has room for RW_RECORD_HEADER_BYTES +
/// RW_RECORD_OVERHEAD_MAX more. Answers its length, or 0.
size_t rw_tls_seal(EVP_CIPHER_CTX *context, const struct rw_tls_protection *protection,
                   struct rw_tls_direction *direction, uint8_t type, const uint8_t *plain, size_t count,
                   uint8_t *record);

/// What `rw_tls_open` found: plaintext in the memory of the record.
struct rw_tls_opened {
  uint8_t *plain;
  size_t count;
  uint8_t type;
};

enum { RW_OPENED = 0, RW_BAD_RECORD = 1, RW_TOO_LONG = 2 };

/// Decrypts a whole record of `count` bytes, its header included, in place.
int rw_tls_open(EVP_CIPHER_CTX *context, const struct rw_tls_protection *protection,
                struct rw_tls_direction *direction, uint8_t *record, size_t count, struct rw_tls_opened *opened);
