/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people and objects write as text: names, addresses, interfaces, durations, sizes, types; and DNS messages as `nodens lookup`
 * shows them. What is accepted must be whole, and be read the same again from how we print it.
 *
 * Input: which reader, then the text.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/jsonout.h"
#include "dns/message.h"
#include "dns/name.h"
#include "fuzz.h"
#include "interfaces.h"
#include "kube/text.h"
#include "options.h"
#include "servers.h"
#include "source/spec.h"

static void read_name(const char *text)
{
	struct dns_name name = {0}, again = {0};
	char written[DNS_NAME_TEXT_MAX], cut[16];
	struct error e = {0};
	int err = dns_name_parse(text, &name, &e);
	size_t len;

	FUZZ_CHECK(err == 0 || (err == -EINVAL && e.text[0]), "%d %s", err, e.text);
	if (err != 0)
		return;
	FUZZ_CHECK(dns_name_is_valid(name.data, name.len), "a name that is none");
	for (size_t i = 0; i < name.len; i++)
		FUZZ_CHECK(name.data[i] < 'A' || name.data[i] > 'Z', "lower case");
	len = dns_name_format(name.data, name.len, written, sizeof(written));
	FUZZ_CHECK(len == strlen(written) && len > 0 && written[len - 1] == '.', "%zu characters: %s", len, written);
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(written[i] > ' ' && written[i] < 0x7f, "only what is printable");
	FUZZ_CHECK(dns_name_parse(written, &again, &e) == 0 && dns_name_equal(&name, &again), "%s is read as another name", written);
	FUZZ_CHECK(dns_name_format(name.data, name.len, cut, sizeof(cut)) == len && memchr(cut, '\0', sizeof(cut)), "cut to size");
}

static void read_wire_name(const uint8_t *data, size_t len)
{
	char *copy = fuzz_copy(data, len), text[DNS_NAME_TEXT_MAX];
	struct dns_name again;
	struct error e = {0};

	if (dns_name_is_valid((uint8_t *)copy, len)) {
		FUZZ_CHECK(len <= NODENS_NAME_MAX, "a name of %zu octets", len);
		dns_name_format((uint8_t *)copy, len, text, sizeof(text));
		FUZZ_CHECK(dns_name_parse(text, &again, &e) == 0 && again.len == len, "%s: %s", text, e.text);
	}
	free(copy);
}

static void read_server(const char *text)
{
	struct server_addr addr, again;
	struct server_set set = {0};
	struct error e = {0};
	char written[64];
	int err = servers_add_flag(&set, text, &e);

	FUZZ_CHECK(err == 0 || (err == -EINVAL && e.text[0]), "%d %s", err, e.text);
	servers_done(&set);
	if (!servers_parse_address(text, &addr))
		return;
	servers_format(&addr, written);
	FUZZ_CHECK(servers_parse_address(written, &again) && again.family == addr.family && again.port == addr.port &&
		   memcmp(again.octets, addr.octets, addr.family == AF_INET ? 4 : 16) == 0, "%s is read as another address", written);
}

/* A spec a line. */
static void read_interfaces(char *text)
{
	const char *specs[32];
	struct interface_rules rules = {0};
	struct error e = {0};
	size_t count = 0, positive = 0;
	char *rest = text, *spec;
	int err;

	while (count < 32 && (spec = strsep(&rest, "\n")))
		specs[count++] = spec;
	err = interfaces_parse(specs, count, count % 2, &rules, &e);
	FUZZ_CHECK(err == 0 || (err == -EINVAL && e.text[0]), "%d %s", err, e.text);
	if (err != 0)
		return;
	for (size_t i = 0; i < rules.count; i++) {
		FUZZ_CHECK(memchr(rules.rules[i].pattern, '\0', sizeof(rules.rules[i].pattern)), "a pattern ends");
		FUZZ_CHECK(!(rules.rules[i].is_pods && rules.rules[i].is_xdp), "pods with XDP");
		positive += !rules.rules[i].is_negative;
		(void)interfaces_rule_names(&rules.rules[i], "eth0");
	}
	FUZZ_CHECK(positive > 0, "rules that want nothing");
	interfaces_done(&rules);
}

static bool is_digits(const char *text)
{
	return text[0] && strspn(text, "0123456789") == strlen(text);
}

static void read_number(const char *text)
{
	unsigned long long expected;
	uint64_t n;
	bool is_ok = options_parse_number(text, &n);

	errno = 0;
	expected = strtoull(text, NULL, 10);
	FUZZ_CHECK(is_ok == (is_digits(text) && errno == 0), "\"%s\" %s", text, is_ok ? "accepted" : "refused");
	FUZZ_CHECK(!is_ok || n == expected, "%s read as %llu", text, (unsigned long long)n);
}

/* A number with a unit: as many octets or milliseconds as that makes, or refused where it is too large. */
static void read_unit(const char *text, bool (*parse)(const char *, uint64_t *), const char *const *units, const uint64_t *factors)
{
	size_t digits = strspn(text, "0123456789");
	unsigned __int128 expected = 0;
	uint64_t n, factor = 0;
	bool is_ok = parse(text, &n);

	for (size_t i = 0; units[i]; i++)
		if (strcmp(text + digits, units[i]) == 0)
			factor = factors[i];
	for (size_t i = 0; i < digits && expected < (unsigned __int128)1 << 70; i++)
		expected = expected * 10 + (unsigned __int128)(text[i] - '0');
	expected *= factor;
	FUZZ_CHECK(is_ok == (digits && factor && expected <= UINT64_MAX), "\"%s\" %s", text, is_ok ? "accepted" : "refused");
	FUZZ_CHECK(!is_ok || n == (uint64_t)expected, "%s read as %llu", text, (unsigned long long)n);
}

static void read_duration(const char *text)
{
	static const char *const units[] = {"ms", "s", "m", "h", NULL};
	static const uint64_t factors[] = {1, 1000, 60000, 3600000};

	read_unit(text, options_parse_duration, units, factors);
}

static void read_size(const char *text)
{
	static const char *const units[] = {"", "Ki", "Mi", "Gi", NULL};
	static const uint64_t factors[] = {1, 1 << 10, 1 << 20, 1 << 30};

	read_unit(text, options_parse_size, units, factors);
}

static void read_type(const char *text)
{
	uint16_t type, again;
	char written[16];

	if (!message_parse_type(text, &type))
		return;
	message_format_type(type, written);
	FUZZ_CHECK(message_parse_type(written, &again) && again == type, "%s is read as %u", written, again);
}

/* Of objects: only canonical texts are addresses. */
static void read_object_text(const char *text)
{
	char written[INET6_ADDRSTRLEN];
	struct kube_addr addr;
	struct quoted quoted = text_quote(text);

	FUZZ_CHECK(memchr(quoted.text, '\0', sizeof(quoted.text)), "a quoted text ends");
	for (const char *p = quoted.text; *p; p++)
		FUZZ_CHECK((unsigned char)*p >= ' ' && *p != 0x7f, "a control character in a message");
	if (text_is_label(text))
		FUZZ_CHECK(strlen(text) <= 63 && text_is_subdomain(text), "a label that is no subdomain");
	if (text_is_subdomain(text))
		FUZZ_CHECK(strlen(text) > 0 && strlen(text) <= 253, "a subdomain");
	if (text_parse_addr(text, &addr)) {
		kube_addr_format(&addr, written);
		FUZZ_CHECK(strcmp(text, written) == 0, "%s is %s", text, written);
	}
}

static void read_service(const char *text)
{
	char namespace[64], name[64];

	if (servers_parse_service(text, namespace, name))
		FUZZ_CHECK(text_is_label(namespace) && text_is_label(name) && strlen(namespace) + 1 + strlen(name) == strlen(text), "%s", text);
}

static void read_source(const char *text)
{
	struct source_spec spec = {0};
	struct error e = {0};
	int err = source_spec_parse(text, strlen(text) % 2 ? "c" : NULL, &spec, &e);

	FUZZ_CHECK(err == 0 || (err == -EINVAL && e.text[0]), "%d %s", err, e.text);
	FUZZ_CHECK(err != 0 || !(spec.path && spec.kubeconfig), "a file and an API server");
}

static void read_message(const uint8_t *data, size_t len)
{
	static char buffer[1 << 20];
	char *copy = fuzz_copy(data, len);
	FILE *out = fmemopen(buffer, sizeof(buffer), "w");
	struct jsonout j;
	struct error e = {0};
	int err, err_json;

	FUZZ_CHECK(out, "memory");
	err = message_print(out, (uint8_t *)copy, len, &e);
	FUZZ_CHECK(err == 0 || (err == -EBADMSG && e.text[0]), "%d %s", err, e.text);
	rewind(out);
	jsonout_init(&j, out);
	jsonout_open_object(&j, NULL);
	err_json = message_print_json(&j, (uint8_t *)copy, len, &e);
	jsonout_close(&j, '}');
	FUZZ_CHECK(err == err_json, "as text %d, as JSON %d", err, err_json);
	fclose(out);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const readers[])(const char *) = {
		read_name, read_server, NULL, read_duration, read_size, read_number, read_type, read_object_text, read_service, read_source,
	};
	struct fuzz_input in = {data, len};
	uint8_t kind = fuzz_take_u8(&in) % 12;
	char *text;

	if (kind == 10) {
		read_wire_name(in.data, in.len);
	} else if (kind == 11) {
		read_message(in.data, in.len);
	} else {
		text = fuzz_take_text(&in);
		if (kind == 2)
			read_interfaces(text);
		else
			readers[kind](text);
		free(text);
	}
	return 0;
}
