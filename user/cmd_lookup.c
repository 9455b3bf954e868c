/* SPDX-License-Identifier: Apache-2.0 */
/* nodens lookup: asks the loaded datapath by a test run, and prints the answer as dig does, or why it is passed on. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/jsonout.h"
#include "commands.h"
#include "dns/message.h"
#include "frame.h"
#include "servers.h"

#define TYPE_PTR_TEXT "PTR"
/* What dig offers. */
#define EDNS_SIZE 1232
#define FRAME_MAX (NODENS_MESSAGE_MAX + 128)
#define QUERY_ID  4711

struct lookup_options {
	struct option_globals globals;
	const char *from, *reverse;
	int output;
};

static const struct option_spec lookup_options[] = {
	{.name = "from",
	 .kind = OPTION_TEXT,
	 .offset = offsetof(struct lookup_options, from),
	 .value_name = "IFACE",
	 .help = "as if it came in on this interface (default: the first attached)"},
	{.name = "reverse",
	 .letter = 'x',
	 .kind = OPTION_TEXT,
	 .offset = offsetof(struct lookup_options, reverse),
	 .value_name = "ADDR",
	 .help = "ask for the PTR record of an address"},
	OPTION_OUTPUT(struct lookup_options, output),
};

/* What came back. */
struct result {
	enum nodens_verdict verdict;
	struct nodens_server server;
	uint8_t frame[FRAME_MAX];
	const uint8_t *message; /* within frame; NULL: passed on */
	size_t len;
};

static const char *verdict_text(enum nodens_verdict verdict, bool is_name)
{
	switch (verdict) {
#define X(NAME, name, meaning)      \
	case NODENS_VERDICT_##NAME: \
		return is_name ? #name : meaning;
		NODENS_VERDICTS(X)
#undef X
	case NODENS_VERDICT_COUNT:
		break;
	}
	return "unknown";
}

/* ---- the question ---- */

/* The wire form with the case as typed: answers repeat it. Escaped texts stay as they are parsed. */
static void keep_case(const char *text, struct dns_name *name)
{
	if (strchr(text, '\\'))
		return;
	for (size_t i = 0; text[i] && i + 1 < name->len; i++) {
		if (isupper((unsigned char)text[i]))
			name->data[i + 1] = (uint8_t)text[i];
	}
}

static int take_name(const char *text, struct message_query *q, struct error *e)
{
	int err = dns_name_parse(text, &q->name, e);

	if (!err)
		keep_case(text, &q->name);
	return err ? error_prefix(e, err, "\"%s\"", text) : 0;
}

static int take_reverse(const char *text, struct message_query *q, struct error *e)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t octets[16];

	if (inet_pton(family, text, octets) != 1)
		return error_set(e, -EINVAL, "-x: \"%s\" is no address", text);
	dns_name_reverse(family, octets, &q->name);
	(void)message_parse_type(TYPE_PTR_TEXT, &q->type);
	return 0;
}

static int take_plus(const char *word, struct message_query *q, struct error *e)
{
	uint64_t size;

	if (strncmp(word, "+bufsize=", 9) == 0) {
		if (!options_parse_number(word + 9, &size) || size > 65535)
			return error_set(e, -EINVAL, "%s: not a number up to 65535", word);
		q->udp_size = (uint16_t)size;
		q->has_edns = true;
	} else if (strcmp(word, "+noedns") == 0) {
		q->has_edns = q->is_dnssec_ok = q->has_cookie = false;
	} else if (strcmp(word, "+edns") == 0) {
		q->has_edns = true;
	} else if (strcmp(word, "+dnssec") == 0) {
		q->has_edns = q->is_dnssec_ok = true;
	} else if (strcmp(word, "+cookie") == 0) {
		q->has_edns = q->has_cookie = true;
	} else {
		return error_set(e, -EINVAL, "%s: none of +bufsize=N, +noedns, +edns, +dnssec, +cookie", word);
	}
	return 0;
}

static int take_words(const struct option_arguments *arguments, bool is_reverse, struct message_query *q,
		      struct error *e)
{
	bool has_name = is_reverse, has_type = is_reverse;

	for (size_t i = 0; i < arguments->count; i++) {
		const char *word = arguments->items[i];
		int err = 0;

		if (word[0] == '+')
			err = take_plus(word, q, e);
		else if (!has_name)
			err = take_name(word, q, e);
		else if (has_type || !message_parse_type(word, &q->type))
			err = error_set(e, -EINVAL, has_type ? "unexpected argument \"%s\"" : "\"%s\" is no type",
					word);
		else
			has_type = true;
		if (err)
			return err;
		has_name |= word[0] != '+';
	}
	return has_name ? 0 : error_set(e, -EINVAL, "which name?");
}

static int make_query(const struct lookup_options *o, const struct option_arguments *arguments, struct message_query *q,
		      struct error *e)
{
	static const uint8_t cookie[8] = {0x6e, 0x6f, 0x64, 0x65, 0x6e, 0x73, 0x21, 0x21};
	int err = 0;

	*q = (struct message_query){.id = QUERY_ID, .has_edns = true, .udp_size = EDNS_SIZE};
	memcpy(q->cookie, cookie, sizeof(cookie));
	(void)message_parse_type("A", &q->type);
	if (o->reverse)
		err = take_reverse(o->reverse, q, e);
	return err ? err : take_words(arguments, o->reverse != NULL, q, e);
}

/* ---- asking ---- */

/* What pods are told to ask, rather than an endpoint behind it; then the lowest text, so that it is always the same. */
static bool is_better(const struct nodens_server *a, const struct nodens_server *b)
{
	bool is_a_endpoint = strcmp(a->origin, "endpoint") == 0, is_b_endpoint = strcmp(b->origin, "endpoint") == 0;

	if (is_a_endpoint != is_b_endpoint)
		return is_b_endpoint;
	return strcmp(a->address, b->address) < 0;
}

static void pick_server(void *ctx, const struct nodens_server *server)
{
	struct nodens_server *best = ctx;

	if (!best->address[0] || is_better(server, best))
		*best = *server;
}

static int ask(const struct generation *g, const struct message_query *q, uint32_t ifindex, struct result *r,
	       struct error *e)
{
	uint8_t query[MESSAGE_QUERY_MAX], frame[NODENS_QUERY_FRAME_MAX];
	struct server_addr server;
	size_t len, frame_len;
	int err;

	(void)generation_each_server(g, pick_server, &r->server);
	if (!r->server.address[0])
		return error_set(e, -ENOENT, "no server addresses are loaded: everything is passed on");
	if (!servers_parse_address(r->server.address, &server))
		return error_set(e, -EBADMSG, "the server address \"%s\" in the maps cannot be read",
				 r->server.address);
	len = message_build_query(q, query);
	frame_len = frame_build_query(&server, query, len, frame, sizeof(frame));
	len = sizeof(r->frame);
	err = generation_explain(g, frame, frame_len, ifindex, r->frame, &len, &r->verdict, e);
	if (err || r->verdict >= NODENS_VERDICT_FIRST_PASS)
		return err;
	if (!frame_find_message(r->frame, len, &r->message, &r->len))
		return error_set(e, -EBADMSG, "the datapath's answer is no UDP datagram");
	return 0;
}

/* ---- printing ---- */

static int print_text(const struct result *r, struct error *e)
{
	int err;

	if (!r->message) {
		const char *reason = verdict_text(r->verdict, false);

		printf("passed on: %s (%s)\n", strncmp(reason, "passed: ", 8) == 0 ? reason + 8 : reason,
		       verdict_text(r->verdict, true));
		return 0;
	}
	err = message_print(stdout, r->message, r->len, e);
	printf(";; verdict: %s\n;; SERVER: %s (%s)\n;; MSG SIZE  rcvd: %zu\n", verdict_text(r->verdict, true),
	       r->server.address, r->server.origin, r->len);
	return err;
}

static int print_json(const struct result *r, struct error *e)
{
	struct jsonout j;
	int err = 0;

	jsonout_init(&j, stdout);
	jsonout_open_object(&j, NULL);
	jsonout_text(&j, "verdict", verdict_text(r->verdict, true));
	jsonout_text(&j, "meaning", verdict_text(r->verdict, false));
	jsonout_bool(&j, "answered", r->message != NULL);
	jsonout_text(&j, "server", r->server.address);
	if (r->message) {
		jsonout_number(&j, "size", r->len);
		err = message_print_json(&j, r->message, r->len, e);
	}
	jsonout_close(&j, '}');
	return err;
}

static int lookup(const struct lookup_options *o, const struct message_query *q, struct error *e)
{
	uint32_t ifindex = o->from ? if_nametoindex(o->from) : 0;
	struct result *r = calloc(1, sizeof(*r));
	struct generation *g = NULL;
	int err = r ? 0 : -ENOMEM;

	if (!err && o->from && !ifindex)
		err = error_set(e, -ENODEV, "--from: there is no interface %s", o->from);
	if (!err)
		err = generation_open(o->globals.bpffs, &g, e);
	if (!err)
		err = ask(g, q, ifindex, r, e);
	if (!err)
		err = o->output == OUTPUT_JSON ? print_json(r, e) : print_text(r, e);
	if (!err && !r->message)
		err = 1;
	generation_free(g);
	free(r);
	return err;
}

static int run(const struct command *command, const struct option_globals *globals, int argc, char **argv)
{
	struct lookup_options o = {0};
	struct option_arguments arguments;
	struct message_query q;
	struct error e = {0};
	int code, err;

	if (!options_begin(command, globals, argc, argv, &o, &arguments, &code))
		return code;
	err = make_query(&o, &arguments, &q, &e);
	code = err ? EXIT_USAGE : EXIT_FAILED;
	if (!err)
		err = lookup(&o, &q, &e);
	if (err < 0)
		fprintf(stderr, "nodens lookup: %s\n", e.text[0] ? e.text : strerror(-err));
	if (code == EXIT_USAGE)
		fprintf(stderr, "Try: nodens lookup --help\n");
	options_done(command, &o, &arguments);
	return err ? code : EXIT_OK;
}

const struct command command_lookup = {
	.name = "lookup",
	.arguments = "NAME [TYPE] [+OPTION ...]",
	.summary = "asks the loaded datapath: prints the answer as dig does, or why it is passed on",
	.details = "Type A unless told. +bufsize=N, +noedns, +edns, +dnssec, +cookie as dig has them; an OPT of 1232 "
		   "octets\n"
		   "is sent unless told. Nothing is counted, and the source address is not looked at.\n"
		   "Exit status: 0 answered, 1 passed on or failed.\n",
	.options = lookup_options,
	.option_count = sizeof(lookup_options) / sizeof(lookup_options[0]),
	.argument_max = 16,
	.run = run,
};
