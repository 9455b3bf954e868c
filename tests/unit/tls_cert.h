/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests, made when they are needed: so none ever expires in the repository. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define CERT_DAY (24 * 3600L)

struct cert {
	X509 *x509;
	EVP_PKEY *key;
	char pem[4096], key_pem[1024]; /* the same as texts */
};

static inline void cert_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!e || !X509_add_ext(x, e, -1))
		abort();
	X509_EXTENSION_free(e);
}

static inline void cert_text(char *ret_text, size_t size, X509 *x, EVP_PKEY *key)
{
	BIO *b = BIO_new(BIO_s_mem());
	int len;

	if (!(x ? PEM_write_bio_X509(b, x) : PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL)))
		abort();
	len = BIO_read(b, ret_text, (int)size - 1);
	ret_text[len] = '\0';
	BIO_free(b);
}

/* issuer NULL: an authority, signed by itself. alt: "DNS:a,IP:127.0.0.1", NULL: none. It ends ends_s from now. */
static inline void cert_make(struct cert *ret_cert, const struct cert *issuer, const char *name, const char *alt,
			     long ends_s)
{
	static long serial;
	X509 *x = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_NAME *subject = X509_get_subject_name(x);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -2 * CERT_DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), ends_s);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->x509) : subject);
	cert_extension(x, issuer ? issuer->x509 : x, NID_basic_constraints,
		       issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (alt)
		cert_extension(x, issuer->x509, NID_subject_alt_name, alt);
	if (!X509_sign(x, issuer ? issuer->key : key, EVP_sha256()))
		abort();
	*ret_cert = (struct cert){.x509 = x, .key = key};
	cert_text(ret_cert->pem, sizeof(ret_cert->pem), x, NULL);
	cert_text(ret_cert->key_pem, sizeof(ret_cert->key_pem), NULL, key);
}

static inline void cert_free(struct cert *c)
{
	X509_free(c->x509);
	EVP_PKEY_free(c->key);
}

/* A server's side; clients NULL: it asks for no certificate. */
static inline SSL_CTX *cert_server(const struct cert *c, const struct cert *clients)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	if (!tls || !SSL_CTX_use_certificate(tls, c->x509) || !SSL_CTX_use_PrivateKey(tls, c->key))
		abort();
	if (!clients)
		return tls;
	X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), clients->x509);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_session_id_context(tls, (const unsigned char *)"test", 4);
	return tls;
}
