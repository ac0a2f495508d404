package config

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/amifend/amifend/ami"
)

// maxSecret is the largest size of a secret file in bytes: far more than any password.
const maxSecret = 4 << 10

// secret returns the password of a server, from the config or from the file that it names.
func (l *loader) secret(server string, r rawServer) ami.Secret {
	text := get(l, server+".secret", r.Secret, "")
	name := get(l, server+".secret_file", r.SecretFile, "")
	key := server + ".secret"

	switch {
	case r.Secret.wrong != "" || r.SecretFile.wrong != "":
		return ami.Secret{} // get has recorded the problem
	case r.Secret.set && r.SecretFile.set:
		l.problem(key, "secret and secret_file exclude each other; delete one of them")
		return ami.Secret{}
	case l.policyOnly:
		return ami.Secret{}
	case !r.Secret.set && !r.SecretFile.set:
		l.problem(key,
			`is missing; write secret_file = "FILE" (a file with the password alone) or secret = "…"`)
		return ami.Secret{}
	case r.SecretFile.set:
		key = server + ".secret_file"
		var ok bool
		if text, ok = l.readSecret(key, name); !ok {
			return ami.Secret{}
		}
	}

	// The secret goes into one line of AMI, so it must not end that line.
	switch {
	case text == "":
		l.problem(key,
			"is empty; write the secret of the manager user, as in Asterisk's manager.conf")
	case strings.ContainsFunc(text, unicode.IsControl):
		l.problem(key, "holds a line break or another control character; a password is one line")
	default:
		l.warnBlanks(key, text)
		return ami.NewSecret(text)
	}

	return ami.Secret{}
}

// readSecret reads a file that holds only a password. It removes the byte order mark and the line
// ends that editors add.
func (l *loader) readSecret(key, name string) (string, bool) {
	if name == "" {
		l.problem(key, "is empty; write the name of a file")
		return "", false
	}

	path, b, mode, err := l.readFirst(name)
	if err != nil {
		l.problem(key, "%s", err)
		return "", false
	}

	// The config may be private and the file that it names may not.
	l.checkMode(path, mode)
	if isUTF16(b) {
		l.problem(key, "%s is UTF-16; save it as UTF-8, which has a plain password byte by byte",
			path)
		return "", false
	}

	text := strings.TrimPrefix(string(b), "\ufeff") // the byte order mark of some editors
	return strings.TrimRight(text, "\r\n"), true
}

// isUTF16 reports whether a file begins with the byte order mark of UTF-16, in either order.
func isUTF16(b []byte) bool {
	return bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff"))
}

// warnBlanks adds a warning for a secret with blanks around it. Asterisk removes blanks around the
// values of manager.conf (main/config.c, process_text_line), so the login would fail.
func (l *loader) warnBlanks(key, text string) {
	var where string
	switch trimmed := strings.TrimSpace(text); {
	case trimmed == text:
		return
	case strings.HasPrefix(text, trimmed):
		where = "ends with a blank"
	case strings.HasSuffix(text, trimmed):
		where = "begins with a blank"
	default:
		where = "begins and ends with a blank"
	}

	l.warnings = append(l.warnings, fmt.Sprintf("%s: the secret %s, which Asterisk cuts off in "+
		"manager.conf: the login will be refused; delete it", key, where))
}

// readFirst reads the file of a secret. A relative name is looked up among the credentials of the
// systemd unit first, then beside the config file.
func (l *loader) readFirst(name string) (path string, b []byte, mode fs.FileMode, err error) {
	var tried []string
	if !filepath.IsAbs(name) && l.credentials != "" {
		tried = append(tried, filepath.Join(l.credentials, name))
	}

	for _, path = range append(tried, l.abs(name)) {
		b, mode, err = readRegular(path, maxSecret)

		// The next place counts only if the file is missing here. Any other error is reported.
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}

	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("open secret: %w; the user of amifend must be able to read it, "+
			"under systemd: chown root:amifend %s; chmod 640 %[2]s", err, path)
	} else if err != nil {
		err = fmt.Errorf("open secret: %w; write the name of a file that holds the password alone",
			unnamed(err))
	}
	return path, b, mode, err
}

// abs resolves a name relative to the folder of the config file.
func (l *loader) abs(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.dir, name)
}

// tls reads [server.tls]. An empty table means TLS with the system's CAs, nil means plain TCP.
func (l *loader) tls(key string, r *rawTLS) *TLS {
	if r == nil {
		return nil
	}

	// The CAs are read here, so that a wrong file is found now and not at the first login.
	t := &TLS{
		ServerName:         l.text(key+".server_name", r.ServerName, false),
		InsecureSkipVerify: get(l, key+".insecure_skip_verify", r.InsecureSkipVerify, false),
	}
	if name := l.text(key+".ca_file", r.CAFile, false); name != "" {
		t.CAFile = l.abs(name)
		if !l.policyOnly {
			if err := checkCA(t.CAFile); err != nil {
				l.problem(key+".ca_file", "%s", err)
			}
		}
	}

	// Users paste the fingerprint from openssl, which prints it in several forms.
	if print := l.text(key+".fingerprint", r.Fingerprint, false); print != "" {
		var ok bool
		if t.Fingerprint, ok = parseFingerprint(print); !ok {
			l.problem(key+".fingerprint", "is not a SHA-256 of 32 bytes; write what `openssl x509 "+
				"-noout -fingerprint -sha256 -in CERT` prints behind the =")
		}
	}

	// The two contradict each other, and the weaker one must not win unnoticed.
	if t.InsecureSkipVerify && (t.Fingerprint != "" || t.CAFile != "") {
		l.problem(key+".insecure_skip_verify",
			"means that no certificate is verified; delete it, fingerprint or ca_file is enough")
	}

	return t
}

// checkCA returns an error unless the file holds a certificate in PEM form.
func checkCA(path string) error {
	b, _, err := readRegular(path, maxFile)
	if err != nil {
		return fmt.Errorf("read CA file: %w", unnamed(err))
	}
	if !x509.NewCertPool().AppendCertsFromPEM(b) {
		return fmt.Errorf("%s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path)
	}
	return nil
}

// parseFingerprint reads a fingerprint as openssl prints it, "sha256 Fingerprint=AB:CD:…", or the
// digits alone, with or without colons. It returns it in the form AB:CD:….
func parseFingerprint(s string) (string, bool) {
	if _, after, ok := strings.Cut(s, "="); ok {
		s = after
	}
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(s))
	if err != nil || len(b) != 32 {
		return "", false
	}
	return strings.ReplaceAll(fmt.Sprintf("% X", b), " ", ":"), true
}
