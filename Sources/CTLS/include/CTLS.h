// A thin face on OpenSSL 3 for Swift: a BIO over memory that is ours, and functions for what OpenSSL has
// as macros. No policy: what to encrypt, when, and who is trusted is decided in Engine.
#pragma once

#include "CTLSRecords.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stddef.h>
#include <stdint.h>

// --- Records in and out ---

/// How far a stream of records has come.
struct rw_tls_position {
  /// Bytes of the record that have not come yet.
  uint32_t body_left;
  /// Bytes of the next record's header that came already, 0 to 4.
  uint8_t header_have;
  uint8_t header[5];
};

/// Where a session reads ciphertext from and writes it to: memory that its owner names before each call.
/// With nothing to read, or no room to write, OpenSSL is told to come back.
struct rw_tls_io {
  const uint8_t *in;
  size_t in_left;
  uint8_t *out;
  size_t out_left;
  /// A record of more bytes than this is not copied to `out`: its memory is taken over (`rw_tls_take`). 0: never.
  size_t take_above;
  uint8_t *taken;
  size_t taken_count;
  /// Whether what was read so far ends with a record.
  struct rw_tls_position read;
  struct rw_tls_position written;
  /// Records of data's type that were begun since this was last set to 0.
  uint32_t written_data_records;
};

/// Whether the bytes read so far end in the middle of a record.
static inline int rw_tls_is_mid_record(const struct rw_tls_io *io) {
  return io->read.body_left != 0 || io->read.header_have != 0;
}

/// A BIO over `io`, which must outlive it. NULL without memory.
BIO *rw_tls_bio_new(struct rw_tls_io *io);

// --- Memory for records ---
//
// OpenSSL gets the memory of its record buffers from here, a list of free blocks for each thread, last in first out,
// so that a block is still in the cache when the next session needs one. And a buffer that it has encrypted into and
// lets go of (SSL_MODE_RELEASE_BUFFERS) can be sent as it is.

/// Bytes of a block: OpenSSL's buffers for one record fit in.
enum { RW_RECORD_BYTES = 17 * 1024 };

void *rw_record_alloc(void);
void rw_record_free(void *block);

/// Call after a write with `take_above` set. The block that the record at `io->taken` lies in, when OpenSSL has let go
/// of it: the caller's now, to be freed with `rw_record_free`. NULL when it has not: the bytes are to be copied before
/// the next call.
void *rw_tls_take(struct rw_tls_io *io);

// --- What OpenSSL has as macros ---

static inline long rw_tls_set_min_version(SSL_CTX *context, int version) {
  return SSL_CTX_set_min_proto_version(context, version);
}
static inline long rw_tls_set_max_version(SSL_CTX *context, int version) {
  return SSL_CTX_set_max_proto_version(context, version);
}
/// A renegotiation costs a server most and is its client's to ask for (RFC 9325 §3.5); compression tells what it
/// compresses (§3.3).
static inline void rw_tls_set_options(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
}
static inline void rw_tls_set_mode(SSL_CTX *context) {
  // A write that had to wait for room goes on from a buffer that may have moved; idle sessions hold no buffers.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
}
static inline void rw_tls_set_session_cache(SSL_CTX *context, long mode) {
  SSL_CTX_set_session_cache_mode(context, mode);
}
static inline int rw_tls_set_groups(SSL_CTX *context, const char *groups) {
  return (int)SSL_CTX_set1_groups_list(context, groups);
}
static inline int rw_tls_add_chain_certificate(SSL_CTX *context, X509 *certificate) {
  return (int)SSL_CTX_add1_chain_cert(context, certificate);
}
static inline int rw_tls_set_server_name(SSL *ssl, const char *name) {
  return (int)SSL_set_tlsext_host_name(ssl, name);
}
static inline void rw_tls_set_server_name_callback(SSL_CTX *context, int (*callback)(SSL *, int *, void *),
                                                   void *argument) {
  SSL_CTX_set_tlsext_servername_callback(context, callback);
  SSL_CTX_set_tlsext_servername_arg(context, argument);
}
static inline void rw_tls_set_status_callback(SSL_CTX *context, int (*callback)(SSL *, void *), void *argument) {
  SSL_CTX_set_tlsext_status_cb(context, callback);
  SSL_CTX_set_tlsext_status_arg(context, argument);
}
/// `staple` was made with OPENSSL_memdup and is OpenSSL's from here on.
static inline void rw_tls_set_staple(SSL *ssl, unsigned char *staple, int count) {
  SSL_set_tlsext_status_ocsp_resp(ssl, staple, count);
}
static inline void *rw_tls_duplicate(const void *bytes, size_t count) { return OPENSSL_memdup(bytes, count); }
static inline void rw_tls_set_app_data(SSL *ssl, void *data) { SSL_set_app_data(ssl, data); }
static inline void *rw_tls_app_data(const SSL *ssl) { return SSL_get_app_data(ssl); }
static inline int rw_tls_names_count(const STACK_OF(GENERAL_NAME) *names) { return sk_GENERAL_NAME_num(names); }
static inline GENERAL_NAME *rw_tls_name_at(const STACK_OF(GENERAL_NAME) *names, int index) {
  return sk_GENERAL_NAME_value(names, index);
}
static inline void rw_tls_free_names(STACK_OF(GENERAL_NAME) *names) { GENERAL_NAMES_free(names); }
static inline int rw_tls_name_is_dns(const GENERAL_NAME *name) { return name->type == GEN_DNS; }
static inline int rw_tls_name_is_uri(const GENERAL_NAME *name) { return name->type == GEN_URI; }
static inline int rw_tls_name_is_ip(const GENERAL_NAME *name) { return name->type == GEN_IPADD; }
/// The text, or for an address the octets, of a name that is one of the three kinds above.
static inline const uint8_t *rw_tls_name_bytes(const GENERAL_NAME *name, int *count) {
  const ASN1_STRING *text = name->type == GEN_IPADD ? name->d.iPAddress : name->d.ia5;
  *count = ASN1_STRING_length(text);
  return ASN1_STRING_get0_data(text);
}
/// RFC 2253, but text in UTF-8 stays readable.
static inline int rw_tls_print_name(BIO *bio, const X509_NAME *name) {
  return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}
static inline int rw_tls_error_reason(unsigned long error) { return ERR_GET_REASON(error); }
static inline int rw_tls_error_is_system(unsigned long error) { return ERR_SYSTEM_ERROR(error) != 0; }

// --- Session tickets ---

/// Prepares the two contexts of a ticket callback: AES-256-CBC, HMAC-SHA-256 (RFC 5077 §4). 1, or 0.
int rw_tls_ticket_ciphers(EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, const uint8_t *aes_key, const uint8_t *iv,
                          const uint8_t *mac_key, int encrypts);

/// Seconds from the epoch to `time`, negative before it. 0, or -1 when it is no time.
int rw_tls_seconds(const ASN1_TIME *time, int64_t *seconds);
