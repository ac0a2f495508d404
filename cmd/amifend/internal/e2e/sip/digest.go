package sip

import (
	"crypto/md5" // digest authentication of SIP is MD5 (RFC 2617)
	"encoding/hex"
	"fmt"
	"strings"
)

// Challenge is a digest challenge of a WWW-Authenticate or Proxy-Authenticate header.
type Challenge struct {
	Realm, Nonce, Opaque string
	QOP                  bool // the server wants qop=auth
}

// ParseChallenge reads the value of such a header. It reports false unless it is a Digest challenge
// with a nonce.
func ParseChallenge(value string) (Challenge, bool) {
	rest, ok := strings.CutPrefix(value, "Digest")
	if !ok {
		return Challenge{}, false
	}
	return Challenge{
		Realm: param(rest, "realm"), Nonce: param(rest, "nonce"), Opaque: param(rest, "opaque"),
		QOP: param(rest, "qop") != "",
	}, param(rest, "nonce") != ""
}

// param returns the value of name=value or name="value" in a list of parameters, or "".
func param(list, name string) string {
	for list != "" {
		var key, value string
		key, list, _ = strings.Cut(list, "=")
		if strings.HasPrefix(list, `"`) {
			value, list, _ = strings.Cut(list[1:], `"`)
			_, list, _ = strings.Cut(list, ",")
		} else {
			value, list, _ = strings.Cut(list, ",")
		}
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Answer returns the value of the Authorization header for one request (RFC 2617, 3.2.2; MD5).
func (c Challenge) Answer(user, password, method, uri string) string {
	ha1 := hash(user + ":" + c.Realm + ":" + password)
	ha2 := hash(method + ":" + uri)

	out := fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", algorithm=MD5`,
		user, c.Realm, c.Nonce, uri)
	if c.QOP {
		const nc, cnonce = "00000001", "0a4f113b"
		out += fmt.Sprintf(`, qop=auth, nc=%s, cnonce="%s", response="%s"`, nc, cnonce,
			hash(ha1+":"+c.Nonce+":"+nc+":"+cnonce+":auth:"+ha2))
	} else {
		out += fmt.Sprintf(`, response="%s"`, hash(ha1+":"+c.Nonce+":"+ha2))
	}
	if c.Opaque != "" {
		out += fmt.Sprintf(`, opaque="%s"`, c.Opaque)
	}
	return out
}

func hash(s string) string {
	sum := md5.Sum([]byte(s)) // see the import
	return hex.EncodeToString(sum[:])
}
