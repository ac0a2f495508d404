package pbx

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// someSecret returns a password that no text of a finding holds by accident: weak, derived from the
// account, long, with marks that the readers of config files know.
func someSecret(t *rapid.T, account string) string {
	core := rapid.StringMatching(`[a-z]{3,8}[0-9]{2,6}`).Draw(t, "core")
	return rapid.SampledFrom([]string{
		"zq" + core, account + "zq" + core, "zq" + core + account, strings.Repeat("zq"+core, 4),
		"zq\\;" + core, "zq@" + core, "zq " + core, "zq\x1b" + core, "zq," + core, "zq/" + core,
		"${zq" + core + "}", "zq=" + core, "zq[" + core + "]", "zq>" + core, "zqé" + core,
	}).Draw(t, "secret")
}

// forms are the ways in which a secret is written. The first %s is the account, the second the
// secret.
func forms() map[string][]string {
	return map[string][]string{
		"pjsip.conf": {
			"[%s]\ntype=endpoint\nauth=%[1]s\n[%[1]s]\ntype=auth\npassword=%[2]s\n",
			"[%s](!)\npassword=%s\n[%[1]s-a](%[1]s)\ntype=auth\n",
			"[%s]\ntype=registration\nserver_uri=sip:u:%s@h\n",
			"[%s]\ntype=auth\npassword=%s\n", "[%s\ntype=auth\npassword=%s\n",
			"[%s]\ntype=endpoint\ncontext=%s\n", "[%s]\ntype=identify\nmatch=%s\n",
		},
		"pjsip_wizard.conf": {
			"[%s]\ntype=wizard\naccepts_auth=yes\ninbound_auth/password=%s\n",
			"[%s]\ntype=wizard\noutbound_auth/password=%s\nremote_hosts=%[2]s\n",
		},
		"sip.conf": {
			"[general]\nregister => %s:%s@host\n", "[%s]\ntype=friend\nhost=dynamic\nsecret=%s\n",
			"[general]\nregister => %s:%s\n", "[%s]\ntype=peer\nhost=h\nsecret=%s\nremotesecret=%[2]s\n",
			"[%s]\ntype=friend\nhost=%s\n", "[general]\noutboundproxy=%s:%s\n",
		},
		"iax.conf": {
			"[general]\nregister => %s:%s@host\n", "[%s]\ntype=user\nsecret=%s\n",
			"[general]\nregister => %s:%s\n",
		},
		"users.conf":      {"[%s]\nsecret=%s\nvmsecret=%[2]s\n"},
		"voicemail.conf":  {"[default]\n%s => %s,Name\n", "[default]\n1%s => -%s,Name,%[2]s\n"},
		"manager.conf":    {"[general]\nenabled=yes\n[%s]\nsecret=%s\nwrite=all\n"},
		"ari.conf":        {"[%s]\ntype=user\npassword=%s\n"},
		"extensions.conf": {"[globals]\nP%s=%s\n", "[c]\nexten => _X.,1,System(x %s %s ${EXTEN})\n"},
		"http.conf":       {"[general]\nenabled=yes\nbindaddr=0.0.0.0\n;%s %s\n"},
	}
}

// No result holds a password of the files, whatever the files are: neither a finding nor a problem
// nor an error, and no print of what is in between.
func TestPropertyNoPassword(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)

		var secrets []string
		for name, kinds := range forms() {
			var text strings.Builder
			for range rapid.IntRange(0, 4).Draw(t, "parts of "+name) {
				account := rapid.SampledFrom([]string{"1001", "1002", "alice", "trunk"}).Draw(t, "account")
				secret := someSecret(t, account)
				form := rapid.SampledFrom(kinds).Draw(t, "form")
				fmt.Fprintf(&text, form, account, secret)

				// Where the text is no password, it may be shown: a context, a host, a command.
				if !strings.Contains(form, "context=") && !strings.Contains(form, "match=") &&
					!strings.Contains(form, "host=%") && !strings.Contains(form, "outboundproxy") &&
					!strings.Contains(form, "remote_hosts") {
					secrets = append(secrets, secret)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}

		r, err := Look(t.Context(), Options{Dir: dir, Users: []string{"alice"}})
		out, jsonErr := json.Marshal(r)
		if jsonErr != nil {
			t.Fatal(jsonErr)
		}
		all := fmt.Sprintf("%s %+v %#v %v", out, r, r, err)
		for _, s := range secrets {
			if strings.Contains(all, s) {
				t.Fatalf("%q is shown in %s", s, all)
			}
		}
	})
}

// A short secret stands in any text by accident, such as in the number of a line. So what is shown
// must depend on nothing but the kind of finding about it: two secrets of one kind, one output.
func TestPropertyShortSecrets(t *testing.T) {
	for _, tt := range []struct {
		name, file, form string
		kind             func(secret string) string
	}{
		{"PIN", "voicemail.conf", "[default]\n\n77 => %s,Name\n", pinKind},
		{"fixed PIN", "voicemail.conf", "[default]\n77 => -%s,Name\n", pinKind},
		{"PIN of users.conf", "users.conf", "[77]\nvmsecret=%s\n", pinKind},
		{"users.conf", "users.conf", "[77]\nsecret=%s\n", passwordKind},
		{"PJSIP", "pjsip.conf", "[77]\ntype=endpoint\nauth=77\n[77]\ntype=auth\npassword=%s\n", passwordKind},
		{"chan_sip", "sip.conf", "[77]\ntype=friend\nhost=dynamic\nsecret=%s\n", passwordKind},
		{"IAX2", "iax.conf", "[77]\ntype=user\nsecret=%s\n", passwordKind},
		{"AMI", "manager.conf", "[general]\nenabled=yes\n[77]\nsecret=%s\n", passwordKind},
		{"ARI", "ari.conf", "[77]\ntype=user\npassword=%s\n", passwordKind},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "pjsip.conf"), "[a]\ntype=endpoint\n")
			shown := map[string]string{} // by kind
			rapid.Check(t, func(t *rapid.T) {
				secret := rapid.OneOf(
					rapid.StringMatching(`[0-9]{1,6}`), rapid.StringMatching(`[0-9a-z]{1,5}`),
					rapid.SampledFrom([]string{"77", "1234", "9", "kX9vQ2mLp7wTz4", "802613"}),
				).Draw(t, "secret")
				text := fmt.Sprintf(tt.form, secret)
				if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				r, err := Look(t.Context(), Options{Dir: dir})
				if err != nil {
					t.Fatal(err)
				}

				out, kind := fmt.Sprintf("%+v", r), tt.kind(secret)
				if before, ok := shown[kind]; ok && out != before {
					t.Fatalf("%q: the output shows more than %q:\n%s\n%s", secret, kind, out, before)
				}
				shown[kind] = out
			})
			if len(shown) < 2 {
				t.Errorf("only %d kinds were tried", len(shown))
			}
		})
	}
}

func passwordKind(secret string) string { return judge(secret, "77") }

func pinKind(secret string) string { return fmt.Sprint(weakPIN(secret, "77")) }

// The types in between print no secret either.
func TestSecretsAreNotPrinted(t *testing.T) {
	dir := unpack(t, "testdata/bad-pjsip.txtar", "")
	l := &looker{
		ctx: t.Context(), dir: dir, files: map[string]file{}, places: map[string][]string{},
		dialplan: dialplan{},
	}
	l.pjsip()
	l.manager()
	l.otherSecrets()
	if len(l.secrets) < 8 {
		t.Fatalf("%d secrets", len(l.secrets))
	}
	for _, text := range []string{
		fmt.Sprintf("%v", l.secrets), fmt.Sprintf("%+v", l.secrets), fmt.Sprintf("%#v", l.secrets),
		fmt.Sprintf("%+v", l.files), fmt.Sprintf("%#v", l.files),
	} {
		for _, secret := range []string{"kX9vQ2mLp7wTz4Rb", "rT7mQz2XvB9pLk4w", "summer2019"} {
			if strings.Contains(text, secret) {
				t.Errorf("a secret is printed: %s", text)
			}
		}
	}
}

// Whatever is in the files, they are judged without a fault.
func FuzzLook(f *testing.F) {
	for name, kinds := range forms() {
		for _, form := range kinds {
			f.Add(name, fmt.Sprintf(form, "1001", "secret"))
		}
	}
	for name, text := range others() {
		f.Add(name, text)
	}
	f.Add("extensions.conf", "[a]\nexten => _X.,1,GotoIf($[x]?b,1,1:a,1,1)\nsame => n,Dial(Local/1@b)\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		// A path would lead to files of this machine. A name stays in the folder.
		_, ok := forms()[name]
		_, other := others()[name]
		if !ok && !other || len(text) > 4096 ||
			strings.Contains(text, "include") && strings.Contains(text, "/") {
			return
		}
		dir := t.TempDir()
		for _, one := range []struct{ name, text string }{{"pjsip.conf", "[a]\ntype=endpoint\n"}, {name, text}} {
			if err := os.WriteFile(filepath.Join(dir, one.name), []byte(one.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Look(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range r.Findings {
			if len(found.Places) == 0 || found.Why == "" {
				t.Errorf("%+v", found)
			}
		}
	})
}

// others are the files that hold no passwords of the forms, with an example of each.
func others() map[string]string {
	return map[string]string{
		"asterisk.conf":         "[options]\nmaxcalls=1\nlive_dangerously=yes\n",
		"rtp.conf":              "[general]\nstrictrtp=no\nrtpstart=1\nrtpend=2\n",
		"modules.conf":          "[modules]\nautoload=no\nload=chan_sip.so\nnoload => x\n",
		"cdr_manager.conf":      "[general]\nenabled=yes\n",
		"cel_manager.conf":      "[general]\nenable=yes\n",
		"extconfig.conf":        "[settings]\nps_endpoints => odbc,asterisk\n",
		"sorcery.conf":          "[res_pjsip]\nendpoint=realtime,ps_endpoints\n",
		"sip_general.conf":      "allowguest=no\n",
		"extensions.ael":        "context a { _X. => Dial(x); }",
		"users_additional.conf": "[1]\nsecret=a\n",
	}
}

// Every file that is read has an example for the fuzzer.
func TestFuzzKnowsAllFiles(t *testing.T) {
	dir := unpack(t, "testdata/bad-pjsip.txtar", "")
	l := &looker{
		ctx: t.Context(), dir: dir, conf: &pbxconf.Config{}, files: map[string]file{},
		places: map[string][]string{}, modules: pbxconf.ReadModules(dir),
	}
	l.judgeAll()
	for name := range l.files {
		_, ok := forms()[name]
		if _, other := others()[name]; !ok && !other {
			t.Errorf("%s is not fuzzed", name)
		}
	}
	if len(l.files) < 10 {
		t.Errorf("only %d files", len(l.files))
	}
}
