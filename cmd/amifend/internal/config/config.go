// Package config reads amifend's configuration: one TOML file.
//
// It is strict. An unknown key, a wrong type or a value out of range is an error, and [Load]
// reports all of them at once, each with its line, what is wrong and what to write instead. What
// Load returns is complete and valid: every default is filled in and every secret is read, so no
// other package needs to look at the file again.
//
// No text of the file is ever part of an error, since a password may have been pasted into any key:
// errors show where, never what. See also [ami.Secret].
package config

import (
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// maxFile is the largest size of a config file in bytes. Real ones have a few thousand.
const maxFile = 1 << 20

// Config is a whole, valid configuration.
type Config struct {
	Servers []Server       // at least one; names are unique
	Policy  policy.Options // defaults filled in; MaxBans follows [firewall] max_bans
	Observe bool           // [policy] observe: decide and log, but ban nobody
	// Unkept is a trial that nobody has kept; nil: there is none. Observe is then true, although the
	// file says observe = false.
	Unkept *Trial
	// [allow] prefixes: masked, IPv4-mapped ones unmapped, sorted, each once
	Allow    []netip.Prefix
	Names    []string // [allow] names: host names in small letters, sorted, each once
	Deny     []Denied // [deny] prefixes, then what its files hold
	Firewall Firewall
	Control  Control
	State    State
	Log      Log
	Metrics  Metrics
	Notify   []Target // names are unique
	Geo      Geo
	Report   Report
	Feeds    []Feed // names are unique
	Sensor   Sensor
	Limiter  Limiter

	// Warnings are findings that make the file unsafe but not unusable, such as a secret that other
	// users of this machine can read. `check` fails on them, `run` logs them.
	Warnings []string
}

// Dry reports whether the daemon leaves the kernel alone: it decides, but bans nobody.
func (c *Config) Dry() bool { return c.Observe || c.Firewall.Backend == BackendLog }

// Server is one Asterisk and how to log in to its AMI.
type Server struct {
	Name      string       // unique; the host of Address if the file gives none
	Address   string       // host:port, ready for net.Dial
	Host      string       // the host of Address: a name or an address, without brackets
	Addresses []netip.Addr // further addresses of this PBX that are never banned
	Username  string
	Secret    ami.Secret
	TLS       *TLS // nil: plain TCP
}

// TLS configures how the certificate of an AMI over TLS is verified. The zero value trusts the
// system's CAs, and expects the host of the address in the certificate.
type TLS struct {
	CAFile string // PEM file of the CAs to trust, absolute; "": the system's
	// ServerName is the name that the certificate must carry; "": the host of the address.
	ServerName string
	// Fingerprint is the SHA-256 of the one certificate to trust, as openssl prints it: AB:CD:…;
	// "": none.
	Fingerprint        string
	InsecureSkipVerify bool // trust any certificate
}

// Log holds the level and the format of the log.
type Log struct {
	Level  slog.Level
	Format string // "text", "json" or "auto": see config.toml.example
}

// Load reads and validates the file at path, and the secret and certificate files that it names.
// Relative file names are looked up in the folder of path; those of secrets first in
// $CREDENTIALS_DIRECTORY (systemd's LoadCredential).
//
// A file that was read but is not valid gives an [*Error] that lists all problems, those of the
// files of [deny] among them.
func Load(path string) (*Config, error) { return loadFile(path, false) }

// LoadPolicy is like [Load], for commands that log in nowhere. It reads no file of a secret, a
// certificate or a deny list, so a user who may not read these can use it. Servers and Deny lack
// what such files hold. Servers and their secrets may be missing.
func LoadPolicy(path string) (*Config, error) { return loadFile(path, true) }

// loadFile is [LoadPolicy] if policyOnly is set, else [Load].
func loadFile(path string, policyOnly bool) (*Config, error) {
	src, mode, err := readRegular(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("open config: %w", err)
	}

	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("find the folder of %s: %w", path, err)
	}

	// From here on every mistake becomes a Problem, so that the user sees all of them in one run.
	l := &loader{dir: dir, credentials: os.Getenv("CREDENTIALS_DIRECTORY"), policyOnly: policyOnly}
	l.checkMode(path, mode)
	c := l.load(src)
	if len(l.problems) > 0 {
		return nil, &Error{File: path, Problems: sorted(l.problems)}
	}

	// After a crash or a reboot in a trial, the file alone would begin to ban for good.
	if !c.Observe {
		c.Unkept = l.unkept(path)
		c.Observe = c.Unkept != nil
		c.Warnings = l.warnings
	}
	return c, nil
}

// loader holds the state of one [Load]: where files are looked up, and the problems found so far.
type loader struct {
	dir         string // of the config file
	credentials string // $CREDENTIALS_DIRECTORY
	policyOnly  bool   // servers may be missing, and no other file is read
	lines       map[string]int
	problems    []Problem
	warnings    []string
}

// load reads the text of a config. It records all problems. The result is valid only if there are
// none.
func (l *loader) load(src []byte) *Config {
	raw, ok := l.decode(src)
	if !ok {
		return nil
	}

	// [firewall] comes before [policy], because the engine must have room for max_bans bans.
	firewall := l.firewall(raw.Firewall)
	c := &Config{
		Servers:  l.servers(raw),
		Policy:   l.policy(raw.Policy, firewall.MaxBans),
		Observe:  get(l, "policy.observe", raw.Policy.Observe, false),
		Allow:    l.allow(raw.Allow),
		Names:    l.names(raw.Allow),
		Deny:     l.deny(raw.Deny),
		Firewall: firewall,
		Control:  l.control(raw.Control),
		State:    l.state(raw.State),
		Log:      l.log(raw.Log),
		Metrics:  l.metrics(raw.Metrics),
		Notify:   l.targets(raw.Notify),
		Geo:      l.geo(raw.Geo),
		Report:   l.report(raw.Report),
		Feeds:    l.feeds(raw.Feeds),
		Sensor:   l.sensor(raw.Sensor),
		Limiter:  l.limiter(raw.Limiter),
	}
	c.Warnings = l.warnings // complete only now
	return c
}

// problem records one problem with the value of key.
func (l *loader) problem(key, format string, args ...any) {
	l.problems = append(l.problems,
		Problem{Key: key, Line: l.line(key), Text: fmt.Sprintf(format, args...)})
}

// checkMode adds a warning if every user of this machine can read or change a file that holds a
// secret or names one. It does not look at the group, because a service with a user of its own
// needs root:amifend 0640.
func (l *loader) checkMode(path string, mode fs.FileMode) {
	switch {
	case !mode.IsRegular():
		// A pipe or a device has no text that others could read later.

	// To change is worse than to read, so one warning is enough.
	case mode&0o002 != 0:
		l.warnings = append(l.warnings,
			fmt.Sprintf("%s can be changed by every user of this machine: chmod o-rwx %[1]s", path))
	case mode&0o004 != 0:
		l.warnings = append(l.warnings,
			fmt.Sprintf("%s can be read by every user of this machine: chmod o-rwx %[1]s", path))
	}
}

// log reads [log].
func (l *loader) log(raw rawLog) Log {
	out := Log{Level: slog.LevelInfo, Format: get(l, "log.format", raw.Format, "auto")}

	// slog would also accept "INFO+2".
	switch level := get(l, "log.level", raw.Level, "info"); level {
	case "debug", "info", "warn", "error":
		_ = out.Level.UnmarshalText([]byte(level)) // slog has these four names, so it cannot fail
	default:
		l.problem("log.level",
			"is not a level; write \"debug\", \"info\", \"warn\" or \"error\"")
	}

	switch out.Format {
	case "text", "json", "auto":
	default:
		l.problem("log.format", "is not a format; write \"auto\", \"text\" or \"json\"")
	}

	return out
}
