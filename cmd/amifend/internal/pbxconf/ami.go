package pbxconf

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// The ports of the Manager Interface where manager.conf names none.
const (
	portAMI  = 5038
	portAMIS = 5039
)

// AMI is the Manager Interface as manager.conf describes it.
type AMI struct {
	General bool // there is a [general]
	Enabled bool
	Plain   netip.AddrPort // where it listens without TLS, once it is enabled; port 0: nowhere
	TLS     netip.AddrPort // where it listens with TLS; the zero value: nowhere
	Users   []ManagerUser
	// Includes are the names of #include and #tryinclude as they are written. Asterisk resolves them
	// from its config folder.
	Includes []string
	Problems []Problem
}

// ManagerUser is a section of manager.conf.
type ManagerUser struct {
	Name  string
	Where string // of its header: file and line
	// Security reports that the user gets security events.
	Security bool

	secret func() string // a function, so that no print of the struct shows it
}

// RevealSecret returns the secret. It is for a file that only amifend may read.
func (u ManagerUser) RevealSecret() string { return u.secret() }

// User returns the first user of a name, as Asterisk does at a login.
func (a *AMI) User(name string) (ManagerUser, bool) {
	for _, u := range a.Users {
		if u.Name == name {
			return u, true
		}
	}
	return ManagerUser{}, false
}

// IncludesFile reports whether an include names a file of the config folder, such as
// manager.d/amifend.conf, once it exists. Only patterns match: a file that is included by its own
// name is somebody else's.
func (a *AMI) IncludesFile(name string) bool {
	for _, pattern := range a.Includes {
		ok, err := filepath.Match(filepath.Clean(pattern), name)
		if ok && err == nil && strings.ContainsAny(pattern, "*?[") {
			return true
		}
	}
	return false
}

// ReadAMI reads manager.conf in a folder with all that it includes. An error means that the file
// itself cannot be read.
func ReadAMI(dir string) (*AMI, error) {
	r := &reader{dir: dir, first: map[string]*section{}}
	if err := r.file(filepath.Join(dir, "manager.conf"), nil, 0); err != nil {
		return nil, fmt.Errorf("read manager.conf: %w", err)
	}

	g, ok := general(r.sections)
	enabled, _ := g.last("enabled")
	out := &AMI{
		General: ok, Enabled: isTrue(enabled.value), Includes: r.includes, Problems: r.problems,
		Plain: g.plainAMI(), TLS: g.tlsAMI(),
	}

	// A template is no user: Asterisk does not look at it at a login.
	for _, s := range r.sections {
		if s.template || strings.EqualFold(s.name, "general") {
			continue
		}

		secret, _ := s.last("secret")
		out.Users = append(out.Users, ManagerUser{
			Name: s.name, Where: s.where, Security: readsSecurity(s),
			secret: func() string { return secret.value }, // the last one, which counts
		})
	}

	return out, nil
}

// plainAMI returns where a [general] of manager.conf has the AMI listen without TLS (manager.c,
// __init_manager): on all addresses, unless bindaddr names one.
func (s *section) plainAMI() netip.AddrPort {
	port := uint16(portAMI)
	if v, ok := s.last("port"); ok {
		if n, err := strconv.ParseUint(v.value, 10, 16); err == nil {
			port = uint16(n)
		}
	}

	bind, _ := s.last("bindaddr")
	return addrPort(bind.value, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
}

// tlsAMI returns where it listens with TLS. Its address is that of bindaddr unless it has its own.
func (s *section) tlsAMI() netip.AddrPort {
	enable, _ := s.last("tlsenable")
	if old, ok := s.last("sslenable"); ok && enable.value == "" {
		enable = old
	}
	if !isTrue(enable.value) {
		return netip.AddrPort{}
	}

	bind, _ := s.last("tlsbindaddr")
	if old, ok := s.last("sslbindaddr"); ok && bind.value == "" {
		bind = old
	}
	return addrPort(bind.value, netip.AddrPortFrom(s.plainAMI().Addr(), portAMIS))
}

// addrPort reads ADDRESS or ADDRESS:PORT. What is missing, or is no address, is that of usual.
func addrPort(text string, usual netip.AddrPort) netip.AddrPort {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(a, usual.Port())
	}
	return usual
}
