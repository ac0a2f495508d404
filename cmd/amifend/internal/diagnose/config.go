package diagnose

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// show says how the value of a key of the config may be shown. What is not of the form that the key
// asks for may be a secret in the wrong place.
type show func(value string) bool

// The values that are shown. Of all other keys only the kind of the value is.
var (
	isPort   = regexp.MustCompile(`^[0-9]{1,5}(-[0-9]{1,5})?(/(udp|tcp))?$`).MatchString
	isTime   = regexp.MustCompile(`^([0-9.]+(ns|us|µs|ms|s|m|h|d))+$`).MatchString
	isWeekly = regexp.MustCompile(`(?i)^([a-z]{3} [0-9]{2}:[0-9]{2})?$`).MatchString
	isLand   = regexp.MustCompile(`^[A-Za-z]{2}$`).MatchString
	isDigest = regexp.MustCompile(`(?i)^(sha256 fingerprint=)?([0-9a-f]{2}:?){32}$`).MatchString
)

// shown lists the keys of the config whose values are texts. nil: the value is never shown.
func shown() map[string]show {
	keys := map[string]show{
		"server.name": nil, "server.username": nil, "server.tls.server_name": nil,
		"policy.canary_accounts": nil, "allow.names": nil,
		"server.address": isEndpoint, "server.addresses": isAddress, "server.secret_file": isFile,
		"server.tls.ca_file": isFile, "server.tls.fingerprint": isDigest,
		"allow.prefixes": isAddress, "deny.prefixes": isAddress, "deny.files": isFile,
		"firewall.backend": oneOf("nftables", "log"), "firewall.table": oneOf("amifend"),
		"firewall.sip_ports": isPort, "firewall.ws_ports": isPort, "control.socket": isFile,
		"control.read_group":  oneOf("", "amifend", "root"),
		"control.admin_group": oneOf("", "amifend-admin", "root"),
		"limiter.mode":        oneOf("off", "observe", "on"),
		"state.directory":     isFile, "state.retain": isTime,
		"geo.files": isFile, "geo.expected_countries": isLand, "report.weekly": isWeekly,
		"log.level": oneOf("debug", "info", "warn", "error"), "log.format": oneOf("auto", "text", "json"),
	}
	for _, k := range []string{"half_life", "ban_time", "ban_max", "proof_window"} {
		keys["policy."+k] = isTime
	}
	return keys
}

func oneOf(all ...string) show { return func(v string) bool { return slices.Contains(all, v) } }

// isAddress reports whether a value is an address or a prefix.
func isAddress(v string) bool {
	_, err := netip.ParsePrefix(v)
	if err != nil {
		_, err = netip.ParseAddr(v)
	}
	return err == nil
}

// isEndpoint reports whether a value is an address, perhaps with a port. A host name is not shown:
// any word could be one.
func isEndpoint(v string) bool {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		host, port = v, "5038"
	}
	return (isAddress(host) || host == "localhost") && isPort(port)
}

// isFile reports whether a value names something that exists: a secret that stands where its file
// should does not.
func isFile(v string) bool {
	if v == "" || !filepath.IsAbs(v) {
		return false
	}
	_, err := os.Lstat(v)
	return err == nil
}

// readConfig returns the config without what is, or could be, a secret, and notes the secrets. Its
// comments are left out. A file that is not TOML is left out whole. It also returns the directory
// of the journal, and works when the config is not valid.
func readConfig(path string, found secrets) (clean []byte, state string, err error) {
	state = "/var/lib/amifend"
	text, err := config.ReadFile(path)
	if err != nil {
		return nil, state, fmt.Errorf("read the config: %w", err)
	}

	tree := map[string]any{}
	if _, err := toml.Decode(string(text), &tree); err != nil {
		// The error of the library quotes the line. Here only its number is told.
		if bad := (toml.ParseError{}); errors.As(err, &bad) {
			return nil, state, fmt.Errorf("the config is not valid TOML, line %d; it is left out",
				bad.Position.Line)
		}
		return nil, state, errors.New("the config is not valid TOML; it is left out")
	}

	if t, ok := tree["state"].(map[string]any); ok {
		if dir, ok := t["directory"].(string); ok && isFile(dir) {
			state = dir
		}
	}

	r := redactor{dir: filepath.Dir(path), shown: shown(), secrets: found}
	var b strings.Builder
	if err := toml.NewEncoder(&b).Encode(r.table("", tree)); err != nil {
		return nil, state, fmt.Errorf("write the config: %w", err)
	}
	return []byte(b.String()), state, nil
}

// number matches the number of a server in the key of a problem.
var number = regexp.MustCompile(`\[[0-9]+\]`)

// problems returns what amifend says about a config. It says where a mistake is, and never what
// stands there. Here it does not name a key that amifend does not have, either.
func problems(path string) []byte {
	c, err := config.Load(path)
	bad, ok := errors.AsType[*config.Error](err)
	switch {
	case ok:
		for i, p := range bad.Problems {
			if p.Key != "" && !config.HasKey(number.ReplaceAllString(p.Key, "")) {
				bad.Problems[i].Key, bad.Problems[i].Text = "", "a key that amifend does not have"
			}
		}
		return []byte(bad.Error() + "\n")
	case err != nil:
		return []byte(err.Error() + "\n")
	case len(c.Warnings) == 0:
		return []byte("nothing\n")
	default:
		return []byte(strings.Join(c.Warnings, "\n") + "\n")
	}
}

// redactor makes a copy of a config that may be shown.
type redactor struct {
	dir     string // of the config
	shown   map[string]show
	secrets secrets
}

// value returns what is shown of the value of a key.
func (r *redactor) value(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		return r.table(key, v)

	case []map[string]any:
		out := []map[string]any{}
		for _, one := range v {
			out = append(out, r.table(key, one))
		}
		return out

	case []any:
		out := []any{}
		for _, one := range v {
			out = append(out, r.value(key, one))
		}
		return out
	}

	// A number where a text belongs may be a secret of digits.
	ok, isText := r.shown[key]
	text, given := v.(string)
	switch {
	case given && ok != nil && ok(text):
		return v
	case given:
		return fmt.Sprintf("(a text of %d bytes, not shown)", len(text))
	case isText && (ok == nil || !ok(fmt.Sprint(v))): // a port may be written as a number
		return "(not a text, not shown)"
	default:
		return v
	}
}

// table returns what is shown of a table. A key that amifend does not have is not shown: somebody
// may have written a secret in its place.
func (r *redactor) table(key string, v map[string]any) map[string]any {
	out := map[string]any{}
	unknown := 0
	for name, one := range v {
		path := strings.TrimPrefix(key+"."+name, ".")
		switch {
		case path == "server.secret":
			r.collect(one)
			out[name] = removed
			continue
		case !config.HasKey(path):
			if secretKey.MatchString(name) {
				r.collect(one)
			}
			unknown++
			continue
		case path == "server.secret_file":
			r.secretFile(one)
		}
		out[name] = r.value(path, one)
	}
	if unknown > 0 {
		out["not_shown"] = fmt.Sprintf("%d keys that amifend does not have", unknown)
	}
	return out
}

// collect notes all texts and numbers of a value as secrets.
func (r *redactor) collect(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, one := range v {
			r.collect(one)
		}
	case []map[string]any:
		for _, one := range v {
			r.collect(one)
		}
	case []any:
		for _, one := range v {
			r.collect(one)
		}
	case bool: // it would be found everywhere
	default:
		r.secrets.add(fmt.Sprint(v))
	}
}

// secretFile notes what stands in the file of a secret. The name itself is a secret when there is
// no such file.
func (r *redactor) secretFile(v any) {
	name, ok := v.(string)
	if !ok {
		r.collect(v)
		return
	}

	// The unit may give it as a credential, which only the daemon can read; it is in no other
	// place.
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, name)
	}
	text, err := config.ReadFile(path)
	if err != nil && !isFile(path) {
		r.secrets.add(name)
	}
	r.secrets.add(string(text))
}
