package pbx

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
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
	f.Add("extensions.conf", "[a]\nexten => _X.,1,GotoIf($[x]?b,1,1:a,1,1)\nsame => n,Dial(Local/1@b)\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		if _, ok := forms()[name]; !ok || len(text) > 4096 || strings.Contains(text, "include") {
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
