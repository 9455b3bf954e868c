/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP server on loopback for tests: one thread for each connection, and for each path a function that writes what
 * it likes, octet by octet. With TLS where server.tls is set. Nothing in it depends on time.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define SERVER_CONNECTIONS 1024

struct server;

struct conn {
	struct server *server;
	int fd;
	SSL *ssl; /* NULL: plain */
	char head[8192];
};

/* Answers c->head. false: close the connection. */
typedef bool (*script_fn)(struct conn *c);

struct script {
	const char *path; /* the beginning of the target, or "CONNECT"; NULL ends the table */
	script_fn run;
};

struct server {
	const struct script *scripts;
	SSL_CTX *tls;
	uint16_t port;
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;	     /* of all below */
	int fds[SERVER_CONNECTIONS]; /* -1: closed */
	pthread_t threads[SERVER_CONNECTIONS];
	unsigned int count; /* connections accepted */
	unsigned int requests;
	char head[8192]; /* of the last request */
	char peer[256];	 /* name in the client's certificate, "" : none shown */
};

static inline bool conn_write(struct conn *c, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = c->ssl ? SSL_write(c->ssl, (const char *)data + done, (int)(len - done))
				   : send(c->fd, (const char *)data + done, len - done, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static inline ssize_t conn_read(struct conn *c, void *data, size_t len)
{
	return c->ssl ? SSL_read(c->ssl, data, (int)len) : recv(c->fd, data, len, 0);
}

__attribute__((format(printf, 2, 3))) static inline bool conn_say(struct conn *c, const char *format, ...)
{
	char text[4096];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return conn_write(c, text, (size_t)len);
}

/* Silent until the client goes. */
static inline bool conn_await_close(struct conn *c)
{
	char text[256];

	while (conn_read(c, text, sizeof(text)) > 0)
		;
	return false;
}

/* A head at a time: clients here send one request and wait. */
static inline bool conn_read_head(struct conn *c)
{
	size_t len = 0;

	while (len < sizeof(c->head) - 1) {
		ssize_t n = conn_read(c, c->head + len, sizeof(c->head) - 1 - len);

		if (n <= 0)
			return false;
		len += (size_t)n;
		c->head[len] = '\0';
		if (strstr(c->head, "\r\n\r\n"))
			return true;
	}
	return false;
}

static inline script_fn conn_script(const struct conn *c)
{
	const char *target = strchr(c->head, ' ');
	bool is_connect = !strncmp(c->head, "CONNECT ", 8);

	for (const struct script *s = c->server->scripts; s->path; s++)
		if (is_connect ? !strcmp(s->path, "CONNECT") : target && !strncmp(target + 1, s->path, strlen(s->path)))
			return s->run;
	return NULL;
}

static inline void conn_note(struct conn *c)
{
	struct server *s = c->server;
	X509 *peer = c->ssl ? SSL_get_peer_certificate(c->ssl) : NULL;

	pthread_mutex_lock(&s->lock);
	s->requests++;
	snprintf(s->head, sizeof(s->head), "%s", c->head);
	s->peer[0] = '\0';
	if (peer)
		X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, s->peer, sizeof(s->peer));
	pthread_mutex_unlock(&s->lock);
	X509_free(peer);
}

static inline void conn_serve(struct conn *c)
{
	script_fn run;

	do {
		if (!conn_read_head(c))
			return;
		conn_note(c);
		run = conn_script(c);
	} while (run && run(c));
}

static inline void *conn_thread(void *arg)
{
	struct conn *c = arg;
	struct server *s = c->server;

	if (s->tls) {
		c->ssl = SSL_new(s->tls);
		SSL_set_fd(c->ssl, c->fd);
	}
	if (!c->ssl || SSL_accept(c->ssl) == 1)
		conn_serve(c);
	SSL_free(c->ssl);
	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < s->count; i++)
		if (s->fds[i] == c->fd)
			s->fds[i] = -1;
	close(c->fd);
	pthread_mutex_unlock(&s->lock);
	free(c);
	return NULL;
}

static inline void server_take(struct server *s, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	*c = (struct conn){.server = s, .fd = fd};
	pthread_mutex_lock(&s->lock);
	if (s->count == SERVER_CONNECTIONS)
		abort();
	s->fds[s->count] = fd;
	if (pthread_create(&s->threads[s->count], NULL, conn_thread, c))
		abort();
	s->count++;
	pthread_mutex_unlock(&s->lock);
}

static inline void *server_thread(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0)
		server_take(s, fd);
	return NULL;
}

/* family: AF_INET on 127.0.0.1, AF_INET6 on ::1. false: there is no such address here. */
static inline bool server_start(struct server *s, int family, const struct script *scripts, SSL_CTX *tls)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *a = family == AF_INET6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
	socklen_t len = family == AF_INET6 ? sizeof(a6) : sizeof(a4);

	*s = (struct server){.scripts = scripts, .tls = tls, .fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	pthread_mutex_init(&s->lock, NULL);
	if (s->fd < 0 || bind(s->fd, a, len) || listen(s->fd, 256) || getsockname(s->fd, a, &len)) {
		if (s->fd >= 0)
			close(s->fd);
		return false;
	}
	s->port = ntohs(family == AF_INET6 ? a6.sin6_port : a4.sin_port);
	return !pthread_create(&s->thread, NULL, server_thread, s);
}

/* Breaks what is open, waits for all threads. */
static inline void server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < s->count; i++)
		if (s->fds[i] >= 0)
			shutdown(s->fds[i], SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
	for (unsigned int i = 0; i < s->count; i++)
		pthread_join(s->threads[i], NULL);
}
