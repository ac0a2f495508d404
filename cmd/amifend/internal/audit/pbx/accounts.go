package pbx

import (
	"slices"
	"strconv"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// endpoint is an account or a trunk of PJSIP, from pjsip.conf or pjsip_wizard.conf.
type endpoint struct {
	section pbxconf.Section
	prefix  string   // of the options in pjsip_wizard.conf: "endpoint/"
	auths   []string // names of the auth objects that a caller must know
	byIP    bool     // an identify object names it
	byName  bool     // it is also found by the user in From
}

// value returns the value of an option.
func (e endpoint) value(name string) string { return e.section.Value(e.prefix + name) }

// open reports whether a caller needs no password.
func (e endpoint) open() bool { return len(e.auths) == 0 }

// pjsip judges the accounts of PJSIP.
func (l *looker) pjsip() {
	if !l.modules.Loaded("res_pjsip", "chan_pjsip") {
		return
	}
	all := l.endpoints()
	globalACL := slices.ContainsFunc(l.sections("pjsip.conf"), func(s pbxconf.Section) bool {
		return s.Kind() == "acl" && restricts(s, "")
	})

	for _, e := range all {
		name, _, _ := strings.Cut(e.section.Name(), "@")
		place := at(e.section)
		switch {
		case strings.EqualFold(name, "anonymous"):
			// Whoever is let in without an account is a guest, not an account without a password.
			l.guests = append(l.guests, guest{orDefault(e.value("context")), place})
			l.transfer(e, place)
			l.rtp(e, place)
			continue
		case e.open() && !e.byIP && e.byName:
			l.add("password_none", "%s", place)
		case e.open() && e.byName:
			l.add("trunk_by_name", "%s", place)
		}

		if e.open() {
			l.transfer(e, place)
		} else {
			l.pjsipNames = append(l.pjsipNames, e.section.Name())
			if !globalACL && !e.byIP && !restricts(e.section, e.prefix) {
				l.add("endpoint_acl", "%s", place)
			}
		}
		l.rtp(e, place)
	}

	l.pjsipSecrets(all)
	l.pjsipTransports()
}

// transfer judges an endpoint whose other end is not ours.
func (l *looker) transfer(e endpoint, place string) {
	if v := e.value("allow_transfer"); v == "" || isYes(v) {
		l.add("transfer_by_strangers", "%s", place)
	}
}

// rtp judges whether a call without sound ends.
func (l *looker) rtp(e endpoint, place string) {
	if !positive(e.value("rtp_timeout")) {
		l.add("rtp_timeout", "%s", place)
	}
}

// endpoints returns the endpoints of pjsip.conf and pjsip_wizard.conf.
func (l *looker) endpoints() []endpoint {
	sections := l.sections("pjsip.conf")
	identified := map[string]bool{}
	for _, s := range sections {
		if s.Kind() == "identify" {
			identified[s.Value("endpoint")] = true
		}
	}

	var all []endpoint
	for _, s := range sections {
		if s.Kind() == "endpoint" {
			all = append(all, endpoint{
				section: s, auths: list(s.Value("auth")), byIP: identified[s.Name()],
				byName: byName(s.Value("identify_by")),
			})
		}
	}

	// The wizard makes the objects of an endpoint from one section (res_pjsip_config_wizard.c).
	for _, s := range l.sections("pjsip_wizard.conf") {
		if s.Kind() != "wizard" {
			continue
		}
		e := endpoint{
			section: s, prefix: "endpoint/", byIP: s.Value("remote_hosts") != "",
			byName: byName(s.Value("endpoint/identify_by")),
		}
		if isYes(s.Value("accepts_auth")) {
			e.auths = []string{s.Name()}
		}
		all = append(all, e)
	}
	return all
}

// byName reports whether identify_by finds an endpoint by the user in From. Its default is
// username,ip.
func byName(value string) bool {
	methods := list(value)
	return len(methods) == 0 || slices.ContainsFunc(methods, func(m string) bool {
		return strings.EqualFold(m, "username")
	})
}

// pjsipTransports judges the transports.
func (l *looker) pjsipTransports() {
	transports, secure := 0, false
	for _, s := range l.sections("pjsip.conf") {
		if s.Kind() != "transport" {
			continue
		}

		transports++
		protocol := strings.ToLower(s.Value("protocol"))
		secure = secure || protocol == "tls" || protocol == "wss"
		if protocol == "tls" {
			// Without a method, PJSIP speaks TLS 1.0 (pjproject: pjsip_tls_setting_default).
			method := strings.ToLower(s.Value("method"))
			if !slices.Contains([]string{"tlsv1_2", "tlsv1_3"}, method) ||
				weakCipher(s.Value("cipher")) {
				l.add("tls_weak", "%s", at(s))
			}
		}
	}

	if transports > 0 && !secure {
		l.add("tls_none", "pjsip.conf")
	}
}

// chanSIP judges sip.conf.
func (l *looker) chanSIP() {
	if !l.has("sip.conf") || !l.modules.Loaded("chan_sip") {
		return
	}
	general := l.general("sip.conf")
	guests, set := general.Last("allowguest")
	if !set || guests.IsTrue() {
		l.guests = append(l.guests, guest{
			orDefault(general.Value("context")), "sip.conf [general] allowguest",
		})
	}

	if v, ok := general.Last("alwaysauthreject"); ok && !v.IsTrue() {
		l.add("accounts_told_apart", "%s", v.Where())
	}
	if isYes(general.Value("tlsenable")) && weakCipher(general.Value("tlscipher")) {
		l.add("tls_weak", "sip.conf [general]")
	}

	for _, s := range l.sections("sip.conf") {
		kind := s.Kind()
		if kind != "peer" && kind != "friend" && kind != "user" {
			continue
		}
		l.add("chan_sip", "%s", at(s))
		l.sipAccount(s, general)
	}
}

// sipAccount judges an account or a trunk of chan_sip.
func (l *looker) sipAccount(s, general pbxconf.Section) {
	place := at(s)
	dynamic := strings.EqualFold(s.Value("host"), "dynamic")
	secret := s.Value("secret") != "" || s.Value("md5secret") != ""
	if !positive(first(s.Value("rtptimeout"), general.Value("rtptimeout"))) {
		l.add("rtp_timeout", "%s", place)
	}

	if !dynamic {
		// The other end of a trunk is known by its address.
		if v := first(s.Value("allowtransfer"), general.Value("allowtransfer")); v == "" || isYes(v) {
			l.add("transfer_by_strangers", "%s", place)
		}
		return
	}

	l.sipNames = append(l.sipNames, s.Name())
	if !secret {
		l.add("password_none", "%s", place)
	}
	if !restricts(s, "") {
		l.add("endpoint_acl", "%s", place)
	}
	l.secret(s.Name(), place, sipAccount, s, "secret")
}

// iax judges the accounts of iax.conf. That IAX2 is in use at all is a risk of pbxconf.
func (l *looker) iax() {
	if !l.modules.Loaded("chan_iax2") {
		return
	}
	for _, s := range l.sections("iax.conf") {
		kind := s.Kind()
		if kind != "peer" && kind != "friend" && kind != "user" {
			continue
		}
		place := at(s)
		l.secret(s.Name(), place, sipAccount, s, "secret")

		// A peer with an address is where calls go to: nobody logs in there.
		host := s.Value("host")
		open := s.Value("secret") == "" && s.Value("inkeys") == ""
		if open && (kind == "user" || strings.EqualFold(host, "dynamic")) {
			l.add("password_none", "%s", place)
		}
	}
}

// restricts reports whether a section names networks that may use it.
func restricts(s pbxconf.Section, prefix string) bool {
	for _, name := range []string{
		"acl", "permit", "deny", "contact_acl", "contact_permit", "contact_deny",
	} {
		// FreePBX writes deny and permit of every address, which restricts nobody.
		v := s.Value(prefix + name)
		open := name == "permit" && everywhere(v) ||
			strings.HasSuffix(name, "deny") && everywhere(s.Value(prefix+"permit"))
		if v != "" && !open {
			return true
		}
	}
	return false
}

// everywhere reports whether a network is every address.
func everywhere(v string) bool {
	return slices.Contains([]string{
		"0.0.0.0/0.0.0.0", "0.0.0.0/0", "0.0.0.0", "::/0",
	}, strings.TrimSpace(v))
}

// weakCipher reports whether a list of OpenSSL's ciphers names broken ones.
func weakCipher(ciphers string) bool {
	for one := range strings.FieldsFuncSeq(strings.ToUpper(ciphers), func(r rune) bool {
		return r == ':' || r == ',' || r == ' '
	}) {
		if strings.HasPrefix(one, "!") || strings.HasPrefix(one, "-") {
			continue // taken out
		}
		for _, bad := range []string{"NULL", "EXP", "RC4", "DES", "MD5", "ADH", "LOW", "ALL"} {
			if strings.Contains(one, bad) {
				return true
			}
		}
	}
	return false
}

// list returns the words of a comma-separated list.
func list(value string) (out []string) {
	for one := range strings.SplitSeq(value, ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// orDefault returns the context, or that of Asterisk's default.
func orDefault(context string) string { return first(context, "default") }

// positive reports whether a value is a number above 0.
func positive(value string) bool {
	n, err := strconv.Atoi(value)
	return err == nil && n > 0
}

// isYes reports whether Asterisk takes a value for true (ast_true in main/utils.c).
func isYes(value string) bool {
	switch strings.ToLower(value) {
	case "yes", "true", "y", "t", "1", "on":
		return true
	}
	return false
}
