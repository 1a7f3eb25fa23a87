#include "CTLSRecords.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { AES128_GCM, AES256_GCM, CHACHA20_POLY1305, CIPHERS };
enum { TAG_BYTES = 16, NONCE_BYTES = 12, EXPLICIT_NONCE_BYTES = 8, SALT_BYTES = 4 };

// --- Ciphers ---

static EVP_CIPHER *ciphers[CIPHERS];
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void) {
  ciphers[AES128_GCM] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
  ciphers[AES256_GCM] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
  ciphers[CHACHA20_POLY1305] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
}

static const EVP_CIPHER *cipher_of(const struct rw_tls_protection *protection) { return ciphers[protection->cipher]; }

static const EVP_MD *hash_of(const struct rw_tls_protection *protection) {
  return protection->secret_bytes == 48 ? EVP_sha384() : EVP_sha256();
}

static size_t key_bytes(const struct rw_tls_protection *protection) {
  return protection->cipher == AES128_GCM ? 16 : 32;
}

/// RFC 5288: part of the nonce of GCM in TLS 1.2 is in the record. RFC 7905 and TLS 1.3 have no such part.
static int has_explicit_nonce(const struct rw_tls_protection *protection) {
  return !protection->is_tls13 && protection->cipher != CHACHA20_POLY1305;
}

int rw_tls_can_take(const SSL *ssl, struct rw_tls_protection *protection) {
  pthread_once(&fetched, fetch);
  const SSL_CIPHER *suite = SSL_get_current_cipher(ssl);
  const SSL_SESSION *session = SSL_get_session(ssl);
  if (suite == NULL || session == NULL) return 0;
  // RFC 6066 §4: a client that wants shorter records.
  if (SSL_SESSION_get_max_fragment_length(session) != TLSEXT_max_fragment_length_DISABLED) return 0;
  switch (SSL_CIPHER_get_protocol_id(suite)) {
    case 0x1301:  // TLS_AES_128_GCM_SHA256
    case 0xC02B:  // ECDHE-ECDSA-AES128-GCM-SHA256
    case 0xC02F:  // ECDHE-RSA-AES128-GCM-SHA256
      protection->cipher = AES128_GCM;
      protection->secret_bytes = 32;
      break;
    case 0x1302:  // TLS_AES_256_GCM_SHA384
    case 0xC02C:  // ECDHE-ECDSA-AES256-GCM-SHA384
    case 0xC030:  // ECDHE-RSA-AES256-GCM-SHA384
      protection->cipher = AES256_GCM;
      protection->secret_bytes = 48;
      break;
    case 0x1303:  // TLS_CHACHA20_POLY1305_SHA256
    case 0xCCA8:  // ECDHE-RSA-CHACHA20-POLY1305
    case 0xCCA9:  // ECDHE-ECDSA-CHACHA20-POLY1305
      protection->cipher = CHACHA20_POLY1305;
      protection->secret_bytes = 32;
      break;
    default: return 0;
  }
  protection->is_tls13 = SSL_version(ssl) == TLS1_3_VERSION;
  return (protection->is_tls13 || SSL_version(ssl) == TLS1_2_VERSION) && cipher_of(protection) != NULL;
}

// --- Keys ---

/// HKDF-Expand-Label (RFC 8446 §7.1) with an empty context, for no more than the hash gives at once.
static int expand_label(const struct rw_tls_protection *protection, const uint8_t *secret, const char *label,
                        uint8_t *out, size_t count) {
  uint8_t info[32];
  size_t length = strlen(label);
  info[0] = 0;
  info[1] = (uint8_t)count;
  info[2] = (uint8_t)(6 + length);
  memcpy(info + 3, "tls13 ", 6);
  memcpy(info + 9, label, length);
  info[9 + length] = 0;
  info[10 + length] = 1;
  uint8_t made[EVP_MAX_MD_SIZE];
  int is_made = HMAC(hash_of(protection), secret, protection->secret_bytes, info, 11 + length, made, NULL) != NULL;
  if (is_made) memcpy(out, made, count);
  OPENSSL_cleanse(made, sizeof made);
  return is_made;
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int rw_tls_secret_of(const char *line, const char *label, struct rw_tls_direction *direction) {
  const size_t length = strlen(label);
  if (strncmp(line, label, length) != 0) return 0;
  const char *text = strchr(line + length, ' ');
  if (text == NULL) return 0;
  text++;
  size_t count = 0;
  while (text[0] != '\0') {
    const int high = digit(text[0]);
    const int low = high < 0 ? -1 : digit(text[1]);
    if (low < 0 || count == RW_SECRET_BYTES_MAX) return 0;
    direction->secret[count++] = (uint8_t)(high << 4 | low);
    text += 2;
  }
  return count == 32 || count == 48;
}

int rw_tls_use_own_secret(const struct rw_tls_protection *protection, struct rw_tls_direction *direction) {
  direction->sequence = 0;
  return expand_label(protection, direction->secret, "key", direction->key, key_bytes(protection)) &&
         expand_label(protection, direction->secret, "iv", direction->iv, NONCE_BYTES);
}

int rw_tls_next_secret(const struct rw_tls_protection *protection, struct rw_tls_direction *direction) {
  uint8_t next[RW_SECRET_BYTES_MAX];
  int is_made = expand_label(protection, direction->secret, "traffic upd", next, protection->secret_bytes);
  if (is_made) {
    memcpy(direction->secret, next, protection->secret_bytes);
    is_made = rw_tls_use_own_secret(protection, direction);
  }
  OPENSSL_cleanse(next, sizeof next);
  return is_made;
}

/// P_hash of RFC 5246 §5 over "key expansion" and both randoms.
static int key_block(const struct rw_tls_protection *protection, const uint8_t *master, size_t master_count,
                     const uint8_t *randoms, uint8_t *out, size_t count) {
  static const char label[] = "key expansion";
  enum { LABEL_BYTES = sizeof label - 1, SEED_BYTES = LABEL_BYTES + 64 };
  const size_t step = protection->secret_bytes;
  uint8_t input[EVP_MAX_MD_SIZE + SEED_BYTES];
  uint8_t *seed = input + step;
  uint8_t made[EVP_MAX_MD_SIZE];
  memcpy(seed, label, LABEL_BYTES);
  memcpy(seed + LABEL_BYTES, randoms, 64);
  const EVP_MD *hash = hash_of(protection);
  int is_made = HMAC(hash, master, (int)master_count, seed, SEED_BYTES, input, NULL) != NULL;
  while (is_made && count > 0) {
    is_made = HMAC(hash, master, (int)master_count, input, step + SEED_BYTES, made, NULL) != NULL;
    size_t part = count < step ? count : step;
    memcpy(out, made, part);
    out += part;
    count -= part;
    if (count > 0) {
      uint8_t next[EVP_MAX_MD_SIZE];
      is_made = is_made && HMAC(hash, master, (int)master_count, input, step, next, NULL) != NULL;
      memcpy(input, next, step);
    }
  }
  OPENSSL_cleanse(made, sizeof made);
  OPENSSL_cleanse(input, sizeof input);
  return is_made;
}

int rw_tls_use_master(const SSL *ssl, const struct rw_tls_protection *protection, struct rw_tls_direction *from_client,
                      struct rw_tls_direction *from_server) {
  uint8_t master[SSL_MAX_MASTER_KEY_LENGTH];
  uint8_t randoms[64];
  uint8_t block[2 * (32 + NONCE_BYTES)];
  size_t master_count = SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof master);
  if (master_count == 0 || SSL_get_server_random(ssl, randoms, 32) != 32 ||
      SSL_get_client_random(ssl, randoms + 32, 32) != 32)
    return 0;
  const size_t key = key_bytes(protection);
  const size_t iv = has_explicit_nonce(protection) ? SALT_BYTES : NONCE_BYTES;
  int is_made = key_block(protection, master, master_count, randoms, block, 2 * (key + iv));
  if (is_made) {
    memcpy(from_client->key, block, key);
    memcpy(from_server->key, block + key, key);
    memcpy(from_client->iv, block + 2 * key, iv);
    memcpy(from_server->iv, block + 2 * key + iv, iv);
    from_client->sequence = 1;
    from_server->sequence = 1;
  }
  OPENSSL_cleanse(master, sizeof master);
  OPENSSL_cleanse(block, sizeof block);
  return is_made;
}

int rw_tls_key_context(EVP_CIPHER_CTX *context, const struct rw_tls_protection *protection,
                       const struct rw_tls_direction *direction, int seals) {
  const EVP_CIPHER *cipher = cipher_of(protection);
  // With the cipher that it has already only the key is set, and nothing is allocated.
  if (EVP_CIPHER_CTX_get0_cipher(context) == cipher) cipher = NULL;
  return EVP_CipherInit_ex(context, cipher, NULL, direction->key, NULL, seals);
}

// --- Records ---

static void put_sequence(uint8_t *out, uint64_t sequence) {
  for (int index = 0; index < 8; index++) out[index] = (uint8_t)(sequence >> (56 - 8 * index));
}

/// `explicit`: the part of the nonce that is in the record, or NULL where there is none.
static void make_nonce(const struct rw_tls_direction *direction, const uint8_t *explicit, uint8_t *nonce) {
  if (explicit != NULL) {
    memcpy(nonce, direction->iv, SALT_BYTES);
    memcpy(nonce + SALT_BYTES, explicit, EXPLICIT_NONCE_BYTES);
    return;
  }
  uint8_t sequence[8];
  put_sequence(sequence, direction->sequence);
  memcpy(nonce, direction->iv, NONCE_BYTES);
  for (int index = 0; index < 8; index++) nonce[4 + index] ^= sequence[index];
}

/// Additional data: the header in TLS 1.3 (§5.2), sequence, type, version and length in TLS 1.2 (RFC 5246 §6.2.3.3).
static int make_additional(const struct rw_tls_protection *protection, const struct rw_tls_direction *direction,
                           const uint8_t *header, size_t plain_count, uint8_t *out) {
  if (protection->is_tls13) {
    memcpy(out, header, RW_RECORD_HEADER_BYTES);
    return RW_RECORD_HEADER_BYTES;
  }
  put_sequence(out, direction->sequence);
  memcpy(out + 8, header, 3);
  out[11] = (uint8_t)(plain_count >> 8);
  out[12] = (uint8_t)plain_count;
  return 13;
}

size_t rw_tls_seal(EVP_CIPHER_CTX *context, const struct rw_tls_protection *protection,
                   struct rw_tls_direction *direction, uint8_t type, const uint8_t *plain, size_t count,
                   uint8_t *record) {
  if (count > RW_RECORD_PLAIN_MAX || direction->sequence == UINT64_MAX) return 0;
  const size_t explicit = has_explicit_nonce(protection) ? EXPLICIT_NONCE_BYTES : 0;
  const size_t body = explicit + count + (protection->is_tls13 ? 1 : 0) + TAG_BYTES;
  record[0] = protection->is_tls13 ? RW_RECORD_DATA : type;
  record[1] = 3;
  record[2] = 3;
  record[3] = (uint8_t)(body >> 8);
  record[4] = (uint8_t)body;
  uint8_t *sealed = record + RW_RECORD_HEADER_BYTES + explicit;
  if (explicit > 0) put_sequence(record + RW_RECORD_HEADER_BYTES, direction->sequence);
  uint8_t nonce[NONCE_BYTES];
  uint8_t additional[13];
  make_nonce(direction, explicit > 0 ? record + RW_RECORD_HEADER_BYTES : NULL, nonce);
  const int additional_count = make_additional(protection, direction, record, count, additional);
  int written = 0;
  int last = 0;
  int rest = 0;
  if (EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, 1) != 1 ||
      EVP_CipherUpdate(context, NULL, &written, additional, additional_count) != 1 ||
      EVP_CipherUpdate(context, sealed, &written, plain, (int)count) != 1)
    return 0;
  if (protection->is_tls13 && EVP_CipherUpdate(context, sealed + written, &last, &type, 1) != 1) return 0;
  if (EVP_CipherFinal_ex(context, sealed + written + last, &rest) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, sealed + written + last + rest) != 1)
    return 0;
  direction->sequence++;
  return RW_RECORD_HEADER_BYTES + body;
}

int rw_tls_open(EVP_CIPHER_CTX *context, const struct rw_tls_protection *protection,
                struct rw_tls_direction *direction, uint8_t *record, size_t count, struct rw_tls_opened *opened) {
  const size_t explicit = has_explicit_nonce(protection) ? EXPLICIT_NONCE_BYTES : 0;
  const size_t around = RW_RECORD_HEADER_BYTES + explicit + TAG_BYTES;
  if (count < around || direction->sequence == UINT64_MAX) return RW_BAD_RECORD;
  // RFC 8446 §5.2: outside all are application data.
  if (record[1] != 3 || record[2] != 3 || (protection->is_tls13 && record[0] != RW_RECORD_DATA)) return RW_BAD_RECORD;
  size_t plain = count - around;
  uint8_t *sealed = record + RW_RECORD_HEADER_BYTES + explicit;
  uint8_t nonce[NONCE_BYTES];
  uint8_t additional[13];
  make_nonce(direction, explicit > 0 ? record + RW_RECORD_HEADER_BYTES : NULL, nonce);
  const int additional_count = make_additional(protection, direction, record, plain, additional);
  int written = 0;
  int rest = 0;
  if (EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, 0) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, sealed + plain) != 1 ||
      EVP_CipherUpdate(context, NULL, &written, additional, additional_count) != 1 ||
      EVP_CipherUpdate(context, sealed, &written, sealed, (int)plain) != 1 ||
      EVP_CipherFinal_ex(context, sealed + written, &rest) != 1)
    return RW_BAD_RECORD;
  direction->sequence++;
  opened->plain = sealed;
  opened->type = record[0];
  if (protection->is_tls13) {
    // RFC 8446 §5.4: behind the content its type, then as many zeros as the sender likes.
    while (plain > 0 && sealed[plain - 1] == 0) plain--;
    if (plain == 0) return RW_BAD_RECORD;
    opened->type = sealed[--plain];
  }
  opened->count = plain;
  return plain > RW_RECORD_PLAIN_MAX ? RW_TOO_LONG : RW_OPENED;
}
