package pbxconf

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// showRisks returns the risks without their advice, one a line.
func showRisks(t *testing.T, c *Config) []string {
	t.Helper()
	var out []string
	for _, r := range c.Risks {
		if r.Do == "" {
			t.Errorf("no advice: %+v", r)
		}
		out = append(out, r.Where+" | "+r.Text)
	}

	return out
}

// The texts of risks, up to where they may grow.
const (
	heldBack  = "auth_username is in the order"
	strangers = "the endpoint takes calls from strangers"
	guests    = "guests may call without an account"
	unset     = "allowguest is not set, and its default is yes: guests may call"
	forged    = "whoever reaches Asterisk's HTTP port can forge events"
	oldFilter = "a filter of the old form searches the whole text of an event"
	iaxUsed   = "IAX2 is in use, and chan_iax2 raises no security events"
)

func TestRisks(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string // WHERE | beginning of the text
	}{
		"what FreePBX writes": {map[string]string{
			"pjsip.conf": "[global]\ntype=global\n" +
				"endpoint_identifier_order=ip,username,anonymous,header,auth_username\n" +
				"[anonymous]\ntype=endpoint\ncontext=from-sip-external\n",
			"sip.conf": "[general]\nallowguest=yes\n",
			"manager.conf": "[general]\nwebenabled=yes\n[amifend]\neventfilter=!Event: " +
				"ChallengeSent\n",
		}, []string{
			"pjsip.conf:3 [global] endpoint_identifier_order | " + heldBack,
			"pjsip.conf:4 [anonymous] | " + strangers,
			"sip.conf:2 [general] allowguest | " + guests,
			"manager.conf:2 [general] webenabled | " + forged,
			"manager.conf:4 [amifend] eventfilter | " + oldFilter,
		}},
		"nothing": {map[string]string{
			"pjsip.conf": "[global]\ntype=global\nendpoint_identifier_order = ip, username\n" +
				"[100]\ntype=endpoint\n[anonymous]\ntype=aor\n",
			"sip.conf":     "[general]\nallowguest=no\nautocreatepeer=no\n",
			"iax.conf":     "[general]\nbindport=4569\n[t](!)\ntype=peer\n",
			"manager.conf": "[general]\nwebenabled=no\n[amifend]\nread=security\n",
		}, nil},
		"included and inherited": {map[string]string{
			"pjsip.conf": "#include more.conf\n[base](!)\ntype=endpoint\n" +
				"[anonymous@sip.example](base)\ncontext=guests\n",
			"more.conf": "[g]\ntype = global\nendpoint_identifier_order => AUTH_USERNAME , ip\n",
			"sip.conf": "[general](!)\nallowguest=yes\n[general]\nallowguest = " +
				"No\nAllowGuest = ON\n",
		}, []string{
			"more.conf:3 [g] endpoint_identifier_order | " + heldBack,
			"pjsip.conf:4 [anonymous@sip.example] | " + strangers,
			"sip.conf:5 [general] allowguest | " + guests,
		}},
		"guests by default": {
			map[string]string{"sip.conf": "\n[general]\nbindport=5060\n"},
			[]string{"sip.conf:2 [general] | " + unset},
		},
		"anybody registers": {
			map[string]string{"sip.conf": "[general]\nallowguest=no\nautocreatepeer=persist\n"},
			[]string{"sip.conf:3 [general] autocreatepeer | any account may register"},
		},
		"the wizard's anonymous": {
			map[string]string{"pjsip_wizard.conf": "[anonymous]\ntype=wizard\n"},
			[]string{"pjsip_wizard.conf:1 [anonymous] | " + strangers},
		},
		"modules that are not loaded": {map[string]string{
			"modules.conf": "[modules]\nautoload=yes\nnoload=chan_sip.so\nnoload => chan_iax2\n",
			"sip.conf":     "[general]\nallowguest=yes\n",
			"iax.conf":     "[a]\ntype=peer\n",
		}, nil},
		"modules that are": {map[string]string{
			"modules.conf": "[modules]\nautoload=no\nload=chan_sip.so\n",
			"sip.conf":     "[general]\nallowguest=1\n",
			"pjsip.conf":   "[anonymous]\ntype=endpoint\n",
		}, []string{"sip.conf:2 [general] allowguest | " + guests}},
		"IAX2 by a registration alone": {
			map[string]string{"iax.conf": "[general]\nregister => a:b@trunk.example\n"},
			[]string{"iax.conf:2 [general] | " + iaxUsed},
		},
		"IAX2 by an account": {
			map[string]string{"iax.conf": "[general]\n[b](!)\ntype=friend\n[phone](b)\nhost=dynamic\n"},
			[]string{"iax.conf:4 [phone] | " + iaxUsed},
		},
		"another user's filter": {map[string]string{
			"pjsip.conf": "[g]\n", "manager.conf": "[general]\n[amifend]\nread=security\n" +
				"[other]\nread=all\neventfilter=Event: Hangup\n",
		}, nil},
		"a filter where our name is not known": {map[string]string{
			"pjsip.conf": "[g]\n", "manager.conf": "[general]\n[monitor]\nread = log, security\n" +
				"eventfilter=Event: Invalid\n[quiet]\nread=call\neventfilter=x\n",
		}, []string{"manager.conf:4 [monitor] eventfilter | " + oldFilter}},
		"filters of the new form": {map[string]string{
			"pjsip.conf": "[g]\n", "manager.conf": "[amifend]\n" +
				"eventfilter(action(exclude),name(ChallengeSent)) =\n" +
				"eventfilter(action(exclude),name(Hangup)) =\n" +
				"eventfilter(name(InvalidPassword),action(exclude)) =\n" +
				"eventfilter(action(include),name(InvalidPassword)) =\n" +
				"eventfilter(action(exclude),header(AccountID),method(contains)) = x\n",
		}, []string{
			"manager.conf:4 [amifend] eventfilter | the filter keeps all events InvalidPassword",
			"manager.conf:5 [amifend] eventfilter | only events that an including filter names",
			"manager.conf:6 [amifend] eventfilter | the filter has no name(…)",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if len(tt.files["pjsip.conf"]+tt.files["sip.conf"]+tt.files["iax.conf"]) == 0 {
				tt.files["sip.conf"] = "[general]\nallowguest=no\n"
			}

			c, err := Read(Options{Dir: writeFiles(t, tt.files), Users: []string{"amifend"}})
			if err != nil {
				t.Fatal(err)
			}

			got := showRisks(t, c)
			for i, line := range got {
				if i < len(tt.want) && strings.HasPrefix(line, tt.want[i]) {
					got[i] = tt.want[i]
				}
			}

			compare(t, got, strings.Join(tt.want, "\n"))
		})
	}
}

func TestListeners(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"transports": {map[string]string{
			"pjsip.conf": "[udp]\ntype=transport\nbind=0.0.0.0\n" +
				"[tcp]\ntype=transport\nprotocol=tcp\nbind=[::]:5080\n" +
				"[tls]\ntype=transport\nprotocol=TLS\nbind=::\n" +
				"[odd](tcp)\nprotocol=udp\n" +
				"[ws]\ntype=transport\nprotocol=wss\nbind=0.0.0.0:9999\n" +
				"[local]\ntype=transport\nbind=127.0.0.1:6000\n" +
				"[bad]\ntype=transport\nbind=nowhere\n",
		}, `
udp 5060 pjsip.conf:3 [udp] bind
tcp 5080 pjsip.conf:7 [tcp] bind
tcp 5061 pjsip.conf:11 [tls] bind
udp 5080 pjsip.conf:7 [odd] bind`},
		"chan_sip": {map[string]string{
			"sip.conf": "[general]\nallowguest=no\nbindport=5062\nudpbindaddr=0.0.0.0\n" +
				"tcpenable=yes\ntcpbindaddr=0.0.0.0:5090\ntlsenable=no\ntlsbindaddr=0.0.0.0:5091\n",
		}, `
udp 5062 sip.conf:4 [general] udpbindaddr
tcp 5090 sip.conf:6 [general] tcpbindaddr`},
		"an HTTP server": {map[string]string{
			"pjsip.conf": "[t]\ntype=transport\nbind=0.0.0.0\n",
			"http.conf": "[general]\nenabled=yes\nbindport=8090\ntlsenable=yes\n" +
				"tlsbindaddr=0.0.0.0:8443\n",
		}, `
udp 5060 pjsip.conf:3 [t] bind
tcp 8090 http.conf:2 [general] enabled WebSocket
tcp 8443 http.conf:5 [general] tlsbindaddr WebSocket`},
		"an HTTP server that others cannot reach": {map[string]string{
			"pjsip.conf": "[t]\ntype=transport\nbind=0.0.0.0\n",
			"http.conf":  "[general]\nenabled=yes\nbindaddr=127.0.0.1\ntlsenable=no\n",
		}, `
udp 5060 pjsip.conf:3 [t] bind`},
		"an HTTP server without SIP": {map[string]string{
			"pjsip.conf":   "[t]\ntype=transport\nbind=0.0.0.0\n",
			"modules.conf": "[modules]\nautoload=yes\nnoload=res_http_websocket.so\n",
			"http.conf":    "[general]\nenabled=yes\n",
		}, `
udp 5060 pjsip.conf:3 [t] bind`},

		// bindport without an address means all addresses.
		"a port alone": {map[string]string{
			"sip.conf": "[general]\nbindport=5070\n",
			"iax.conf": "[general]\nbindport=5036\n",
		}, `
udp 5070 sip.conf:2 [general] bindport
udp 5036 iax.conf:2 [general] bindport`},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Read(Options{Dir: writeFiles(t, tt.files)})
			if err != nil {
				t.Fatal(err)
			}

			// Listeners that only this machine can reach, or that are off, are not in the list.
			var got []string
			for _, l := range c.Listeners {
				line := fmt.Sprint(l.Network, " ", l.Port, " ", l.Where)
				if l.WebSocket {
					line += " WebSocket"
				}
				got = append(got, line)
			}

			compare(t, got, tt.want)
		})
	}
}

func TestTrunksOfIAX2(t *testing.T) {
	trunks, problems, err := trunksIn(writeFiles(t, map[string]string{
		"iax.conf": "[general]\n#include registrations.conf\n#include peers.conf\n",
		"registrations.conf": "register=branch:secret@203.0.113.200\n" +
			"register => u:[key]@iax.example:5036?x\nregister => nobody\n",
		"peers.conf": "[branch]\ntype=peer\nhost=203.0.113.201\ntrunk=yes\n" +
			"[phone]\ntype=friend\nhost=dynamic\n[callers]\ntype=user\nhost=203.0.113.9\n",
		"extconfig.conf": "[settings]\niaxpeers => odbc,asterisk\niaxusers => odbc,asterisk\n",
	}))
	if err != nil {
		t.Fatal(err)
	}

	// A phone without a fixed host, and a user that only calls in, are not trunks.
	compare(t, show(trunks, problems), `
203.0.113.200/32 | registrations.conf:1 [general] register
iax.example | registrations.conf:2 [general] register
203.0.113.201/32 | peers.conf:3 [branch] host
! registrations.conf:3 [general] register: names no host
! extconfig.conf:2: iaxpeers comes from a database (realtime), which is not read; `+
		`to see its trunks run: asterisk -rx "iax2 show peers"
! extconfig.conf:3: iaxusers comes from a database (realtime), which is not read; `+
		`to see its accounts run: asterisk -rx "iax2 show users"
`)
}

// The output is that of Asterisk 22.10.1; 16.28.0 prints the same.
func TestIAX2FromCLI(t *testing.T) {
	f, err := os.Open("testdata/cli/iax2.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	trunks, problems, err := fromCLI(f)
	if err != nil {
		t.Fatal(err)
	}

	compare(t, show(trunks, problems), `
198.51.100.0/32 | iax2 show peers: provider-with-l
203.0.113.201/32 | iax2 show peers: branch
198.51.100.7/32 | iax2 show registry
203.0.113.200/32 | iax2 show registry
`)
}

func TestRealtimeObjects(t *testing.T) {
	_, problems, err := trunksIn(writeFiles(t, map[string]string{
		"pjsip.conf": "[g]\n",
		"sorcery.conf": "[res_pjsip]\nendpoint=realtime,ps_endpoints\naor=config,pjsip.conf\n" +
			"aor=realtime,ps_aors\nauth=realtime,ps_auths\nendpoint/cache=memory_cache,x\n" +
			"global=realtime,ps_globals\n",
	}))
	if err != nil {
		t.Fatal(err)
	}

	const what = "comes from a database (realtime), which is not read; to see "
	compare(t, show(nil, problems), `
! sorcery.conf:2: endpoint `+what+`its outbound proxies, and whether there is an endpoint `+
		`anonymous, run: asterisk -rx "pjsip show endpoints"
! sorcery.conf:4: aor `+what+`its trunks run: asterisk -rx "pjsip show aors"
! sorcery.conf:7: global `+what+`endpoint_identifier_order run: asterisk -rx "pjsip show settings"
`)
}

// TestRealtimeHides: accounts of IAX2 and whole files may come from a database.
func TestRealtimeHides(t *testing.T) {
	files := map[string]string{
		"pjsip.conf": "[g]\n",
		"extconfig.conf": "[settings]\niaxusers => odbc,a\niaxpeers => odbc,a\n" +
			"manager.conf => odbc,a,ast_config\nvoicemail => odbc,a\n",
	}
	c, err := Read(Options{Dir: writeFiles(t, files)})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Risks) != 1 || c.Risks[0].Text != textIAX ||
		c.Risks[0].Where != "extconfig.conf:2 iaxusers" {
		t.Errorf("%+v", c.Risks)
	}
	if n := len(c.Problems); n != 3 || !strings.Contains(c.Problems[2].String(),
		"manager.conf comes from a database") {
		t.Errorf("%v", c.Problems)
	}

	files["modules.conf"] = "[modules]\nautoload=yes\nnoload=chan_iax2.so\n"
	c, err = Read(Options{Dir: writeFiles(t, files)})
	if err != nil || len(c.Risks) != 0 {
		t.Errorf("without chan_iax2: %+v, %v", c.Risks, err)
	}
}
