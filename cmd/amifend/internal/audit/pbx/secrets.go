package pbx

import (
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// use is what a secret opens.
type use string

// The uses.
const (
	sipAccount  use = "account"
	managerUser use = "manager user"
	ariUser     use = "ARI user"
	mailbox     use = "mailbox"
)

// secret is a password of the configuration.
type secret struct {
	account string
	place   string
	use     use
	reveal  func() string // a function, so that no print shows it
}

// secret adds the password of a section. An empty one is none.
func (l *looker) secret(account, place string, use use, s pbxconf.Section, key string) {
	v, ok := s.Last(key)
	if ok && v.Value() != "" {
		l.secrets = append(l.secrets, secret{account, place, use, v.Value})
	}
}

// pjsipSecrets adds the passwords that callers must know. Those that only Asterisk itself sends, to
// a provider, were chosen by the provider.
func (l *looker) pjsipSecrets(all []endpoint) {
	inbound := map[string]string{} // auth objects: the endpoint that uses it first
	for _, e := range all {
		for _, a := range e.auths {
			if inbound[a] == "" {
				inbound[a] = e.section.Name()
			}
		}
		if e.prefix != "" && len(e.auths) > 0 {
			l.secret(e.section.Name(), at(e.section), sipAccount, e.section, "inbound_auth/password")
		}
	}

	for _, s := range l.sections("pjsip.conf") {
		owner := inbound[s.Name()]
		if s.Kind() != "auth" || owner == "" {
			continue
		}

		// A digest in place of the password cannot be judged.
		kind := strings.ToLower(s.Value("auth_type"))
		digest := s.Value("md5_cred") != "" || s.Value("password_digest") != ""
		switch password := s.Value("password"); {
		case password != "":
			l.secret(owner, at(s), sipAccount, s, "password")
		case !digest && (kind == "" || kind == "userpass" || kind == "digest"):
			l.add("password_none", "%s", at(s))
		}
	}
}

// otherSecrets adds the passwords of users.conf, ari.conf and voicemail.conf.
func (l *looker) otherSecrets() {
	for _, s := range l.sections("users.conf") {
		if !s.Is("general") {
			l.secret(s.Name(), at(s), sipAccount, s, "secret")
			l.secret(s.Name(), at(s), mailbox, s, "vmsecret")
		}
	}

	for _, s := range l.sections("ari.conf") {
		if s.Kind() == "user" && !strings.EqualFold(s.Value("password_format"), "crypt") {
			l.secret(s.Name(), at(s), ariUser, s, "password")
		}
	}

	// A mailbox is a line NUMBER => PIN,NAME,MAIL,… of a section for a context.
	for _, s := range l.sections("voicemail.conf") {
		if s.Is("general") || s.Is("zonemessages") {
			continue
		}
		for v := range s.Settings() {
			// A minus sign before the PIN forbids the user to change it.
			pin := func() string {
				pin, _, _ := strings.Cut(v.Value(), ",")
				return strings.TrimPrefix(strings.TrimSpace(pin), "-")
			}
			if number := v.Name(); number != "" && strings.Trim(number, "0123456789") == "" {
				l.secrets = append(l.secrets, secret{
					number, number + "@" + s.Name() + " (" + v.Where() + ")", mailbox, pin,
				})
			}
		}
	}
}

// judgeSecrets judges all passwords. An account gets the worst finding only, and beside it, that
// others have the same password.
func (l *looker) judgeSecrets() {
	known := map[string]string{} // what a password is, so that each is judged once for a name
	same := map[string][]secret{}
	for _, s := range l.secrets {
		if l.ctx.Err() != nil {
			return
		}

		text := s.reveal()
		if s.use == mailbox {
			if weakPIN(text, s.account) {
				l.add("voicemail_pin", "%s", s.place)
			}
			continue
		}

		key := s.account + "\x00" + text
		kind, judged := known[key]
		if !judged {
			kind = judge(text, s.account)
			known[key] = kind
		}
		if kind != "" {
			l.add(kind, "%s %s", s.use, s.place)
		}
		if kind != "password_default" {
			same[text] = append(same[text], s)
		}
	}

	// An account that stands in two files, such as sip.conf and pjsip.conf, is one account.
	for _, group := range inOrder(l.secrets, same) {
		var names []string
		for _, s := range group {
			if !slices.Contains(names, s.account) {
				names = append(names, s.account)
			}
		}
		if len(names) > 1 {
			l.add("password_shared", "%s", namesText(names))
		}
	}
}

// inOrder returns the groups of secrets in the order of the files.
func inOrder(all []secret, same map[string][]secret) (groups [][]secret) {
	for _, s := range all {
		text := s.reveal()
		if group := same[text]; len(group) > 1 && s.use != mailbox {
			groups = append(groups, group)
			delete(same, text)
		}
	}
	return groups
}

// mostNames is how many accounts with one password are named.
const mostNames = 12

// namesText returns names in one line.
func namesText(names []string) string {
	if len(names) > mostNames {
		return strings.Join(names[:mostNames], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
