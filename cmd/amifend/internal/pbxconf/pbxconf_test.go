package pbxconf

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// trunksIn reads the trunks of a folder.
func trunksIn(dir string) ([]Trunk, []Problem, error) {
	c, err := Read(Options{Dir: dir})
	if err != nil {
		return nil, nil, err
	}
	return c.Trunks, c.Problems, nil
}

// fromCLI reads the trunks of a command's output.
func fromCLI(r io.Reader) ([]Trunk, []Problem, error) {
	c, err := FromCLI(r)
	if err != nil {
		return nil, nil, err
	}
	return c.Trunks, c.Problems, nil
}

// show writes trunks and problems one a line.
func show(trunks []Trunk, problems []Problem) []string {
	var out []string
	for _, t := range trunks {
		name := t.Host
		if name == "" {
			name = t.Prefix.String()
		}
		out = append(out, name+" | "+t.Where)
	}

	for _, p := range problems {
		out = append(out, "! "+p.String())
	}

	return out
}

func compare(t *testing.T, got []string, want string) {
	t.Helper()
	if g := strings.Join(got, "\n"); g != strings.TrimSpace(want) {
		t.Errorf("got:\n%s\n\nwant:\n%s", g, strings.TrimSpace(want))
	}
}

func TestTrunksOfPJSIP(t *testing.T) {
	trunks, problems, err := trunksIn("testdata/22")
	if err != nil {
		t.Fatal(err)
	}

	// Each line has the place of a trunk. Lines with ! are problems.
	compare(t, show(trunks, problems), `
198.51.100.7/32 | pjsip.conf:16 [a] type=identify match
198.51.100.64/26 | pjsip.conf:16 [a] type=identify match
203.0.113.0/24 | pjsip.conf:26 [c] type=identify match
203.0.113.5/32 | pjsip.conf:26 [c] type=identify match
2001:db8:5::/64 | pjsip.conf:31 [d] type=identify match
2001:db8:6::1/128 | pjsip.conf:32 [d] type=identify match
trunk.example | pjsip.conf:42 [f] type=identify match
192.0.2.44/32 | pjsip.conf:50 [i] type=endpoint outbound_proxy
192.0.2.10/32 | inc_1.conf:1 [j] type=identify match
192.0.2.11/32 | inc_2.conf:1 [j] type=identify match
192.0.2.9/32 | pjsip.conf:55 [j] type=identify match
203.0.113.20/32 | pjsip.conf:59 [itsp] type=aor contact
203.0.113.21/32 | pjsip.conf:59 [itsp] type=aor contact
198.51.100.20/32 | pjsip.conf:63 [reg] type=registration server_uri
2001:db8:5::9/128 | pjsip.conf:65 [reg] type=registration outbound_proxy
sip.a-long-name-of-a-provider.example.com | pjsip.conf:68 [regname] type=registration server_uri
203.0.113.40/32 | pjsip_wizard.conf:4 [wiz] type=wizard remote_hosts
203.0.113.41/32 | pjsip_wizard.conf:7 [wiz] type=wizard remote_hosts
sip.wizard.example | pjsip_wizard.conf:7 [wiz] type=wizard remote_hosts
203.0.113.42/32 | pjsip_wizard.conf:8 [wiz] type=wizard outbound_proxy
203.0.113.48/29 | pjsip_wizard.conf:11 [wiz] type=wizard identify/match
! pjsip.conf:21 [b] type=identify match: "!203.0.113.99" is not an address, network or name
! pjsip.conf:37 [e] type=identify match: "0.0.0.0/0" is every address; it cannot be allowed
! sorcery.conf:3: identify comes from a database (realtime), which is not read; to see its trunks run: asterisk -rx "pjsip show identifies"
`)
}

func TestTrunksOfChanSIP(t *testing.T) {
	trunks, problems, err := trunksIn("testdata/16")
	if err != nil {
		t.Fatal(err)
	}

	compare(t, show(trunks, problems), `
198.51.100.30/32 | sip.conf:3 [general] register
198.51.100.31/32 | sip.conf:4 [general] register
198.51.100.32/32 | sip_more1.conf:1 [general] register
203.0.113.10/32 | sip_more1.conf:4 [more] host
203.0.113.5/32 | sip.conf:8 [itsp] host
203.0.113.9/32 | sip.conf:29 [itsp] outboundproxy
203.0.113.6/32 | sip.conf:11 [from-base] host
2001:db8:5::77/128 | sip.conf:22 [itsp-with-a-very-long-name-indeed] host
203.0.113.7/32 | sip.conf:26 [proxied] host
203.0.113.8/32 | sip.conf:27 [proxied] outboundproxy
! extconfig.conf:3: sippeers comes from a database (realtime), which is not read; to see its trunks run: asterisk -rx "sip show peers"
`)
}

// A register line may name a peer in place of a host (sip.conf.sample).
func TestRegisterAtAPeer(t *testing.T) {
	trunks, problems, err := trunksIn(writeFiles(t, map[string]string{"sip.conf": `[general]
register => 2345:password@sip_proxy/1234
register => 2346:password@template
register => 2347:password@phone
[template](!)
type=peer
[sip_proxy](template)
host=203.0.113.5
[phone](template)
host=dynamic
`}))
	if err != nil {
		t.Fatal(err)
	}

	// Only a peer with a host of its own stands for an address. Any other name is a host.
	compare(t, show(trunks, problems), `
template | sip.conf:3 [general] register
phone | sip.conf:4 [general] register
203.0.113.5/32 | sip.conf:8 [sip_proxy] host
`)
}

// The real Asterisk's view of the files in testdata is the judge of how we read them.
func TestFilesAndCommandLineAgree(t *testing.T) {
	for _, tt := range []struct {
		dir, cli, only string
		but            []string // what the captured output has from other files, or by resolving
	}{
		{"testdata/22", "testdata/cli/22.txt", "identify match", []string{"127.0.0.1/32"}},
		{"testdata/16", "testdata/cli/16.txt", "host", nil},
	} {
		fromFiles, _, err := trunksIn(tt.dir)
		if err != nil {
			t.Fatal(err)
		}

		have := map[netip.Prefix]bool{}
		for _, tr := range fromFiles {
			have[tr.Prefix] = true
		}

		fromCLI := cliFile(t, tt.cli)
		if len(fromCLI) < 5 {
			t.Fatalf("%s: only %d trunks", tt.cli, len(fromCLI))
		}

		seen := map[netip.Prefix]bool{}
		for _, tr := range fromCLI {
			seen[tr.Prefix] = true
			if !have[tr.Prefix] && !slices.Contains(tt.but, tr.Prefix.String()) {
				t.Errorf("%s: Asterisk knows %s (%s), which we did not find", tt.dir, tr.Prefix,
					tr.Where)
			}
		}

		for _, tr := range fromFiles {
			if strings.HasSuffix(tr.Where, tt.only) && tr.Host == "" && !seen[tr.Prefix] {
				t.Errorf("%s: we found %s (%s), which Asterisk does not know", tt.dir, tr.Prefix,
					tr.Where)
			}
		}
	}
}

func cliFile(t *testing.T, path string) []Trunk {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	trunks, _, err := fromCLI(f)
	if err != nil {
		t.Fatal(err)
	}
	return trunks
}

func TestFromCLI(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		// A match by a header is not an address, and the legend is not a match.
		{"identifies", `
 Identify:  <Identify/Endpoint...........................................................>
      Match:  <criteria...........................>
==========================================================================================

 Identify:  a/a
      Match: 198.51.100.7/32
      Match: [2001:db8:6::1]:5060/128
      Match: X-Trunk: secret header

 Identify:  wiz-identify/wiz
      Match: 203.0.113.41:5080/32


Objects found: 2
`, `
198.51.100.7/32 | pjsip show identifies: a/a
2001:db8:6::1/128 | pjsip show identifies: a/a
203.0.113.41/32 | pjsip show identifies: wiz-identify/wiz`},

		// The column ends where the legend does. A name that fills it may lack its end.
		{"registrations", `
 <Registration/ServerURI..............................>  <Auth....................>  <Status.......>
==========================================================================================

 regname/sip:sip.a-long-name-of-a-provider.example.com:  n/a                         Unregistered      (exp. 1s)
 a-longer-name/sip:sip.a-long-name-of-a-provider.examp   n/a                         Unregistered      (exp. 1s)
 a-longer-nam1/sip:sip.a-long-name-of-a-provider.exampl  n/a                         Unregistered      (exp. 1s)
 wiz-reg-1/sip:203.0.113.41:5080                         wiz-oauth                   Unregistered      (exp. 8s)

Objects found: 3
`, `
sip.a-long-name-of-a-provider.example.com | pjsip show registrations: regname
sip.a-long-name-of-a-provider.examp | pjsip show registrations: a-longer-name
203.0.113.41/32 | pjsip show registrations: wiz-reg-1
! pjsip show registrations: a-longer-nam1: Asterisk cut the name off; look it up in its config`},
		{
			"peers in colour, dynamic and unspecified ones", "\x1b[1;33mName/username            " +
				" Host                                    Dyn Forcerport Comedia    ACL Port     " +
				"Status      Description\x1b[0m\r\n" +
				"itsp/user                 203.0.113.5                                 Auto (No) " +
				" No             5060     Unmonitored\r\n" +
				"phone                     10.20.0.7                                D  Auto (No) " +
				" No             5060     OK (1 ms)\r\n" +
				"other                     (Unspecified)                               Auto (No) " +
				" No             0        Unmonitored\r\n" +
				"3 sip peers [Monitored: 0 online, 0 offline Unmonitored: 1 online, 0 " +
				"offline]\r\nitsp/user                 9.9.9.9\r\n",
			"203.0.113.5/32 | sip show peers: itsp/user",
		},
		{
			"registry",
			`Host                                    dnsmgr Username       Refresh State                Reg.Time
198.51.100.31:5080                      N      user@dom.exa        60 Request Sent
1 SIP registrations.
9.9.9.9:5060                            N      x`, "198.51.100.31/32 | sip show registry",
		},
		{"nothing configured", "No objects found.\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trunks, problems, err := fromCLI(strings.NewReader(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, show(trunks, problems), tt.want)
		})
	}

	// Without any table, "no trunks" would be a false answer.
	_, _, err := fromCLI(strings.NewReader("Unable to connect to remote asterisk\n"))
	if err == nil || !strings.Contains(err.Error(), "asterisk -rx") {
		t.Errorf("output of something else: %v", err)
	}
}

func TestComments(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want string
	}{
		{"none", "a=1", "a=1"},
		{"to the end", "a=1 ; x", "a=1 "},
		{"escaped", `a=1\;b ; x`, "a=1;b "},
		{"block in a line", "a=1;-- x --;2", "a=12"},
		{"block over lines", "a;--\nb\n--;c", "a||c"},
		{"nested", "a;--b;--c--;d--;e", "ae"},

		// Asterisk reads these otherwise than they look.
		{"three dashes are no block", "a;--- b\nc", "a|c"},
		{"semicolon in a block", "a;-- b;c --;d", "ad"},
		{"an end without a beginning", "a --; b", "a --"},
		{"escaped in a block", `a;-- b\;c --;d`, "ad"},
	} {
		var c comments
		var got []string
		for line := range strings.SplitSeq(tt.in, "\n") {
			got = append(got, c.strip(line))
		}

		if g := strings.Join(got, "|"); g != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, g, tt.want)
		}
	}
}

func TestHosts(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":              "192.0.2.1/32",
		" 192.0.2.1:5060 ":       "192.0.2.1/32",
		"192.0.2.9/255.255.0.0":  "192.0.0.0/16",
		"192.0.2.9:5060/32":      "192.0.2.9/32",
		"::ffff:192.0.2.1":       "192.0.2.1/32",
		"::ffff:192.0.2.1/120":   "192.0.2.0/24",
		"2001:db8::1/64":         "2001:db8::/64",
		"[2001:db8::1]:5061":     "2001:db8::1/128",
		"[2001:db8::1]/64":       "2001:db8::/64",
		"2001:db8::/ffff:ffff::": "2001:db8::/32",
		"fe80::1%eth0":           "fe80::1/128",
		"sip.example":            "name sip.example",
		"sip.example.:5060":      "name sip.example",
		"pbx":                    "name pbx",

		// These must not get into an allowlist.
		"0.0.0.0/0":             "is every address",
		"::/0":                  "is every address",
		"0.0.0.0/0.0.0.0":       "is every address",
		"192.0.2.1/33":          "no such prefix length",
		"192.0.2.1/255.0.255.0": "holes",
		"192.0.2.1/x":           "is not a netmask",
		"300.1.2.3":             "is not an address",
		"sip.example/24":        "is not an address",
		"a b":                   "is not an address",
		"-x":                    "is not an address",
	} {
		p, name, err := parseHost(in)
		got := p.String()
		switch {
		case err != nil:
			got = err.Error()
		case name != "":
			got = "name " + name
		}

		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestURIsAndRegisterLines(t *testing.T) {
	for in, want := range map[string]string{
		"sip:192.0.2.1": "192.0.2.1",
		"SIPS:u:p@ss@pbx.example:5061;transport=tls": "pbx.example:5061",
		`"A" <sip:u@[2001:db8::1]:5060?x=y>;tag=z`:   "[2001:db8::1]:5060",
		"tel:+123": "", "sip:": "", "192.0.2.1": "",
	} {
		if got, _ := uriHost(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}

	// A secret may hold every character that also separates the parts.
	for in, want := range map[string]string{
		"u@h":                                    "h",
		"u:p@h/1":                                "h",
		"peer?tls://u@d:p@ss:auth@h:5061/100~60": "h:5061",
		"u:p@[2001:db8::1]:5060/1":               "[2001:db8::1]:5060",
		"nonsense":                               "", "u:secret@": "",
	} {
		if got, _ := registerHost(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBrokenConfigsAreToldAndTheRestIsRead(t *testing.T) {
	const good = "\n[good]\ntype=identify\nmatch=192.0.2.1\n"
	for name, tt := range map[string]struct{ text, says string }{
		"open bracket": {
			"[x\ntype=identify" + good,
			"pjsip.conf:1: a section has no closing bracket",
		},
		"no such base":      {"[x](nobody)" + good, "[nobody], which does not exist"},
		"no such addition":  {"[x](+)" + good, "adds to a section that does not exist"},
		"includes itself":   {"#include pjsip.conf" + good, "nested too deeply"},
		"includes a folder": {"#include .\n" + good, "is not a regular file"},
		"names no file":     {"#include" + good, "names no file"},
		"includes nothing":  {"#include nowhere*.conf" + good, "finds no file"},
		"tries nothing":     {"#tryinclude nowhere.conf\n[x](y)" + good, "[y], which"},
		"exec":              {"#exec /usr/bin/true" + good, "is not run"},
		"odd directive":     {"#if x" + good, "unknown directive"},
		"open comment":      {good + ";-- never ends", "has no end"},
		"secret not shown": {
			"[x]\ntype=registration\nserver_uri=user:hunter2@host" + good,
			"is not a SIP URI",
		},
	} {
		t.Run(name, func(t *testing.T) {
			trunks, problems, err := trunksIn(writeFiles(t,
				map[string]string{"pjsip.conf": tt.text}))
			if err != nil {
				t.Fatal(err)
			}

			// The good section comes last, or first where a comment does not end.
			if len(trunks) == 0 ||
				trunks[len(trunks)-1].Prefix != netip.MustParsePrefix("192.0.2.1/32") {
				t.Errorf("the rest was not read: %v", trunks)
			}

			// A fault that is not reported may hide a trunk.
			all := strings.Join(show(nil, problems), "\n")
			if !strings.Contains(all, tt.says) {
				t.Errorf("problems:\n%s\nwant: %s", all, tt.says)
			}
			if strings.Contains(all, "hunter2") {
				t.Errorf("a password shows: %s", all)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	doubling := "[a0]\nx=1\n"
	for i := 1; i < 40; i++ { // each section has twice the variables of the one before
		n, m := string(rune('a'+i%26))+strings.Repeat("x", i),
			string(rune('a'+(i-1)%26))+strings.Repeat("x", i-1)
		if i == 1 {
			m = "a0"
		}
		doubling += "[" + n + "](" + m + "," + m + ")\n"
	}

	for name, text := range map[string]string{
		"templates that double": doubling,
		"many sections":         strings.Repeat("[x]\n", maxSections+10),
		"includes that double":  strings.Repeat("#include pjsip.conf\n", 8),
	} {
		_, problems, err := trunksIn(writeFiles(t, map[string]string{"pjsip.conf": text}))
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(show(nil, problems), "\n"); strings.Count(all, "too large") != 1 {
			t.Errorf("%s: the bound was not told once: %.300s", name, all)
		}
	}
}

func TestTrunksWithoutAsterisk(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "testdata/nowhere", "testdata/cli/22.txt"} {
		if _, _, err := trunksIn(dir); err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
}

// What is printed to be pasted is what the config reads.
func TestAllowLoads(t *testing.T) {
	trunks := []Trunk{
		{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Where: "pjsip.conf:1 [a] match"},
		{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Where: "pjsip.conf:2 [b] match"},
		{
			Prefix: netip.MustParsePrefix("192.0.2.7/32"),
			Where:  "sip.conf:3 [evil\"\n]\x1b[2J\u202e\xff] host",
		},
		{Host: "sip.example", Where: "sip.conf:4 [c] host"},
		{Host: "gone.example", Where: "sip.conf:5 [d] host"},
		{Host: "localhost", Where: "sip.conf:6 [e] host"},
	}

	got := AllowTable{Trunks: trunks, Addrs: map[string][]netip.Addr{
		"sip.example": {
			netip.MustParseAddr("2001:db8::5"),
			netip.MustParseAddr("::ffff:198.51.100.5"),
		},
		"localhost": {netip.MustParseAddr("127.0.0.1")},
	}}.String()

	want := `[allow]
prefixes = [
    "192.0.2.7",             # sip.conf:3 [evil"?]?[2J??] host
    "198.51.100.5",          # sip.example, sip.conf:4 [c] host
    "203.0.113.0/24",        # pjsip.conf:1 [a] match; pjsip.conf:2 [b] match
    "2001:db8::5",           # sip.example, sip.conf:4 [c] host
    # gone.example does not resolve now: add its addresses by hand (sip.conf:5 [d] host)
]
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}

	// The text of others in comments must not break the table.
	const server = "[[server]]\naddress = \"127.0.0.1\"\nusername = \"a\"\nsecret = \"b\"\n"
	dir := writeFiles(t, map[string]string{"config.toml": server + got})
	c, err := config.Load(filepath.Join(dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Allow) != 4 {
		t.Errorf("allowed: %v", c.Allow)
	}
}

func FuzzTrunks(f *testing.F) {
	seeds := []string{
		"testdata/22/pjsip.conf", "testdata/22/pjsip_wizard.conf", "testdata/16/sip.conf",
	}
	for _, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}

	f.Add("[a](!)\n[b](a,+)\nx+=>;--\n--;\\;")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "#") {
			t.Skip("would include files of this machine")
		}

		trunks, _, err := trunksIn(writeFiles(t,
			map[string]string{"pjsip.conf": text, "pjsip_wizard.conf": text, "sip.conf": text}))
		if err != nil {
			t.Fatal(err)
		}

		check(t, trunks)
	})
}

func FuzzFromCLI(f *testing.F) {
	for _, name := range []string{"testdata/cli/22.txt", "testdata/cli/16.txt"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}

	f.Fuzz(func(t *testing.T, text string) {
		trunks, _, err := fromCLI(strings.NewReader(text))
		if err == nil {
			check(t, trunks)
		}
	})
}

// check tells of a trunk that must never come out, whatever went in.
func check(t *testing.T, trunks []Trunk) {
	t.Helper()
	for _, tr := range trunks {
		switch {
		case tr.Where == "":
			t.Errorf("%v has no origin", tr)
		case tr.Host != "" && !hostname.MatchString(tr.Host):
			t.Errorf("%q is no name", tr.Host)
		case tr.Host == "" && (tr.Prefix.Bits() < 1 || tr.Prefix != tr.Prefix.Masked()):
			t.Errorf("prefix %v", tr.Prefix)
		}
	}

	_ = AllowTable{Trunks: trunks, Addrs: nil}.String()
}

// NAME += VALUE extends the last value of a name, as in Asterisk: in the section only, not in its
// template. Its length is bounded.
func TestAdded(t *testing.T) {
	long := strings.Repeat("b+="+strings.Repeat("x", 999)+"\n", 20)
	dir := writeFiles(t, map[string]string{
		"a.conf": "[t](!)\na = 1\n[s](t)\na += ,2\na+=,3\nc += 4\n[u](t)\n[v]\nb=1\n" + long,
	})
	sections, problems, err := Sections(dir, "a.conf")
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, s := range sections {
		got += s.Name() + " a=" + s.Value("a") + " c=" + s.Value("c") + "\n"
	}
	if !strings.Contains(got, "s a=1 ,2,3 c=4\n") || !strings.Contains(got, "u a=1 c=\n") {
		t.Error(got)
	}
	if len(problems) != 1 || !strings.Contains(problems[0].String(), "too large") {
		t.Errorf("%v", problems)
	}
}
