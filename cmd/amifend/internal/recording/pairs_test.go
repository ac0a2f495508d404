package recording

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// event is a line of the security channel, and notice one of pjsip_distributor.c, at a second from
// base.
func event(second float64, kind, source, account, call string) string {
	at := base.Add(time.Duration(second * float64(time.Second)))
	host, port, _ := strings.Cut(source, ":")
	return fmt.Sprintf(`[%s] SECURITY[9] res_security_log.c: SecurityEvent="%s",EventTV="%s",Severity="Error",Service="PJSIP",EventVersion="1",`+
		`AccountID="%s",SessionID="%s",LocalAddress="IPV4/UDP/192.0.2.10/5060",RemoteAddress="IPV4/UDP/%s/%s"`+"\n",
		at.Format("2006-01-02 15:04:05"), kind, at.Format("2006-01-02T15:04:05.000-0700"), account,
		call, host, port)
}

func notice(second float64, source, account, call string) string {
	at := base.Add(time.Duration(second * float64(time.Second)))
	return fmt.Sprintf("[%s] NOTICE[9] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from "+
		"'<sip:%s@pbx>' failed for '%s' (callid: %s) - No matching endpoint found\n",
		at.Format("2006-01-02 15:04:05"), account, source, call)
}

// chanSIP is a failed registration of chan_sip as an event, and manager a failed login of AMI as
// one.
func chanSIP(second float64, source, account string) string {
	line := strings.Replace(event(second, "InvalidPassword", source, account, "0x7f3228009310"),
		"PJSIP", "SIP", 1)
	line = strings.Replace(line, `EventVersion="1"`, `EventVersion="2"`, 1)
	return strings.TrimSuffix(line, "\n") +
		`,Challenge="45c8943e",ReceivedChallenge="45c8943e",ReceivedHash="0"` + "\n"
}

func registration(second float64, source, account string) string {
	at := base.Add(time.Duration(second * float64(time.Second)))
	return fmt.Sprintf("[%s] NOTICE[9] chan_sip.c: Registration from '<sip:%s@pbx>' failed for "+
		"'%s' - Wrong password\n", at.Format("2006-01-02 15:04:05"), account, source)
}

// TestPairs: a request that stands in the files twice counts once, in whichever order and file.
func TestPairs(t *testing.T) {
	const a, b = "198.51.100.7:5060", "198.51.100.8:5060"
	ia := "InvalidAccountID"
	for name, test := range map[string]struct {
		files []string
		want  string
	}{
		"the event first": {[]string{event(1.744, ia, a, "x", "c") +
			notice(1, a, "x", "c")}, "x@1.744"},
		"the line first": {[]string{notice(1, a, "x", "c") +
			event(1.744, ia, a, "x", "c")}, "x@1.744"},
		"two files": {[]string{notice(1, a, "x", "c"), event(1.744, ia, a, "x",
			"c")}, "x@1.744"},
		"two files, the other way": {[]string{event(1.744, ia, a, "x", "c"), notice(1, a, "x",
			"c")}, "x@1.744"},
		"the same Call-ID, later": {[]string{event(1, ia, a, "x", "c") +
			event(99, ia, a, "x", "d") + notice(99, a, "x", "c")}, "x@1 x@99"},
		"another Call-ID": {[]string{event(1, ia, a, "x", "c") +
			notice(9, a, "x", "d")}, "x@1 x@9"},
		"the same, of another source": {[]string{event(1, ia, a, "x", "c") +
			notice(1, b, "x", "c")}, "x@1 x@1"},
		"chan_sip, the event first": {
			[]string{chanSIP(1.744, a, "x") + registration(1, a, "x")},
			"x@1.744",
		},
		"chan_sip, the line first": {
			[]string{registration(1, a, "x") + chanSIP(1.744, a, "x")},
			"x@1.744",
		},
		"chan_sip, encoded": {[]string{registration(1, a, "x%41") +
			chanSIP(1.744, a, "xA")}, "xA@1.744"},
		"chan_sip, another account": {
			[]string{chanSIP(1, a, "x") + registration(1, a, "y")},
			"x@1 y@1",
		},
		"chan_sip, another port": {[]string{chanSIP(1, a, "x") +
			registration(1, "198.51.100.7:5061", "x")}, "x@1 x@1"},
		"chan_sip, 2 s later": {
			[]string{chanSIP(1, a, "x") + registration(3, a, "x")},
			"x@1",
		},
		"chan_sip, 4 s later": {
			[]string{chanSIP(1, a, "x") + registration(5, a, "x")},
			"x@1 x@5",
		},
		"two lines": {
			[]string{notice(1, a, "x", "c") + notice(1, a, "x", "c")},
			"x@1 x@1",
		},
		"order is kept": {[]string{notice(1, a, "x", "c") +
			event(1.5, ia, b, "y", "d") + notice(2, a, "z", "e")}, "x@1 y@1.5 z@2"},
	} {
		var files []string
		for i, content := range test.files {
			files = append(files, write(t, fmt.Sprint("messages", i), []byte(content)))
		}
		if got, err := play(t, files...); err != nil || got != test.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, test.want)
		}
	}
}

// TestManyWait: however many lines wait for an event of the same request, none is lost, and their
// number is bounded.
func TestManyWait(t *testing.T) {
	var b strings.Builder
	for i := range maxWaiting + 100 {
		b.WriteString(registration(1, "198.51.100.7:5060", fmt.Sprint(i)))
	}
	got, err := play(t, write(t, "messages", []byte(b.String())))
	if n := len(strings.Fields(got)); err != nil || n != maxWaiting+100 {
		t.Errorf("%d events, %v", n, err)
	}
}
