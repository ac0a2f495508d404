package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// load writes text to a config file that only its owner can read, and loads it.
func load(t testing.TB, text string) (*Config, error) {
	t.Helper()
	return Load(write(t, t.TempDir(), "config.toml", text, 0o600))
}

func write(t testing.TB, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
	return path
}

// server is the smallest valid file.
const server = "[[server]]\naddress = \"127.0.0.1\"\nusername = \"amifend\"\nsecret = \"s3cret\"\n"

// notifyMail is the smallest valid [[notify]].
const notifyMail = "[[notify]]\nurl = 'smtp://localhost/?from=a@b.example&to=c@d.example'\n"

func TestLoadReadsEveryKey(t *testing.T) {
	dir := t.TempDir()
	ca := write(t, dir, "ca.pem", pem, 0o644)
	write(t, dir, "branch-secret", "s3 %s:cret\r\n", 0o600)
	writePair(t, dir)
	const slackURL = "slack://hook:T00000000-B00000000-000000000000000000000000@webhook"
	write(t, dir, "slack-url", slackURL+"\n", 0o600)
	write(t, dir, "feed-url", "https://mirror.example/t0ken\n", 0o600)
	c, err := Load(write(t, dir, "config.toml", `
[[server]]
name = "office"
address = "pbx.example:5138"
addresses = ["192.0.2.10", "::ffff:192.0.2.11", "2001:db8::10"]
username = "amifend"
secret = "s3cret"

[[server]]
address = "2001:db8:2::10"
username = "monitor"
secret_file = "branch-secret"
[server.tls]
ca_file = "ca.pem"
server_name = "pbx.branch.example"
fingerprint = "sha256 Fingerprint=`+strings.Repeat("aB:", 31)+`0c"

[[server]]
address = "[2001:db8:3::10]:5039"
username = "amifend"
secret = "x"
[server.tls]
insecure_skip_verify = true

[policy]
threshold = 5
half_life = "1d12h"
ban_time = "30m"
ban_growth = 2.5
ban_max = "60d"
proof_window = "48h"
observe = true
forgeable_bans_per_minute = 77
ban_proved_guessers = true
ban_shared_sources = true
canary_accounts = ["admin", "9999"]
max_sources = 50000
[policy.rules]
trust = false
long_memory = true
[policy.weights]
InvalidAccountID = 2
ChallengeResponseFailed = 0.75

[allow]
prefixes = ["203.0.113.0/24", "192.0.2.7", "::ffff:198.51.100.0/120", "2001:db8:20::/64", "192.0.2.7/32"]

[firewall]
backend = "log"
table = "pbx_guard"
sip_ports = [5160, "5060-5061/udp"]
ws_ports = [8088, "8443-8444/tcp"]
max_bans = 1000

[sensor]
enabled = false
nflog_group = 77

[limiter]
mode = "on"
per_minute = 30
burst = 400
strangers_per_second = 50
strangers_burst = 1000

[control]
socket = "/tmp/control.sock"
read_group = "pbx"
admin_group = "27"

[state]
directory = "/srv/amifend/"
retain = "30d"
max_size_mb = 100

[log]
level = "debug"
format = "json"

[metrics]
listen = "192.0.2.1:9797"
username = "scraper"
password_file = "branch-secret"
cert_file = "server.pem"
key_file = "server.key"
[geo]
files = ["/srv/country.mmdb", "asn.mmdb", "/srv/country.mmdb"]
reverse_dns = true
expected_countries = ["de", "AT", "DE"]

[report]
weekly = "mon 08:30"

[[notify]]
name = "duty"
url_file = "slack-url"
kinds = ["server_down", "attack", "attack"]
min_severity = "warning"
quiet_hours = "22:30-07:05"
digest = "4h"
max_per_hour = 5

[[notify]]
url = "https://hooks.example.com/x?token=t0ken"
secret = "0123456789abcdef"

[[feed]]
source = "apiban"
name = "ban-1"
key_file = "branch-secret"
url_file = "feed-url"
ca_file = "ca.pem"
every = "20m"

[[feed]]
name = "mine"
file = "drop.txt"
`, 0o640))
	if err != nil {
		t.Fatal(err)
	}

	// All values differ from their defaults, so a key that is not read shows.
	weights := policy.DefaultOptions().Weights
	weights[policy.KindInvalidAccountID], weights[policy.KindChallengeResponseFailed] = 2, 0.75
	off, _ := policy.RuleSet(0).With(policy.RuleTrust)
	want := &Config{
		Servers: []Server{
			{
				Name: "office", Address: "pbx.example:5138", Host: "pbx.example",
				Username: "amifend", Secret: ami.NewSecret("s3cret"),
				Addresses: []netip.Addr{
					netip.MustParseAddr("192.0.2.10"),
					netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::10"),
				},
			},
			{
				Name: "2001:db8:2::10", Address: "[2001:db8:2::10]:5039", Host: "2001:db8:2::10",
				Username: "monitor", Secret: ami.NewSecret("s3 %s:cret"),
				TLS: &TLS{
					CAFile: ca, ServerName: "pbx.branch.example",
					Fingerprint: strings.Repeat("AB:", 31) + "0C",
				},
			},
			{
				Name: "2001:db8:3::10", Address: "[2001:db8:3::10]:5039", Host: "2001:db8:3::10",
				Username: "amifend", Secret: ami.NewSecret("x"),
				TLS: &TLS{InsecureSkipVerify: true},
			},
		},
		Policy: policy.Options{
			Threshold: 5, HalfLife: 36 * time.Hour, BanTime: 30 * time.Minute, BanGrowth: 2.5,
			BanMax:      60 * 24 * time.Hour,
			ProofWindow: 48 * time.Hour, Weights: weights, UnknownWeight: 1.5,
			MaxSources: 50_000, MaxBans: 1000, ForgeablePerMinute: 77, BanProvedGuessers: true,
			BanSharedSources: true, Canaries: []string{"admin", "9999"}, Off: off,
		},
		Observe: true,
		Allow: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.0/24"),
			netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:20::/64"),
		},
		Firewall: Firewall{
			Backend: BackendLog, Table: "pbx_guard", MaxBans: 1000,
			SIPPorts: firewall.PortRanges{
				{Protocol: firewall.UDP, First: 5160, Last: 5160},
				{Protocol: firewall.TCP, First: 5160, Last: 5160},
				{Protocol: firewall.UDP, First: 5060, Last: 5061},
			},
			WSPorts: firewall.PortRanges{
				{Protocol: firewall.TCP, First: 8088, Last: 8088},
				{Protocol: firewall.TCP, First: 8443, Last: 8444},
			},
		},
		Sensor:  Sensor{Enabled: false, Group: 77},
		Limiter: Limiter{LimiterOn, 30, 400, 50, 1000},
		Control: Control{Socket: "/tmp/control.sock", ReadGroup: "pbx", AdminGroup: "27"},
		State:   State{Directory: "/srv/amifend", Retain: 30 * 24 * time.Hour, MaxSize: 100 << 20},
		Log:     Log{slog.LevelDebug, "json"},
		Metrics: Metrics{
			Listen: "192.0.2.1:9797", Username: "scraper", Password: ami.NewSecret("s3 %s:cret"),
			Certificate: c.Metrics.Certificate,
		},
		Notify: []Target{
			{
				Name: "duty", Service: "slack", URL: Hide(slackURL), Secret: Hide(""),
				Kinds: []string{"attack", "server_down"}, MinSeverity: "warning",
				Quiet: Hours{22*60 + 30, 7*60 + 5}, Digest: 4 * time.Hour, PerHour: 5,
			},
			{
				Name: "webhook", Service: "webhook",
				URL: Hide("https://hooks.example.com/x?token=t0ken"), Secret: Hide("0123456789abcdef"),
				MinSeverity: "notice", Digest: time.Hour, PerHour: 20,
			},
		},
		Feeds: []Feed{
			{
				Name: "ban-1", Source: SourceAPIBAN, URL: Hide("https://mirror.example/t0ken"),
				Key: Hide("s3 %s:cret"), CAFile: filepath.Join(dir, "ca.pem"), Every: 20 * time.Minute,
			},
			{Name: "mine", File: filepath.Join(dir, "drop.txt"), Every: 10 * time.Minute},
		},
		Geo: Geo{
			Files: []string{"/srv/country.mmdb", c.Geo.Files[1]}, ReverseDNS: true,
			Expected: []string{"AT", "DE"},
		},
		Report: Report{Weekly{On: true, Day: time.Monday, At: 8*60 + 30}},
	}
	if path := c.Geo.Files[1]; !filepath.IsAbs(path) || filepath.Base(path) != "asn.mmdb" {
		t.Errorf("[geo] files: %q", path)
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// Each wrong text gives a problem at its key and line, with words that help.
func TestLoadSaysWhatIsWrongAndWhatToWrite(t *testing.T) {
	for _, tt := range []struct{ name, text, key, line, says string }{
		{"no server", "", "", "", "no [[server]]: amifend needs at least one Asterisk"},
		{"one bracket", "[server]\nname = 'x'", "server", "[server]", "write [[server]]"},
		{"TLS without a server", "[server.tls]\nca_file = 'x'", "server", "", "write [[server]]"},
		{"server is not a table", "server = 3", "server", "server = 3", "write the header [[server]]"},
		{
			"server holds no tables", "server = [3]", "server", "server = [3]",
			"holds something that is not a table",
		},
		{"TLS is not a table", server + "tls = true", "server", "[[server]]", "[server.tls]"},
		{
			"section is not a table", "policy = 3\n" + server, "policy", "policy = 3",
			"write the header [policy]",
		},
		{
			"no such rule", server + "[policy.rules]\ntrusty = false", "policy.rules.trusty", "trusty",
			"did you mean trust?",
		},
		{
			"a fixed rule", server + "[policy.rules]\nadopted = false", "policy.rules.adopted",
			"adopted", "cannot be switched off",
		},
		{
			"a rule is no text", server + "[policy.rules]\ntrust = \"no\"", "policy.rules.trust",
			"trust", "true or false",
		},
		{
			"an empty canary", server + "[policy]\ncanary_accounts = [\"\"]", "policy.canary_accounts",
			"canary_accounts", "leave it out",
		},
		{
			"no forgeable bans", server + "[policy]\nforgeable_bans_per_minute = 0",
			"policy.forgeable_bans_per_minute", "forgeable_bans", "write a number from 1",
		},
		{
			"few sources", server + "[policy]\nmax_sources = 5", "policy.max_sources", "max_sources",
			"at least twice [firewall] max_bans, which is 524288",
		},
		{
			"rules are no table", server + "[policy]\nrules = true", "policy.rules", "rules = true",
			"[policy.rules]",
		},
		{
			"weights are no table", server + "[policy]\nweights = 3", "policy.weights", "weights = 3",
			"[policy.weights]",
		},
		{
			"typo", server + "[policy]\ntreshold = 3", "policy.treshold", "treshold = 3",
			"did you mean threshold?",
		},
		{
			"other case", server + "[policy]\nThreshold = 3", "policy.Threshold", "Threshold = 3",
			"did you mean threshold?",
		},
		{
			"typo of a table", server + "[polcy]\nthreshold = 3", "polcy", "[polcy]",
			"did you mean policy?",
		},
		{
			"wrong table", server + "[firewall]\nthreshold = 3", "firewall.threshold", "threshold = 3",
			"it belongs in [policy]",
		},
		{
			"outside of tables", "threshold = 3\n" + server, "threshold", "threshold = 3",
			"it belongs in [policy]",
		},
		{
			"fail2ban's word", server + "[allow]\nignoreip = '127.0.0.1'", "allow.ignoreip",
			"ignoreip = '127.0.0.1'", "write [allow] prefixes",
		},
		{
			"relative socket", server + "[control]\nsocket = 'run/x'", "control.socket",
			"socket = 'run/x'", `write one like "/run/amifend/amifend.sock"`,
		},
		{
			"long socket", server + "[control]\nsocket = '/" + strings.Repeat("x", 107) + "'",
			"control.socket", "socket = ", "longer than the 107 bytes",
		},
		{
			"no group", server + "[control]\nadmin_group = 'a b'", "control.admin_group",
			"admin_group = 'a b'", "write its name or its number",
		},
		{
			"relative state", server + "[state]\ndirectory = 'lib'", "state.directory",
			"directory = 'lib'", `write one like "/var/lib/amifend"`,
		},
		{
			"no state", server + "[state]\ndirectory = ''", "state.directory", "directory = ''",
			"not an absolute name",
		},
		{
			"short retain", server + "[state]\nretain = '10s'", "state.retain", "retain = '10s'",
			"from \"1h\"",
		},
		{
			"small size", server + "[state]\nmax_size_mb = 1", "state.max_size_mb", "max_size_mb = 1",
			"from 10",
		},
		{
			"unknown word", server + "[log]\nsyslog = true", "log.syslog", "syslog = true",
			"valid here: format, level",
		},
		{
			"key of the second server",
			server + "\n[[server]]\nuser_name = 'x'\naddress = 'y'\nusername = 'a'\nsecret = 'b'",
			"server[2].user_name", "user_name = 'x'", "did you mean username?",
		},
		{
			"wrong type", server + "[policy]\nthreshold = \"3\"", "policy.threshold",
			"threshold = \"3\"", "is a text; write a number",
		},
		{
			"no unit", server + "[policy]\nban_time = 3600", "policy.ban_time", "ban_time = 3600",
			"without a unit",
		},
		{
			"bad duration", server + "[policy]\nban_time = \"1 hour\"", "policy.ban_time",
			"ban_time = \"1 hour\"", "is not a valid duration",
		},
		{
			"negative duration", server + "[policy]\nban_time = \"-1h\"", "policy.ban_time",
			"ban_time = \"-1h\"", "is not a valid duration",
		},
		{
			"out of range", server + "[policy]\nban_growth = 0.5", "policy.ban_growth",
			"ban_growth = 0.5", "write a number from 1",
		},
		{
			"endless", server + "[policy]\nthreshold = nan", "policy.threshold", "threshold = nan",
			"is not a score",
		},
		{
			"unknown event", server + "[policy.weights]\nInvalidPasswort = 1",
			"policy.weights.InvalidPasswort", "InvalidPasswort = 1",
			"did you mean InvalidPassword?",
		},
		{
			"no event at all", server + "[policy.weights]\nfoo = 1", "policy.weights.foo", "foo = 1",
			"the events are AuthMethodNotAllowed, ChallengeResponseFailed",
		},
		{
			"our own kind", server + "[policy.weights]\ninjection = 1", "policy.weights.injection",
			"injection = 1", "is not an event of Asterisk",
		},
		{
			"negative weight", server + "[policy.weights]\nFailedACL = -1", "policy.weights.FailedACL",
			"FailedACL = -1", "is not a weight",
		},
		{
			"weight of a success", server + "[policy.weights]\nSuccessfulAuth = 1",
			"policy.weights.SuccessfulAuth", "SuccessfulAuth = 1", "write 0",
		},
		{
			"allow everybody", server + "[allow]\nprefixes = [\"0.0.0.0/0\"]", "allow.prefixes",
			"prefixes", "is every address",
		},
		{
			"allow everybody, IPv6", server + "[allow]\nprefixes = [\"::/0\"]", "allow.prefixes",
			"prefixes", "is every address",
		},
		{
			"allow everybody, mapped", server + "[allow]\nprefixes = [\"::ffff:0.0.0.0/96\"]",
			"allow.prefixes", "prefixes", "is every address",
		},
		{
			"mapped and more", server + "[allow]\nprefixes = [\"::ffff:0.0.0.0/95\"]",
			"allow.prefixes", "prefixes", "write the IPv4 prefix itself",
		},
		{
			"host bits", server + "[allow]\nprefixes = [\"192.0.2.7/24\"]", "allow.prefixes",
			"prefixes", `write "192.0.2.0/24" for the network or "192.0.2.7"`,
		},
		{
			"netmask", server + "[allow]\nprefixes = [\"192.0.2.7/255.255.255.0\"]", "allow.prefixes",
			"prefixes", `write "192.0.2.0/24"`,
		},
		{
			"odd netmask", server + "[allow]\nprefixes = [\"192.0.2.7/255.0.255.0\"]",
			"allow.prefixes", "prefixes", "is neither an address nor a prefix",
		},
		{
			"zone", server + "[allow]\nprefixes = [\"fe80::1%eth0\"]", "allow.prefixes", "prefixes",
			"has a zone",
		},
		{
			"unspecified", server + "[allow]\nprefixes = [\"0.0.0.0\"]", "allow.prefixes", "prefixes",
			"is not a host's address",
		},
		{
			"name", server + "[allow]\nprefixes = [\"trunk.example\"]", "allow.prefixes", "prefixes",
			"is neither an address nor a prefix",
		},
		{
			"no list", server + "[allow]\nprefixes = \"192.0.2.7\"", "allow.prefixes", "prefixes",
			"write a list",
		},
		{
			"list of numbers", server + "[allow]\nprefixes = [1]", "allow.prefixes", "prefixes",
			"holds a number",
		},
		{
			"NFLOG group", server + "[sensor]\nnflog_group = 65536", "sensor.nflog_group", "nflog_group",
			"65536 is out of range; write a number from 1 to 65535",
		},
		{
			"mode", server + "[limiter]\nmode = \"maybe\"", "limiter.mode", "mode",
			`is not a mode; write "off", "observe" or "on"`,
		},
		{
			"burst of none", server + "[limiter]\nburst = 0", "limiter.burst", "burst",
			"0 is out of range; write a number from 1 to 1000000",
		},
		{
			"backend", server + "[firewall]\nbackend = \"iptables\"", "firewall.backend", "backend",
			"is not a backend",
		},
		{
			"table", server + "[firewall]\ntable = \"my table\"", "firewall.table", "table =",
			"is not a valid name for a table",
		},
		{
			"ports", server + "[firewall]\nsip_ports = [\"5061-5060\"]", "firewall.sip_ports",
			"sip_ports", "entry 1 is not a port or a range",
		},
		{
			"port's protocol", server + "[firewall]\nsip_ports = [\"5060/sctp\"]",
			"firewall.sip_ports", "sip_ports", "4569/udp",
		},
		{
			"port is no text", server + "[firewall]\nsip_ports = [true]", "firewall.sip_ports",
			"sip_ports", "holds true or false",
		},
		{
			"no ports", server + "[firewall]\nsip_ports = []", "firewall.sip_ports", "sip_ports",
			"is empty",
		},
		{
			"UDP for WebSocket", server + "[firewall]\nws_ports = [\"8088/udp\"]",
			"firewall.ws_ports", "ws_ports", "the protocol must be tcp",
		},
		{
			"no WebSocket ports", server + "[firewall]\nws_ports = []", "firewall.ws_ports",
			"ws_ports", "is empty",
		},
		{
			"no bans", server + "[firewall]\nmax_bans = 0", "firewall.max_bans", "max_bans",
			"write a number from 1",
		},
		{
			"too many bans", server + "[firewall]\nmax_bans = 99999999999", "firewall.max_bans",
			"max_bans", "write a number from 1",
		},
		{"level", server + "[log]\nlevel = \"loud\"", "log.level", "level", "is not a level"},
		{"format", server + "[log]\nformat = \"xml\"", "log.format", "format", "is not a format"},
		{
			"same name", server + "\n" + strings.Replace(server, "127.0.0.1", "127.0.0.1:5040", 1),
			"server[2].name", "[[server]]", "is that of server[1], too",
		},
		{
			"same address", server + "\n" +
				strings.Replace(server, "127.0.0.1", "127.0.0.1:5038", 1) + "name = 'other'",
			"server[2].address", "address = \"127.0.0.1:5038",
			"is that of server[1], too; delete one",
		},
		{
			"URL", strings.Replace(server, "127.0.0.1", "tcp://pbx.example:5038", 1),
			"server[1].address", "address", "is a URL",
		},
		{
			"port", strings.Replace(server, "127.0.0.1", "pbx.example:99999", 1), "server[1].address",
			"address", "no port between 1 and 65535",
		},
		{
			"address without host", strings.Replace(server, "127.0.0.1", ":5038", 1),
			"server[1].address", "address", "no host name or address",
		},
		{
			"address with a space", strings.Replace(server, "127.0.0.1", "pbx example", 1),
			"server[1].address", "address", "no host name or address",
		},
		{
			"no address", "[[server]]\nusername = 'a'\nsecret = 'b'", "server[1].address",
			"[[server]]", "is missing",
		},
		{
			"notify without URL", server + "[[notify]]\nname = 'x'", "notify[1].url", "[[notify]]",
			"is missing; write url_file",
		},
		{
			"notify with another scheme", server + "[[notify]]\nurl = 'exec://rm'", "notify[1].url",
			"url =", "its scheme is one of smtp, smtps, slack",
		},
		{
			"notify by both", server + "[[notify]]\nurl = 'x'\nurl_file = 'y'", "notify[1].url",
			"url =", "exclude each other",
		},
		{
			"a webhook without a secret", server + "[[notify]]\nurl = 'https://a.example/'",
			"notify[1].url", "url =", "needs a secret",
		},
		{
			"notify kinds", server + notifyMail + "kinds = ['atack']", "notify[1].kinds", "kinds",
			"entry 1 is not a kind; did you mean attack?",
		},
		{
			"notify severity", server + notifyMail + "min_severity = 'bad'", "notify[1].min_severity",
			"min_severity", "\"critical\", \"warning\" or",
		},
		{
			"quiet hours", server + notifyMail + "quiet_hours = '22-7'", "notify[1].quiet_hours",
			"quiet_hours", "22:00-07:00",
		},
		{
			"digest", server + notifyMail + "digest = '1s'", "notify[1].digest", "digest", "out of range",
		},
		{
			"max_per_hour", server + notifyMail + "max_per_hour = 0", "notify[1].max_per_hour",
			"max_per_hour", "from 1 to 1000",
		},
		{
			"two targets of a name", server + notifyMail + notifyMail, "notify[2].name", "[[notify]]",
			"give each a name",
		},
		{
			"an unknown country", server + "[geo]\nfiles = ['a.mmdb']\nexpected_countries = ['DEU']",
			"geo.expected_countries", "expected", "write two letters",
		},
		{
			"countries without a file", server + "[geo]\nexpected_countries = ['DE']",
			"geo.expected_countries", "expected", "needs [geo] files",
		},
		{
			"an empty file of geo", server + "[geo]\nfiles = ['']", "geo.files", "files", "is empty",
		},
		{
			"no day of a report", server + "[report]\nweekly = 'Monday 8:00'", "report.weekly", "weekly",
			"Mon 08:00",
		},
		{
			"an unknown key of notify", server + notifyMail + "digst = '1h'", "notify[1].digst", "digst",
			"did you mean digest?",
		},
		{
			"one notify", server + "[notify]\nname = 'x'", "notify", "[notify]", "write [[notify]]",
		},
		{
			"feed without a list", server + "[[feed]]\nname = 'x'", "feed[1]", "[[feed]]", "has no list",
		},
		{
			"feed with another source", server + "[[feed]]\nsource = 'voip'", "feed[1].source",
			"source", "is not a known list",
		},
		{
			"feed of http", server + "[[feed]]\nname = 'x'\nurl = 'http://a.example/'", "feed[1].url",
			"url =", "is not a URL of https",
		},
		{
			"feed of both", server + "[[feed]]\nsource = 'voipbl'\nfile = 'x'", "feed[1].file",
			"file", "excludes source",
		},
		{
			"feeds of one name", server + "[[feed]]\nsource = 'voipbl'\n[[feed]]\nsource = 'voipbl'",
			"feed[2].name", "[[feed]]", "is that of another [[feed]]",
		},
		{
			"apiban without a key", server + "[[feed]]\nsource = 'apiban'", "feed[1].key_file",
			"[[feed]]", "is missing",
		},
		{
			"a key for another", server + "[[feed]]\nsource = 'voipbl'\nkey_file = 'x'",
			"feed[1].key_file", "key_file", "belongs to",
		},
		{
			"a name that the kernel does not take", server + "[[feed]]\nsource = 'voipbl'\nname = 'A b'",
			"feed[1].name", "name =", "cannot be used",
		},
		{
			"two feeds of a name",
			server + "[[feed]]\nsource = 'voipbl'\n[[feed]]\nsource = 'voipbl'",
			"feed[2].name", "[[feed]]", "that of another",
		},
		{
			"every", server + "[[feed]]\nsource = 'voipbl'\nevery = '1m'", "feed[1].every", "every",
			"out of range",
		},
		{
			"no username", "[[server]]\naddress = 'a'\nsecret = 'b'", "server[1].username",
			"[[server]]", "is missing",
		},
		{
			"username of two lines",
			"[[server]]\naddress = 'a'\nusername = \"a\\nAction: x\"\nsecret = 'b'",
			"server[1].username", "username", "line break",
		},
		{
			"no secret", "[[server]]\naddress = 'a'\nusername = 'b'", "server[1].secret", "[[server]]",
			"write secret_file",
		},
		{
			"two secrets", server + "secret_file = 'x'", "server[1].secret", "secret = \"s3cret\"",
			"exclude each other",
		},
		{
			"empty secret", strings.Replace(server, "s3cret", "", 1), "server[1].secret",
			"secret = \"\"", "is empty",
		},
		{
			"secret of two lines", strings.Replace(server, "s3cret", `a\r\nb`, 1), "server[1].secret",
			`secret = "a\r\nb"`, "line break",
		},
		{
			"no such secret file",
			strings.Replace(server, `secret = "s3cret"`, `secret_file = "nowhere"`, 1),
			"server[1].secret_file", "secret_file", "no such file",
		},
		{
			"further address", server + "addresses = [\"192.0.2.0/24\"]", "server[1].addresses",
			"addresses", "is not an address",
		},
		{
			"CA file", server + "[server.tls]\nca_file = \"nowhere\"", "server[1].tls.ca_file",
			"ca_file", "no such file",
		},
		{
			"fingerprint", server + "[server.tls]\nfingerprint = \"AB:CD\"",
			"server[1].tls.fingerprint", "fingerprint", "openssl x509",
		},
		{
			"contradiction",
			server + "[server.tls]\nfingerprint = \"" + strings.Repeat("ab", 32) +
				"\"\ninsecure_skip_verify = true", "server[1].tls.insecure_skip_verify",
			"insecure_skip_verify", "delete it",
		},
		{"no TOML", server + "[policy", "", "[policy", "is not TOML"},
		{
			"a text without quotes", strings.Replace(server, `"127.0.0.1"`, "127.0.0.1", 1), "",
			"address", `a text stands in quotes: "…"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want *Error", err)
			}
			if len(e.Problems) != 1 {
				t.Fatalf("%d problems, want one:\n%v", len(e.Problems), err)
			}

			// The error names the key, what to write, and the line where it stands.
			p := e.Problems[0]
			if p.Key != tt.key || !strings.Contains(p.Text, tt.says) {
				t.Errorf("got  %s: %s\nwant %s: … %s …", p.Key, p.Text, tt.key, tt.says)
			}

			line := ""
			if p.Line > 0 {
				line = strings.Split(tt.text, "\n")[p.Line-1]
			}
			if !strings.HasPrefix(line, tt.line) || line == "" && tt.line != "" {
				t.Errorf("line %d is %q, want %q", p.Line, line, tt.line)
			}
		})
	}
}

func TestLoadReportsAllProblemsInTheOrderOfLines(t *testing.T) {
	_, err := load(t, `treshold = 3
[[server]]
address = "tcp://x"
username = 4
secret = "a"
[policy]
ban_time = 1
ban_growth = 0
[allow]
prefixes = ["0.0.0.0/0", "x"]
[log]
level = "loud"
`)
	if err == nil {
		t.Fatal("no error")
	}

	// Each line of the error begins with FILE:LINE: KEY.
	var got []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		_, rest, _ := strings.Cut(line, "config.toml:")
		at, rest, _ := strings.Cut(rest, ": ")
		key, _, _ := strings.Cut(rest, ": ")
		got = append(got, at+" "+key)
	}

	want := []string{
		"1 treshold", "3 server[1].address", "4 server[1].username", "7 policy.ban_time",
		"8 policy.ban_growth",
		"10 allow.prefixes", "10 allow.prefixes", "12 log.level",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTheSmallestFileThatIsSuggestedLoads(t *testing.T) {
	_, err := load(t, "")
	if err == nil {
		t.Fatal("no error")
	}

	dir := t.TempDir()
	write(t, dir, "ami-secret", "s3cret\n", 0o600)
	_, text, _ := strings.Cut(err.Error(), "\n\n")
	text, _, _ = strings.Cut(text, "\n\n")
	c, err := Load(write(t, dir, "config.toml", text, 0o600))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}

	if s := c.Servers[0]; s.Address != "127.0.0.1:5038" || s.Name != "127.0.0.1" ||
		!s.Secret.Equal(ami.NewSecret("s3cret")) {
		t.Errorf("server: %+v", s)
	}
}

func TestSecretFileComesFromTheCredentialsFirst(t *testing.T) {
	credentials, dir := t.TempDir(), t.TempDir()
	write(t, dir, "ami-secret", "next to the config", 0o600)
	path := write(t, dir, "config.toml",
		strings.Replace(server, `secret = "s3cret"`, `secret_file = "ami-secret"`, 1), 0o600)

	secret := func() ami.Secret {
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return c.Servers[0].Secret
	}

	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	if !secret().Equal(ami.NewSecret("next to the config")) {
		t.Error("without a credential of that name: another secret")
	}

	write(t, credentials, "ami-secret", "credential\n", 0o400)
	if !secret().Equal(ami.NewSecret("credential")) {
		t.Error("with one: another secret")
	}
}

func TestFilesThatOthersCanReadAreToldAndLoaded(t *testing.T) {
	for _, tt := range []struct {
		config, secret os.FileMode
		want           []string
	}{
		{0o600, 0o400, nil},
		{0o640, 0o440, nil}, // root:amifend
		{0o644, 0o600, []string{"config.toml can be read by every user"}},
		{0o600, 0o604, []string{"ami-secret can be read by every user"}},
		{
			0o666, 0o602,
			[]string{
				"config.toml can be changed by every user",
				"ami-secret can be changed by every user",
			},
		},
	} {
		dir := t.TempDir()
		write(t, dir, "ami-secret", "x", tt.secret)
		c, err := Load(write(t, dir, "config.toml",
			strings.Replace(server, `secret = "s3cret"`, `secret_file = "ami-secret"`, 1),
			tt.config))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Warnings) != len(tt.want) {
			t.Fatalf("%o %o: warnings %q, want %q", tt.config, tt.secret, c.Warnings, tt.want)
		}

		for i, w := range c.Warnings {
			if !strings.Contains(w, tt.want[i]) || !strings.Contains(w, "chmod o-rwx ") {
				t.Errorf("warning %q, want %q and what to do", w, tt.want[i])
			}
		}
	}
}

func TestLoadRefusesWhatIsNoConfig(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}

	if _, err := load(t, strings.Repeat("# \n", maxFile)); err == nil ||
		!strings.Contains(err.Error(), "right file") {
		t.Errorf("a huge file: %v", err)
	}

	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder loads")
	}
}

// However a config is printed, and whatever is wrong with it, the secret does not show.
func TestSecretsNeverShow(t *testing.T) {
	const secret = "hunter2hunter2"
	c, err := load(t, strings.Replace(server, "s3cret", secret, 1))
	if err != nil {
		t.Fatal(err)
	}

	private := struct{ c Config }{*c} // fmt does not ask the methods of unexported fields
	var log bytes.Buffer
	for _, h := range []slog.Handler{
		slog.NewTextHandler(&log, nil),
		slog.NewJSONHandler(&log, nil),
	} {
		slog.New(h).Info("loaded", "config", c, "server", c.Servers[0], "secret",
			c.Servers[0].Secret, "private", private)
	}

	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}

	all := []string{log.String(), string(b), fmt.Sprint(c.Servers[0].Secret)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{
			c, *c, private, c.Servers, c.Servers[0], c.Servers[0].Secret,
			&c.Servers[0].Secret,
		} {
			all = append(all, fmt.Sprintf(verb, v))
		}
	}

	for _, printed := range all {
		if strings.Contains(printed, secret) ||
			strings.Contains(printed, fmt.Sprintf("%x", secret)) {
			t.Errorf("the secret shows: %s", printed)
		}
	}

	for _, wrong := range []string{
		"secret = " + secret,
		"secret = \"" + secret,
		"secret = '" + secret + "' x",
		"secret = 2020-13-01" + secret,
		"secret = 123" + secret,
		"secret = [\"" + secret + "\"]",
		"secret = {x = \"" + secret + "\"}",
		"secret = \"" + secret + "\\q\"",
		"secret = \"" + secret + "\\n\"",
		"secret = '''" + secret + "\nmore'''",
		"secret = '''" + secret + "\n" + secret + "''' " + secret,
		"secret = \"" + secret + "\"\nsecret = \"" + secret + "\"",
		"secret = \"" + secret + "\"\nsecret_file = \"x\"",
		"secrets = \"" + secret + "\"",
		"Secret = \"" + secret + "\"",
		"password = \"" + secret + "\"",
		"secret_file = \"" + "x" + "\"\nsecret = 99999999999999999999",
		"password = hunterhunter",
		"Secret = hunterhunter",
		"password =\n  hunterhunter",
		"password = \"" + secret + "\\u12x\"",
		"password = \"\"\"\n" + secret + "\\U12x\"\"\"",
		"password = 1_" + strings.Repeat("1", 20),
		"password = 2026-13-01",
	} {
		_, err := load(t, "[[server]]\naddress = 'a'\nusername = 'b'\n"+wrong)
		if err == nil {
			t.Errorf("%s: no error", wrong)
			continue
		}

		// The name of the test's folder holds random digits, which may look like a part of a secret.
		said := tempDigits.ReplaceAllString(err.Error(), "")
		for _, part := range []string{"hunter", "1111", "2026"} {
			if strings.Contains(said, part) {
				t.Errorf("%s: the secret shows: %v", wrong, err)
			}
		}
	}
}

// tempDigits matches what testing.T.TempDir appends to the name of a test.
var tempDigits = regexp.MustCompile(`TestSecretsNeverShow[0-9]+`)

func FuzzLoad(f *testing.F) {
	f.Add(server)
	f.Add("server = [{address = 'x', tls = {ca_file = 3}}, 4]\n[policy.weights]\n\"a.b\" = 1")
	f.Add("[[server]]\n[[server]]\nname = \"\"\"\n[policy]\n\"\"\"")
	f.Add("server = []")
	f.Add("policy.weights.x.y = 1\nserver.tls.x = 1\nallow = 2020-01-01")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		l := &loader{dir: dir}
		c := l.load([]byte(text))
		if c == nil && len(l.problems) == 0 {
			t.Error("neither a config nor a problem")
		}
		if len(l.problems) == 0 && len(c.Servers) == 0 {
			t.Error("a config without a server is valid")
		}
	})
}

// pem is a certificate made for this test alone; its key was thrown away.
const pem = `-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUM/L1ciffifjPjkJi2xVuwS/imHUwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjMwNTAyMjNaGA8yMTI2MTAzMDA1MDIy
M1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNw9
OMcQSPESeFa/88NK7iQNPwinBs9aQIqz0kbfM1XUgf67rjI4rU0a3ente5nvoDT4
FwkvH5B8mXos+NjdHpCjUzBRMB0GA1UdDgQWBBQwN7BHBaN+lentid1IGWXjIGS5
8jAfBgNVHSMEGDAWgBQwN7BHBaN+lentid1IGWXjIGS58jAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIAbxrKqMQQv3xfLDRhTvb1W29X5dYPM4lvYr
EGOCkHaEAiA8kMqTqYiGj9xXHRui0hIzGZmw0/iz/an73lsJY/3RBw==
-----END CERTIFICATE-----
`
